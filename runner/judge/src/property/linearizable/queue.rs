//! First-in-first-out queues.
//!
//! If no value is enqueued twice, nothing has to be searched. A history is linearizable exactly if
//! none of these is in it (Henzinger, Sezgin, Vafeiadis, "Aspect-oriented linearizability proofs",
//! CONCUR 2013):
//! - a value is dequeued that was not enqueued before;
//! - a value is dequeued twice;
//! - a value overtakes another one: `a` was enqueued before `b`, and `b` dequeued before `a`;
//! - a dequeue finds the queue empty, though at each moment of it some value is in the queue.
//!
//! An enqueue of unknown outcome was done if its value was dequeued, and else is left out. A
//! dequeue of unknown outcome may have taken any value that nobody else got.
//!
//! A history in which values repeat is searched, as far as that goes.

mod repeat;

use std::collections::{BTreeMap, BTreeSet};

use super::values::{Values, wrong_form};
use crate::property::history::{Operation, Outcome};
use crate::property::json::Json;

/// An operation on a queue. Times are places in the order of edges; one that never returned has the
/// last place of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOp {
    /// What it does.
    pub what: What,
    /// The place of its beginning.
    pub begin: u64,
    /// The place of its end, or `u64::MAX`.
    pub end: u64,
    /// Which operation of the history it is.
    pub op: usize,
}

/// What an operation on a queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Adds a value.
    Enqueue {
        /// Its number.
        value: u32,
        /// Whether it was certainly done.
        sure: bool,
    },
    /// Takes a value, or finds none.
    Dequeue {
        /// The value; nothing if the queue was empty.
        got: Option<u32>,
    },
    /// Takes a value perhaps.
    Unknown,
}

