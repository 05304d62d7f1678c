//! Faults as the plan has them: what, to whom, when, and how much at once.
//!
//! Each family of faults has a file: what its kinds are in a plan, and how they come from the language.

mod action;
mod clock;
mod disk;
mod interrupt;
mod memory;
mod network;
mod node;
mod process;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Pattern, Range, Rate};
use crate::scenario::vocab::FaultKind;
use action::Aim;

pub use action::Action;
pub use clock::ClockAction;
pub use disk::{DiskAction, DiskOps};
pub use interrupt::InterruptAction;
pub use memory::MemoryAction;
pub use network::{Frames, NetworkAction, Split};
pub use node::NodeAction;
pub use process::ProcessAction;

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

/// Faults whose kinds, targets and moments are drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// A name that no other generator has; its choices come from a stream of this name.
    pub name: String,
    /// How often, on average.
    pub rate: Rate,
    /// Which kinds, as the names of [`Action`]s, in the order of the language.
    #[schemars(with = "Vec<String>")]
    pub kinds: Vec<FaultKind>,
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
