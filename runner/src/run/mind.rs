//! What observes a run and decides: judges, readiness, record, consoles, and the director of faults.
//!
//! A mind knows of the world only what it is shown, and says what is to be done as commands. So a copy of
//! it that is shown the same comes to the same, and a checkpoint of a run is its world's state and a copy
//! of its mind.

use chaosrun_vmm::machine::{MachineEvent, StateHash, Stop};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::{Command, Counters, WorldEvent, WorldEventKind};

use super::allowance::Allowance;
use super::director::{Deed, Director, Happening, Stage};
use super::faults::FaultLog;
use super::lines::{Console, recorded};
use super::lives::Life;
use super::notes::notes;
use super::outcome::{End, Outcome};
use super::prospects::Prospects;
use super::readiness::Readiness;
use super::record::{Record, fault};
use crate::outcome::event::EventKind;
use crate::plan::Plan;
use crate::property::checker::Line;
use crate::property::decode::decode;
use crate::property::exit::loses_memory;
use crate::property::observation::{
    InitReport, NodeChange, Observation, ObservationKind, Phase, Stuck,
};
use crate::property::{End as JudgedEnd, EndKind, Judge};

/// The number of init among the processes of a node.
const INIT: u32 = 1;

/// See the module. Times are nanoseconds of virtual time since power-on.
#[derive(Clone)]
pub(super) struct Mind<'a> {
    plan: &'a Plan,
    director: Director<'a>,
    judge: Judge,
    readiness: Readiness,
    prospects: Prospects,
    record: Record,
    faults: FaultLog,
    /// How much more each node may say.
    allowances: Vec<Allowance>,
    lines: Vec<Console>,
    consoles: Vec<Vec<u8>>,
    lives: Vec<Life>,
    /// The number of the last observation or event.
    seq: u64,
    /// The present moment.
    now_ns: u64,
    /// The moment of the last observation.
    told_ns: u64,
    /// Whether the quiet period has begun.
    quiet: bool,
    /// When all nodes were ready.
    ready_ns: Option<u64>,
    unimplemented: Option<String>,
    /// Whether a property is certainly violated.
    failed: bool,
    /// What faults did and could not be undone, in sentences.
    unhealed: Vec<String>,
}

/// What the world itself has to say of a run that is over.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// Instructions of all nodes.
    pub instructions: u64,
    /// The chain of state hashes.
    pub chain: Vec<StateHash>,
    /// What the engines could not keep from the guests, for each node that it is about.
    pub caveats: Vec<(usize, String)>,
    /// The networks whose traffic is recorded in part only.
    pub captures_cut: Vec<String>,
    /// What went wrong on the host without ending the run.
    pub trouble: Vec<String>,
    /// What networks and disks did.
    pub counters: Counters,
}

impl<'a> Mind<'a> {
    /// The mind of a run before power-on.
    pub fn new(plan: &'a Plan, tape: &Tape) -> Self {
        let nodes = plan.nodes.len();
        let consoles = plan.nodes.iter().map(|node| Console::new(&node.name));
        Self {
            plan,
            director: Director::new(plan, tape),
            judge: Judge::new(plan),
            readiness: Readiness::new(plan),
            prospects: Prospects::new(plan),
            record: Record::new(nodes),
            faults: FaultLog::default(),
            allowances: vec![Allowance::default(); nodes],
            lines: consoles.collect(),
            consoles: vec![Vec::new(); nodes],
            lives: vec![Life::default(); nodes],
            seq: 0,
            now_ns: 0,
            told_ns: 0,
            quiet: false,
            ready_ns: None,
            unimplemented: None,
            failed: false,
            unhealed: Vec::new(),
        }
    }

    /// When all nodes were ready, if they are.
    pub fn ready_ns(&self) -> Option<u64> {
        self.ready_ns
    }

    /// The moment at which the present phase ends.
    pub fn end_ns(&self) -> u64 {
        match self.ready_ns {
            Some(ready) => ready.saturating_add(self.plan.run.duration_ns),
            None => self.plan.ready.within_ns,
        }
    }

