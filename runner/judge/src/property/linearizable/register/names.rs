//! Names for the values of a history, so that equal values that can't be the same one differ.
//!
//! Many writes of a long history write the same value, and hardly any of them can be what a certain
//! read saw: the others had certainly been overwritten before. So a value is divided into *instances*,
//! each of which is written and asked for in a stretch of time of its own. Whatever order there is,
//! an operation that needs an instance directly follows one that writes this instance. A history of
//! few values over a long time thereby becomes one of values that are nearly all written once, which
//! is far easier to judge.
//!
//! A value may be there from the beginning of the operation that writes it, until an operation that
//! writes another value and begins after the first had ended has ended, too. The same goes for an
//! operation that needs the value. Stretches that overlap are one.

use std::collections::{BTreeMap, BTreeSet};

use super::{ABSENT, Edge, Guard, Op};

/// A value in a stretch of time. [`JUNK`] is one that nobody asks for any more.
pub type Instance = u32;

/// The instance of all values that nobody asks for any more.
pub const JUNK: Instance = 0;

/// The value that [`JUNK`] stands for: none that any operation names.
const NO_VALUE: u32 = u32::MAX;

/// A moment: the place of an edge, counted from 1; 0 is before all of them.
pub type Moment = u32;

/// A moment that does not come.
pub const NEVER: Moment = u32::MAX;

/// What is known of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The value.
    pub value: u32,
    /// The last moment at which an operation that needs it begins; 0 if there is none.
    pub last_asked: Moment,
    /// The last moment at which an operation begins that needs another value, where this is one.
    pub last_shunned: Moment,
    /// How many operations that certainly take effect write it.
    pub writers: u32,
}

/// The names of a history.
#[derive(Debug)]
pub struct Names {
    /// By operation: when it begins and ends.
    pub begin: Vec<Moment>,
    /// By operation: when it ends.
    pub end: Vec<Moment>,
    /// By operation: the instance that it needs, if it needs a certain one.
    pub asks: Vec<Option<Instance>>,
    /// By operation: the instance that it writes, if it certainly does.
    pub puts: Vec<Option<Instance>>,
    /// By instance.
    pub known: Vec<Known>,
    /// By value: the stretches of its instances, in order, as (first moment, last moment, instance).
    stretches: BTreeMap<u32, Vec<(Moment, Moment, Instance)>>,
    /// By value: the instance of it where no stretch is.
    others: BTreeMap<u32, Instance>,
    /// The values that an operation of unknown outcome may write.
    perhaps: BTreeSet<u32>,
    /// By value: the last moment at which an operation begins that names it.
    last_named: BTreeMap<u32, Moment>,
    deaths: Deaths,
    /// The instance of the value before all operations.
    pub initial: Instance,
}

impl Names {
    /// Finds the instances of a history.
    #[must_use]
    pub fn new(ops: &[Op], edges: &[Edge]) -> Self {
        let (begin, end) = moments(ops, edges);
        let mut names = Self {
            asks: vec![None; ops.len()],
            puts: vec![None; ops.len()],
            known: vec![Known {
                value: NO_VALUE,
                last_asked: 0,
                last_shunned: 0,
                writers: 0,
            }],
            stretches: BTreeMap::new(),
            others: BTreeMap::new(),
            perhaps: BTreeSet::new(),
            last_named: BTreeMap::new(),
            initial: JUNK,
            deaths: Deaths::new(ops, &begin, &end, edges.len()),
            begin,
            end,
        };
        names.divide(ops);
        names.look_at_guards(ops);
        names
    }

    fn divide(&mut self, ops: &[Op]) {
        // By value: stretches with the operation that asks for it or writes it, the initial one
        // being written by none.
        let mut pieces: BTreeMap<u32, Vec<(Moment, Moment, Option<usize>)>> = BTreeMap::new();
        let initial = (0, self.deaths.of(ABSENT, 0), None);
        pieces.entry(ABSENT).or_default().push(initial);
        for (at, op) in ops.iter().enumerate() {
            if let Some(value) = op.action.put {
                self.others.entry(value).or_insert(JUNK);
            }
            if op.optional {
                self.perhaps.extend(op.action.put);
                continue;
            }
            let mut piece = |value: u32| {
                let piece = (
                    self.begin[at],
                    self.deaths.of(value, self.end[at]),
                    Some(at),
                );
                pieces.entry(value).or_default().push(piece);
            };
            if let Guard::Is(value) = op.action.guard {
                piece(value);
            }
            if let Some(value) = op.action.put {
                piece(value);
            }
        }
        for (value, mut pieces) in pieces {
            pieces.sort_unstable();
            let mut stretches: Vec<(Moment, Moment, Instance)> = Vec::new();
            for (from, until, op) in pieces {
                let instance = match stretches.last_mut() {
                    Some(last) if from <= last.1 => {
                        last.1 = last.1.max(until);
                        last.2
                    }
                    _ => {
                        let new = self.add(value);
                        stretches.push((from, until, new));
                        new
                    }
                };
                self.member(ops, op, value, instance);
            }
            self.stretches.insert(value, stretches);
        }
        let values: Vec<u32> = self.others.keys().copied().collect();
        for value in values {
            let other = self.add(value);
            self.others.insert(value, other);
        }
    }

