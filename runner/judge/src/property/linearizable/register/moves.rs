//! What open operations can do to a configuration so that one of them takes effect.

use std::collections::{BTreeMap, BTreeSet};

use super::frontier::{Config, Frontier, Slots, Used};
use super::names::{Instance, JUNK, Moment, NEVER};
use super::{Action, Guard, Search};

/// How long a chain of operations of unknown outcome may be that makes one possible.
const MAX_CHAIN: usize = 6;

/// How many writes a thrifty search tries where any will do.
const FEW_WRITES: usize = 2;

/// A configuration on the way.
#[derive(Debug, Clone)]
struct State {
    /// Nothing before the first operation that is put before an earlier one.
    value: Option<Instance>,
    done: Slots,
    used: Used,
    /// Whether it contains a plain write.
    headed: bool,
}

/// Where operations are put.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The moment at which they take effect: what began later cannot.
    at: Moment,
    /// The moment of the last plain write of the configuration.
    since: Moment,
    /// Whether it is before that write, so that the value afterwards is of no importance.
    aside: bool,
}

/// From which values the operation that returns can be reached without a plain write.
#[derive(Debug, Clone, Default)]
struct Relevant {
    instances: BTreeSet<Instance>,
    values: BTreeSet<u32>,
    all: bool,
}

/// States that were visited, with what they used.
type Visited = BTreeMap<(Option<Instance>, Slots, bool), Vec<Used>>;

