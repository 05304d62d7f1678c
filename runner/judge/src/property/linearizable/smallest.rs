//! The smallest part of a history that cannot be put in order.
//!
//! A part is some of the operations, each with the times that it had. That it has no order must mean
//! that the whole history has none, so that not just anything can be left out. What is left out is
//! either an operation that leaves the value as it is, or one whose value none of the part's operations
//! can have seen: because none asks for it, or because an operation of the part had certainly
//! overwritten it. Of an operation that only has to be there because of what it writes, it does not
//! count what it needs.
//!
//! A part is found by looking around the operation where the search ended, twice as far each time, until
//! the part has no order; then whatever can be left out is. Each part is judged by the search itself, so
//! that what is shown was shown to have no order.

use std::collections::{BTreeMap, BTreeSet};

use super::register::passes::once;
use super::register::{ABSENT, Action, Edge, Found, Guard, Limits, Op, search};

/// How many steps finding it may take.
const STEPS: u64 = 10_000_000;
/// How far one look at a part may go.
const LIMITS: Limits = Limits {
    steps: 400_000,
    configs: 2_000,
    thrifty: false,
    ahead: true,
};
/// How many operations a part may have that is still of use to someone who looks at it.
const LARGEST: usize = 64;
/// How far the first look goes, in edges.
const FIRST: usize = 16;

/// A part of a history that has no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its operations, in the order of their beginnings.
    pub ops: Vec<usize>,
    /// The one whose return nothing explains.
    pub unexplained: usize,
    /// What the value can have been before that, as far as those operations go; nothing stands for
    /// what none of them needs.
    pub values: BTreeSet<Option<u32>>,
    /// Whether it has no order whatever the value was before; else the value was [`ABSENT`] before.
    pub any_start: bool,
    /// Whether leaving out any one of them was tried and made an order possible.
    pub minimal: bool,
    /// What each counts for, and up to which edge.
    roles: Chosen,
    cut: usize,
}

/// What an operation of a part counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// All that it needs and does.
    Full,
    /// What it writes.
    Writes,
}

/// The operations of a part.
type Chosen = BTreeMap<usize, Role>;

/// Finds a part that has no order, given the operation at whose return the search ended. Nothing if
/// none was found in the steps that there are.
#[must_use]
pub fn smallest(ops: &[Op], edges: &[Edge], near: usize) -> Option<Part> {
    let mut whole = Whole::new(ops, edges);
    let mut chosen = whole.around(near)?;
    let minimal = whole.reduce(&mut chosen);
    let any_start = whole.has_no_order_from_anywhere(&chosen);
    let (unexplained, values) = whole.told(&chosen)?;
    let mut ops: Vec<usize> = chosen.keys().copied().collect();
    if ops.len() > LARGEST {
        return None;
    }
    ops.sort_by_key(|op| whole.begin[*op]);
    Some(Part {
        ops,
        unexplained,
        values,
        any_start,
        minimal,
        roles: chosen,
        cut: whole.cut,
    })
}

/// A part without one of its operations, and with what the others can have seen instead; nothing if they can
/// have seen what that operation wrote.
#[cfg(test)]
pub fn without(ops: &[Op], edges: &[Edge], part: &Part, op: usize) -> Option<(Vec<Op>, Vec<Edge>)> {
    let mut whole = Whole::new(ops, edges);
    whole.cut = part.cut;
    let mut fewer = part.roles.clone();
    fewer.remove(&op);
    let fewer = whole.closed(fewer);
    whole
        .is_smaller(&fewer, &part.roles)
        .then(|| whole.history(&fewer, None))
}

/// The part of all that certain operations have seen, as far as it is known up to an edge.
#[cfg(test)]
pub fn part_of(ops: &[Op], edges: &[Edge], of: &[usize], cut: usize) -> (Vec<Op>, Vec<Edge>) {
    let mut whole = Whole::new(ops, edges);
    whole.cut = cut;
    let ended = of.iter().filter(|op| whole.end[**op] <= cut);
    let chosen: Chosen = ended.map(|op| (*op, Role::Full)).collect();
    let chosen = whole.closed(chosen);
    whole.history(&chosen, None)
}

/// Operations that write, by when they begin.
#[derive(Debug, Default)]
struct Writers {
    /// Those that return, with the last return up to there.
    sure: Vec<(usize, usize)>,
    /// Those that do not.
    perhaps: Vec<usize>,
}

