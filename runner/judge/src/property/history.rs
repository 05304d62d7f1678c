//! Histories: puts the steps that clients record together to operations.

use std::collections::BTreeMap;

use super::exit::loses_memory;
use super::json::Json;
use super::observation::{HistoryStep, Observation, ObservationKind, Step};
use crate::outcome::HistoryOperation;
use crate::outcome::text::cut;
use crate::outcome::time::seconds_micros;

/// How many operations of one history are kept.
pub const MAX_OPERATIONS: usize = 1_000_000;
/// The memory that their arguments and results take, in bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// How long an argument or a result is in evidence, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// When a step was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// World time in nanoseconds.
    pub time_ns: u64,
    /// The observation's number.
    pub seq: u64,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was certainly not done.
    Fail,
    /// It may have been done, or may be done later: its client was told so, died, or the run ended.
    Unknown,
}

/// An operation of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The client's node.
    pub node: String,
    /// The client's number on its node.
    pub process: u64,
    /// What is done.
    pub f: String,
    /// What it is done to.
    pub key: Option<String>,
    /// What the client gave.
    pub argument: Json,
    /// What the client got; null unless it was done.
    pub result: Json,
    /// When it began.
    pub invoked: Stamp,
    /// When it ended, if it was done or was certainly not done.
    pub returned: Option<Stamp>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// The operation as reports have it.
    #[must_use]
    pub fn reported(&self) -> HistoryOperation {
        HistoryOperation {
            node: self.node.clone(),
            process: self.process,
            f: self.f.clone(),
            key: self.key.clone(),
            argument: shown(&self.argument),
            result: (self.outcome == Outcome::Ok).then(|| shown(&self.result)),
            invoked_ns: self.invoked.time_ns,
            returned_ns: self.returned.map(|end| end.time_ns),
        }
    }

    /// The operation in one line, as evidence shows it.
    #[must_use]
    pub fn line(&self) -> String {
        let end = match self.returned {
            Some(end) => seconds_micros(end.time_ns),
            None => "?".to_owned(),
        };
        let result = match self.outcome {
            Outcome::Ok => format!(" -> {}", shown(&self.result)),
            Outcome::Fail => " failed".to_owned(),
            Outcome::Unknown => " (outcome not known)".to_owned(),
        };
        format!(
            "{} .. {end}  {}/{}  {} {}{result}",
            seconds_micros(self.invoked.time_ns),
            self.node,
            self.process,
            self.f,
            shown(&self.argument),
        )
    }
}

/// A value as JSON of bounded length.
#[must_use]
pub fn shown(value: &Json) -> String {
    let mut text = value.to_string();
    cut(&mut text, MAX_SHOWN_BYTES);
    text
}

/// Collects the operations of one history.
#[derive(Debug, Clone)]
pub struct Recorder {
    history: String,
    operations: Vec<Operation>,
    open: BTreeMap<(String, u64), usize>,
    /// Ends of operations that never began.
    strays: u64,
    /// The memory that arguments and results take.
    bytes: usize,
    too_many: bool,
}

impl Recorder {
    /// Collects the history of this name.
    #[must_use]
    pub fn new(history: &str) -> Self {
        Self {
            history: history.to_owned(),
            operations: Vec::new(),
            open: BTreeMap::new(),
            strays: 0,
            bytes: 0,
            too_many: false,
        }
    }

    /// Follows the run. Hands out the place of an operation that has just ended.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Option<usize> {
        match (&seen.kind, seen.node) {
            (ObservationKind::History(step), Some(node)) if step.history == self.history => {
                self.step(seen, node, step)
            }
            (ObservationKind::Node(change), Some(node)) if loses_memory(change) => {
                // Whether its open operations were done will never be known.
                self.open.retain(|(of, _), _| of != node);
                None
            }
            _ => None,
        }
    }

    fn step(&mut self, seen: &Observation<'_>, node: &str, step: &HistoryStep) -> Option<usize> {
        let stamp = Stamp {
            time_ns: seen.time_ns,
            seq: seen.seq,
        };
        let client = (node.to_owned(), step.process);
        if step.step == Step::Invoke {
            self.bytes += step.value.weight() + step.key.as_ref().map_or(0, String::len);
            if self.operations.len() >= MAX_OPERATIONS || self.bytes > MAX_BYTES {
                self.too_many = true;
                return None;
            }
            // A client that begins anew without having ended was started again.
            self.open.insert(client, self.operations.len());
            self.operations.push(Operation {
                node: node.to_owned(),
                process: step.process,
                f: step.f.clone(),
                key: step.key.clone(),
                argument: step.value.clone(),
                result: Json::Null,
                invoked: stamp,
                returned: None,
                outcome: Outcome::Unknown,
            });
            return None;
        }
        let Some(place) = self.open.remove(&client) else {
            // When operations are no longer kept, their ends have no beginnings.
            self.strays += u64::from(!self.too_many);
            return None;
        };
        let operation = &mut self.operations[place];
        match step.step {
            Step::Ok => {
                self.bytes += step.value.weight();
                operation.outcome = Outcome::Ok;
                operation.result = step.value.clone();
                operation.returned = Some(stamp);
            }
            Step::Fail => {
                operation.outcome = Outcome::Fail;
                operation.returned = Some(stamp);
            }
            Step::Invoke | Step::Info => {}
        }
        Some(place)
    }

    /// The operations, in the order of their beginnings.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Why a pass cannot be concluded of what is there; nothing if all is there.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        if self.operations.is_empty() {
            Some(format!(
                "nobody recorded an operation of `{}`",
                self.history
            ))
        } else if self.too_many {
            Some(format!(
                "only the first {} operations are kept",
                self.operations.len()
            ))
        } else if self.strays > 0 {
            Some(format!(
                "{} ends of operations have no beginning",
                self.strays
            ))
        } else {
            None
        }
    }
}
