//! Several searches, the cheap ones first, so that most histories are decided by a cheap one.
//!
//! 1. Only the most promising configurations are kept, and operations of unknown outcome that need a
//!    value are left out, but for those whose value was seen. An order that is found is one. It is tried
//!    with hardly any configurations, and with a few.
//! 2. Operations are taken for ones that are easier to put in order: what asks for another value than
//!    a certain one asks for nothing, and operations of unknown outcome need nothing. Without an order
//!    of those there is none of the history.
//! 3. All of it, as far as [`Limits`] go.

use std::collections::{BTreeMap, BTreeSet};

use super::{ABSENT, Action, Edge, Found, Guard, Limits, Op, Search};

/// How many configurations the first search keeps, if each value has no more than one.
const HARDLY_ANY: usize = 2;
/// How many the next one keeps.
const FEW: usize = 16;
/// What part of all steps each of these may take: one in so many.
const PART: u64 = 4;
/// How many edges there are between the places that a search can go back to.
const BACK: usize = 32;
/// How often it goes back for one place, each time four times as far and with four times as many
/// configurations.
const LEVELS: u32 = 4;

/// Searches. `edges` are in the order of time. Hands out the steps that it took, too.
#[must_use]
pub fn search(ops: &[Op], edges: &[Edge], limits: Limits) -> (Found, u64) {
    let settled = settled(ops, edges);
    let (mut found, steps) = decide(&settled.ops, &settled.edges, limits);
    if let Found::Violation { op, .. } | Found::GaveUp { op, .. } = &mut found {
        *op = settled.because_of.get(op).copied().unwrap_or(*op);
    }
    (found, steps)
}

fn decide(ops: &[Op], edges: &[Edge], limits: Limits) -> (Found, u64) {
    let greedy = |configs: usize| {
        let few = Limits {
            steps: limits.steps / PART,
            configs: configs.min(limits.configs),
            thrifty: true,
            ..limits
        };
        let (found, steps) = once(ops, edges, few);
        (found == Found::Order, steps)
    };
    let (found, mut steps) = greedy(HARDLY_ANY);
    if found {
        return (Found::Order, steps);
    }
    let rest = |steps: u64| Limits {
        steps: limits.steps.saturating_sub(steps),
        ..limits
    };
    if let Some(easier) = Easier::new(ops, edges) {
        let (found, more) = once(&easier.ops, &easier.edges, rest(steps));
        steps += more;
        if let Found::Violation { op, values } = found {
            let op = easier.places[op];
            return (Found::Violation { op, values }, steps);
        }
    }
    let (found, more) = greedy(FEW);
    steps += more;
    if found {
        return (Found::Order, steps);
    }
    let half = Limits {
        steps: limits.steps.saturating_sub(steps) / 2,
        ..limits
    };
    let (found, more) = with_second_thoughts(ops, edges, half);
    steps += more;
    if found {
        return (Found::Order, steps);
    }
    let (mut found, more) = once(ops, edges, rest(steps));
    if let Found::GaveUp { why, .. } = &mut found
        && steps + more > limits.steps
    {
        *why = format!("the search was given up after {} steps", limits.steps);
    }
    (found, steps + more)
}

/// Looks for an order with few configurations, and wherever none is left goes back a little and looks
/// with more of them, until it is past that place. True if there is an order.
fn with_second_thoughts(ops: &[Op], edges: &[Edge], limits: Limits) -> (bool, u64) {
    let mut search = Search::new(ops, edges, limits);
    let mut saved = vec![(0, search.save())];
    let (mut at, mut dead, mut level) = (0, 0, 0_u32);
    while at < edges.len() {
        if at % BACK == 0 && saved.last().is_none_or(|(last, _)| *last < at) {
            saved.push((at, search.save()));
        }
        let wide = dead > 0 && at <= dead;
        search.limits = Limits {
            steps: limits.steps,
            configs: if wide { FEW << (2 * level) } else { FEW }.min(limits.configs),
            thrifty: !wide,
            ..limits
        };
        if search.step(at, edges).is_ok() {
            at += 1;
            continue;
        }
        if search.steps > limits.steps {
            return (false, search.steps);
        }
        level = if at > dead { 1 } else { level + 1 };
        if level > LEVELS {
            return (false, search.steps);
        }
        dead = dead.max(at);
        let target = dead.saturating_sub(BACK << (2 * level));
        while saved.len() > 1 && saved.last().is_some_and(|(last, _)| *last > target) {
            saved.pop();
        }
        if let Some((last, state)) = saved.last() {
            at = *last;
            search.restore(state.clone());
        }
    }
    (true, search.steps)
}

