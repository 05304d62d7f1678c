//! Faults as the plan has them: what, to whom, when, and how much at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Pattern, Range, Rate, Ratio};

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Faults {
    /// Faults with a trigger, sorted by their first possible moment and name.
    pub schedule: Vec<Scheduled>,
    /// Faults that are drawn, sorted by name.
    pub random: Vec<Generator>,
    /// How much at once.
    pub budget: Budget,
    /// The moment from which on everything is healed and nothing more goes wrong.
    pub quiet_from_ns: u64,
}

/// Faults that happen together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scheduled {
    /// A name that no other trigger has, made from the trigger and its faults. Random choices of the
    /// trigger come from a stream of this name.
    pub name: String,
    /// When.
    pub trigger: Trigger,
    /// What, in order.
    pub faults: Vec<Fault>,
}

/// When faults happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trigger {
    /// At a moment.
    At {
        /// The moment.
        at_ns: u64,
    },
    /// Over and over.
    Every {
        /// How far apart.
        period_ns: u64,
        /// How much later each time may be.
        jitter_ns: u64,
        /// The first time.
        start_ns: u64,
        /// None at or behind this moment.
        until_ns: u64,
        /// How often at most.
        times: Option<u64>,
    },
    /// At drawn moments.
    Between {
        /// The first that can be drawn.
        start_ns: u64,
        /// The end, which can't be drawn.
        end_ns: u64,
        /// How many are drawn.
        times: u64,
    },
    /// When something happens in a guest.
    After {
        /// What must happen.
        signal: Signal,
        /// Where: a node set.
        on: String,
        /// How long after it.
        delay: Range,
        /// How often at most.
        times: u64,
    },
}

/// Something that happens in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Signal {
    /// It sends an SDK event.
    Event {
        /// Its name.
        name: String,
    },
    /// Its console shows a pattern.
    Console {
        /// The pattern.
        pattern: Pattern,
    },
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// A name that no other fault has; its random choices come from a stream of this name.
    pub name: String,
    /// What.
    pub action: Action,
    /// How long it lasts. Without it: until healed, or for a moment, as the action is.
    pub duration: Option<Range>,
}

/// How many of a set of nodes are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Pick {
    /// All.
    All,
    /// So many, drawn each time.
    Any {
        /// How many.
        count: u64,
    },
    /// From one up to fewer than half, drawn each time.
    Minority,
    /// More than half, drawn each time.
    Majority,
}

/// Whom a fault hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// From whom: a node set.
    pub from: String,
    /// How many of them.
    pub pick: Pick,
}

/// Which frames a network fault touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frames {
    /// The networks, sorted.
    pub networks: Vec<String>,
    /// The senders.
    pub from: Target,
    /// The receivers.
    pub to: Target,
}

/// Which disk operations a disk fault touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskOps {
    /// The nodes.
    pub target: Target,
    /// The disk of those nodes; all without it.
    pub disk: Option<String>,
    /// How many operations are hit.
    pub chance: Ratio,
    /// How many at most.
    pub times: Option<u64>,
    /// Only at or behind this byte.
    pub offset_bytes: u64,
    /// Only so many bytes from there.
    pub length_bytes: Option<u64>,
}

