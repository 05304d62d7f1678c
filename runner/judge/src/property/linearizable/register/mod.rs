//! The search for an order of the operations on one object that has a value.
//!
//! Like Lowe's just-in-time linearization ("Testing for linearizability", 2017) it takes operations in
//! the order of time and knows at each moment what may be the case: what the value is, and which of the
//! open operations have taken effect for it to be so. When an operation returns, each *configuration*
//! in which it has not yet taken effect is extended by open operations, the last of which is this one.
//! If no configuration is left, no order explains what happened so far.
//!
//! With many clients, there are too many sets of open operations. These things keep the configurations
//! few, and none changes the answer; `tests` compares it with an oracle that does without.
//!
//! - **What leaves the value as it is** takes effect as soon as it can: that forbids nothing to others.
//! - **What nobody needs before something is overwritten waits.** A group of operations that begins
//!   with a plain write and ends before another plain write can be put there when one of the group
//!   returns, if all of it was open at that moment; nobody is disturbed, since the other write follows
//!   whatever was before. So a configuration has the moment of its last plain write
//!   ([`frontier::Config::since`]), a group is put there only when an operation of it has to be, and an
//!   open write that could be put there is no obligation any more.
//! - **Values have names** ([`names`]): equal values that cannot be the same one differ.
//! - **A value that is lost but needed** ends a configuration: an operation asks for it, and nobody is
//!   left to write it.
//! - **Values that nobody asks for any more are alike.** What writes them, too.
//! - **Of two open operations that do the same**, the one that ends first takes effect first.
//! - **An operation whose outcome is not known** never has to take effect. Equal ones are
//!   interchangeable, so that only their number counts, and one takes effect only where something that
//!   follows could not without it.
//! - **A configuration that another one is enough for goes** ([`frontier::Order`]): one that spent less,
//!   or had the same done later.
//!
//! If there are more than [`Limits::configs`] at a moment, the most promising are kept. An order that is
//! found among those is one; that none is found then says nothing.

pub mod frontier;
mod moves;
pub mod names;
pub mod passes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use frontier::{Config, Frontier, Slots};
use names::{JUNK, Moment, NEVER, Names};

pub use frontier::MAX_OPEN;
pub use passes::search;

/// The value of an object that was never written.
pub const ABSENT: u32 = 0;

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

/// How far a search may go. They are counts, so that each host comes to the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps of the whole search.
    pub steps: u64,
    /// Configurations at a moment; each takes about 150 bytes.
    pub configs: usize,
    /// Whether operations of unknown outcome that need a value are used only where the operation that
    /// returns cannot do without. If none is found then, that says nothing.
    pub thrifty: bool,
    /// Whether it looks ahead, and ends where a value is lost that something asks for only later.
    pub ahead: bool,
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
        /// What the value may have been before; nothing stands for values that nobody asks for.
        values: BTreeSet<Option<u32>>,
    },
    /// It takes too long to find out.
    GaveUp {
        /// The operation up to whose return there is an order.
        op: usize,
        /// Why.
        why: String,
    },
}

/// Operations of unknown outcome that do the same.
#[derive(Debug, Clone)]
struct Class {
    action: Action,
    /// When they begin, in order.
    begins: Vec<Moment>,
}

struct Search<'a> {
    ops: &'a [Op],
    names: Names,
    limits: Limits,
    now: Moment,
    frontier: Frontier,
    /// Which operation has which slot.
    slots: Vec<Option<usize>>,
    /// The open operations that leave the value as it is.
    looks: Slots,
    /// Those that need nothing and write.
    writes: Slots,
    /// Those that need something and write.
    swaps: Slots,
    /// By instance: how many operations that write it have not returned.
    left: Vec<u32>,
    classes: Vec<Class>,
    /// When operations begin that need another value, in order.
    shunners: Vec<Moment>,
    steps: u64,
    /// Why a violation is no proof.
    incomplete: Option<String>,
}

/// What a search knows at a moment.
#[derive(Debug, Clone)]
struct Saved {
    frontier: Frontier,
    slots: Vec<Option<usize>>,
    kinds: [Slots; 3],
    left: Vec<u32>,
}

