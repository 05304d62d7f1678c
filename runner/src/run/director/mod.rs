//! Decides when which fault hits whom, from the plan and the tape alone.
//!
//! The director is a state machine in virtual time: the run loop asks for its next moment, tells it
//! when that moment has come and what the guests did, and carries out the deeds that it returns.
//! Times here are nanoseconds since all nodes were ready, as in the plan.
//!
//! What the plan leaves open is decided here, once:
//! - A fault that the budget forbids waits if it has a moment of its own (`at`, `between`, `after`)
//!   and is tried again whenever another fault ends; an occasion of `every` or `random` is left out,
//!   because the next one comes anyway.
//! - `budget gap=` counts from the beginning of one fault to the beginning of the next.
//! - A partition cuts off the nodes that are not on its largest side.

mod act;
mod agenda;
mod budget;
mod draw;
mod effect;
mod full;
mod guest;
mod kinds;
mod nodes;
mod pick;
mod prepare;
#[cfg(test)]
mod tests;
mod wall;
mod words;

use std::collections::{BTreeMap, VecDeque};

use chaosrun_vmm::tape::{Stream, Tape};
use chaosrun_vmm::world::Command;

use crate::outcome::event::Fault as FaultEvent;
use crate::plan::Plan;
use crate::plan::fault::{Fault, Signal, Trigger};
use crate::property::checker::Line;
use crate::property::pattern::Matcher;
use agenda::{Agenda, Item};
use budget::Ledger;
use effect::Undo;
use guest::{Order, Sent};
use nodes::Nodes;

pub use words::kdl;

/// What the run has to do for the director, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// Something for the world.
    World(Command),
    /// A fault began, ended or was left out: a record for the reports.
    Record {
        /// A number that no other fault of the run has.
        id: u64,
        /// The name that the plan gives the fault or its generator.
        source: String,
        /// Which of these.
        stage: Stage,
        /// What it is and whom it hits.
        fault: FaultEvent,
    },
    /// The quiet period begins.
    Quiet,
}

/// What a record says about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It begins.
    Begin,
    /// It happens in a moment.
    Moment,
    /// It ends.
    End,
    /// The budget forbade it for good, or nobody could be hit.
    LeftOut,
    /// A node did not do it.
    WithoutEffect {
        /// Whether that is true of all whom it hit.
        entirely: bool,
    },
}

/// Something that a guest did, to which triggers react.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening<'a> {
    /// It sent an SDK event of this name.
    Event(&'a str),
    /// Its console shows this line, or as much of it as there is.
    Console(&'a Line<'a>),
}

/// A fault that goes on.
#[derive(Debug, Clone)]
struct Active {
    source: String,
    event: FaultEvent,
    undo: Vec<Undo>,
}

/// A trigger that waits for something in a guest.
#[derive(Debug, Clone)]
struct Watch {
    trigger: usize,
    pattern: Wanted,
    nodes: Vec<usize>,
    left: u64,
    /// The line of each node's console that was the last to match: a line is one occasion, in however
    /// many pieces it comes.
    matched: BTreeMap<usize, u64>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Event(String),
    Console(Box<Matcher>),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Director<'p> {
    plan: &'p Plan,
    tape: Tape,
    streams: BTreeMap<String, Stream>,
    sets: BTreeMap<&'p str, Vec<usize>>,
    agenda: Agenda,
    watches: Vec<Watch>,
    active: BTreeMap<u64, Active>,
    /// Faults that the budget made wait, oldest first.
    waiting: VecDeque<(usize, usize)>,
    nodes: Nodes,
    ledger: Ledger,
    next_id: u64,
    /// When the last fault ended or, without duration, happened.
    last_fault: Option<u64>,
    deeds: Vec<Deed>,
    /// The moment of what is being done.
    now: u64,
    /// What nodes were told and have not answered, by the number of the command.
    orders: BTreeMap<u64, Order>,
    /// Faults of which nodes were told something, by number.
    sent: BTreeMap<u64, Sent>,
    /// What faults did and could not be undone, in sentences.
    unhealed: Vec<String>,
}