    /// How long all nodes have been ready.
    fn since_ready(&self) -> u64 {
        let ready = self.ready_ns;
        ready.map_or(0, |ready| self.now_ns.saturating_sub(ready))
    }

    /// The next moment at which it has to act or to look, after the present one.
    pub fn next_moment(&self) -> Option<u64> {
        let directed = self
            .ready_ns
            .and_then(|ready| Some(ready.saturating_add(self.director.next()?)));
        let readiness = self.readiness.moment();
        let readiness = readiness.filter(|_| self.ready_ns.is_none());
        let moments = [Some(self.end_ns()), directed, readiness];
        let reboots = self.lives.iter().filter_map(Life::reboot);
        let rests = self.lines.iter().filter_map(Console::rests_at);
        let moments = moments.into_iter().flatten().chain(reboots).chain(rests);
        moments.filter(|moment| *moment > self.now_ns).min()
    }

    /// Time has come to `now`, and this is what the world did until then, in order.
    pub fn pass(&mut self, now: u64, events: Vec<WorldEvent>) {
        // Judges, readiness and triggers reason about what comes first, so that a verdict about events
        // in another order would be a wrong one.
        let before = self.now_ns;
        assert!(before <= now, "time went back from {before} to {now}");
        let mut times = events.iter().map(|event| event.time.as_nanos());
        assert!(
            times.clone().is_sorted() && times.all(|time| (before..=now).contains(&time)),
            "events that did not happen between {before} and {now}, or not in this order: {events:?}"
        );
        self.now_ns = now;
        // What has happened up to now comes first, or it would be told as the past.
        for event in events {
            self.take(event);
        }
        self.rest();
        self.failed |= self.judge.advance(now);
    }

    /// Looks who is ready. True if this was the moment at which all are.
    pub fn check_ready(&mut self) -> bool {
        for node in self.readiness.time(self.now_ns) {
            self.tell_node(self.now_ns, node, NodeChange::Ready);
        }
        let all = self.ready_ns.is_none() && self.readiness.missing().is_empty();
        if all {
            self.ready_ns = Some(self.now_ns);
            let kind = ObservationKind::Phase(Phase::Ready);
            self.tell(self.now_ns, None, None, kind);
        }
        all
    }

    /// What is to be done to the world at the present moment, in order.
    pub fn act(&mut self) -> Vec<Command> {
        let mut commands = self.reboots();
        if self.ready_ns.is_some() {
            let deeds = self.director.advance(self.since_ready());
            commands.extend(self.carry_out(deeds));
        }
        commands
    }

    /// Why the run is over at the present moment, if it is.
    pub fn over(&self) -> Option<End> {
        if let Some(what) = &self.unimplemented {
            return Some(End::Unimplemented(what.clone()));
        }
        if self.plan.run.stop_on_failure && self.failed {
            return Some(End::Failed);
        }
        if let Some(end) = self.never_ready() {
            return Some(end);
        }
        (self.now_ns >= self.end_ns()).then(|| match self.ready_ns {
            Some(_) => End::Complete,
            None => End::NotReady(self.readiness.missing()),
        })
    }

    /// The end of a run that waits for nodes of which some can no longer become ready.
    fn never_ready(&self) -> Option<End> {
        if self.ready_ns.is_some() {
            return None;
        }
        let lost = self.prospects.lost(&self.readiness.missing());
        (!lost.is_empty()).then_some(End::NeverReady(lost))
    }

    /// Starts the nodes again that reset themselves.
    fn reboots(&mut self) -> Vec<Command> {
        let since = self.since_ready();
        let mut commands = Vec::new();
        for node in 0..self.lives.len() {
            // A fault may have started it before.
            if self.lives[node].reboots(self.now_ns) && self.director.rebooted(since, node) {
                commands.push(Command::Start { node });
            }
        }
        commands
    }