impl<'a> Search<'a> {
    fn new(ops: &'a [Op], edges: &[Edge], limits: Limits) -> Self {
        let names = Names::new(ops, edges);
        let mut classes: BTreeMap<Action, Vec<Moment>> = BTreeMap::new();
        let mut shunners = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            if op.optional {
                let begins = classes.entry(op.action).or_default();
                begins.push(names.begin[at]);
            } else if matches!(op.action.guard, Guard::IsNot(_)) {
                shunners.push(names.begin[at]);
            }
        }
        shunners.sort_unstable();
        let class = |(action, mut begins): (Action, Vec<Moment>)| {
            begins.sort_unstable();
            Class { action, begins }
        };
        let mut search = Self {
            ops,
            left: names.known.iter().map(|known| known.writers).collect(),
            limits,
            now: 0,
            frontier: Frontier::default(),
            slots: Vec::new(),
            looks: Slots::default(),
            writes: Slots::default(),
            swaps: Slots::default(),
            classes: classes.into_iter().map(class).collect(),
            shunners,
            names,
            steps: 0,
            incomplete: limits
                .thrifty
                .then(|| "the search was not meant to be complete".to_owned()),
        };
        let start = Config {
            value: search.names.initial,
            since: 0,
            done: Slots::default(),
            used: Vec::new(),
        };
        search.frontier = search.with(std::iter::once(start));
        search
    }

    fn with(&mut self, configs: impl Iterator<Item = Config>) -> Frontier {
        let mut out = Frontier::default();
        let mut steps = 0;
        for config in configs {
            out.insert(config, self, &mut steps);
        }
        self.steps += steps;
        out
    }

    fn run(&mut self, edges: &[Edge]) -> Found {
        for at in 0..edges.len() {
            if let Err(found) = self.step(at, edges) {
                return found;
            }
        }
        Found::Order
    }

    fn step(&mut self, at: usize, edges: &[Edge]) -> Result<(), Found> {
        self.now = at as Moment + 1;
        match edges[at] {
            // Those are not open: they count as what their class has.
            Edge::Invoke(op) if self.ops[op].optional => Ok(()),
            Edge::Invoke(op) => self.begin(op),
            Edge::Return(op) => self.end(op),
        }
    }

    fn begin(&mut self, op: usize) -> Result<(), Found> {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        if slot == MAX_OPEN {
            let why = format!("more than {MAX_OPEN} operations are open at once");
            return Err(Found::GaveUp { op, why });
        }
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(op);
        match self.ops[op].action {
            Action { put: None, .. } => {
                self.looks = self.looks.with(slot);
                let configs: Vec<Config> =
                    std::mem::take(&mut self.frontier).into_configs().collect();
                let seen = configs.into_iter().map(|mut config| {
                    if self.holds(op, config.value) {
                        config.done = config.done.with(slot);
                    }
                    config
                });
                let seen: Vec<Config> = seen.collect();
                self.frontier = self.with(seen.into_iter());
            }
            Action {
                guard: Guard::Any, ..
            } => self.writes = self.writes.with(slot),
            Action { .. } => self.swaps = self.swaps.with(slot),
        }
        Ok(())
    }

    fn end(&mut self, op: usize) -> Result<(), Found> {
        let Some(slot) = self.slots.iter().position(|held| *held == Some(op)) else {
            return Ok(());
        };
        let before = std::mem::take(&mut self.frontier);
        let values = before.values().map(|value| self.value(value)).collect();
        let mut after = Frontier::default();
        for config in before.into_configs() {
            if config.done.has(slot) {
                self.keep(config, &mut after);
            } else {
                self.expand(&config, slot, &mut after);
            }
            if self.steps > self.limits.steps {
                let why = format!(
                    "the search was given up after {} steps, with {} possible states at once",
                    self.limits.steps,
                    after.len()
                );
                return Err(Found::GaveUp { op, why });
            }
        }
        if after.is_empty() {
            return Err(match self.incomplete.take() {
                Some(why) => Found::GaveUp { op, why },
                None => Found::Violation { op, values },
            });
        }
        if after.len() > self.limits.configs {
            after.cut(self.limits.configs);
            let why = format!(
                "there were more than {} possible states at once, and no order was found among the \
                 likeliest",
                self.limits.configs
            );
            self.incomplete.get_or_insert(why);
        }
        self.release(op, slot);
        let done = after.into_configs().map(|mut config| {
            config.done = config.done.without(slot);
            config
        });
        let done: Vec<Config> = done.collect();
        self.frontier = self.with(done.into_iter());
        Ok(())
    }

    fn release(&mut self, op: usize, slot: usize) {
        self.slots[slot] = None;
        self.looks = self.looks.without(slot);
        self.writes = self.writes.without(slot);
        self.swaps = self.swaps.without(slot);
        if let Some(instance) = self.names.puts[op] {
            self.left[instance as usize] -= 1;
        }
    }

    fn save(&self) -> Saved {
        Saved {
            frontier: self.frontier.clone(),
            slots: self.slots.clone(),
            kinds: [self.looks, self.writes, self.swaps],
            left: self.left.clone(),
        }
    }

    fn restore(&mut self, saved: Saved) {
        self.frontier = saved.frontier;
        self.slots = saved.slots;
        [self.looks, self.writes, self.swaps] = saved.kinds;
        self.left = saved.left;
    }

    /// The value of an instance, unless it stands for many.
    fn value(&self, instance: names::Instance) -> Option<u32> {
        (instance != JUNK).then(|| self.names.known(instance).value)
    }

    /// Whether an operation with a known outcome can take effect.
    fn holds(&self, op: usize, instance: names::Instance) -> bool {
        match self.ops[op].action.guard {
            Guard::Any => true,
            Guard::Is(_) => self.names.asks[op] == Some(instance),
            Guard::IsNot(value) => self.names.known(instance).value != value,
        }
    }

    /// The operation in a slot that is in use, with its beginning.
    fn in_slot(&self, slot: usize) -> (usize, Moment) {
        let op = self.slots[slot].unwrap_or_default();
        (op, self.names.begin[op])
    }

    /// Whether an open operation that has not taken effect asks for an instance.
    fn is_asked(&self, instance: names::Instance, done: &Slots) -> bool {
        let asks = |slot: usize| self.names.asks[self.in_slot(slot).0] == Some(instance);
        self.looks.minus(done).iter().any(asks) || self.swaps.minus(done).iter().any(asks)
    }

    /// Whether an open operation that has not taken effect asks for another value than this one.
    fn is_shunned(&self, value: u32, done: &Slots) -> bool {
        let shuns = |slot: usize| {
            let guard = self.ops[self.in_slot(slot).0].action.guard;
            guard == Guard::IsNot(value)
        };
        self.looks.minus(done).iter().any(shuns) || self.swaps.minus(done).iter().any(shuns)
    }

    /// Whether it makes no difference that a value is this one.
    fn is_junk(&self, instance: names::Instance, done: &Slots) -> bool {
        let known = self.names.known(instance);
        known.last_asked <= self.now
            && known.last_shunned <= self.now
            && !self.is_asked(instance, done)
            && !self.is_shunned(known.value, done)
    }

    /// Whether an operation still asks for an instance, and nobody is left to write it.
    fn is_lost(&self, instance: names::Instance, config: (&Slots, &frontier::Used)) -> bool {
        let (done, used) = config;
        let known = self.names.known(instance);
        if !self.limits.ahead
            || instance == JUNK
            || (known.last_asked <= self.now && !self.is_asked(instance, done))
        {
            return false;
        }
        let writes = |slot: &usize| self.names.puts[self.in_slot(*slot).0] == Some(instance);
        let open = Slots::default().plus(&self.writes).plus(&self.swaps);
        let spent = open.minus(&open.minus(done)).iter().filter(writes).count();
        if self.left[instance as usize] as usize > spent {
            return false;
        }
        !self.classes.iter().enumerate().any(|(class, of)| {
            of.action.put == Some(known.value) && self.times_used(class, used) < of.begins.len()
        })
    }

    fn times_used(&self, class: usize, used: &frontier::Used) -> usize {
        let at = used.binary_search_by_key(&(class as u32), |(class, _)| *class);
        at.map_or(0, |at| used[at].1 as usize)
    }
}

impl frontier::Order for Search<'_> {
    fn are_free(&self, slots: Slots, since: Moment) -> bool {
        let free = |slot| self.writes.has(slot) && self.in_slot(slot).1 < since;
        slots.iter().all(free)
    }

    fn are_useless(&self, slots: Slots, done: &Slots) -> bool {
        slots.minus(&self.looks).iter().all(|slot| {
            let (op, _) = self.in_slot(slot);
            let Some(instance) = self.names.puts[op] else {
                return true;
            };
            let known = self.names.known(instance);
            // It could be of use to one that needs another value, too.
            let after = self.shunners.partition_point(|begin| *begin <= self.now);
            let next = self.shunners.get(after).copied().unwrap_or(NEVER);
            let shunning = |slot| {
                let guard = self.ops[self.in_slot(slot).0].action.guard;
                matches!(guard, Guard::IsNot(_))
            };
            known.last_asked <= self.now
                && known.last_shunned != NEVER
                && !self.is_asked(instance, done)
                && next > self.names.gone(op)
                && !self.looks.minus(done).iter().any(shunning)
                && !self.swaps.minus(done).iter().any(shunning)
        })
    }
}