impl<'p> Director<'p> {
    /// A director of `plan`, whose choices come from `tape`.
    #[must_use]
    pub fn new(plan: &'p Plan, tape: &Tape) -> Self {
        let index: BTreeMap<&str, usize> = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (node.name.as_str(), i))
            .collect();
        let members = |names: &[String]| {
            let known = names.iter().filter_map(|name| index.get(name.as_str()));
            known.copied().collect::<Vec<usize>>()
        };
        let sets = plan.node_sets.iter();
        let mut director = Self {
            plan,
            tape: tape.clone(),
            streams: BTreeMap::new(),
            sets: sets
                .map(|(name, names)| (name.as_str(), members(names)))
                .collect(),
            agenda: Agenda::default(),
            watches: Vec::new(),
            active: BTreeMap::new(),
            waiting: VecDeque::new(),
            nodes: Nodes::new(plan),
            ledger: Ledger::new(plan.faults.budget.clone()),
            next_id: 1,
            last_fault: None,
            deeds: Vec::new(),
            now: 0,
            orders: BTreeMap::new(),
            sent: BTreeMap::new(),
            unhealed: Vec::new(),
        };
        director.schedule_all();
        director
    }

    /// The next moment at which it wants to act.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.agenda.next()
    }

    /// When the last fault ended or, without a duration, happened; faults may still go on.
    #[must_use]
    pub fn last_fault(&self) -> Option<u64> {
        self.last_fault
    }

    /// Whether a fault goes on.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        !self.active.is_empty()
    }

    /// Does everything that is due at or before `now`.
    pub fn advance(&mut self, now: u64) -> Vec<Deed> {
        while let Some((at, item)) = self.agenda.pop_due(now) {
            // A fault that began in the past would be told behind what it did.
            assert!(self.now <= at, "{at} is before {}", self.now);
            self.handle(at, item);
        }
        debug_assert!(
            self.ledger
                .is_kept(&self.nodes.down(), |id| self.active.contains_key(&id))
        );
        std::mem::take(&mut self.deeds)
    }

    /// Tells what the guest of a node did at `now`. Triggers act on it later, at a moment of the
    /// agenda, which may be this one.
    pub fn observe(&mut self, now: u64, node: usize, happening: Happening<'_>) {
        let mut hits = Vec::new();
        for watch in &mut self.watches {
            if watch.left > 0
                && watch.nodes.contains(&node)
                && watch.pattern.matches(happening)
                && watch.is_new(node, happening)
            {
                watch.left -= 1;
                hits.push(watch.trigger);
            }
        }
        for trigger in hits {
            let scheduled = &self.plan.faults.schedule[trigger];
            let Trigger::After { delay, .. } = &scheduled.trigger else {
                continue;
            };
            let wait = self
                .stream(&scheduled.name)
                .range(delay.min_ns, delay.max_ns);
            self.agenda
                .add(now.saturating_add(wait), Item::Trigger(trigger));
        }
    }

    /// Tells that a node ended by itself, so that no fault counts on it.
    pub fn ended(&mut self, node: usize) {
        self.nodes.ended(node);
        self.life_is_over(node);
    }

    /// A node that ended by itself is about to start again at `now`. False if it has not ended, or has
    /// started.
    pub fn rebooted(&mut self, now: u64, node: usize) -> bool {
        let starts = self.nodes.rebooted(node);
        if starts {
            // A fault may wait for somebody whom it can hit.
            self.agenda.add(now, Item::Retry);
        }
        starts
    }

    fn handle(&mut self, at: u64, item: Item) {
        self.now = at;
        let quiet = self.plan.faults.quiet_from_ns;
        match item {
            Item::Quiet => self.calm_down(at),
            _ if at >= quiet => {}
            Item::Trigger(trigger) => self.pull(at, trigger),
            Item::Every {
                trigger,
                occurrence,
            } => self.occasion(at, trigger, occurrence),
            Item::Generator(generator) => self.generate(at, generator),
            Item::End(id) => self.end(at, id),
            Item::Start { node, boot } => {
                if self.nodes.is_down_since(node, boot) {
                    self.start_node(node);
                    self.retry(at);
                }
            }
            Item::ProcessBack { id, node } => self.process_back(at, id, node),
            Item::Tick {
                id,
                node,
                period_ns,
            } => self.tick(at, id, node, period_ns),
            Item::Retry => self.retry(at),
        }
    }

    /// Puts everything of the plan that has a moment on the agenda.
    fn schedule_all(&mut self) {
        self.agenda.add(self.plan.faults.quiet_from_ns, Item::Quiet);
        for (index, scheduled) in self.plan.faults.schedule.iter().enumerate() {
            match &scheduled.trigger {
                Trigger::At { at_ns } => self.agenda.add(*at_ns, Item::Trigger(index)),
                Trigger::Every {
                    start_ns,
                    jitter_ns,
                    ..
                } => {
                    let late = self.stream(&scheduled.name).range(0, *jitter_ns);
                    let first = Item::Every {
                        trigger: index,
                        occurrence: 0,
                    };
                    self.agenda.add(start_ns.saturating_add(late), first);
                }
                Trigger::Between {
                    start_ns,
                    end_ns,
                    times,
                } => {
                    let last = end_ns.saturating_sub(1).max(*start_ns);
                    for _ in 0..*times {
                        let at = self.stream(&scheduled.name).range(*start_ns, last);
                        self.agenda.add(at, Item::Trigger(index));
                    }
                }
                Trigger::After {
                    signal, on, times, ..
                } => {
                    let watch = Watch {
                        trigger: index,
                        pattern: Wanted::new(signal),
                        nodes: self.sets.get(on.as_str()).cloned().unwrap_or_default(),
                        left: *times,
                        matched: BTreeMap::new(),
                    };
                    self.watches.push(watch);
                }
            }
        }
        for index in 0..self.plan.faults.random.len() {
            self.next_of_generator(self.plan.faults.random[index].start_ns, index);
        }
    }

    /// The faults of a trigger with a moment of its own.
    fn pull(&mut self, at: u64, trigger: usize) {
        for index in 0..self.plan.faults.schedule[trigger].faults.len() {
            if !self.try_start(at, self.fault(trigger, index)) {
                self.waiting.push_back((trigger, index));
            }
        }
    }

    /// One occasion of `every`, and the next one.
    fn occasion(&mut self, at: u64, trigger: usize, occurrence: u64) {
        let scheduled = &self.plan.faults.schedule[trigger];
        let Trigger::Every {
            period_ns,
            jitter_ns,
            start_ns,
            until_ns,
            times,
        } = scheduled.trigger
        else {
            return;
        };
        if at >= until_ns || times.is_some_and(|times| occurrence >= times) {
            return;
        }
        for index in 0..scheduled.faults.len() {
            let fault = self.fault(trigger, index);
            if !self.try_start(at, fault) {
                self.leave_out(&fault.name, &fault.action);
            }
        }
        let next = occurrence + 1;
        let late = self.stream(&scheduled.name).range(0, jitter_ns);
        // Occasions keep their rhythm: the jitter of one does not shift the ones behind it.
        let moment = start_ns
            .saturating_add(period_ns.saturating_mul(next))
            .saturating_add(late);
        self.agenda.add(
            moment.max(at),
            Item::Every {
                trigger,
                occurrence: next,
            },
        );
    }

    /// Tries the faults that wait, oldest first.
    fn retry(&mut self, at: u64) {
        for _ in 0..self.waiting.len() {
            let Some((trigger, index)) = self.waiting.pop_front() else {
                break;
            };
            if !self.try_start(at, self.fault(trigger, index)) {
                self.waiting.push_back((trigger, index));
            }
        }
    }

    fn fault(&self, trigger: usize, index: usize) -> &'p Fault {
        &self.plan.faults.schedule[trigger].faults[index]
    }

    /// Everything heals, and nothing more goes wrong.
    fn calm_down(&mut self, at: u64) {
        // These first: each fault that ends makes room for one that waits.
        for (trigger, index) in std::mem::take(&mut self.waiting) {
            let fault = self.fault(trigger, index);
            self.leave_out(&fault.name, &fault.action);
        }
        for id in self.active.keys().copied().collect::<Vec<u64>>() {
            self.end(at, id);
        }
        for node in self.nodes.down() {
            self.start_node(node);
        }
        self.assert_calm();
        self.deeds.push(Deed::Quiet);
    }

    /// Liveness is judged from here on, so that whatever a fault still did would be blamed on the system
    /// under test, or excuse it.
    fn assert_calm(&self) {
        let (active, waiting) = (&self.active, &self.waiting);
        assert!(active.is_empty(), "faults after the quiet: {active:?}");
        assert!(waiting.is_empty(), "faults that wait for ever: {waiting:?}");
        let disturbed = self.nodes.disturbed();
        assert!(
            disturbed.is_none(),
            "disturbed after the quiet: {disturbed:?}"
        );
    }

    fn stream(&mut self, name: &str) -> &mut Stream {
        let tape = &self.tape;
        self.streams
            .entry(name.to_owned())
            .or_insert_with(|| tape.stream(&format!("fault/{name}")))
    }

    fn set(&self, name: &str) -> Vec<usize> {
        self.sets.get(name).cloned().unwrap_or_default()
    }
}

impl Watch {
    /// Whether a match is not of a line that has matched before.
    fn is_new(&mut self, node: usize, happening: Happening<'_>) -> bool {
        match happening {
            Happening::Event(_) => true,
            Happening::Console(line) => self.matched.insert(node, line.number) != Some(line.number),
        }
    }
}

impl Wanted {
    fn new(signal: &Signal) -> Self {
        use crate::plan::model::Pattern;
        match signal {
            Signal::Event { name } => Self::Event(name.clone()),
            // Plans are checked when they are made; a pattern that does not compile is seen there.
            Signal::Console { pattern } => {
                Self::Console(Box::new(Matcher::new(pattern).unwrap_or_else(|_| {
                    let (Pattern::Text(text) | Pattern::Regex(text)) = pattern;
                    Matcher::Text(text.clone())
                })))
            }
        }
    }

    fn matches(&self, happening: Happening<'_>) -> bool {
        match (self, happening) {
            (Self::Event(name), Happening::Event(sent)) => name == sent,
            (Self::Console(pattern), Happening::Console(line)) => pattern.is_in(line),
            _ => false,
        }
    }
}