    /// Tells what the director does, and returns what of it is for the world.
    fn carry_out(&mut self, deeds: Vec<Deed>) -> Vec<Command> {
        let now = self.now_ns;
        let mut commands = Vec::new();
        for deed in deeds {
            match deed {
                Deed::World(command) => {
                    if let Some((node, change)) = change(&command) {
                        if change == NodeChange::Crashed {
                            self.lives[node].crashes += 1;
                        }
                        self.tell_node(now, node, change);
                    }
                    commands.push(command);
                }
                Deed::Quiet => {
                    self.quiet = true;
                    self.tell(now, None, None, ObservationKind::Phase(Phase::Quiet));
                }
                Deed::Record {
                    id,
                    source,
                    stage,
                    fault: event,
                } => {
                    let begins = matches!(stage, Stage::Begin | Stage::Moment);
                    // Liveness is judged from there on, without regard to faults.
                    assert!(
                        !(self.quiet && begins),
                        "a fault in the quiet period: {event:?}"
                    );
                    if stage == (Stage::WithoutEffect { entirely: true }) {
                        self.record.did_nothing(&event.name);
                    }
                    let shown = self.faults.record(now, id, stage, source, event.clone());
                    self.seq += 1;
                    self.record.add(self.seq, now, None, fault(now, shown));
                    if begins {
                        let (class, nodes) = (event.class, event.affected_nodes);
                        let kind = ObservationKind::FaultBegan { id, class, nodes };
                        self.tell(now, None, None, kind);
                    }
                    if matches!(stage, Stage::End | Stage::Moment) {
                        self.tell(now, None, None, ObservationKind::FaultEnded { id });
                    }
                }
            }
        }
        commands
    }

    /// Takes notice of what the world did.
    fn take(&mut self, event: WorldEvent) {
        let time = event.time.as_nanos();
        let Some(node) = event.node else {
            return;
        };
        match event.kind {
            WorldEventKind::Machine(event) => self.heard(time, node, event),
            WorldEventKind::Stopped(stop) => self.stopped(time, node, &stop),
            WorldEventKind::Started => {
                self.prospects.started(node);
                let change = if self.lives[node].started() {
                    NodeChange::Booting
                } else {
                    NodeChange::Restarted
                };
                self.tell_node(time, node, change);
            }
        }
    }

    /// Takes notice of what a machine gave out.
    fn heard(&mut self, time: u64, node: usize, event: MachineEvent) {
        match event {
            MachineEvent::Console(bytes) => self.console(time, node, bytes),
            MachineEvent::Sdk(bytes) => self.sdk(time, node, &bytes),
            MachineEvent::BadSdkCall(why) => {
                if !self.allowances[node].takes(time, 0) {
                    return;
                }
                let kind = ObservationKind::BadMessage { why };
                self.tell(time, Some(node), None, kind);
            }
            MachineEvent::Control(_) => {}
            MachineEvent::IgnoresInterrupts { vcpu, rip } => {
                self.lives[node].ignores(vcpu);
                let how = Stuck::InterruptsOff { vcpu, rip };
                self.tell_node(time, node, NodeChange::Stuck { how });
            }
            MachineEvent::TakesInterrupts { vcpu } => {
                if self.lives[node].takes(vcpu) {
                    self.tell_node(time, node, NodeChange::Unstuck);
                }
            }
        }
    }

    fn console(&mut self, time: u64, node: usize, bytes: Vec<u8>) {
        let config = &self.plan.nodes[node].console;
        let limit = usize::try_from(config.limit_bytes).unwrap_or(usize::MAX);
        let room = limit.saturating_sub(self.consoles[node].len());
        if config.capture {
            let kept = &bytes[..bytes.len().min(room)];
            self.consoles[node].extend_from_slice(kept);
        }
        self.lines_of(time, node, |console, sink| console.push(time, &bytes, sink));
        self.tell(time, Some(node), None, ObservationKind::Console(bytes));
    }