impl Writers {
    fn push(&mut self, op: usize, end: usize) {
        if end == usize::MAX {
            self.perhaps.push(op);
        } else {
            let last = self.sure.last().map_or(0, |(_, last)| *last);
            self.sure.push((op, last.max(end)));
        }
    }

    /// Hands out those that begin before a moment and do not return before another one. Says how many
    /// it looked at.
    fn between(
        &self,
        gone: usize,
        end: usize,
        of: &Whole<'_>,
        mut each: impl FnMut(usize),
    ) -> usize {
        let begun = |op: usize| of.begin[op] < end;
        let perhaps = self.perhaps.partition_point(|op| begun(*op));
        self.perhaps[..perhaps].iter().for_each(|op| each(*op));
        let sure = self.sure.partition_point(|(op, _)| begun(*op));
        let alive = self.sure[..sure].iter().rev();
        let mut looked = perhaps;
        for (op, _) in alive.take_while(|(_, last)| *last >= gone) {
            looked += 1;
            if of.end[*op] >= gone {
                each(*op);
            }
        }
        looked
    }
}

/// The operations of a part that write and return, by when they return.
struct Overwriters {
    /// End, beginning and value of each; then the latest beginning up to there with its value, and the
    /// latest one of those with another value.
    by_end: Vec<(usize, usize, u32)>,
    latest: Vec<(usize, u32, usize)>,
}

impl Overwriters {
    fn new(of: &Whole<'_>, chosen: &Chosen) -> Self {
        let writes = chosen.keys().filter(|op| of.end[**op] != usize::MAX);
        let mut by_end: Vec<(usize, usize, u32)> = writes
            .filter_map(|op| Some((of.end[*op], of.begin[*op], of.ops[*op].action.put?)))
            .collect();
        by_end.sort_unstable();
        let mut latest = Vec::with_capacity(by_end.len());
        let (mut first, mut value, mut second) = (0, u32::MAX, 0);
        for (_, begin, put) in &by_end {
            if *put == value {
                first = first.max(*begin);
            } else if *begin > first {
                (first, value, second) = (*begin, *put, first);
            } else {
                second = second.max(*begin);
            }
            latest.push((first, value, second));
        }
        Self { by_end, latest }
    }

    /// When the last of those began that ended before a moment and wrote what an operation that begins
    /// then did not see: what ended before was overwritten. Says how many it looked at, too.
    fn last(&self, guard: Guard, moment: usize) -> (usize, usize) {
        let ended = self.by_end.partition_point(|(end, ..)| *end < moment);
        match guard {
            Guard::Any => (0, 0),
            Guard::Is(seen) => {
                let latest = ended.checked_sub(1).map(|at| self.latest[at]);
                let gone = latest.map_or(
                    0,
                    |(first, value, second)| {
                        if value == seen { second } else { first }
                    },
                );
                (gone, 1)
            }
            Guard::IsNot(unseen) => {
                let wrote = self.by_end[..ended]
                    .iter()
                    .filter(|(.., put)| *put == unseen);
                (wrote.map(|(_, begin, _)| *begin).max().unwrap_or(0), ended)
            }
        }
    }
}

struct Whole<'a> {
    ops: &'a [Op],
    begin: Vec<usize>,
    end: Vec<usize>,
    /// By value: the operations that write it.
    writers: BTreeMap<u32, Writers>,
    all_writers: Writers,
    edges: usize,
    /// What happened after this edge is not looked at.
    cut: usize,
    steps: u64,
}

impl<'a> Whole<'a> {
    fn new(ops: &'a [Op], edges: &[Edge]) -> Self {
        let mut begin = vec![usize::MAX; ops.len()];
        let mut end = vec![usize::MAX; ops.len()];
        for (at, edge) in edges.iter().enumerate() {
            match *edge {
                Edge::Return(op) => end[op] = at,
                Edge::Invoke(op) => begin[op] = at,
            }
        }
        let mut writers: BTreeMap<u32, Writers> = BTreeMap::new();
        let mut all_writers = Writers::default();
        for edge in edges {
            if let Edge::Invoke(op) = *edge
                && let Some(value) = ops[op].action.put
            {
                writers.entry(value).or_default().push(op, end[op]);
                all_writers.push(op, end[op]);
            }
        }
        Self {
            ops,
            begin,
            end,
            writers,
            all_writers,
            edges: edges.len(),
            cut: edges.len(),
            steps: 0,
        }
    }

