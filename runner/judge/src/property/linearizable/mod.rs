//! `linearizable`: some order of the operations, which agrees with real time, explains every result.
//!
//! # What clients record
//! `value` of the beginning is the argument, of the end the result.
//!
//! | model | operations |
//! |---|---|
//! | register | `read` -> value or null; `write` value |
//! | cas-register | as register, and `cas` [old, new] -> true, or false if the value was another one |
//! | kv | `get` -> value or null; `put` value; `delete` -> true if it was there; `cas` as above |
//! | set | `add` x -> true if it was not there; `remove` x -> true if it was; `contains` x -> bool; `read` ->
//! the list of all elements |
//! | queue | `enqueue` x; `dequeue` -> x, or null if the queue was empty |
//!
//! `read` and `get`, `write`, `put` and `set`, `enqueue` and `push`, `dequeue` and `pop` are the same. A
//! result that is not there, or is neither true nor false, tells nothing but that it was done. What
//! was never written is null.
//!
//! # How it is judged
//! Linearizability is local: a history is linearizable exactly if the part of it that is about each
//! object is. So each key is judged alone, and of a set each element, as far as the whole set is not
//! read. An object's part is judged when the run is over, and before that whenever it has grown to
//! twice its length, so that a violation ends the run early. Operations that end and begin at the same
//! nanosecond count as concurrent.
//!
//! The searches are bounded by counts of their steps, not by time; if a bound is reached, the verdict is
//! inconclusive, never a pass. A violation comes with the smallest part of the history that shows it.

mod explain;
pub mod queue;
pub mod register;
mod set;
pub mod smallest;
pub mod values;
pub mod wing_gong;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::checker::{Checker, End};
use super::history::{Operation, Recorder};
use super::judgement::{Judgement, Seen};
use super::observation::Observation;
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, HistoryPart, PropertyKind};
use chaosrun_language::plan::property::HistoryModel;
use queue::QueueOp;
use register::{Edge, Limits, Op};
use values::{Meaning, Values};

const KIND: PropertyKind = PropertyKind::Linearizable;
/// How far the search for an order of the operations on one object may go. A step takes up to
/// half a microsecond; the configurations of a moment take less than 4 MiB.
pub const LIMITS: Limits = Limits {
    steps: 20_000_000,
    configs: 20_000,
    thrifty: false,
    ahead: true,
};
/// The label of the smallest part of a history that cannot be put in order.
pub const SMALLEST: &str = "smallest part that no order explains";
/// How many operations an object has when it is judged for the first time.
const FIRST_LOOK: usize = 64;

/// The checker.
#[derive(Debug, Clone)]
pub struct Linearizable {
    name: String,
    model: HistoryModel,
    recorder: Recorder,
    /// By object: its operations, and how many there are when it is judged next.
    objects: BTreeMap<String, Object>,
    /// By key: the reads of a whole set.
    reads: BTreeMap<String, Vec<usize>>,
    /// Operations up to this place have been sorted into objects.
    sorted: usize,
    violation: Option<Violation>,
}

#[derive(Debug, Clone, Default)]
struct Object {
    operations: Vec<usize>,
    ended: usize,
    next_look: usize,
}

/// Why an object's part of a history is not linearizable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The object; empty if there is only one.
    pub object: String,
    /// What is wrong, in words.
    pub why: String,
    /// The operation that shows it.
    pub operation: usize,
    /// Evidence: labels with operations.
    pub shown: Vec<(&'static str, Vec<usize>)>,
    /// What is known of the operations under [`SMALLEST`].
    pub part: Option<Facts>,
}

/// What is known of a part of a history that no order explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether that is so whatever there was before.
    pub whatever_before: bool,
    /// Whether nothing more can be left out.
    pub minimal: bool,
}

/// What judging an object gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Holds,
    /// There is none.
    Broken(Box<Violation>),
    /// It could not be decided.
    Undecided(String),
}

impl Linearizable {
    /// Judges a history by a model.
    #[must_use]
    pub fn new(name: &str, history: &str, model: HistoryModel) -> Self {
        Self {
            name: name.to_owned(),
            model,
            recorder: Recorder::new(history),
            objects: BTreeMap::new(),
            reads: BTreeMap::new(),
            sorted: 0,
            violation: None,
        }
    }

    fn object_of(&self, operation: &Operation) -> String {
        let key = operation.key.clone().unwrap_or_default();
        match self.model {
            HistoryModel::Set => format!("{key} {}", operation.argument),
            _ => key,
        }
    }

    /// Sorts new operations into their objects.
    fn sort(&mut self) {
        while self.sorted < self.recorder.operations().len() {
            let operation = &self.recorder.operations()[self.sorted];
            if self.model == HistoryModel::Set && operation.f == "read" {
                let key = operation.key.clone().unwrap_or_default();
                self.reads.entry(key).or_default().push(self.sorted);
            } else {
                let object = self.object_of(operation);
                let object = self.objects.entry(object).or_default();
                object.operations.push(self.sorted);
            }
            self.sorted += 1;
        }
    }

