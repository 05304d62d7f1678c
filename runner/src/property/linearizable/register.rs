//! The search for an order of the operations on one object that has a value.
//!
//! Operations are taken in the order of time. At each moment there is a set of *configurations*:
//! what the value may be, and which of the open operations have taken effect for it to be so. An
//! operation takes effect as late as possible: when it returns, each configuration in which it has
//! not yet done so is extended by open operations, the last of which is this one. If no
//! configuration is left, no order explains what happened so far.
//!
//! Three things keep the set small, and none changes the answer:
//! - An operation that leaves the value as it is takes effect as soon as it can: that forbids
//!   nothing to the others.
//! - Operations whose outcome is not known never have to take effect. Equal ones are
//!   interchangeable, so that only their number counts; and one takes effect only immediately before
//!   an operation that could not take effect without it, because anywhere else it can be left out
//!   or moved later.
//! - Of two configurations that differ only in how many of those were used, one that used fewer of
//!   each is enough.

use std::collections::{BTreeMap, BTreeSet};

/// The value of an object that was never written.
pub const ABSENT: u32 = 0;
/// How many operations with a known outcome may be open at once.
pub const MAX_OPEN: usize = 128;
/// How long a chain of operations of unknown outcome may be that makes one possible.
const MAX_CHAIN: usize = 6;

/// When an operation can take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Always.
    Any,
    /// If the value is this one.
    Is(u32),
    /// If the value is another one.
    IsNot(u32),
}

/// What an operation needs and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    /// When it can take effect.
    pub guard: Guard,
    /// The value after it, if it changes the value.
    pub put: Option<u32>,
}

/// An operation on the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// What it needs and does. One that is optional needs nothing or a certain value, and changes it.
    pub action: Action,
    /// Whether it may never take effect.
    pub optional: bool,
}

/// Something in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// An operation begins.
    Invoke(usize),
    /// An operation returns. One that is optional never does.
    Return(usize),
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is an order.
    Order,
    /// There is none.
    Violation {
        /// The operation whose return nothing explains.
        op: usize,
        /// What the value may have been before.
        values: BTreeSet<u32>,
        /// The operations that are open then, the optional ones among them.
        open: Vec<usize>,
    },
    /// It takes too long to find out.
    GaveUp {
        /// The operation up to whose return there is an order.
        op: usize,
        /// Why.
        why: &'static str,
    },
}

/// How often each class of optional operations was used; those not used at all are left out.
type Used = Vec<(u32, u32)>;

/// The configurations: by value and operations that took effect, the least uses.
type Configs = BTreeMap<(u32, u128), Vec<Used>>;

/// Searches. `edges` are in the order of time; `budget` bounds the number of steps.
#[must_use]
pub fn search(ops: &[Op], edges: &[Edge], budget: u64) -> Found {
    let mut search = Search::new(ops, budget);
    for edge in edges {
        let step = match *edge {
            Edge::Invoke(op) if ops[op].optional => {
                search.offer(op);
                Ok(())
            }
            Edge::Invoke(op) => search.begin(op),
            Edge::Return(op) => search.end(op),
        };
        if let Err(found) = step {
            return found;
        }
    }
    Found::Order
}

struct Search<'a> {
    ops: &'a [Op],
    configs: Configs,
    /// Which operation has which bit.
    slots: Vec<Option<usize>>,
    /// The classes of optional operations, and how many of each there are so far.
    classes: BTreeMap<Action, u32>,
    available: Vec<u32>,
    actions: Vec<Action>,
    /// The classes that put a value.
    producers: BTreeMap<u32, Vec<u32>>,
    optional: Vec<usize>,
    steps: u64,
    budget: u64,
    /// Whether a chain was too long to be followed.
    truncated: bool,
}

impl<'a> Search<'a> {
    fn new(ops: &'a [Op], budget: u64) -> Self {
        Self {
            ops,
            configs: BTreeMap::from([((ABSENT, 0), vec![Vec::new()])]),
            slots: Vec::new(),
            classes: BTreeMap::new(),
            available: Vec::new(),
            actions: Vec::new(),
            producers: BTreeMap::new(),
            optional: Vec::new(),
            steps: 0,
            budget,
            truncated: false,
        }
    }

    /// An optional operation can be used from now on.
    fn offer(&mut self, op: usize) {
        let action = self.ops[op].action;
        let next = self.actions.len() as u32;
        let class = *self.classes.entry(action).or_insert(next);
        if class == next {
            self.actions.push(action);
            self.available.push(0);
            if let Some(value) = action.put {
                self.producers.entry(value).or_default().push(class);
            }
        }
        self.available[class as usize] += 1;
        self.optional.push(op);
    }