impl Search<'_> {
    /// Adds a configuration under the name that its value has by now.
    pub(super) fn keep(&mut self, mut config: Config, after: &mut Frontier) {
        if self.is_junk(config.value, &config.done) {
            config.value = JUNK;
        }
        let mut steps = 0;
        after.insert(config, self, &mut steps);
        self.steps += steps;
    }

    /// Adds all configurations in which the operation of a slot has taken effect, last of all.
    pub(super) fn expand(&mut self, config: &Config, target: usize, after: &mut Frontier) {
        let relevant = self.relevant(target, &config.done);
        let start = State {
            value: Some(config.value),
            done: config.done,
            used: config.used.clone(),
            headed: false,
        };
        let place = Place {
            at: self.now,
            since: config.since,
            aside: false,
        };
        self.explore(vec![start], place, target, &relevant, |search, state| {
            let since = if state.headed { place.at } else { place.since };
            let config = Config {
                value: state.value.unwrap_or(JUNK),
                since,
                done: state.done,
                used: state.used,
            };
            search.keep(config, after);
        });
        if self.in_slot(target).1 >= config.since {
            return;
        }
        let place = Place {
            at: config.since,
            since: config.since,
            aside: true,
        };
        let start = State {
            value: None,
            done: config.done,
            used: config.used.clone(),
            headed: false,
        };
        self.explore(vec![start], place, target, &relevant, |search, state| {
            let last = state.value.unwrap_or(JUNK);
            if !search.is_lost(last, (&state.done, &state.used)) {
                let config = Config {
                    done: state.done,
                    used: state.used,
                    ..config.clone()
                };
                search.keep(config, after);
            }
        });
    }

    /// Explores what can happen at a place until the operation of a slot has taken effect; aside,
    /// also what can happen after it.
    fn explore(
        &mut self,
        mut todo: Vec<State>,
        place: Place,
        target: usize,
        relevant: &Relevant,
        mut emit: impl FnMut(&mut Self, State),
    ) {
        let mut visited = Visited::new();
        while let Some(state) = todo.pop() {
            self.steps += 1;
            if self.steps > self.limits.steps {
                return;
            }
            let reached = state.done.has(target);
            if reached {
                emit(self, state.clone());
                if !place.aside {
                    continue;
                }
            }
            let mut next = Vec::new();
            if let Some(value) = state.value {
                self.swap(&state, value, place, &mut next);
                if !self.limits.thrifty {
                    self.chain(&state, value, place, &mut next);
                }
                if state.headed && !reached {
                    let leads = |to: &State| {
                        to.done.has(target) || to.value.is_some_and(|to| relevant.has(self, to))
                    };
                    next.retain(leads);
                }
            }
            if !state.headed && !reached {
                self.write(&state, place, target, relevant, &mut next);
            }
            for state in next {
                let key = (state.value, state.done, state.headed);
                let seen = visited.entry(key).or_default();
                if !seen.contains(&state.used) {
                    seen.push(state.used.clone());
                    todo.push(state);
                }
            }
        }
    }

    /// The state after an operation that leads to a value, unless one that is needed is lost.
    fn reach(
        &mut self,
        from: &State,
        done: Slots,
        used: Used,
        to: Instance,
        place: Place,
    ) -> Option<State> {
        self.steps += 1;
        if let Some(old) = from.value
            && old != to
            && self.is_lost(old, (&done, &used))
        {
            return None;
        }
        Some(State {
            value: Some(to),
            done: self.absorb(to, done, place.at),
            used,
            headed: from.headed,
        })
    }

    /// Lets all operations take effect that leave the value as it is and can.
    fn absorb(&self, value: Instance, mut done: Slots, at: Moment) -> Slots {
        for slot in self.looks.minus(&done).iter() {
            let (op, begin) = self.in_slot(slot);
            if begin < at && self.holds(op, value) {
                done = done.with(slot);
            }
        }
        done
    }

    /// What operations with a known outcome do that need a value.
    fn swap(&mut self, state: &State, value: Instance, place: Place, out: &mut Vec<State>) {
        // Of those that do the same: the one that ends first, and if it could be of use before the
        // last plain write, also the one that ends first of those that could not.
        let mut best: BTreeMap<(Guard, Instance, bool), (Moment, usize)> = BTreeMap::new();
        for slot in self.swaps.minus(&state.done).iter() {
            let (op, begin) = self.in_slot(slot);
            if begin >= place.at || !self.holds(op, value) {
                continue;
            }
            let put = self.names.puts[op].unwrap_or(JUNK);
            let late = !place.aside && !state.headed && begin >= place.since;
            let end = (self.names.end[op], slot);
            let entry = best
                .entry((self.ops[op].action.guard, put, late))
                .or_insert(end);
            *entry = (*entry).min(end);
        }
        for ((_, put, _), (_, slot)) in best {
            let done = state.done.with(slot);
            out.extend(self.reach(state, done, state.used.clone(), put, place));
        }
    }

    /// What plain writes do that lead to the operation of a slot.
    fn write(
        &mut self,
        state: &State,
        place: Place,
        target: usize,
        relevant: &Relevant,
        out: &mut Vec<State>,
    ) {
        let headed = State {
            headed: true,
            ..state.clone()
        };
        if self.writes.has(target) {
            let put = self.names.puts[self.in_slot(target).0].unwrap_or(JUNK);
            let done = state.done.with(target);
            out.extend(self.reach(&headed, done, state.used.clone(), put, place));
            return;
        }
        let mut best: BTreeMap<Instance, (Moment, usize, Instance)> = BTreeMap::new();
        for slot in self.writes.minus(&state.done).iter() {
            let (op, begin) = self.in_slot(slot);
            let put = self.names.puts[op].unwrap_or(JUNK);
            if begin >= place.at || !relevant.has(self, put) {
                continue;
            }
            let junk = self.is_junk(put, &state.done);
            let end = (self.names.end[op], slot, put);
            let entry = best.entry(if junk { JUNK } else { put }).or_insert(end);
            *entry = (*entry).min(end);
        }
        // Where any write will do, those are tried that nobody asks for and that end first.
        let mut best: Vec<(Instance, (Moment, usize, Instance))> = best.into_iter().collect();
        if self.limits.thrifty && relevant.all {
            best.sort_by_key(|(name, end)| (*name != JUNK, *end));
            best.truncate(FEW_WRITES);
        }
        for (_, (_, slot, put)) in best {
            let done = state.done.with(slot);
            out.extend(self.reach(&headed, done, state.used.clone(), put, place));
        }
        let mut has_junk = false;
        for class in 0..self.classes.len() {
            let Action {
                guard: Guard::Any,
                put: Some(value),
            } = self.classes[class].action
            else {
                continue;
            };
            // The value is worth what those make of it that ask for it.
            for put in self.names.possible(value, place.at) {
                let junk =
                    self.names.is_forgotten(value, self.now) && self.is_junk(put, &state.done);
                if !relevant.has(self, put) || (junk && has_junk) {
                    continue;
                }
                if let Some(used) = self.using(class, &state.used, place.at) {
                    has_junk |= junk;
                    out.extend(self.reach(&headed, state.done, used, put, place));
                }
            }
        }
    }

    /// What chains of operations of unknown outcome lead to, each of which needs a value: to values
    /// that an open operation asks for.
    fn chain(&mut self, state: &State, value: Instance, place: Place, out: &mut Vec<State>) {
        if !self
            .classes
            .iter()
            .any(|class| class.action.guard != Guard::Any)
        {
            return;
        }
        let open = self.looks.plus(&self.swaps).minus(&state.done);
        let from = self.names.known(value).value;
        let mut wanted: BTreeSet<Instance> = BTreeSet::new();
        for slot in open.iter() {
            let (op, begin) = self.in_slot(slot);
            if begin >= place.at {
                continue;
            }
            wanted.extend(self.names.asks[op]);
            if self.ops[op].action.guard == Guard::IsNot(from) {
                let moved = self
                    .classes
                    .iter()
                    .filter(|class| class.action.guard == Guard::Is(from));
                let puts = moved.filter_map(|class| class.action.put);
                wanted.extend(puts.flat_map(|put| self.names.possible(put, place.at)));
            }
        }
        for to in wanted {
            let target = self.names.known(to).value;
            if target == from {
                continue;
            }
            let mut ways = Vec::new();
            let mut path = vec![target];
            self.ways((from, target), &state.used, place.at, &mut path, &mut ways);
            for used in ways {
                out.extend(self.reach(state, state.done, used, to, place));
            }
        }
    }

    /// The chains of optional operations from one value to another, backwards.
    fn ways(
        &mut self,
        (from, wanted): (u32, u32),
        used: &Used,
        at: Moment,
        path: &mut Vec<u32>,
        out: &mut Vec<Used>,
    ) {
        for class in 0..self.classes.len() {
            let action = self.classes[class].action;
            let Guard::Is(needed) = action.guard else {
                continue;
            };
            if action.put != Some(wanted) {
                continue;
            }
            self.steps += 1;
            let Some(used) = self.using(class, used, at) else {
                continue;
            };
            if needed == from {
                out.push(used);
            } else if !path.contains(&needed) {
                if path.len() >= MAX_CHAIN {
                    let why = "too many operations that need a value have an unknown outcome";
                    self.incomplete.get_or_insert_with(|| why.to_owned());
                    continue;
                }
                path.push(needed);
                self.ways((from, needed), &used, at, path, out);
                path.pop();
            }
        }
    }

    /// The uses with one more of a class, if there is one more at that moment.
    fn using(&self, class: usize, used: &Used, at: Moment) -> Option<Used> {
        let begins = &self.classes[class].begins;
        let available = begins.partition_point(|begin| *begin < at);
        if self.times_used(class, used) >= available {
            return None;
        }
        let mut used = used.clone();
        let class = class as u32;
        match used.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => used[at].1 += 1,
            Err(at) => used.insert(at, (class, 1)),
        }
        Some(used)
    }

    /// From which values the operation of a slot can be reached.
    fn relevant(&self, target: usize, done: &Slots) -> Relevant {
        let mut out = Relevant::default();
        let (op, _) = self.in_slot(target);
        out.add(self, op);
        loop {
            let before = (out.instances.len(), out.values.len(), out.all);
            for slot in self.swaps.minus(done).iter() {
                let (op, _) = self.in_slot(slot);
                if self.names.puts[op].is_some_and(|put| out.has(self, put)) {
                    out.add(self, op);
                }
            }
            for class in &self.classes {
                if let Action {
                    guard: Guard::Is(needed),
                    put: Some(put),
                } = class.action
                    && (out.all || out.values.contains(&put))
                {
                    out.values.insert(needed);
                }
            }
            if before == (out.instances.len(), out.values.len(), out.all) {
                return out;
            }
        }
    }
}

impl Relevant {
    /// From what an operation needs, it can be reached.
    fn add(&mut self, search: &Search<'_>, op: usize) {
        match search.ops[op].action.guard {
            Guard::Any => {}
            Guard::IsNot(_) => self.all = true,
            Guard::Is(value) => {
                self.instances.extend(search.names.asks[op]);
                self.values.insert(value);
            }
        }
    }

    /// Whether it is enough to reach an instance. One of a value that operations of unknown outcome
    /// can go on from is.
    fn has(&self, search: &Search<'_>, instance: Instance) -> bool {
        if self.all || self.instances.contains(&instance) {
            return true;
        }
        let known = search.names.known(instance);
        known.last_shunned == NEVER && self.values.contains(&known.value)
    }
}
