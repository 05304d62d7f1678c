//! The method of Wing and Gong with Lowe's memory of what was tried, as Porcupine publishes it.
//!
//! It is what [`super::register`] is compared with: as an oracle on small histories, and for its speed
//! in the benchmark. It tries the operations that can be the next one, each of which began before the
//! first of those that are left has returned, goes back when none is possible, and never goes on from
//! the same set of operations with the same value twice. A pending operation has its return at the end,
//! and need not take effect.

use std::collections::BTreeSet;

use super::register::{ABSENT, Action, Edge, Guard, Op};

/// Whether there is an order; nothing if that was not found out in as many steps.
#[must_use]
pub fn has_order(ops: &[Op], edges: &[Edge], steps: u64) -> Option<bool> {
    let optional: Vec<bool> = ops.iter().map(|op| op.optional).collect();
    search(&optional, edges, steps, ABSENT, |op, value| {
        apply(&ops[op].action, *value)
    })
}

/// Whether there is an order of operations on any object, given what is the case before them and what
/// each does to it, if it can take effect.
pub fn search<S: Ord + Clone>(
    optional: &[bool],
    edges: &[Edge],
    steps: u64,
    start: S,
    apply: impl Fn(usize, &S) -> Option<S>,
) -> Option<bool> {
    let mut search = List::new(optional.len(), edges);
    let mut tried: BTreeSet<(Vec<u64>, S)> = BTreeSet::new();
    let mut done = vec![0_u64; optional.len().div_ceil(64)];
    let mut left = optional.iter().filter(|optional| !**optional).count();
    let mut value = start;
    let mut path: Vec<(usize, S)> = Vec::new();
    let mut at = search.next[0];
    let mut taken = 0;
    loop {
        if left == 0 {
            return Some(true);
        }
        taken += 1;
        if taken > steps {
            return None;
        }
        // Behind the last edge, and where an operation that has not taken effect returns, nothing more
        // is possible.
        let call = search.edges.get(at.wrapping_sub(1)).copied();
        if let Some(Edge::Invoke(op)) = call {
            if let Some(after) = apply(op, &value) {
                done[op / 64] |= 1 << (op % 64);
                if tried.insert((done.clone(), after.clone())) {
                    path.push((op, std::mem::replace(&mut value, after)));
                    left -= usize::from(!optional[op]);
                    search.lift(op);
                    at = search.next[0];
                    continue;
                }
                done[op / 64] &= !(1 << (op % 64));
            }
            at = search.next[at];
            continue;
        }
        let Some((op, before)) = path.pop() else {
            return Some(false);
        };
        value = before;
        done[op / 64] &= !(1 << (op % 64));
        left += usize::from(!optional[op]);
        search.unlift(op);
        at = search.next[search.call[op]];
    }
}

fn apply(action: &Action, value: u32) -> Option<u32> {
    let holds = match action.guard {
        Guard::Any => true,
        Guard::Is(wanted) => wanted == value,
        Guard::IsNot(unwanted) => unwanted != value,
    };
    holds.then(|| action.put.unwrap_or(value))
}

/// The edges of operations that have not taken effect, linked in both directions from 0.
struct List<'a> {
    edges: &'a [Edge],
    next: Vec<usize>,
    before: Vec<usize>,
    /// By operation: the places of its edges; 0 if it has no return.
    call: Vec<usize>,
    ret: Vec<usize>,
}

impl<'a> List<'a> {
    fn new(ops: usize, edges: &'a [Edge]) -> Self {
        let mut list = Self {
            edges,
            next: (1..=edges.len() + 1).collect(),
            before: (0..=edges.len() + 1)
                .map(|at| at.saturating_sub(1))
                .collect(),
            call: vec![0; ops],
            ret: vec![0; ops],
        };
        list.next.push(0);
        for (at, edge) in edges.iter().enumerate() {
            match *edge {
                Edge::Invoke(op) => list.call[op] = at + 1,
                Edge::Return(op) => list.ret[op] = at + 1,
            }
        }
        list
    }

    fn lift(&mut self, op: usize) {
        for at in [self.call[op], self.ret[op]] {
            if at > 0 {
                self.next[self.before[at]] = self.next[at];
                self.before[self.next[at]] = self.before[at];
            }
        }
    }

    fn unlift(&mut self, op: usize) {
        for at in [self.ret[op], self.call[op]] {
            if at > 0 {
                self.next[self.before[at]] = at;
                self.before[self.next[at]] = at;
            }
        }
    }
}