    fn begin(&mut self, op: usize) -> Result<(), Found> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        if slot == MAX_OPEN {
            let why = "too many operations are open at once";
            return Err(Found::GaveUp { op, why });
        }
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(op);
        let action = self.ops[op].action;
        if action.put.is_none() {
            let bit = 1_u128 << slot;
            let mut configs = Configs::new();
            for ((value, done), uses) in std::mem::take(&mut self.configs) {
                let done = if action.holds(value) {
                    done | bit
                } else {
                    done
                };
                configs.insert((value, done), uses);
            }
            self.configs = configs;
        }
        Ok(())
    }

    fn end(&mut self, op: usize) -> Result<(), Found> {
        let Some(slot) = self.slots.iter().position(|held| *held == Some(op)) else {
            return Ok(());
        };
        let target = 1_u128 << slot;
        let before = std::mem::take(&mut self.configs);
        let mut after = Configs::new();
        let mut todo: Vec<(u32, u128, Used)> = Vec::new();
        let mut visited = Configs::new();
        for ((value, done), uses) in &before {
            for used in uses {
                if done & target != 0 {
                    insert(&mut after, (*value, done & !target), used.clone());
                } else if insert(&mut visited, (*value, *done), used.clone()) {
                    todo.push((*value, *done, used.clone()));
                }
            }
        }
        while let Some((value, done, used)) = todo.pop() {
            self.steps += 1;
            if self.steps > self.budget {
                let why = "there are too many possible orders";
                return Err(Found::GaveUp { op, why });
            }
            for (value, done, used) in self.successors(value, done, &used) {
                if done & target != 0 {
                    insert(&mut after, (value, done & !target), used);
                } else if insert(&mut visited, (value, done), used.clone()) {
                    todo.push((value, done, used));
                }
            }
        }
        if after.is_empty() {
            return Err(self.violation(op, &before));
        }
        self.slots[slot] = None;
        self.configs = after;
        Ok(())
    }

    fn violation(&self, op: usize, before: &Configs) -> Found {
        if self.truncated {
            let why = "too many operations have an unknown outcome";
            return Found::GaveUp { op, why };
        }
        let mut open: Vec<usize> = self.slots.iter().flatten().copied().collect();
        open.extend(&self.optional);
        open.retain(|other| *other != op);
        open.sort_unstable();
        Found::Violation {
            op,
            values: before.keys().map(|(value, _)| *value).collect(),
            open,
        }
    }

    /// All configurations that one more operation with a known outcome leads to.
    fn successors(&mut self, value: u32, done: u128, used: &Used) -> Vec<(u32, u128, Used)> {
        let mut out = Vec::new();
        for slot in 0..self.slots.len() {
            let bit = 1_u128 << slot;
            let Some(op) = self.slots[slot].filter(|_| done & bit == 0) else {
                continue;
            };
            let action = self.ops[op].action;
            let ways = if action.holds(value) {
                vec![(value, used.clone())]
            } else {
                self.enable(action.guard, value, used)
            };
            for (before, used) in ways {
                let after = action.put.unwrap_or(before);
                out.push((after, self.absorb(after, done | bit), used));
            }
        }
        out
    }

    /// Lets all operations take effect that leave the value as it is and can.
    fn absorb(&self, value: u32, mut done: u128) -> u128 {
        for (slot, op) in self.slots.iter().enumerate() {
            let bit = 1_u128 << slot;
            if let Some(op) = op
                && done & bit == 0
            {
                let action = self.ops[*op].action;
                if action.put.is_none() && action.holds(value) {
                    done |= bit;
                }
            }
        }
        done
    }

    /// The ways to make a guard hold by optional operations: the value then, and what was used.
    fn enable(&mut self, guard: Guard, value: u32, used: &Used) -> Vec<(u32, Used)> {
        let mut out = Vec::new();
        match guard {
            Guard::Any => out.push((value, used.clone())),
            Guard::Is(wanted) => {
                let mut ways = Vec::new();
                self.chains(value, wanted, used, &mut vec![wanted], &mut ways);
                out.extend(ways.into_iter().map(|used| (wanted, used)));
            }
            Guard::IsNot(_) => {
                for class in 0..self.actions.len() {
                    let action = self.actions[class];
                    if let Some(after) = action.put
                        && after != value
                        && action.holds(value)
                        && let Some(used) = self.using(class as u32, used)
                    {
                        out.push((after, used));
                    }
                }
            }
        }
        out
    }

    /// The chains of optional operations from one value to another, backwards.
    fn chains(
        &mut self,
        from: u32,
        wanted: u32,
        used: &Used,
        path: &mut Vec<u32>,
        out: &mut Vec<Used>,
    ) {
        let classes = self.producers.get(&wanted).cloned().unwrap_or_default();
        for class in classes {
            self.steps += 1;
            let Some(used) = self.using(class, used) else {
                continue;
            };
            let action = self.actions[class as usize];
            match action.guard {
                _ if action.holds(from) => out.push(used),
                Guard::Is(needed) if !path.contains(&needed) => {
                    if path.len() >= MAX_CHAIN || self.steps > self.budget {
                        self.truncated = true;
                        continue;
                    }
                    path.push(needed);
                    self.chains(from, needed, &used, path, out);
                    path.pop();
                }
                _ => {}
            }
        }
    }

    /// The uses with one more of a class, if there is one more.
    fn using(&self, class: u32, used: &Used) -> Option<Used> {
        let available = self.available[class as usize];
        let mut used = used.clone();
        match used.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) if used[at].1 < available => used[at].1 += 1,
            Ok(_) => return None,
            Err(at) => used.insert(at, (class, 1)),
        }
        Some(used)
    }
}

impl Action {
    /// Whether it can take effect.
    const fn holds(&self, value: u32) -> bool {
        match self.guard {
            Guard::Any => true,
            Guard::Is(wanted) => wanted == value,
            Guard::IsNot(unwanted) => unwanted != value,
        }
    }
}

/// Adds a configuration unless one is there that used no more. True if it was added.
fn insert(configs: &mut Configs, key: (u32, u128), used: Used) -> bool {
    let uses = configs.entry(key).or_default();
    if uses.iter().any(|other| is_at_most(other, &used)) {
        return false;
    }
    uses.retain(|other| !is_at_most(&used, other));
    uses.push(used);
    true
}

/// Whether the first used no more of each class than the second.
fn is_at_most(first: &Used, second: &Used) -> bool {
    first.iter().all(|(class, count)| {
        let at = second.binary_search_by_key(class, |(class, _)| *class);
        at.is_ok_and(|at| *count <= second[at].1)
    })
}