    /// Lets patterns see the unfinished lines that rest.
    fn rest(&mut self) {
        let now = self.now_ns;
        for node in 0..self.lines.len() {
            self.lines_of(now, node, |console, sink| console.rest(now, sink));
        }
    }

    /// Takes the lines that a node's console hands out at `time`.
    fn lines_of(
        &mut self,
        time: u64,
        node: usize,
        hand_out: impl FnOnce(&mut Console, &mut dyn FnMut(&Line<'_>)),
    ) {
        let mut console = std::mem::take(&mut self.lines[node]);
        hand_out(&mut console, &mut |line| self.line(time, node, line));
        self.lines[node] = console;
    }

    /// A console shows a line, or as much of it as there is.
    fn line(&mut self, time: u64, node: usize, line: &Line<'_>) {
        self.lives[node].console(line.text);
        if self.readiness.console(node, line) {
            self.tell_node(time, node, NodeChange::Ready);
        }
        if let Some(ready) = self.ready_ns {
            let since = time.saturating_sub(ready);
            self.director.observe(since, node, Happening::Console(line));
        }
        if let Some(line) = recorded(line) {
            self.seq += 1;
            let name = &self.plan.nodes[node].name;
            self.record
                .add(self.seq, time, Some(name), EventKind::Console { line });
        }
    }

    fn sdk(&mut self, time: u64, node: usize, bytes: &[u8]) {
        if !self.allowances[node].takes(time, bytes.len()) {
            return;
        }
        let (pid, kinds) = decode(bytes);
        for kind in kinds {
            let became_ready = match &kind {
                ObservationKind::Setup { .. } => self.readiness.set_up(node, pid.unwrap_or(0)),
                ObservationKind::Event { name, .. } => {
                    if let Some(ready) = self.ready_ns {
                        let since = time.saturating_sub(ready);
                        self.director.observe(since, node, Happening::Event(name));
                    }
                    self.readiness.event(node, name)
                }
                // Programs can send what init sends, though not in its place.
                ObservationKind::Init(report) if pid == Some(INIT) => {
                    self.direct_guest(node, report);
                    self.prospects.init(node, time, report);
                    false
                }
                _ => false,
            };
            self.tell(time, Some(node), pid, kind);
            if became_ready {
                self.tell_node(time, node, NodeChange::Ready);
            }
        }
    }

    /// Lets the director know what a node's init says.
    fn direct_guest(&mut self, node: usize, report: &InitReport) {
        // Whatever follows is done at the present moment, and lasts from then.
        let since = self.since_ready();
        match report {
            InitReport::Stage(name) if name == "mounted" => self.director.mounted(node),
            // From then on it carries out commands.
            InitReport::Stage(name) if name == "workloads" => self.director.listens(since, node),
            InitReport::Command { id, failure } => {
                let failure = failure.as_deref();
                self.director.answered(since, node, *id, failure);
            }
            _ => {}
        }
    }

    fn stopped(&mut self, time: u64, node: usize, stop: &Stop) {
        self.director.ended(node);
        self.lives[node].ending = Some(stop.to_string());
        let change = match stop {
            Stop::Reached => return,
            Stop::PowerOff => NodeChange::Exited,
            // Guests are started with `panic=-1`, so a panic ends in a reset. Such a node stays down.
            Stop::Reset if self.lives[node].panicked() => NodeChange::Panicked {
                detail: stop.to_string(),
            },
            Stop::Reset => {
                self.lives[node].reset(self.now_ns);
                NodeChange::Reset
            }
            Stop::TripleFault { .. } => NodeChange::TripleFault,
            Stop::HaltedForever { .. } => NodeChange::Stuck {
                how: Stuck::HaltedForEver,
            },
            Stop::Unimplemented(what) => {
                let what = format!("{}: {what}", self.plan.nodes[node].name);
                self.unimplemented = Some(what.clone());
                NodeChange::Unimplemented { what }
            }
        };
        if change != NodeChange::Reset {
            self.prospects.down(node, time, &stop.to_string());
        }
        self.tell_node(time, node, change);
    }

    fn tell_node(&mut self, time: u64, node: usize, change: NodeChange) {
        if loses_memory(&change) {
            self.lines_of(time, node, |console, sink| console.end(sink));
        }
        self.tell(time, Some(node), None, ObservationKind::Node(change));
    }

    /// Shows something to the record and to the judges.
    fn tell(&mut self, time: u64, node: Option<usize>, pid: Option<u32>, kind: ObservationKind) {
        let told = std::mem::replace(&mut self.told_ns, time);
        debug_assert!(
            told <= time && time <= self.now_ns,
            "{kind:?} at {time} is told behind what happened at {told}, at {}",
            self.now_ns
        );
        self.seq += 1;
        let observation = Observation {
            seq: self.seq,
            time_ns: time,
            node: node.map(|node| self.plan.nodes[node].name.as_str()),
            pid,
            kind,
        };
        self.record.observe(&observation);
        self.failed |= self.judge.observe(&observation);
    }

    /// What the end means to the judges.
    fn judged(&self, end: &End) -> EndKind {
        let cut = |why: &str| EndKind::Cut {
            why: why.to_owned(),
        };
        match end {
            End::Complete => EndKind::Completed,
            End::Failed => cut("a property failed"),
            End::NotReady(nodes) => EndKind::NotReady {
                nodes: nodes
                    .iter()
                    .map(|node| self.plan.nodes[*node].name.clone())
                    .collect(),
            },
            End::NeverReady(lost) => EndKind::NeverReady {
                nodes: lost.iter().map(|lost| lost.named(self.plan)).collect(),
            },
            End::Stopped(why) | End::Unimplemented(why) => cut(why),
            End::Diverged => cut("it did not take the expected course"),
        }
    }

    /// Ends the faults that still go on, because the run is over, and returns what is to be done for it.
    pub fn close(&mut self) -> Vec<Command> {
        let (deeds, unhealed) = self.director.close(self.since_ready());
        self.unhealed = unhealed;
        self.carry_out(deeds)
    }

    /// Judges the run, which is over.
    pub fn finish(mut self, end: End, ran: Ran) -> Outcome {
        let now = self.now_ns;
        for node in 0..self.lines.len() {
            self.lines_of(now, node, |console, sink| console.end(sink));
        }
        self.tell(now, None, None, ObservationKind::Phase(Phase::End));
        let judged = JudgedEnd {
            time_ns: now,
            how: self.judged(&end),
        };
        let faults = std::mem::take(&mut self.record.faults);
        let (events, events_dropped) = self.record.finish();
        let mut outcome = Outcome {
            notes: Vec::new(),
            caveats: ran.caveats.into_iter().collect(),
            trouble: ran.trouble,
            unhealed: self.unhealed,
            end,
            ready_ns: self.ready_ns,
            end_ns: now,
            instructions: ran.instructions,
            chain: ran.chain,
            judgements: self.judge.finish(&judged),
            events,
            events_dropped,
            unheard: self.allowances.iter().map(Allowance::refused).collect(),
            captures_cut: ran.captures_cut,
            console_bytes: self.lines.iter().map(Console::bytes).collect(),
            console_lines: self.lines.iter().map(Console::count).collect(),
            faults,
            consoles: self.consoles,
            boots: self.lives.iter().map(|life| life.boots).collect(),
            crashes: self.lives.iter().map(|life| life.crashes).collect(),
            endings: self.lives.into_iter().map(|life| life.ending).collect(),
            counters: ran.counters,
        };
        outcome.notes = notes(self.plan, &outcome);
        outcome
    }
}

/// What a command of the director does to a node, as far as judges look at it.
fn change(command: &Command) -> Option<(usize, NodeChange)> {
    match command {
        Command::Kill { node } | Command::PowerLoss { node, .. } => {
            Some((*node, NodeChange::Crashed))
        }
        Command::Pause { node } => Some((*node, NodeChange::Paused)),
        Command::Resume { node } => Some((*node, NodeChange::Resumed)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
