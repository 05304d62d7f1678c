//! Events: what happened in a timeline, in the order of virtual time.
//!
//! An event is one line of `events.jsonl`. Records of SDK assertions and of faults have the fields
//! of Antithesis's SDK output and fault log under the same names, so that readers of those work.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{text, time};

/// The longest summary of an event, in characters.
const MAX_SUMMARY_CHARS: usize = 240;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its place in the stream; events of the same moment are ordered by it.
    pub seq: u64,
    /// Virtual time in nanoseconds.
    pub vtime_ns: u64,
    /// The node it is about, unless it is about the whole world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event of a node, or of the world if `node` is `None`.
    pub fn new(seq: u64, vtime_ns: u64, node: Option<&str>, kind: EventKind) -> Self {
        Self {
            seq,
            vtime_ns,
            node: node.map(str::to_owned),
            kind,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// A line on a console.
    Console {
        /// The line, without its end; invalid UTF-8 is replaced.
        line: String,
    },
    /// A node changed its state.
    Node {
        /// The new state.
        state: NodeState,
        /// More about it, as in an exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// An SDK assertion was declared or evaluated.
    Assertion {
        /// The record.
        antithesis_assert: AssertionRecord,
    },
    /// A guest said that its set-up is complete.
    Setup {
        /// The record.
        antithesis_setup: SetupRecord,
    },
    /// A guest sent an event of its own.
    Guest {
        /// Its name.
        name: String,
        /// What the guest says about it.
        details: Value,
    },
    /// A fault began, ended or was left out.
    Fault(FaultRecord),
    /// The run entered a phase, as in `ready`, `faults`, `quiet`.
    Phase {
        /// The phase.
        phase: String,
    },
    /// The state was hashed.
    Checkpoint {
        /// The link of the state-hash chain.
        state_hash: String,
    },
    /// A property got its verdict.
    Verdict {
        /// The property.
        property: String,
        /// What was decided.
        verdict: super::model::Verdict,
    },
}

impl Event {
    /// What happened in one safe line of bounded length, as terminals and JUnit show it.
    pub fn summary(&self) -> String {
        let long = match &self.kind {
            EventKind::Console { line } => return text::line(line, MAX_SUMMARY_CHARS),
            EventKind::Node {
                state,
                detail: None,
            } => format!("node {}", state.word()),
            EventKind::Node {
                state,
                detail: Some(detail),
            } => {
                format!("node {}: {detail}", state.word())
            }
            EventKind::Assertion {
                antithesis_assert: record,
            } => {
                let held = match (record.hit, record.condition) {
                    (false, _) => "declared",
                    (true, true) => "held",
                    (true, false) => "did not hold",
                };
                format!("{} {held}: {}", record.display_type, record.message)
            }
            EventKind::Setup { .. } => "set-up complete".to_owned(),
            EventKind::Guest { name, details } => format!("{name} {details}"),
            EventKind::Fault(record) => record.fault.summary(),
            EventKind::Phase { phase } => format!("phase {phase}"),
            EventKind::Checkpoint { state_hash } => format!("checkpoint {state_hash}"),
            EventKind::Verdict { property, verdict } => format!("{property}: {}", verdict.word()),
        };
        text::line(&long, MAX_SUMMARY_CHARS)
    }

    /// Whether it is about a fault or its consequence, and not the system's own doing.
    pub const fn is_disturbance(&self) -> bool {
        match &self.kind {
            EventKind::Fault(_) => true,
            EventKind::Node { state, .. } => {
                matches!(
                    state,
                    NodeState::Crashed | NodeState::Paused | NodeState::Panicked
                )
            }
            _ => false,
        }
    }
}

/// The state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It was powered on.
    Booting,
    /// Its guest said that it is ready.
    Ready,
    /// It was killed or lost power.
    Crashed,
    /// It was started again after a crash.
    Restarted,
    /// It was paused.
    Paused,
    /// It runs again after a pause.
    Resumed,
    /// Its kernel or its main process panicked.
    Panicked,
    /// It powered off by itself.
    Exited,
}

impl NodeState {
    /// The word for it, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Crashed => "crashed",
            Self::Restarted => "restarted",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Panicked => "panicked",
            Self::Exited => "exited",
        }
    }
}

