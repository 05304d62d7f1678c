//! `append-list`: transactions that append to lists and read them are consistent.
//!
//! # What clients record
//! Operations `txn` whose value is a list of steps: `["append", key, value]` and `["r", key, null]`.
//! The value of the end has the lists that were read in place of the nulls. A value is appended to
//! a list once at most.
//!
//! # What a level forbids
//! At every level: reads of what nobody appended, of a value twice, of two orders of one list, and of
//! what contradicts the transaction's own steps; and further
//!
//! | level | forbids |
//! |---|---|
//! | read-committed | G0, G1a, G1b, G1c |
//! | snapshot-isolation | and cycles in which no two anti-dependencies follow each other (G-single) |
//! | serializable | and all other cycles (G2-item) |
//! | strict-serializable | and cycles that real time closes (`-realtime`) |

pub mod anomalies;
pub mod graph;
pub mod txn;

#[cfg(test)]
mod tests;

use super::checker::{Checker, End};
use super::history::{Operation, Recorder};
use super::judgement::{Judgement, Seen};
use super::observation::Observation;
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, PropertyKind};
use anomalies::Anomaly;
use chaosrun_language::plan::property::ConsistencyLevel;
use txn::Names;

const KIND: PropertyKind = PropertyKind::AppendList;
/// How many transactions there are when they are judged for the first time.
const FIRST_LOOK: usize = 64;

/// The checker.
#[derive(Debug, Clone)]
pub struct AppendList {
    name: String,
    level: ConsistencyLevel,
    recorder: Recorder,
    ended: usize,
    next_look: usize,
    found: Option<Anomaly>,
}

impl AppendList {
    /// Judges a history at a level.
    #[must_use]
    pub fn new(name: &str, history: &str, level: ConsistencyLevel) -> Self {
        Self {
            name: name.to_owned(),
            level,
            recorder: Recorder::new(history),
            ended: 0,
            next_look: FIRST_LOOK,
            found: None,
        }
    }

    fn failed(&self, anomaly: &Anomaly) -> Judgement {
        let operations = self.recorder.operations();
        let reason = format!("{}: {}", level_word(self.level), anomaly.why);
        let mut failed = Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason);
        let ended = |at: &usize| operations[*at].returned;
        if let Some(last) = anomaly.txns.iter().copied().max_by_key(ended) {
            let operation = &operations[last];
            let end = operation.returned.unwrap_or(operation.invoked);
            failed = failed.seen(&Seen {
                seq: end.seq,
                time_ns: end.time_ns,
                node: Some(operation.node.clone()),
            });
        }
        let lines: Vec<String> = anomaly
            .txns
            .iter()
            .enumerate()
            .map(|(at, place)| format!("T{}  {}", at + 1, operations[*place].line()))
            .collect();
        failed
            .evidence("anomaly", anomaly.name)
            .evidence("transactions", lines.join("\n"))
            .evidence("cycle", anomaly.proof.join("\n"))
    }

    fn decide(&mut self, end: &End) -> Judgement {
        let mut undecided = self.recorder.gap();
        if self.found.is_none() {
            match judge(self.recorder.operations(), self.level) {
                Ok(found) => self.found = found,
                Err(why) => undecided = undecided.or(Some(why)),
            }
        }
        if let Some(anomaly) = &self.found {
            return self.failed(anomaly);
        }
        if let Some(why) = undecided {
            let cut = end
                .cut_short()
                .map_or(String::new(), |cut| format!("; {cut}"));
            return Judgement::inconclusive(&self.name, KIND, format!("{why}{cut}"));
        }
        let operations = self.recorder.operations().len() as u64;
        let all = counted(operations, "transaction", "transactions");
        let reason = format!("{all} are {}", level_word(self.level));
        Judgement::pass(&self.name, KIND, reason)
    }
}

impl Checker for AppendList {
    fn observe(&mut self, seen: &Observation<'_>) {
        if self.recorder.observe(seen).is_none() {
            return;
        }
        self.ended += 1;
        if self.ended >= self.next_look && self.found.is_none() {
            self.next_look = self.ended * 2;
            self.found = judge(self.recorder.operations(), self.level).unwrap_or(None);
        }
    }

    fn has_failed(&self) -> bool {
        self.found.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let judgement = self.decide(end);
        let all = self.recorder.operations().len() as u64;
        let failed = u64::from(self.found.is_some());
        vec![judgement.counted(all - failed, failed)]
    }
}

/// Judges a history. The anomaly's transactions are places in it.
///
/// # Errors
/// If it cannot be judged, with the reason.
pub fn judge(operations: &[Operation], level: ConsistencyLevel) -> Result<Option<Anomaly>, String> {
    let mut names = Names::default();
    let mut txns = Vec::with_capacity(operations.len());
    for (place, operation) in operations.iter().enumerate() {
        txns.push(txn::parse(place, operation, &mut names)?);
    }
    // Places of transactions are those of the operations, since each operation is one.
    anomalies::judge(&txns, &names, level)
}

const fn level_word(level: ConsistencyLevel) -> &'static str {
    match level {
        ConsistencyLevel::ReadCommitted => "read-committed",
        ConsistencyLevel::SnapshotIsolation => "snapshot-isolation",
        ConsistencyLevel::Serializable => "serializable",
        ConsistencyLevel::StrictSerializable => "strict-serializable",
    }
}
