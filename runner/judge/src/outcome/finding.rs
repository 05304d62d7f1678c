//! A finding: one violated property, with what is needed to see it again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::model::{Evidence, Moment};

/// A violated property at a moment, with the way to reproduce it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its number in this report, from 1; the file of it is `findings/NNN.json`.
    pub number: u32,
    /// The name of the violated property.
    pub property: String,
    /// What kind of failure it is.
    pub kind: FindingKind,
    /// What happened, in one line that can be understood alone.
    pub summary: String,
    /// When and where.
    pub moment: Moment,
    /// The seed of the timeline, a 64-bit number in decimal.
    pub seed: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// The events of all nodes before the failure, oldest first, faults among them.
    pub nearest_events: Vec<Event>,
    /// The faults that are needed.
    pub faults: FaultSchedule,
    /// The command that shows the failure again, on one line.
    pub replay_command: String,
    /// The recording that reaches it, relative to the report.
    pub recording: Option<String>,
    /// The state hash at the moment.
    pub state_hash: Option<String>,
    /// In how many timelines it was seen.
    pub seen_in_timelines: u64,
}

/// What kind of failure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A statement about the state was false.
    Invariant,
    /// A kernel or a process panicked.
    Panic,
    /// Something that had to happen did not happen in time.
    Liveness,
    /// Something that had to be reached was not reached.
    Unreached,
    /// A node made no progress.
    Hang,
    /// Two runs with the same inputs differed.
    Nondeterminism,
}

impl FindingKind {
    /// The word for it, as in JSON and in JUnit's `type`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invariant => "invariant",
            Self::Panic => "panic",
            Self::Liveness => "liveness",
            Self::Unreached => "unreached",
            Self::Hang => "hang",
            Self::Nondeterminism => "nondeterminism",
        }
    }
}

/// The faults of a timeline, as few as were found to be enough.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultSchedule {
    /// Whether removing any single step was tried and made the failure disappear.
    pub minimal: bool,
    /// How many faults the timeline had when the failure was found.
    pub original_count: u64,
    /// The steps, in the order of their time.
    pub steps: Vec<FaultStep>,
}

/// One fault of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// When it begins, in nanoseconds of virtual time.
    pub at_ns: u64,
    /// The fault, as the scenario language writes it in KDL.
    pub fault: String,
}