    fn add(&mut self, value: u32) -> Instance {
        self.known.push(Known {
            value,
            last_asked: 0,
            last_shunned: 0,
            writers: 0,
        });
        self.known.len() as u32 - 1
    }

    fn member(&mut self, ops: &[Op], op: Option<usize>, value: u32, instance: Instance) {
        let Some(op) = op else {
            self.initial = instance;
            return;
        };
        let known = &mut self.known[instance as usize];
        if ops[op].action.guard == Guard::Is(value) {
            self.asks[op] = Some(instance);
            known.last_asked = known.last_asked.max(self.begin[op]);
        }
        if ops[op].action.put == Some(value) && self.puts[op].is_none() {
            self.puts[op] = Some(instance);
            known.writers += 1;
        }
    }

    fn look_at_guards(&mut self, ops: &[Op]) {
        for (at, op) in ops.iter().enumerate() {
            let value = match op.action.guard {
                Guard::Any => continue,
                Guard::Is(value) | Guard::IsNot(value) => value,
            };
            // What an operation of unknown outcome needs is asked for until the end.
            let begin = if op.optional { NEVER } else { self.begin[at] };
            let last = self.last_named.entry(value).or_insert(0);
            *last = (*last).max(begin);
            if matches!(op.action.guard, Guard::Is(_)) && !op.optional {
                continue;
            }
            let until = if op.optional { NEVER } else { self.end[at] };
            let from = self.begin[at];
            // What an operation of unknown outcome writes may stay beyond its stretch.
            let anywhen = self.perhaps.contains(&value);
            let alive = self.stretches.get(&value).into_iter().flatten();
            let alive =
                alive.filter(|(first, last, _)| anywhen || (*first <= until && from <= *last));
            let alive: Vec<Instance> = alive.map(|(_, _, instance)| *instance).collect();
            let other = self.others.get(&value).copied();
            for instance in alive.into_iter().chain(other) {
                let known = &mut self.known[instance as usize];
                known.last_shunned = known.last_shunned.max(begin);
            }
        }
    }

    /// The instances that a value can be if an operation of unknown outcome writes it at a moment.
    /// It may stay until one is asked for that nothing else can be at that moment.
    #[must_use]
    pub fn possible(&self, value: u32, moment: Moment) -> Vec<Instance> {
        let death = self.deaths.of(value, moment);
        let stretches = self.stretches.get(&value).map_or(&[][..], Vec::as_slice);
        let from = stretches.partition_point(|(_, until, _)| *until < moment);
        let alive = stretches[from..].iter();
        let alive = alive.take_while(|(from, _, _)| *from <= death);
        let mut out: Vec<Instance> = alive.map(|(_, _, instance)| *instance).collect();
        if out.is_empty() {
            out.extend(self.others.get(&value));
        }
        out
    }

    /// When what an operation writes is certainly gone.
    #[must_use]
    pub fn gone(&self, op: usize) -> Moment {
        let value = self.puts[op].map_or(NO_VALUE, |put| self.known(put).value);
        self.deaths.of(value, self.end[op])
    }

    /// Whether no operation that begins after a moment names a value.
    #[must_use]
    pub fn is_forgotten(&self, value: u32, moment: Moment) -> bool {
        self.last_named
            .get(&value)
            .is_none_or(|last| *last <= moment)
    }

    /// What is known of an instance.
    #[must_use]
    pub fn known(&self, instance: Instance) -> &Known {
        &self.known[instance as usize]
    }
}

fn moments(ops: &[Op], edges: &[Edge]) -> (Vec<Moment>, Vec<Moment>) {
    let mut begin = vec![0; ops.len()];
    let mut end = vec![NEVER; ops.len()];
    for (at, edge) in edges.iter().enumerate() {
        let moment = at as Moment + 1;
        match *edge {
            Edge::Invoke(op) => begin[op] = moment,
            Edge::Return(op) => end[op] = moment,
        }
    }
    (begin, end)
}

/// When a value that was there at a moment is certainly gone.
#[derive(Debug)]
struct Deaths {
    /// By moment: of the operations that begin after it and certainly write, the first end with the
    /// value, and the first end of those that write another one.
    after: Vec<(Moment, u32, Moment)>,
}

impl Deaths {
    fn new(ops: &[Op], begin: &[Moment], end: &[Moment], edges: usize) -> Self {
        let mut by_begin: Vec<Option<usize>> = vec![None; edges + 2];
        for (at, op) in ops.iter().enumerate() {
            if op.action.put.is_some() && !op.optional && end[at] != NEVER {
                by_begin[begin[at] as usize] = Some(at);
            }
        }
        let mut after = vec![(NEVER, NO_VALUE, NEVER); edges + 2];
        for moment in (0..=edges).rev() {
            let (mut first, mut value, mut second) = after[moment + 1];
            if let Some(op) = by_begin[moment + 1] {
                let put = ops[op].action.put.unwrap_or(NO_VALUE);
                if put == value {
                    first = first.min(end[op]);
                } else if end[op] < first {
                    (first, value, second) = (end[op], put, first);
                } else {
                    second = second.min(end[op]);
                }
            }
            after[moment] = (first, value, second);
        }
        Self { after }
    }

    fn of(&self, value: u32, end: Moment) -> Moment {
        if end == NEVER {
            return NEVER;
        }
        let (first, of, second) = self.after[end as usize];
        if of == value { second } else { first }
    }
}
