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

use std::collections::{BTreeMap, BTreeSet};

use super::values::{Values, wrong_form};
use crate::property::history::{Operation, Outcome};
use crate::property::json::Json;

/// How many configurations the search of a queue may visit.
const MAX_VISITED: usize = 400_000;
/// How many values the queues of all configurations of a moment may have, at four bytes each.
const MAX_HELD: usize = 32 << 20;

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
        /// The operations that show it.
        ops: Vec<usize>,
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
        search(ops)
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
            return Err(Found::Violation {
                why,
                ops: vec![op.op],
            });
        };
        if let Some(first) = item.dequeue {
            let why = format!("{text} was dequeued twice");
            let ops = vec![item.enqueue.op, first.op, op.op];
            return Err(Found::Violation { why, ops });
        }
        if op.end < item.enqueue.begin {
            let why = format!("{text} was dequeued before it was enqueued");
            let ops = vec![op.op, item.enqueue.op];
            return Err(Found::Violation { why, ops });
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
            return Some(Found::Violation { why, ops });
        }
    }
    None
}

/// Looks for a dequeue that found the queue empty, though it never can have been.
fn falsely_empty(items: &[Item], empties: &[QueueOp], values: &Values) -> Option<Found> {
    // The times at which a value is certainly in the queue, joined where they overlap.
    let mut inside: Vec<(u64, u64, u32, usize)> = items
        .iter()
        .map(|item| {
            (
                item.enqueue.end,
                item.gone_from(),
                item.value,
                item.enqueue.op,
            )
        })
        .filter(|(from, until, _, _)| from < until)
        .collect();
    inside.sort_unstable();
    let mut joined: Vec<(u64, u64, u32, usize)> = Vec::new();
    for piece in inside {
        match joined.last_mut() {
            Some(last) if piece.0 < last.1 => last.1 = last.1.max(piece.1),
            _ => joined.push(piece),
        }
    }
    for empty in empties {
        let at = joined.partition_point(|(from, ..)| *from < empty.begin);
        let Some((_, until, value, op)) = at.checked_sub(1).map(|at| joined[at]) else {
            continue;
        };
        if until > empty.end {
            let text = values.text(value);
            let why = format!("the queue was found empty, though {text} or one behind it is in it");
            let ops = vec![op, empty.op];
            return Some(Found::Violation { why, ops });
        }
    }
    None
}

/// A configuration of the search: what is in the queue, and which open operations took effect.
type Config = (Vec<u32>, u128);

/// Searches for an order, one return after the other, as [`super::register`] does, without any
/// cleverness.
#[must_use]
pub fn search(ops: &[QueueOp]) -> Found {
    let mut edges: Vec<(u64, usize, bool)> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        edges.push((op.begin, at, false));
        if op.end != u64::MAX {
            edges.push((op.end, at, true));
        }
    }
    edges.sort_unstable();
    let mut slots: Vec<Option<usize>> = Vec::new();
    let mut configs: BTreeSet<Config> = BTreeSet::from([(Vec::new(), 0)]);
    let mut visits = 0;
    for (_, at, returns) in edges {
        if !returns {
            let free = slots.iter().position(Option::is_none);
            let slot = free.unwrap_or(slots.len());
            if slot == 128 {
                return Found::GaveUp("too many operations are open at once");
            }
            if slot == slots.len() {
                slots.push(None);
            }
            slots[slot] = Some(at);
            continue;
        }
        let Some(slot) = slots.iter().position(|held| *held == Some(at)) else {
            continue;
        };
        let Some(after) = extend(ops, &slots, slot, configs, &mut visits) else {
            return Found::GaveUp(
                "the search of a queue in which values repeat was given up after 400,000 states",
            );
        };
        if after.is_empty() {
            let why = "no order of the operations so far explains its result".to_owned();
            return Found::Violation {
                why,
                ops: vec![ops[at].op],
            };
        }
        slots[slot] = None;
        configs = after;
    }
    Found::Order
}

/// All configurations in which the operation of a slot has taken effect. Nothing if there are too
/// many.
fn extend(
    ops: &[QueueOp],
    slots: &[Option<usize>],
    target: usize,
    before: BTreeSet<Config>,
    visits: &mut usize,
) -> Option<BTreeSet<Config>> {
    let mut after = BTreeSet::new();
    let mut todo: Vec<Config> = before.iter().cloned().collect();
    let mut held: usize = before.iter().map(|(queue, _)| queue.len()).sum();
    let mut visited = before;
    while let Some((queue, done)) = todo.pop() {
        *visits += 1;
        if *visits > MAX_VISITED || held > MAX_HELD {
            return None;
        }
        if done & (1 << target) != 0 {
            after.insert((queue, done & !(1 << target)));
            continue;
        }
        for (slot, at) in slots.iter().enumerate() {
            let Some(at) = at.filter(|_| done & (1 << slot) == 0) else {
                continue;
            };
            let Some(queue) = apply(&ops[at].what, &queue) else {
                continue;
            };
            let next = (queue, done | (1 << slot));
            if visited.insert(next.clone()) {
                // It is kept in three places at most.
                held += 3 * next.0.len();
                todo.push(next);
            }
        }
    }
    Some(after)
}

/// The queue after an operation; nothing if the operation cannot take effect.
fn apply(what: &What, queue: &[u32]) -> Option<Vec<u32>> {
    match what {
        What::Enqueue { value, .. } => {
            let mut queue = queue.to_vec();
            queue.push(*value);
            Some(queue)
        }
        What::Dequeue { got: None } => queue.is_empty().then(Vec::new),
        What::Dequeue { got: Some(value) } => {
            (queue.first() == Some(value)).then(|| queue[1..].to_vec())
        }
        What::Unknown => (!queue.is_empty()).then(|| queue[1..].to_vec()),
    }
}