/// An assertion's declaration (`hit` is false) or evaluation, in the shape of Antithesis's SDK.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssertionRecord {
    /// The key of the assertion; equal to the message in most SDKs.
    pub id: String,
    /// The name of the property.
    pub message: String,
    /// Whether the condition was true.
    pub condition: bool,
    /// The name of the kind for people, as in `Sometimes`.
    pub display_type: String,
    /// False for the declaration, true for an evaluation.
    pub hit: bool,
    /// Whether never evaluating it is a failure.
    pub must_hit: bool,
    /// What the condition has to be.
    pub assert_type: AssertType,
    /// Where the assertion is in the guest's source.
    pub location: AssertLocation,
    /// What the guest says about it.
    pub details: Value,
}

/// What an assertion's condition has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssertType {
    /// True at each evaluation.
    Always,
    /// True at one evaluation at least.
    Sometimes,
    /// Evaluated or not is all that counts.
    Reachability,
}

/// A place in a guest's source, in the shape of Antithesis's SDK.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssertLocation {
    /// The module or class.
    pub class: String,
    /// The function.
    pub function: String,
    /// The source file.
    pub file: String,
    /// The line, from 1.
    pub begin_line: u32,
    /// The column, from 1; 0 if it is not known.
    pub begin_column: u32,
}

/// The record of a completed set-up, in the shape of Antithesis's SDK.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetupRecord {
    /// Always `complete`.
    pub status: String,
    /// What the guest says about it.
    pub details: Value,
}

/// A fault's record, in the shape of Antithesis's fault log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultRecord {
    /// Who says so.
    pub source: FaultSource,
    /// When it happened.
    pub moment: FaultMoment,
    /// What happened.
    pub fault: Fault,
}

impl FaultRecord {
    /// The record of a fault at a moment of virtual time.
    pub fn new(vtime_ns: u64, fault: Fault) -> Self {
        let source = FaultSource {
            name: "fault_injector".to_owned(),
        };
        Self {
            source,
            moment: FaultMoment {
                vtime_ticks: vtime_ticks(vtime_ns),
            },
            fault,
        }
    }
}

/// Who injects faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultSource {
    /// Always `fault_injector`.
    pub name: String,
}

/// A moment in the unit of Antithesis's fault log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultMoment {
    /// Virtual time in ticks of 2⁻³² seconds.
    #[serde(rename = "_vtime_ticks")]
    pub vtime_ticks: u64,
}

/// Turns nanoseconds into ticks of 2⁻³² seconds, rounding down.
pub fn vtime_ticks(vtime_ns: u64) -> u64 {
    let ticks = (u128::from(vtime_ns) << 32) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// One injected fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What is done, as in `partition`, `clog`, `restore`, `kill`, `pause`, `throttle`, `skip`.
    pub name: String,
    /// What it is done to: `network`, `node`, `disk`, `clock`, `process`, `memory`, `interrupt`.
    #[serde(rename = "type")]
    pub class: String,
    /// The nodes it affects; `ALL` for all of them.
    pub affected_nodes: Vec<String>,
    /// How long it lasts at most, in whole seconds, rounded up; absent if it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<u64>,
    /// How long it lasts at most, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ns: Option<u64>,
    /// What else there is to know.
    pub details: FaultDetails,
}

/// What there is to know of a fault besides what all faults have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultDetails {
    /// What of the fault this record is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<FaultStage>,
    /// All else, by name.
    #[serde(flatten)]
    pub named: BTreeMap<String, Value>,
}

