//! What a run shows to its judges: one thing that happened, at a moment, on a node.
//!
//! The run makes observations from the world's events, in the order of virtual time; the judges see
//! nothing else. So a verdict is a function of the observations alone, and a recording of them can
//! be judged again.

use serde_json::Value;

use super::json::Json;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// Its place in the stream of events, under which evidence names it.
    pub seq: u64,
    /// World time in nanoseconds. It never goes down from one observation to the next.
    pub time_ns: u64,
    /// The node it is about, unless it is about the whole world.
    pub node: Option<&'a str>,
    /// The process of the guest that said it, by its number there, if a process did.
    pub pid: Option<u32>,
    /// What happened.
    pub kind: ObservationKind,
}

impl<'a> Observation<'a> {
    /// Something about a node that no process of it said.
    #[must_use]
    pub const fn of_node(seq: u64, time_ns: u64, node: &'a str, kind: ObservationKind) -> Self {
        Self {
            seq,
            time_ns,
            node: Some(node),
            pid: None,
            kind,
        }
    }

    /// Something about the whole world.
    #[must_use]
    pub const fn of_world(seq: u64, time_ns: u64, kind: ObservationKind) -> Self {
        Self {
            seq,
            time_ns,
            node: None,
            pid: None,
            kind,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum ObservationKind {
    /// A console got bytes; lines may be cut anywhere.
    Console(Vec<u8>),
    /// A guest says that its program has an assertion, whether it is ever reached or not.
    Catalog(AssertionSite),
    /// A guest reached an assertion.
    Assert(AssertionHit),
    /// A guest said that its set-up is complete, with what it says about it.
    Setup {
        /// JSON of the guest's choice.
        details: Value,
    },
    /// A guest sent an event of its own.
    Event {
        /// Its name.
        name: String,
        /// JSON of the guest's choice.
        details: Value,
    },
    /// A guest published a value.
    Publish {
        /// The value's name.
        key: String,
        /// The value.
        value: Published,
    },
    /// A client recorded a step of an operation.
    History(HistoryStep),
    /// A guest passed one of its own fault points.
    FaultPoint {
        /// Its name.
        name: String,
        /// Whether it misbehaved there.
        taken: bool,
    },
    /// A node's init reported.
    Init(InitReport),
    /// A node changed its state.
    Node(NodeChange),
    /// The run entered a phase.
    Phase(Phase),
    /// A fault began. One that has no duration, as a kill has none, begins and ends at once.
    FaultBegan {
        /// A number that no other fault of the run has.
        id: u64,
        /// What it is done to, as in `network`, `node`, `disk`, `clock`, `process`, `memory`.
        class: String,
        /// The nodes that it affects; empty if it affects all.
        nodes: Vec<String>,
    },
    /// A fault ended.
    FaultEnded {
        /// The number with which it began.
        id: u64,
    },
    /// A guest sent something that is no message.
    BadMessage {
        /// What is wrong with it.
        why: String,
    },
}

/// What an assertion asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AssertionKind {
    /// True whenever it is reached, and reached.
    Always,
    /// True whenever it is reached.
    AlwaysOrUnreachable,
    /// True at least once.
    Sometimes,
    /// Reached at least once.
    Reachable,
    /// Never reached.
    Unreachable,
}

/// An assertion of a guest's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionSite {
    /// The name of the property; sites with the same message and kind are one property.
    pub message: String,
    /// What it asks for.
    pub kind: AssertionKind,
    /// Where it is in the guest's source.
    pub location: Option<SourceLocation>,
}

/// A place in a guest's source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceLocation {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 if it is not known.
    pub column: u32,
    /// The function; empty if it is not known.
    pub function: String,
}

/// An evaluation of an assertion.
#[derive(Debug, Clone, PartialEq)]
pub struct AssertionHit {
    /// Which assertion.
    pub site: AssertionSite,
    /// Whether the condition was true. Of a reachable site it is true, of an unreachable one false.
    pub condition: bool,
    /// JSON of the guest's choice.
    pub details: Value,
}

/// A published value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Published {
    /// A whole number; wide enough for both the signed and the unsigned ones of the SDK.
    Number(i128),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
        }
    }
}

/// A step of an operation that a client does.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryStep {
    /// The history's name.
    pub history: String,
    /// The client: at most one operation of it is open at a time on its node.
    pub process: u64,
    /// Which step.
    pub step: Step,
    /// What is done, as in `read`, `write`, `cas`, `txn`.
    pub f: String,
    /// What it is done to; absent if there is only one object.
    pub key: Option<String>,
    /// What is written, or what was read.
    pub value: Json,
}

/// The steps of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is sent.
    Invoke,
    /// It was done.
    Ok,
    /// It was certainly not done.
    Fail,
    /// Whether it was or will ever be done is not known.
    Info,
}

/// What init reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitReport {
    /// It reached a stage of its boot.
    Stage(String),
    /// It started a program.
    Started {
        /// The name of the process, which is the guest's.
        process: String,
        /// Its number.
        pid: u32,
    },
    /// A program that it supervises ended.
    Ended {
        /// The name of the process.
        process: String,
        /// Its number.
        pid: u32,
        /// How.
        status: ExitStatus,
        /// Whether a fault of the plan ended it.
        by_fault: bool,
    },
    /// A program could not be started.
    NotStarted {
        /// The name of the process.
        process: String,
        /// Why.
        reason: String,
    },
    /// Something is wrong, and it goes on without it.
    Trouble(String),
    /// No program that it supervises runs, and none will be started again.
    AllEnded,
    /// As before, and no other process is left either.
    NothingLeft,
    /// A command was carried out, or was not.
    Command {
        /// The command's number.
        id: u64,
        /// Why it was not.
        failure: Option<String>,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How a node changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeChange {
    /// It was powered on for the first time.
    Booting,
    /// It counts as ready.
    Ready,
    /// A fault killed it or took its power.
    Crashed,
    /// It was powered on again.
    Restarted,
    /// A fault paused it.
    Paused,
    /// It runs again after a pause.
    Resumed,
    /// Its kernel stopped after a panic, as far as the machine can tell without its console.
    Panicked {
        /// What is known.
        detail: String,
    },
    /// It powered off by itself.
    Exited,
    /// It reset itself, as a program that reboots does, and is about to start again.
    Reset,
    /// Nothing that is planned can make it go on, or it goes round without letting interrupts in.
    Stuck {
        /// How it is stuck.
        how: Stuck,
    },
    /// It goes on after having been stuck.
    Unstuck,
    /// A fault in the handling of a fault in the handling of a fault.
    TripleFault,
    /// It did something that chaosrun does not implement.
    Unimplemented {
        /// What.
        what: String,
    },
}

/// How a node is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// All its processors are halted and no interrupt can wake them.
    HaltedForEver,
    /// A processor executes with interrupts off and never lets one in.
    InterruptsOff {
        /// The index of the processor.
        vcpu: u32,
        /// What it was executing when that was noticed.
        rip: u64,
    },
}

/// The phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All nodes are ready; the clock of the scenario is at zero.
    Ready,
    /// The quiet period begins; everything heals.
    Quiet,
    /// The run is over.
    End,
}