    /// The operations around one, as few as have no order.
    fn around(&mut self, near: usize) -> Option<Chosen> {
        if let Some(chosen) = self.stale(near) {
            return Some(chosen);
        }
        // Mostly it does not take what needs another value than a certain one, which many operations can
        // have seen.
        let plain = |action: Action| !matches!(action.guard, Guard::IsNot(_));
        self.growing(near, STEPS / 3, plain)
            .or_else(|| self.growing(near, STEPS * 2 / 3, |_| true))
    }

    /// An operation and the last one that had certainly overwritten what it saw before it began, if that
    /// is all.
    fn stale(&mut self, near: usize) -> Option<Chosen> {
        let Guard::Is(seen) = self.ops[near].action.guard else {
            return None;
        };
        let overwrites =
            |op: &usize| self.end[*op] < self.begin[near] && self.ops[*op].action.put != Some(seen);
        let writers = self.all_writers.sure.iter().map(|(op, _)| *op);
        let last = writers
            .filter(overwrites)
            .max_by_key(|op| self.begin[*op])?;
        self.steps += self.all_writers.sure.len() as u64 / 8;
        let chosen = self.closed(Chosen::from([(near, Role::Full), (last, Role::Writes)]));
        (chosen.len() <= LARGEST && self.has_no_order(&chosen, None)).then_some(chosen)
    }

    /// The operations around one, twice as far each time; those count for all that they need for which
    /// that is said.
    fn growing(
        &mut self,
        near: usize,
        steps: u64,
        is_full: impl Fn(Action) -> bool + Copy,
    ) -> Option<Chosen> {
        let mut far = FIRST;
        loop {
            let from = self.end[near].saturating_sub(far);
            self.cut = self.end[near].saturating_add(far).min(self.edges);
            // What has no end by then counts only if its value can have been seen.
            let ended = (0..self.ops.len()).filter(|op| (from..=self.cut).contains(&self.end[*op]));
            let chosen = ended.filter_map(|op| {
                let action = self.ops[op].action;
                match is_full(action) {
                    true => Some((op, Role::Full)),
                    false => action.put.map(|_| (op, Role::Writes)),
                }
            });
            let chosen = self.closed(chosen.collect());
            if self.has_no_order(&chosen, None) {
                return Some(chosen);
            }
            // It may count what those need whose values were seen.
            let chosen = self.closed_with_needs(chosen, is_full);
            if self.has_no_order(&chosen, None) {
                return Some(chosen);
            }
            if (from == 0 && self.cut == self.edges) || self.steps > steps {
                return None;
            }
            far *= 2;
        }
    }

    /// A part with the operations whose values its operations can have seen, whose values those can have
    /// seen, and so on.
    fn closed_with_needs(
        &mut self,
        mut chosen: Chosen,
        is_full: impl Fn(Action) -> bool,
    ) -> Chosen {
        loop {
            for (op, role) in &mut chosen {
                if is_full(self.ops[*op].action) {
                    *role = Role::Full;
                }
            }
            let before = chosen.len();
            chosen = self.closed(chosen);
            if chosen.len() == before || self.steps > STEPS {
                return chosen;
            }
        }
    }

    /// Leaves out what can be left out. True if nothing more can be.
    fn reduce(&mut self, chosen: &mut Chosen) -> bool {
        let mut size = chosen.len().div_ceil(2);
        loop {
            let before = self.size(chosen);
            self.without_pieces(chosen, size);
            if self.steps > STEPS {
                return false;
            }
            if size == 1 && self.size(chosen) == before {
                return true;
            }
            size = (size / 2).max(1).min(chosen.len().div_ceil(2));
        }
    }

    fn without_pieces(&mut self, chosen: &mut Chosen, size: usize) {
        let mut latest: Vec<usize> = chosen.keys().copied().collect();
        latest.sort_by_key(|op| self.begin[*op]);
        for piece in latest.chunks(size) {
            if self.steps > STEPS {
                return;
            }
            let mut fewer = chosen.clone();
            fewer.retain(|op, _| !piece.contains(op));
            let fewer = self.closed(fewer);
            if self.is_smaller(&fewer, chosen) && self.has_no_order(&fewer, None) {
                *chosen = fewer;
            }
        }
    }

    /// How many operations a part has, and how many that count for all that they do.
    fn size(&self, part: &Chosen) -> (usize, usize) {
        let full = |(op, role): (&usize, &Role)| {
            *role == Role::Full && self.ops[*op].action.guard != Guard::Any
        };
        (part.len(), part.iter().filter(|entry| full(*entry)).count())
    }

    fn is_smaller(&self, part: &Chosen, than: &Chosen) -> bool {
        self.size(part) < self.size(than)
    }