/// A history in which more is certain.
struct Settled {
    ops: Vec<Op>,
    edges: Vec<Edge>,
    /// By operation that has a return now: the one that saw what it wrote.
    because_of: BTreeMap<usize, usize>,
}

/// The history in which the only operation that can have written what another one saw has certainly
/// taken effect, whatever its client was told, and has done so before the other one returned.
fn settled(ops: &[Op], edges: &[Edge]) -> Settled {
    // By value: those that write it, and the first return of one that needs it.
    let mut writers: BTreeMap<u32, Vec<usize>> = BTreeMap::from([(ABSENT, vec![usize::MAX])]);
    for (at, op) in ops.iter().enumerate() {
        if let Some(value) = op.action.put {
            writers.entry(value).or_default().push(at);
        }
    }
    let mut ops = ops.to_vec();
    let mut out = Vec::with_capacity(edges.len());
    let mut begun = BTreeSet::new();
    let mut because_of = BTreeMap::new();
    for edge in edges {
        if let Edge::Invoke(op) = *edge {
            begun.insert(op);
        }
        if let Edge::Return(op) = *edge {
            // What one of them needs, another one may have written that was not known to be done either.
            let mut chain = vec![op];
            while let Some(Guard::Is(value)) = chain.last().map(|op| ops[*op].action.guard)
                && let Some([writer]) = writers.get(&value).map(Vec::as_slice)
                && ops.get(*writer).is_some_and(|writer| writer.optional)
                && begun.contains(writer)
            {
                ops[*writer].optional = false;
                because_of.insert(*writer, op);
                chain.push(*writer);
            }
            out.extend(chain[1..].iter().rev().map(|writer| Edge::Return(*writer)));
        }
        out.push(*edge);
    }
    Settled {
        ops,
        edges: out,
        because_of,
    }
}

/// One search, with all of the limits.
#[must_use]
pub fn once(ops: &[Op], edges: &[Edge], limits: Limits) -> (Found, u64) {
    let mut search = Search::new(ops, edges, limits);
    let found = search.run(edges);
    (found, search.steps)
}

/// A history that has an order if another one has.
struct Easier {
    ops: Vec<Op>,
    edges: Vec<Edge>,
    /// By operation, its place in the other history.
    places: Vec<usize>,
}

impl Easier {
    /// Nothing if it would be the same history.
    fn new(ops: &[Op], edges: &[Edge]) -> Option<Self> {
        let is_hard = |op: &Op| match op.action.guard {
            Guard::Any => false,
            Guard::Is(_) => op.optional,
            Guard::IsNot(_) => true,
        };
        if !ops.iter().any(is_hard) {
            return None;
        }
        let mut new = Self {
            ops: Vec::new(),
            edges: Vec::new(),
            places: Vec::new(),
        };
        let mut at = vec![None; ops.len()];
        for (place, op) in ops.iter().enumerate() {
            let mut op = *op;
            if is_hard(&op) && op.action.put.is_none() {
                continue;
            }
            if is_hard(&op) {
                op.action = Action {
                    guard: Guard::Any,
                    ..op.action
                };
            }
            at[place] = Some(new.ops.len());
            new.ops.push(op);
            new.places.push(place);
        }
        new.edges
            .extend(edges.iter().filter_map(|edge| match *edge {
                Edge::Invoke(op) => at[op].map(Edge::Invoke),
                Edge::Return(op) => at[op].map(Edge::Return),
            }));
        Some(new)
    }
}
