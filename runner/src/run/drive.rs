//! The loop of a run: the world that runs, and the mind that observes it and decides, take turns.

use chaosrun_vmm::machine::StateHash;
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{World, WorldError};

use super::cluster::is_cut;
use super::mind::{Mind, Ran};
use super::outcome::{End, Outcome};
use crate::plan::Plan;

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
    /// A world could not be made again as it was.
    #[error(transparent)]
    Cluster(#[from] super::cluster::ClusterError),
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
pub(super) struct Drive<'a> {
    /// What runs.
    pub(super) world: World,
    /// What observes it and decides.
    pub(super) mind: Mind<'a>,
    /// The state hashes so far.
    pub(super) chain: Vec<StateHash>,
    /// Their distance, and the moment of the next one.
    pub(super) hash_every: u64,
    pub(super) next_hash: u64,
}

impl<'a> Drive<'a> {
    pub(super) fn new(setup: Setup<'a>) -> Self {
        let Setup { plan, tape, world } = setup;
        let hash_every = plan.run.hash_every_ns.max(1);
        Self {
            world,
            mind: Mind::new(plan, tape),
            chain: Vec::new(),
            hash_every,
            next_hash: hash_every,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.world.now().as_nanos()
    }

    fn run(&mut self, watch: &mut dyn Watch) -> Result<End, RunError> {
        // Switching the nodes on is an event, too.
        self.show();
        loop {
            if let Some(end) = self.turn(watch)? {
                return Ok(end);
            }
        }
    }

    /// What is to be done at the present moment, and then a window of the world. Returns how the run ended,
    /// once it has.
    pub(super) fn turn(&mut self, watch: &mut dyn Watch) -> Result<Option<End>, RunError> {
        if self.mind.check_ready() {
            // What booting took is hardly executed any more.
            self.world.compile_afresh();
        }
        if self.now() >= self.next_hash && !self.hash(watch)? {
            return Ok(Some(End::Diverged));
        }
        for command in self.mind.act() {
            self.world.command(command)?;
        }
        if let Some(end) = self.mind.over() {
            return Ok(Some(end));
        }
        if let Some(why) = watch.look(self.progress()) {
            return Ok(Some(End::Stopped(why)));
        }
        let next = self.next_moment();
        self.world.step(VirtTime(next))?;
        // Whatever is to be done at that moment would come too late.
        assert!(self.now() <= next, "{} is behind {next}", self.now());
        self.show();
        Ok(None)
    }

    /// Shows the mind what the world did.
    pub(super) fn show(&mut self) {
        let events = self.world.take_events();
        self.mind.pass(self.now(), events);
    }

    fn progress(&self) -> Progress {
        Progress {
            now_ns: self.now(),
            ready_ns: self.mind.ready_ns(),
            end_ns: self.mind.end_ns(),
            instructions: self.world.retired(),
        }
    }

    /// The next moment at which something besides the world has to act; after now.
    fn next_moment(&self) -> u64 {
        let now = self.now();
        let hash = Some(self.next_hash).filter(|moment| *moment > now);
        let next = self.mind.next_moment().into_iter().chain(hash).min();
        next.unwrap_or_else(|| now.saturating_add(1))
    }

    /// Takes a state hash. False if the watch did not expect it.
    fn hash(&mut self, watch: &mut dyn Watch) -> Result<bool, RunError> {
        let hash = self.world.state_hash()?;
        let every = self.hash_every;
        self.next_hash = (self.now() / every + 1).saturating_mul(every);
        debug_assert!(self.chain.last().is_none_or(|last| last.time < hash.time));
        let expected = watch.hash(&hash);
        self.chain.push(hash);
        Ok(expected)
    }

    pub(super) fn finish(mut self, end: End) -> Result<Outcome, RunError> {
        let last = self.chain.last();
        if last.is_none_or(|hash| hash.time != self.world.now()) {
            self.chain.push(self.world.state_hash()?);
        }
        for command in self.mind.close() {
            self.world.command(command)?;
        }
        let (mut captures_cut, mut trouble) = (Vec::new(), Vec::new());
        for (network, written) in self.world.finish_captures() {
            match written {
                Ok(()) => {}
                Err(error) if is_cut(&error) => captures_cut.push(network),
                Err(error) => {
                    trouble.push(format!("the traffic of {network} was not written: {error}"))
                }
            }
        }
        let ran = Ran {
            instructions: self.world.retired(),
            chain: self.chain,
            caveats: self.world.caveats(),
            captures_cut,
            trouble,
            counters: self.world.counters(),
        };
        Ok(self.mind.finish(end, ran))
    }
}
