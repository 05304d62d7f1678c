//! The loop of a run.

use chaosrun_vmm::machine::{MachineEvent, StateHash, Stop};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{Command, World, WorldError, WorldEvent, WorldEventKind};

use super::allowance::Allowance;
use super::cluster::is_cut;
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

/// What a run needs.
pub struct Setup<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// Where all choices come from.
    pub tape: &'a Tape,
    /// The cluster, before its first window.
    pub world: World,
}

/// How far a run has come. Times are nanoseconds of virtual time since power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The present moment.
    pub now_ns: u64,
    /// When all nodes were ready, if they are.
    pub ready_ns: Option<u64>,
    /// When the run or the time for getting ready ends.
    pub end_ns: u64,
    /// Instructions of all nodes.
    pub instructions: u64,
}

/// Whoever looks at a run while it is under way.
pub trait Watch {
    /// Called after each window. A text ends the run and says why.
    fn look(&mut self, progress: Progress) -> Option<String>;

    /// Called with each state hash. False ends the run, because it is not the expected one.
    fn hash(&mut self, hash: &StateHash) -> bool {
        let _ = hash;
        true
    }
}

/// A watch that sees nothing.
#[derive(Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn look(&mut self, _: Progress) -> Option<String> {
        None
    }
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The world failed.
    #[error(transparent)]
    World(#[from] WorldError),
}

/// Runs a plan to its end.
///
/// # Errors
/// If the world itself fails; whatever a guest does is an outcome.
pub fn run(setup: Setup<'_>, watch: &mut dyn Watch) -> Result<Outcome, RunError> {
    let mut drive = Drive::new(setup);
    let end = drive.run(watch)?;
    drive.finish(end)
}

/// A run under way.
struct Drive<'a> {
    plan: &'a Plan,
    world: World,
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
    seq: u64,
    ready: Option<u64>,
    chain: Vec<StateHash>,
    next_hash: u64,
    unimplemented: Option<String>,
    /// Whether a property is certainly violated.
    failed: bool,
    /// What went wrong on the host without ending the run.
    trouble: Vec<String>,
}

