//! Queues in which values repeat: a search, as far as that goes.

use std::collections::BTreeSet;

use super::{Found, QueueOp, What};

/// How many configurations the search of a queue may visit.
const MAX_VISITED: usize = 400_000;
/// How many values the queues of all configurations of a moment may have, at four bytes each.
const MAX_HELD: usize = 32 << 20;
/// How many configurations may be visited to find the smallest part without an order.
const MAX_VISITED_FOR_PART: usize = 1_000_000;

/// Judges a queue.
pub fn check(ops: &[QueueOp]) -> Found {
    let at = match search(ops, &mut 0) {
        End::Order => return Found::Order,
        End::GaveUp(why) => return Found::GaveUp(why),
        End::NoOrder(at) => at,
    };
    let (part, minimal) = smallest(ops, ops[at].end);
    Found::Violation {
        why: "no order of the operations so far explains its result".to_owned(),
        ops: part.iter().map(|op| op.op).collect(),
        minimal,
    }
}

/// The smallest part of a queue's history that has no order up to a moment, and whether nothing more can
/// be left out. A queue of which some values are not looked at is a queue of the others, so that all
/// operations of a value can go, and so can each dequeue that found the queue empty. A dequeue of unknown
/// outcome may have had no effect.
fn smallest(ops: &[QueueOp], moment: u64) -> (Vec<QueueOp>, bool) {
    // Values of which nothing had begun by then say nothing about what was found.
    let begun = ops.iter().filter(|op| op.begin < moment);
    let mut units: Vec<(Option<u32>, usize)> = begun.filter_map(unit).collect();
    units.sort_unstable();
    units.dedup();
    let is_begun = |op: &&QueueOp| unit(op).is_none_or(|unit| units.binary_search(&unit).is_ok());
    let mut part: Vec<QueueOp> = ops.iter().filter(is_begun).copied().collect();
    let (mut visits, mut minimal) = (0, true);
    for left_out in units.iter().copied() {
        let fewer = part.iter().filter(|op| unit(op) != Some(left_out)).copied();
        let fewer: Vec<QueueOp> = fewer.collect();
        let mut more = 0;
        match search(&fewer, &mut more) {
            End::NoOrder(_) => part = fewer,
            End::Order => {}
            End::GaveUp(_) => minimal = false,
        }
        visits += more;
        if visits > MAX_VISITED_FOR_PART {
            return (part, false);
        }
    }
    (part, minimal)
}

/// What an operation goes with if something is left out: all of its value, or itself.
fn unit(op: &QueueOp) -> Option<(Option<u32>, usize)> {
    match op.what {
        What::Enqueue { value, .. } | What::Dequeue { got: Some(value) } => Some((Some(value), 0)),
        What::Dequeue { got: None } => Some((None, op.op)),
        What::Unknown => None,
    }
}

/// A configuration of the search: what is in the queue, and which open operations took effect.
type Config = (Vec<u32>, u128);

/// What the search found.
enum End {
    Order,
    /// There is no order of what happened up to the return of this operation.
    NoOrder(usize),
    GaveUp(&'static str),
}

/// Searches for an order, one return after the other, as [`super::super::register`] does, without any
/// cleverness.
fn search(ops: &[QueueOp], visits: &mut usize) -> End {
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
    for (_, at, returns) in edges {
        if !returns {
            let free = slots.iter().position(Option::is_none);
            let slot = free.unwrap_or(slots.len());
            if slot == 128 {
                return End::GaveUp("too many operations are open at once");
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
        let Some(after) = extend(ops, &slots, slot, configs, visits) else {
            return End::GaveUp(
                "the search of a queue in which values repeat was given up after 400,000 states",
            );
        };
        if after.is_empty() {
            return End::NoOrder(at);
        }
        slots[slot] = None;
        configs = after;
    }
    End::Order
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