/// What of a fault a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FaultStage {
    /// It begins, or happens in a moment.
    #[serde(rename = "begin")]
    Begin,
    /// It ends.
    #[serde(rename = "end")]
    End,
    /// The budget forbade it for good, or nobody could be hit.
    #[serde(rename = "left out")]
    LeftOut,
    /// A node did not do it.
    #[serde(rename = "without effect")]
    WithoutEffect,
}

impl Fault {
    /// A fault without an end.
    pub fn new(name: &str, class: &str, affected_nodes: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            class: class.to_owned(),
            affected_nodes: affected_nodes.iter().map(|&node| node.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Limits the fault to a duration.
    #[must_use]
    pub fn lasting(mut self, duration_ns: u64) -> Self {
        self.max_duration = Some(duration_ns.div_ceil(1_000_000_000));
        self.max_duration_ns = Some(duration_ns);
        self
    }

    /// The fault in one line: `partition of n1, n2 for 3 s`, and its end as `partition of n1, n2 ends
    /// after 3 s`.
    pub fn summary(&self) -> String {
        let mut line = self.name.clone();
        if !self.affected_nodes.is_empty() {
            line.push_str(" of ");
            line.push_str(&self.affected_nodes.join(", "));
        }
        let (words, duration_ns) = match self.details.stage {
            Some(FaultStage::End) => {
                line.push_str(" ends");
                let lasted = self.details.named.get("lasted_ns");
                (" after ", lasted.and_then(Value::as_u64))
            }
            Some(FaultStage::LeftOut) => {
                line.push_str(" is left out");
                ("", None)
            }
            Some(FaultStage::Begin | FaultStage::WithoutEffect) | None => {
                (" for ", self.max_duration_ns)
            }
        };
        if let Some(duration_ns) = duration_ns {
            line.push_str(words);
            line.push_str(&time::human_duration(duration_ns));
        }
        // What did nothing must not read like what did something.
        if let Some(why) = self.details.named.get("why").and_then(Value::as_str) {
            line.push_str(" had no effect: ");
            line.push_str(why);
        }
        line
    }

    /// Whether it begins here, or happens in this moment.
    pub fn begins(&self) -> bool {
        self.details.stage == Some(FaultStage::Begin)
    }

    /// Says what of it this is about.
    #[must_use]
    pub const fn at_stage(mut self, stage: FaultStage) -> Self {
        self.details.stage = Some(stage);
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.named.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_fractions_of_two_to_the_thirty_second() {
        assert_eq!(vtime_ticks(12_000_000_000), 51_539_607_552);
        assert_eq!(vtime_ticks(0), 0);
        assert_eq!(vtime_ticks(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_stage_is_one_of_the_details_in_json_and_has_few_words() {
        let fault = Fault::new("kill", "node", &["n1"]).with("source", "at 1");
        let json = serde_json::to_value(fault.clone().at_stage(FaultStage::LeftOut));
        let json = json.expect("a fault can be written");
        let details = serde_json::json!({ "source": "at 1", "stage": "left out" });
        assert_eq!(json["details"], details);
        let read: Fault = serde_json::from_value(json.clone()).expect("and read");
        assert_eq!(read, fault.clone().at_stage(FaultStage::LeftOut));
        let json = serde_json::to_value(&fault).expect("a fault can be written");
        assert_eq!(json["details"].get("stage"), None);
        let mut unknown = json;
        unknown["details"]["stage"] = "later".into();
        assert!(serde_json::from_value::<Fault>(unknown).is_err());
    }

    #[test]
    fn a_fault_that_did_nothing_reads_so() {
        let fault = Fault::new("process-kill", "process", &["n1"]);
        assert_eq!(fault.summary(), "process-kill of n1");
        let nothing = fault.with("why", "app does not run");
        let expected = "process-kill of n1 had no effect: app does not run";
        assert_eq!(nothing.summary(), expected);
    }
}