impl<'a> Drive<'a> {
    fn new(setup: Setup<'a>) -> Self {
        let Setup { plan, tape, world } = setup;
        let nodes = plan.nodes.len();
        Self {
            plan,
            world,
            director: Director::new(plan, tape),
            judge: Judge::new(plan),
            readiness: Readiness::new(plan),
            prospects: Prospects::new(plan),
            record: Record::new(nodes),
            faults: FaultLog::default(),
            allowances: vec![Allowance::default(); nodes],
            lines: plan
                .nodes
                .iter()
                .map(|node| Console::new(&node.name))
                .collect(),
            consoles: vec![Vec::new(); nodes],
            lives: vec![Life::default(); nodes],
            seq: 0,
            ready: None,
            chain: Vec::new(),
            next_hash: plan.run.hash_every_ns.max(1),
            unimplemented: None,
            failed: false,
            trouble: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.world.now().as_nanos()
    }

    /// The moment at which the present phase ends.
    fn end(&self) -> u64 {
        match self.ready {
            Some(ready) => ready.saturating_add(self.plan.run.duration_ns),
            None => self.plan.ready.within_ns,
        }
    }

    fn run(&mut self, watch: &mut dyn Watch) -> Result<End, RunError> {
        // Switching the nodes on is an event, too.
        for event in self.world.take_events() {
            self.take(event);
        }
        loop {
            self.check_ready();
            if self.now() >= self.next_hash && !self.hash(watch)? {
                return Ok(End::Diverged);
            }
            self.reboot()?;
            self.direct()?;
            if let Some(what) = self.unimplemented.take() {
                return Ok(End::Unimplemented(what));
            }
            if self.plan.run.stop_on_failure && self.failed {
                return Ok(End::Failed);
            }
            if let Some(end) = self.never_ready() {
                return Ok(end);
            }
            if self.now() >= self.end() {
                return Ok(match self.ready {
                    Some(_) => End::Complete,
                    None => End::NotReady(self.readiness.missing()),
                });
            }
            if let Some(why) = watch.look(self.progress()) {
                return Ok(End::Stopped(why));
            }
            let next = self.next_moment();
            self.world.step(VirtTime(next))?;
            let now = self.now();
            // What has happened up to now comes first, or it would be told as the past.
            for event in self.world.take_events() {
                self.take(event);
            }
            self.rest(now);
            self.failed |= self.judge.advance(now);
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            now_ns: self.now(),
            ready_ns: self.ready,
            end_ns: self.end(),
            instructions: self.world.retired(),
        }
    }

    /// The next moment at which something besides the world has to act; after now.
    fn next_moment(&self) -> u64 {
        let directed = self
            .ready
            .and_then(|ready| Some(ready.saturating_add(self.director.next()?)));
        let readiness = self.readiness.moment().filter(|_| self.ready.is_none());
        let moments = [Some(self.end()), Some(self.next_hash), directed, readiness];
        let reboots = self.lives.iter().filter_map(Life::reboot);
        let rests = self.lines.iter().filter_map(Console::rests_at);
        let next = moments
            .into_iter()
            .flatten()
            .chain(reboots)
            .chain(rests)
            .filter(|moment| *moment > self.now())
            .min();
        next.unwrap_or_else(|| self.now().saturating_add(1))
    }

    /// Takes a state hash. False if the watch did not expect it.
    fn hash(&mut self, watch: &mut dyn Watch) -> Result<bool, RunError> {
        let hash = self.world.state_hash()?;
        let every = self.plan.run.hash_every_ns.max(1);
        self.next_hash = (self.now() / every + 1).saturating_mul(every);
        let expected = watch.hash(&hash);
        self.chain.push(hash);
        Ok(expected)
    }

    fn check_ready(&mut self) {
        for node in self.readiness.time(self.now()) {
            self.tell_node(self.now(), node, NodeChange::Ready);
        }
        if self.ready.is_none() && self.readiness.missing().is_empty() {
            self.ready = Some(self.now());
            // What booting took is hardly executed any more.
            self.world.compile_afresh();
            self.tell(self.now(), None, None, ObservationKind::Phase(Phase::Ready));
        }
    }

    /// The end of a run that waits for nodes of which some can't become ready any more.
    fn never_ready(&self) -> Option<End> {
        if self.ready.is_some() {
            return None;
        }
        let lost = self.prospects.lost(&self.readiness.missing());
        (!lost.is_empty()).then_some(End::NeverReady(lost))
    }

    /// Starts the nodes again that reset themselves.
    fn reboot(&mut self) -> Result<(), RunError> {
        let now = self.now();
        let since = self.ready.map_or(0, |ready| now.saturating_sub(ready));
        for node in 0..self.lives.len() {
            // A fault may have started it before.
            if self.lives[node].reboots(now) && self.director.rebooted(since, node) {
                self.world.command(Command::Start { node })?;
            }
        }
        Ok(())
    }

    /// Lets the director do what is due.
    fn direct(&mut self) -> Result<(), RunError> {
        let Some(ready) = self.ready else {
            return Ok(());
        };
        for deed in self.director.advance(self.now() - ready) {
            self.carry_out(deed)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, deed: Deed) -> Result<(), RunError> {
        let now = self.now();
        match deed {
            Deed::World(command) => {
                let told = match &command {
                    Command::Kill { node } | Command::PowerLoss { node, .. } => {
                        self.lives[*node].crashes += 1;
                        Some((*node, NodeChange::Crashed))
                    }
                    Command::Pause { node } => Some((*node, NodeChange::Paused)),
                    Command::Resume { node } => Some((*node, NodeChange::Resumed)),
                    _ => None,
                };
                self.world.command(command)?;
                if let Some((node, change)) = told {
                    self.tell_node(now, node, change);
                }
            }
            Deed::Quiet => self.tell(now, None, None, ObservationKind::Phase(Phase::Quiet)),
            Deed::Record {
                id,
                source,
                stage,
                fault: event,
            } => {
                if stage == (Stage::WithoutEffect { entirely: true }) {
                    self.record.did_nothing(&event.name);
                }
                let shown = self.faults.record(now, id, stage, source, event.clone());
                self.seq += 1;
                self.record.add(self.seq, now, None, fault(now, shown));
                if matches!(stage, Stage::Begin | Stage::Moment) {
                    let (class, nodes) = (event.class, event.affected_nodes);
                    let kind = ObservationKind::FaultBegan { id, class, nodes };
                    self.tell(now, None, None, kind);
                }
                if matches!(stage, Stage::End | Stage::Moment) {
                    self.tell(now, None, None, ObservationKind::FaultEnded { id });
                }
            }
        }
        Ok(())
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
                let kind = ObservationKind::BadMessage {
                    why: why.to_owned(),
                };
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
    fn rest(&mut self, now: u64) {
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
        if let Some(ready) = self.ready {
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
                    if let Some(ready) = self.ready {
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
        let now = self.now();
        let since = self.ready.map_or(0, |ready| now.saturating_sub(ready));
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
                let now = self.now();
                self.lives[node].reset(now);
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

    fn finish(mut self, end: End) -> Result<Outcome, RunError> {
        if self
            .chain
            .last()
            .is_none_or(|hash| hash.time != self.world.now())
        {
            self.chain.push(self.world.state_hash()?);
        }
        let now = self.now();
        let since = self.ready.map_or(0, |ready| now.saturating_sub(ready));
        let (deeds, unhealed) = self.director.close(since);
        for deed in deeds {
            self.carry_out(deed)?;
        }
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
        let mut captures_cut = Vec::new();
        for (network, written) in self.world.finish_captures() {
            match written {
                Ok(()) => {}
                Err(error) if is_cut(&error) => captures_cut.push(network),
                Err(error) => self
                    .trouble
                    .push(format!("the traffic of {network} was not written: {error}")),
            }
        }
        let mut outcome = Outcome {
            notes: Vec::new(),
            caveats: self.world.caveats().into_iter().collect(),
            trouble: self.trouble,
            unhealed,
            end,
            ready_ns: self.ready,
            end_ns: now,
            instructions: self.world.retired(),
            chain: self.chain,
            judgements: self.judge.finish(&judged),
            events,
            events_dropped,
            unheard: self.allowances.iter().map(Allowance::refused).collect(),
            captures_cut,
            console_bytes: self.lines.iter().map(Console::bytes).collect(),
            console_lines: self.lines.iter().map(Console::count).collect(),
            faults,
            consoles: self.consoles,
            boots: self.lives.iter().map(|life| life.boots).collect(),
            crashes: self.lives.iter().map(|life| life.crashes).collect(),
            endings: self.lives.into_iter().map(|life| life.ending).collect(),
            counters: self.world.counters(),
        };
        outcome.notes = notes(self.plan, &outcome);
        Ok(outcome)
    }
}