    fn ended(&mut self, place: usize) {
        let key = self.object_of(&self.recorder.operations()[place]);
        let Some(object) = self.objects.get_mut(&key) else {
            return;
        };
        object.ended += 1;
        if object.ended < object.next_look.max(FIRST_LOOK) || self.violation.is_some() {
            return;
        }
        object.next_look = object.ended * 2;
        let operations = self.recorder.operations();
        if let Verdict::Broken(violation) = judge(self.model, &key, operations, &object.operations)
        {
            self.violation = Some(*violation);
        }
    }

    fn failed(&self, violation: &Violation) -> Judgement {
        let operations = self.recorder.operations();
        let operation = &operations[violation.operation];
        let of = match violation.object.as_str() {
            "" => String::new(),
            object => format!("{object}: "),
        };
        let reason = format!("{of}{}", violation.why);
        let mut failed = Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason);
        failed.seqs.push(operation.invoked.seq);
        let end = operation.returned.unwrap_or(operation.invoked);
        failed = failed.seen(&Seen {
            seq: end.seq,
            time_ns: end.time_ns,
            node: Some(operation.node.clone()),
        });
        for (label, places) in &violation.shown {
            let lines: Vec<String> = places.iter().map(|at| operations[*at].line()).collect();
            failed = failed.evidence(label, lines.join("\n"));
            if let Some(facts) = violation.part.filter(|_| *label == SMALLEST) {
                let mut places = places.clone();
                places.sort_by_key(|at| operations[*at].invoked);
                let part = HistoryPart {
                    operations: places.iter().map(|at| operations[*at].reported()).collect(),
                    whatever_before: facts.whatever_before,
                    minimal: facts.minimal,
                };
                if let Some(last) = failed.evidence.last_mut() {
                    last.part = Some(part);
                }
            }
        }
        failed
    }

    fn decide(&mut self, end: &End) -> Judgement {
        let operations = self.recorder.operations();
        let mut undecided = self.recorder.gap();
        let of_key = |object: &&Object, key: &str| {
            let first = &operations[object.operations[0]];
            first.key.as_deref().unwrap_or_default() == key
        };
        let alone = self
            .objects
            .iter()
            .map(|(key, object)| judge(self.model, key, operations, &object.operations));
        let whole = self.reads.iter().map(|(key, reads)| {
            let elements = self.objects.values().filter(|object| of_key(object, key));
            let elements: Vec<&[usize]> = elements.map(|o| o.operations.as_slice()).collect();
            set::judge_whole(key, operations, &elements, reads)
        });
        let found_before = self.violation.is_some();
        for verdict in alone
            .chain(whole)
            .take(if found_before { 0 } else { usize::MAX })
        {
            match verdict {
                Verdict::Holds => {}
                Verdict::Broken(violation) => {
                    self.violation.get_or_insert(*violation);
                    break;
                }
                Verdict::Undecided(why) => undecided = undecided.or(Some(why)),
            }
        }
        if let Some(violation) = &self.violation {
            return self.failed(violation);
        }
        if let Some(why) = undecided {
            let cut = end
                .cut_short()
                .map_or(String::new(), |cut| format!("; {cut}"));
            return Judgement::inconclusive(&self.name, KIND, format!("{why}{cut}"));
        }
        let all = counted(operations.len() as u64, "operation", "operations");
        let objects = counted(self.objects.len() as u64, "object", "objects");
        Judgement::pass(
            &self.name,
            KIND,
            format!("an order explains {all} on {objects}"),
        )
    }
}

impl Checker for Linearizable {
    fn observe(&mut self, seen: &Observation<'_>) {
        let ended = self.recorder.observe(seen);
        self.sort();
        if let Some(place) = ended {
            self.ended(place);
        }
    }

    fn has_failed(&self) -> bool {
        self.violation.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let judgement = self.decide(end);
        let all = self.recorder.operations().len() as u64;
        let failed = u64::from(self.violation.is_some());
        vec![judgement.counted(all - failed, failed)]
    }
}

/// Judges the operations on one object; `places` are those of its operations.
#[must_use]
pub fn judge(
    model: HistoryModel,
    object: &str,
    operations: &[Operation],
    places: &[usize],
) -> Verdict {
    let mut values = Values::default();
    let judged = match model {
        HistoryModel::Queue => judge_queue(object, operations, places, &mut values),
        _ => judge_value(model, object, operations, places, &mut values),
    };
    judged.unwrap_or_else(Verdict::Undecided)
}