    /// Adds the operations whose values those of the part can have seen.
    fn closed(&mut self, mut chosen: Chosen) -> Chosen {
        let overwriters = Overwriters::new(self, &chosen);
        let asking: Vec<usize> = chosen
            .iter()
            .filter(|(_, role)| **role == Role::Full)
            .map(|(op, _)| *op)
            .collect();
        let mut work = chosen.len();
        for op in asking {
            let (begin, end) = (self.begin[op], self.end[op]);
            let guard = self.ops[op].action.guard;
            let (gone, looked) = overwriters.last(guard, begin);
            let writers = match guard {
                Guard::Any => continue,
                Guard::Is(value) => self.writers.get(&value),
                Guard::IsNot(_) => Some(&self.all_writers),
            };
            let Some(writers) = writers else { continue };
            let before = chosen.len();
            let scanned = writers.between(gone, end, self, |source| {
                let put = self.ops[source].action.put;
                if source != op && put.is_some_and(|put| guard != Guard::IsNot(put)) {
                    chosen.entry(source).or_insert(Role::Writes);
                }
            });
            work += looked + scanned + (chosen.len() - before);
        }
        self.steps += work as u64 / 8;
        chosen
    }

    /// Whether a part has no order; with a value if that was there before all of it.
    fn has_no_order(&mut self, chosen: &Chosen, start: Option<u32>) -> bool {
        let (ops, edges) = self.history(chosen, start);
        let (found, steps) = search(&ops, &edges, LIMITS);
        self.steps += steps + 4 * edges.len() as u64;
        matches!(found, Found::Violation { .. })
    }

    /// The first operation of a part that nothing explains, and what the value can have been before.
    fn told(&self, chosen: &Chosen) -> Option<(usize, BTreeSet<Option<u32>>)> {
        let (ops, edges) = self.history(chosen, None);
        let limits = Limits {
            ahead: false,
            ..LIMITS
        };
        match once(&ops, &edges, limits).0 {
            Found::Violation { op, values } => {
                let op = chosen.keys().nth(op).copied()?;
                Some((op, values))
            }
            // What is left is the operation that returned last.
            _ => {
                let ended = chosen.keys().filter(|op| self.end[**op] <= self.cut);
                let last = ended.max_by_key(|op| self.end[**op])?;
                Some((*last, BTreeSet::new()))
            }
        }
    }

    /// The history of a part alone. Its operations have the order of the part, behind that which writes
    /// what was there before.
    fn history(&self, chosen: &Chosen, start: Option<u32>) -> (Vec<Op>, Vec<Edge>) {
        let mut ops = Vec::new();
        let mut edges: Vec<(usize, Edge)> = Vec::new();
        if let Some(start) = start {
            let action = Action {
                guard: Guard::Any,
                put: Some(start),
            };
            ops.push(Op {
                action,
                optional: false,
            });
        }
        for (op, role) in chosen {
            let mut part = self.ops[*op];
            part.optional = self.end[*op] > self.cut;
            // An operation of unknown outcome that needs another value than a certain one needs none.
            if *role == Role::Writes
                || (part.optional && matches!(part.action.guard, Guard::IsNot(_)))
            {
                part.action.guard = Guard::Any;
            }
            if !part.optional || part.action.put.is_some() {
                edges.push((self.begin[*op], Edge::Invoke(ops.len())));
            }
            if !part.optional {
                edges.push((self.end[*op], Edge::Return(ops.len())));
            }
            ops.push(part);
        }
        edges.sort_unstable_by_key(|(at, _)| *at);
        let first = start.map(|_| [Edge::Invoke(0), Edge::Return(0)]);
        let edges: Vec<Edge> = first
            .into_iter()
            .flatten()
            .chain(edges.into_iter().map(|(_, edge)| edge))
            .collect();
        (ops, edges)
    }

    /// Whether a part has no order whatever the value was before.
    fn has_no_order_from_anywhere(&mut self, chosen: &Chosen) -> bool {
        let mut starts = BTreeSet::from([ABSENT]);
        for op in chosen.keys() {
            if let Guard::Is(value) | Guard::IsNot(value) = self.ops[*op].action.guard {
                starts.insert(value);
            }
        }
        // And one that no operation names.
        let other =
            (1..).find(|value| !starts.contains(value) && !self.writers.contains_key(value));
        starts.extend(other);
        starts
            .into_iter()
            .all(|start| self.has_no_order(chosen, Some(start)))
    }
}