/// What an operation of a history does to a queue; nothing if it tells nothing.
///
/// # Errors
/// If queues have no such operation.
pub fn meaning(operation: &Operation, values: &mut Values) -> Result<Option<What>, String> {
    let known = match operation.outcome {
        Outcome::Fail => return Ok(None),
        Outcome::Ok => true,
        Outcome::Unknown => false,
    };
    match operation.f.as_str() {
        "enqueue" | "push" if operation.argument.is_null() => {
            Err(wrong_form(operation, "null cannot be enqueued"))
        }
        "enqueue" | "push" => Ok(Some(What::Enqueue {
            value: values.number(&operation.argument),
            sure: known,
        })),
        "dequeue" | "pop" if !known => Ok(Some(What::Unknown)),
        "dequeue" | "pop" => Ok(Some(What::Dequeue {
            got: match &operation.result {
                Json::Null => None,
                value => Some(values.number(value)),
            },
        })),
        _ => Err(wrong_form(operation, "the model has no such operation")),
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is an order.
    Order,
    /// There is none.
    Violation {
        /// Why, in words.
        why: String,
        /// The operations that show it: some values' all, and dequeues that found nothing.
        ops: Vec<usize>,
        /// Whether none of those can be left out.
        minimal: bool,
    },
    /// It could not be found out.
    GaveUp(&'static str),
}

/// A value of a queue with distinct values.
#[derive(Debug, Clone, Copy)]
struct Item {
    value: u32,
    enqueue: QueueOp,
    /// Who took it, and from when on it may have been gone.
    dequeue: Option<QueueOp>,
}

impl Item {
    fn gone_from(&self) -> u64 {
        self.dequeue.map_or(u64::MAX, |op| op.begin)
    }
    fn gone_until(&self) -> u64 {
        self.dequeue.map_or(u64::MAX, |op| op.end)
    }
}

/// Judges a queue.
#[must_use]
pub fn check(ops: &[QueueOp], values: &Values) -> Found {
    let mut enqueued = BTreeSet::new();
    let distinct = ops.iter().all(|op| match op.what {
        What::Enqueue { value, .. } => enqueued.insert(value),
        _ => true,
    });
    if distinct {
        distinct_values(ops, values)
    } else {
        repeat::check(ops)
    }
}

fn distinct_values(ops: &[QueueOp], values: &Values) -> Found {
    let mut items = match match_up(ops, values) {
        Ok(items) => items,
        Err(found) => return found,
    };
    let unknown: Vec<QueueOp> = ops
        .iter()
        .filter(|op| op.what == What::Unknown)
        .copied()
        .collect();
    let empties: Vec<QueueOp> = ops
        .iter()
        .filter(|op| op.what == What::Dequeue { got: None })
        .copied()
        .collect();
    assign_unknown(&mut items, &unknown, &empties);
    let found = overtaken(&items, values).or_else(|| falsely_empty(&items, &empties, values));
    let Some(found) = found else {
        return Found::Order;
    };
    let left = items.iter().any(|item| item.dequeue.is_none());
    let spare = unknown.len() > items.iter().filter(|item| is_unknown(item)).count();
    // The assignment above serves overtaking best; for emptiness another one might do.
    if !unknown.is_empty() && !empties.is_empty() && (left || spare || items.iter().any(is_unknown))
    {
        for item in &mut items {
            if item.dequeue.is_none() || is_unknown(item) {
                let earliest = unknown.iter().min_by_key(|op| op.begin).copied();
                item.dequeue = earliest;
            }
        }
        let still = overtaken(&items, values).or_else(|| falsely_empty(&items, &empties, values));
        if still.is_none() {
            return Found::GaveUp("too many dequeues have an unknown outcome");
        }
    }
    found
}

/// A violation that these operations show, and no fewer values.
const fn violation(why: String, ops: Vec<usize>) -> Found {
    Found::Violation {
        why,
        ops,
        minimal: true,
    }
}

fn is_unknown(item: &Item) -> bool {
    item.dequeue.is_some_and(|op| op.what == What::Unknown)
}

/// Puts each value's enqueue and dequeue together.
fn match_up(ops: &[QueueOp], values: &Values) -> Result<Vec<Item>, Found> {
    let mut items: BTreeMap<u32, Item> = BTreeMap::new();
    let mut unsure = BTreeSet::new();
    for op in ops {
        if let What::Enqueue { value, sure } = op.what {
            let mut enqueue = *op;
            if !sure {
                enqueue.end = u64::MAX;
                unsure.insert(value);
            }
            let item = Item {
                value,
                enqueue,
                dequeue: None,
            };
            items.insert(value, item);
        }
    }
    for op in ops {
        let What::Dequeue { got: Some(value) } = op.what else {
            continue;
        };
        let text = values.text(value);
        let Some(item) = items.get_mut(&value) else {
            let why = format!("{text} was dequeued, and nobody enqueued it");
            let ops = vec![op.op];
            return Err(violation(why, ops));
        };
        if let Some(first) = item.dequeue {
            let why = format!("{text} was dequeued twice");
            let ops = vec![item.enqueue.op, first.op, op.op];
            return Err(violation(why, ops));
        }
        if op.end < item.enqueue.begin {
            let why = format!("{text} was dequeued before it was enqueued");
            let ops = vec![op.op, item.enqueue.op];
            return Err(violation(why, ops));
        }
        item.dequeue = Some(*op);
    }
    // What nobody got of an enqueue that may not have been done tells nothing.
    items.retain(|value, item| item.dequeue.is_some() || !unsure.contains(value));
    Ok(items.into_values().collect())
}

/// Lets dequeues of unknown outcome take the values that must have been taken, the most urgent
/// first. A value must be gone before one that was enqueued behind it is gone, and before a dequeue
/// that began behind its enqueue has found the queue empty.
fn assign_unknown(items: &mut [Item], unknown: &[QueueOp], empties: &[QueueOp]) {
    if unknown.is_empty() {
        return;
    }
    let overtaking = items
        .iter()
        .map(|item| (item.enqueue.begin, item.gone_until()));
    let overtaking = EarliestEnd::new(overtaking.collect());
    let empties = EarliestEnd::new(empties.iter().map(|op| (op.begin, op.end)).collect());
    let mut urgent: Vec<(u64, usize)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let end = item.enqueue.end;
        let deadline = overtaking.after(end).min(empties.after(end));
        if item.dequeue.is_none() && deadline != u64::MAX {
            urgent.push((deadline, at));
        }
    }
    urgent.sort_unstable();
    let mut takers = unknown.to_vec();
    takers.sort_unstable_by_key(|op| (op.begin, op.op));
    for ((_, at), mut taker) in urgent.into_iter().zip(takers) {
        taker.end = u64::MAX;
        items[at].dequeue = Some(taker);
    }
}

/// Finds, of intervals that begin after a moment, the earliest end.
struct EarliestEnd(Vec<(u64, u64)>);

impl EarliestEnd {
    fn new(mut intervals: Vec<(u64, u64)>) -> Self {
        intervals.sort_unstable();
        for at in (0..intervals.len().saturating_sub(1)).rev() {
            intervals[at].1 = intervals[at].1.min(intervals[at + 1].1);
        }
        Self(intervals)
    }

    fn after(&self, moment: u64) -> u64 {
        let at = self.0.partition_point(|(begin, _)| *begin <= moment);
        self.0.get(at).map_or(u64::MAX, |(_, end)| *end)
    }
}

/// Looks for a value that overtakes another one.
///
/// By the ends of their enqueues, values are added to a set of those that were certainly enqueued
/// before the next one begins to be; of these the one that stays longest is the most likely to have
/// been overtaken.
fn overtaken(items: &[Item], values: &Values) -> Option<Found> {
    let mut by_end: Vec<&Item> = items.iter().collect();
    by_end.sort_by_key(|item| item.enqueue.end);
    let mut by_begin: Vec<&Item> = items.iter().collect();
    by_begin.sort_by_key(|item| item.enqueue.begin);
    let mut before = by_end.into_iter().peekable();
    let mut longest: Option<&Item> = None;
    for item in by_begin {
        while let Some(earlier) = before.next_if(|e| e.enqueue.end < item.enqueue.begin) {
            if longest.is_none_or(|l| earlier.gone_from() > l.gone_from()) {
                longest = Some(earlier);
            }
        }
        if let Some(first) = longest
            && let Some(taken) = item.dequeue
            && taken.end < first.gone_from()
        {
            let (a, b) = (values.text(first.value), values.text(item.value));
            let end = match first.dequeue {
                Some(_) => "before it",
                None => "and it never was",
            };
            let why = format!("{a} was enqueued before {b}, but {b} was dequeued {end}");
            let mut ops = vec![first.enqueue.op, item.enqueue.op, taken.op];
            ops.extend(first.dequeue.map(|op| op.op));
            return Some(violation(why, ops));
        }
    }
    None
}

/// Looks for a dequeue that found the queue empty, though it never can have been.
fn falsely_empty(items: &[Item], empties: &[QueueOp], values: &Values) -> Option<Found> {
    // The times at which a value is certainly in the queue.
    let mut inside: Vec<(u64, u64, &Item)> = items
        .iter()
        .map(|item| (item.enqueue.end, item.gone_from(), item))
        .filter(|(from, until, _)| from < until)
        .collect();
    inside.sort_unstable_by_key(|(from, until, item)| (*from, *until, item.value));
    // Of those before each, the one that stays longest.
    let mut longest: Vec<usize> = Vec::with_capacity(inside.len());
    for at in 0..inside.len() {
        let before = longest.last().copied().unwrap_or(at);
        longest.push(if inside[at].1 > inside[before].1 {
            at
        } else {
            before
        });
    }
    for empty in empties {
        // Values that follow one another without a gap, as few as there are.
        let mut cover: Vec<&Item> = Vec::new();
        let mut moment = empty.begin;
        loop {
            let before = inside.partition_point(|(from, ..)| *from < moment);
            let Some((_, until, item)) = before.checked_sub(1).map(|at| inside[longest[at]]) else {
                break;
            };
            if until <= moment {
                break;
            }
            cover.push(item);
            moment = until;
            if until > empty.end {
                let text = values.text(cover[0].value);
                let why = if cover.len() == 1 {
                    format!("the queue was found empty, though {text} is in it")
                } else {
                    format!("the queue was found empty, though {text} or one behind it is in it")
                };
                let of = |item: &&Item| [Some(item.enqueue.op), item.dequeue.map(|op| op.op)];
                let mut ops: Vec<usize> = cover.iter().flat_map(of).flatten().collect();
                ops.push(empty.op);
                return Some(violation(why, ops));
            }
        }
    }
    None
}