/// How a network is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Split {
    /// Between these node sets.
    Sides {
        /// The sides, in order.
        sides: Vec<String>,
    },
    /// Between so many drawn groups, each with at least one member.
    Groups {
        /// How many.
        count: u64,
    },
    /// Each of these off from all others.
    Isolate {
        /// Who.
        target: Target,
    },
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum Action {
    /// Cuts networks. One-way: only frames from the first side (or the isolated) to the others.
    Partition {
        networks: Vec<String>,
        split: Split,
        one_way: bool,
    },
    /// Ends network faults.
    Heal { networks: Vec<String> },
    /// Frames travel longer.
    Latency {
        frames: Frames,
        by_ns: u64,
        jitter_ns: u64,
        overtake: bool,
    },
    /// Frames travel longer by a drawn time.
    Jitter {
        frames: Frames,
        by_ns: u64,
        overtake: bool,
    },
    /// A network gets slow.
    Bandwidth { frames: Frames, bandwidth_bps: u64 },
    /// Frames get lost.
    Loss { frames: Frames, chance: Ratio },
    /// Frames are damaged.
    Corrupt { frames: Frames, chance: Ratio },
    /// Frames are overtaken.
    Reorder {
        frames: Frames,
        chance: Ratio,
        window_ns: u64,
    },
    /// Frames arrive twice.
    Duplicate { frames: Frames, chance: Ratio },
    /// Links go down and up.
    Flap {
        frames: Frames,
        down: Range,
        up: Range,
    },
    /// Reads fail.
    DiskReadError { disks: DiskOps },
    /// Writes fail.
    DiskWriteError { disks: DiskOps },
    /// Interrupted writes are kept in part.
    TornWrite { disks: DiskOps },
    /// Writes land elsewhere.
    MisdirectedWrite { disks: DiskOps },
    /// Bits turn over.
    BitFlip { disks: DiskOps, bits: u64 },
    /// Flushes do nothing.
    LostFlush { disks: DiskOps },
    /// No space is left.
    DiskFull { disks: DiskOps },
    /// Operations take longer.
    DiskSlow { disks: DiskOps, by: Range },
    /// Nodes stop at once; restarted after a time, or at the quiet period.
    Kill {
        target: Target,
        restart_after: Option<Range>,
    },
    /// Nodes start again.
    Restart { target: Target },
    /// Nodes stand still.
    Pause { target: Target },
    /// Nodes go on.
    Resume { target: Target },
    /// Nodes lose power; `torn` of the unflushed writes are kept in part.
    PowerLoss {
        target: Target,
        restart_after: Option<Range>,
        torn: Ratio,
    },
    /// Nodes compute at this part of their speed.
    Throttle { target: Target, to: Ratio },
    /// A process is killed; all of the node without a name.
    ProcessKill {
        target: Target,
        process: Option<String>,
        restart_after: Option<Range>,
    },
    /// A process is stopped, and later continued.
    ProcessPause {
        target: Target,
        process: Option<String>,
    },
    /// A process is killed and started anew.
    ProcessRestart {
        target: Target,
        process: Option<String>,
    },
    /// Clocks are off.
    ClockSkew { target: Target, by_ns: i64 },
    /// Clocks run wrong.
    ClockDrift { target: Target, by_ppb: i64 },
    /// Clocks jump.
    ClockJump { target: Target, by_ns: i64 },
    /// Memory is taken away.
    MemoryPressure { target: Target, take_bytes: u64 },
    /// A stray interrupt.
    Irq { target: Target, line: u32 },
    /// A non-maskable interrupt.
    Nmi { target: Target, vcpu: u32 },
    /// Stray timer interrupts.
    SpuriousTimer { target: Target, rate: Rate },
    /// Late timer interrupts.
    DelayedTimer { target: Target, by: Range },
}

/// Faults whose kinds, targets and moments are drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// A name that no other generator has; its choices come from a stream of this name.
    pub name: String,
    /// How often, on average.
    pub rate: Rate,
    /// Which kinds, as the names of [`Action`]s, in the order of the language.
    pub kinds: Vec<String>,
    /// Whom they may hit.
    pub target: Target,
    /// From when on.
    pub start_ns: u64,
    /// Up to when.
    pub until_ns: u64,
    /// How long each lasts.
    pub duration: Range,
}

/// How much may go wrong at once. A fault that would exceed it waits for the next occasion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Nodes that may be down, paused or cut off at once.
    pub nodes: Option<u64>,
    /// Nodes whose disks may be damaged over the whole run.
    pub disks: Option<u64>,
    /// Faults that may be active at once.
    pub faults: Option<u64>,
    /// How long it stays calm after each fault.
    pub gap_ns: u64,
}