/// The edges of operations in the order of time. At the same time, beginnings come first, so that
/// operations that touch are concurrent.
fn in_order(operations: &[Operation], places: &[usize], optional: &[bool]) -> Vec<(usize, bool)> {
    let mut edges: Vec<(u64, bool, u64, usize)> = Vec::with_capacity(places.len() * 2);
    for (at, place) in places.iter().enumerate() {
        let operation = &operations[*place];
        edges.push((operation.invoked.time_ns, false, operation.invoked.seq, at));
        if let Some(end) = operation.returned.filter(|_| !optional[at]) {
            edges.push((end.time_ns, true, end.seq, at));
        }
    }
    edges.sort_unstable();
    edges
        .into_iter()
        .map(|(_, ends, _, at)| (at, ends))
        .collect()
}

/// The places of the operations that tell something, what they are to the search, and their edges.
type Parts = (Vec<usize>, Vec<Op>, Vec<Edge>);

fn parts(
    model: HistoryModel,
    operations: &[Operation],
    places: &[usize],
    values: &mut Values,
) -> Result<Parts, String> {
    let mut kept = Vec::new();
    let mut ops = Vec::new();
    for place in places {
        let (action, optional) = match values::meaning(model, &operations[*place], values)? {
            Meaning::Nothing => continue,
            Meaning::Sure(action) => (action, false),
            Meaning::Perhaps(action) => (action, true),
        };
        kept.push(*place);
        ops.push(Op { action, optional });
    }
    let optional: Vec<bool> = ops.iter().map(|op| op.optional).collect();
    let edges: Vec<Edge> = in_order(operations, &kept, &optional)
        .into_iter()
        .map(|(at, ends)| {
            if ends {
                Edge::Return(at)
            } else {
                Edge::Invoke(at)
            }
        })
        .collect();
    Ok((kept, ops, edges))
}

/// A history of an object that has a value, as the search sees it.
///
/// # Errors
/// If it cannot be judged, or is of a queue.
pub fn of_value(
    model: HistoryModel,
    operations: &[Operation],
) -> Result<(Vec<Op>, Vec<Edge>), String> {
    let places: Vec<usize> = (0..operations.len()).collect();
    let (_, ops, edges) = parts(model, operations, &places, &mut Values::default())?;
    Ok((ops, edges))
}

fn judge_value(
    model: HistoryModel,
    object: &str,
    operations: &[Operation],
    places: &[usize],
    values: &mut Values,
) -> Result<Verdict, String> {
    let (kept, ops, edges) = parts(model, operations, places, values)?;
    Ok(match register::search(&ops, &edges, LIMITS).0 {
        register::Found::Order => Verdict::Holds,
        register::Found::GaveUp { op, why } => {
            let line = operations[kept[op]].line();
            Verdict::Undecided(format!("{why}, at {line}"))
        }
        register::Found::Violation { op, .. } => {
            let part = smallest::smallest(&ops, &edges, op);
            let named = |value: u32| explain::value_text(model, values, value).to_owned();
            let history = explain::History {
                operations,
                kept: &kept,
                ops: &ops,
            };
            let violation = match part {
                Some(part) => explain::explained(object, &history, &part, &named),
                None => explain::unexplained(object, &history, op),
            };
            Verdict::Broken(Box::new(violation))
        }
    })
}

fn judge_queue(
    object: &str,
    operations: &[Operation],
    places: &[usize],
    values: &mut Values,
) -> Result<Verdict, String> {
    let mut kept = Vec::new();
    let mut whats = Vec::new();
    for place in places {
        if let Some(what) = queue::meaning(&operations[*place], values)? {
            kept.push(*place);
            whats.push(what);
        }
    }
    let mut ops: Vec<QueueOp> = kept
        .iter()
        .zip(whats)
        .map(|(place, what)| QueueOp {
            what,
            begin: 0,
            end: u64::MAX,
            op: *place,
        })
        .collect();
    let optional: Vec<bool> = kept
        .iter()
        .map(|place| operations[*place].returned.is_none())
        .collect();
    for (time, (at, ends)) in in_order(operations, &kept, &optional)
        .into_iter()
        .enumerate()
    {
        if ends {
            ops[at].end = time as u64;
        } else {
            ops[at].begin = time as u64;
        }
    }
    Ok(match queue::check(&ops, values) {
        queue::Found::Order => Verdict::Holds,
        queue::Found::GaveUp(why) => Verdict::Undecided(why.to_owned()),
        queue::Found::Violation { why, ops, minimal } => {
            let ended = |at: &usize| operations[*at].returned;
            let last = ops.iter().copied().max_by_key(ended).unwrap_or_default();
            Verdict::Broken(Box::new(Violation {
                object: object.to_owned(),
                why,
                operation: last,
                shown: vec![(SMALLEST, ops)],
                part: Some(Facts {
                    whatever_before: false,
                    minimal,
                }),
            }))
        }
    })
}
