//! The running cluster: nodes, networks and clocks in lockstep, and everything that can go wrong
//! with them.
//!
//! A [`World`] is driven from outside: [`World::step`] runs one window, [`World::take_events`] tells
//! what happened, [`World::command`] does something at the present moment. What happens is a function
//! of the configuration, the tape and the commands with their moments; neither the number of threads
//! nor where steps end has any effect on it.

mod body;
mod boots;
mod checkpoint;
pub mod clock;
mod command;
pub mod config;
mod crew;
mod event;
pub mod fabric;
mod life;
mod machine;
mod node;
pub mod pcap;
mod pool;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use chaosrun_x86::CodeStore;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

pub use boots::{BootFiles, Boots, BootsCounters};
pub use checkpoint::Checkpoint;
pub use command::Command;
pub use config::{Layer, LinkRule, NetworkConfig, NicConfig, NodeConfig, Reach, WorldConfig};
pub use crew::Crew;
pub use event::{WorldEvent, WorldEventKind};
pub use fabric::{
    Chance, LATENCY_MIN_NS, LinkCounters, LinkFault, LinkFaultKind, LinkShape, NetworkCounters,
};
pub use node::{NodeCounters, Status};
pub use window::WINDOW_MAX_NS;

use crate::affinity::{self, NoProcessor};
use crate::engine::EngineError;
use crate::machine::{Component, Input, MachineError, StateHash};
use crate::tape::Tape;
use crate::time::VirtTime;
use body::Maker;
use fabric::{Arrival, Fabric, Member};
use node::Node;
use pool::Pool;
use window::{Emission, Pending};

/// Why a world could not be made or could not go on as it was.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A node's machine could not be made.
    #[error("node `{node}`: {source}")]
    Machine {
        /// The node's name.
        node: String,
        /// Why.
        source: MachineError,
    },
    /// An engine failed.
    #[error("node `{node}`: {source}")]
    Engine {
        /// The node's name.
        node: String,
        /// Why.
        source: EngineError,
    },
    /// A node is on a network that there is not.
    #[error("node `{node}` is on network number {network}, but there are only {count}")]
    NoNetwork {
        /// The node's name.
        node: String,
        /// The number of the network.
        network: usize,
        /// How many there are.
        count: usize,
    },
    /// A node is to be bound to a processor that the host does not have or does not give.
    #[error("node `{node}` cannot be bound to processor {} of this host", source.cpu)]
    Pin {
        /// The node's name.
        node: String,
        /// The processor, and what the operating system says.
        source: NoProcessor,
    },
    /// A name is given twice, so that streams of decisions could not be told apart.
    #[error("there are two {what} called `{name}`")]
    Twice {
        /// `nodes` or `networks`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A checkpoint was to be put back, and a part of it was not.
    #[error("a checkpoint was put back in part only, and the world can't be used any more")]
    Poisoned,
}

/// What happened on all networks and nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// The networks.
    pub networks: Vec<NetworkCounters>,
    /// The nodes.
    pub nodes: Vec<NodeCounters>,
}

/// A node before it is switched on, as the parts of a world see it.
struct Blueprint {
    name: String,
    nics: Vec<usize>,
    drift_ppb: i64,
    pin: Arc<[u32]>,
    disks: Vec<crate::disk::Disk>,
    maker: Box<dyn Maker>,
}

/// The running cluster.
pub struct World {
    now: VirtTime,
    nodes: Vec<Node>,
    fabric: Fabric,
    tape: Arc<Tape>,
    pool: Pool,
    /// Where the exact engine keeps compiled code.
    code: CodeStore,
    /// What nodes gave out at or behind the present moment.
    pending: Vec<Pending>,
    /// How many things nodes gave out so far.
    emitted: u64,
    events: Vec<WorldEvent>,
    chain: u128,
    /// Whether nodes were switched on or off since `reach` was found.
    lifecycle_changed: bool,
    /// For each node how soon a frame from it can be at another one that runs.
    reach: Vec<Option<u64>>,
    /// When each node can do something by itself, as of the beginning of the present window.
    earliest: Vec<Option<VirtTime>>,
    /// The frames that nodes get in the present window.
    arriving: Vec<Vec<Arrival>>,
    /// Whether a checkpoint was put back in part only.
    poisoned: bool,
}

impl World {
    /// Makes a world and switches all nodes on, at time zero.
    ///
    /// # Errors
    /// If the configuration is not possible or a machine can't be made.
    pub fn new(config: WorldConfig) -> Result<Self, WorldError> {
        let pool = Pool::new(config.jobs);
        Self::on(config, pool)
    }

    /// As [`World::new`], with the threads of a crew instead of `config.jobs`.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn with_crew(config: WorldConfig, crew: &Crew) -> Result<Self, WorldError> {
        Self::on(config, Pool::with_crew(crew.clone()))
    }

    fn on(config: WorldConfig, pool: Pool) -> Result<Self, WorldError> {
        let mut world = Self::off(config, pool, CodeStore::default())?;
        world.start_all()?;
        Ok(world)
    }

    /// A world whose nodes are all off, with compiled code in `code`.
    fn off(config: WorldConfig, pool: Pool, code: CodeStore) -> Result<Self, WorldError> {
        let WorldConfig {
            tape,
            nodes,
            networks,
            boots,
            jobs: _,
        } = config;
        let tape = Arc::new(tape);
        let blueprints = nodes
            .into_iter()
            .map(|node| node.blueprint(&tape, &code, &boots))
            .collect();
        let mut world = Self::assemble(blueprints, networks, &tape, pool)?;
        world.code = code;
        Ok(world)
    }

    fn assemble(
        blueprints: Vec<Blueprint>,
        networks: Vec<NetworkConfig>,
        tape: &Arc<Tape>,
        pool: Pool,
    ) -> Result<Self, WorldError> {
        check_names("nodes", blueprints.iter().map(|node| &node.name))?;
        check_names("networks", networks.iter().map(|network| &network.name))?;
        let (mut members, mut nodes) = (Vec::new(), Vec::new());
        for blueprint in blueprints {
            let Blueprint {
                name,
                nics,
                drift_ppb,
                pin,
                disks,
                maker,
            } = blueprint;
            if let Some(&network) = nics.iter().find(|network| **network >= networks.len()) {
                return Err(WorldError::NoNetwork {
                    node: name,
                    network,
                    count: networks.len(),
                });
            }
            if let Err(source) = affinity::check(&pin) {
                return Err(WorldError::Pin { node: name, source });
            }
            nodes.push(Node::new(&name, drift_ppb, maker, disks, pin, tape));
            members.push(Member { name, nics });
        }
        Ok(Self {
            now: VirtTime(0),
            fabric: Fabric::new(networks, &members, tape),
            tape: Arc::clone(tape),
            pool,
            code: CodeStore::default(),
            pending: Vec::new(),
            emitted: 0,
            events: Vec::new(),
            chain: 0,
            lifecycle_changed: true,
            reach: Vec::new(),
            earliest: Vec::new(),
            arriving: nodes.iter().map(|_| Vec::new()).collect(),
            nodes,
            poisoned: false,
        })
    }

    /// The present moment.
    pub fn now(&self) -> VirtTime {
        self.now
    }

    /// Has the exact engine compile what is executed from now on afresh, which pays when the nodes turn to
    /// something else for good, such as when they have booted; no effect on results.
    pub fn compile_afresh(&self) {
        self.code.begin_afresh();
    }

    /// How many nodes run at once from now on; no effect on results.
    pub fn set_jobs(&mut self, jobs: usize) {
        self.pool = Pool::new(jobs);
    }

    /// Has the threads of a crew help from now on, which other worlds may have, too; no effect on results.
    pub fn set_crew(&mut self, crew: &Crew) {
        self.pool = Pool::with_crew(crew.clone());
    }

    /// Takes what happened before the present moment and was not taken yet, in the order of time,
    /// node and what came first.
    pub fn take_events(&mut self) -> Vec<WorldEvent> {
        std::mem::take(&mut self.events)
    }

    /// What a node is doing.
    pub fn status(&self, node: usize) -> Option<Status> {
        self.nodes.get(node).map(Node::status)
    }

    /// What the engines of the nodes can't promise on this host, or could not, with the node.
    pub fn caveats(&self) -> Vec<(usize, String)> {
        let bodies = self.nodes.iter().enumerate();
        let of = |(index, node): (usize, &Node)| {
            let caveats = node.caveats().into_iter();
            caveats.map(move |caveat| (index, caveat))
        };
        bodies.flat_map(of).collect()
    }

    /// What a node's clock shows now, in nanoseconds since the world began; with drift it is not the
    /// same as [`World::now`], and it goes on while the node is down.
    pub fn local_time(&self, node: usize) -> Option<VirtTime> {
        let node = self.nodes.get(node)?;
        Some(node.state.clock.local_at(self.now))
    }

    /// Instructions that all nodes together have retired.
    pub fn retired(&self) -> u64 {
        self.nodes.iter().map(Node::retired).sum()
    }

    /// How many frames travel.
    pub fn travelling(&self) -> usize {
        self.fabric.travelling()
    }

    /// What happened so far on all networks and nodes.
    pub fn counters(&mut self) -> Counters {
        Counters {
            networks: self.fabric.counters(),
            nodes: self.nodes.iter_mut().map(Node::counters).collect(),
        }
    }

    /// Ends the captures of all networks that have one, and returns what became of each.
    pub fn finish_captures(&mut self) -> Vec<(String, std::io::Result<()>)> {
        self.fabric.finish_captures()
    }

    /// Takes the next link of the chain of state hashes: over all nodes, all that waits or travels,
    /// all links and the positions of all streams of decisions.
    ///
    /// # Errors
    /// If an engine failed.
    pub fn state_hash(&mut self) -> Result<StateHash, WorldError> {
        self.check()?;
        let mut parts = Vec::new();
        for index in 0..self.nodes.len() {
            self.catch_up(index)?;
        }
        let components = self.each(|node| node.components(xxh3_128));
        for (node, own) in self.nodes.iter().zip(components) {
            parts.extend(own.map_err(|source| WorldError::Engine {
                node: node.name.clone(),
                source,
            })?);
        }
        let mut part = |name: String, digest| parts.push(Component { name, digest });
        let fabric = self.fabric.state();
        for (counters, state) in self.fabric.counters().iter().zip(&fabric.networks) {
            part(format!("net/{}", counters.name), digest_of(state));
        }
        part("travelling".to_owned(), digest_of(&fabric.flight));
        part("waiting".to_owned(), self.pending_digest());
        let hash = StateHash::chained(self.chain, self.now, parts);
        self.chain = hash.chain;
        Ok(hash)
    }

    /// The digest of the frames that nodes sent at or behind the present moment.
    fn pending_digest(&self) -> u128 {
        let mut frames: Vec<_> = self
            .pending
            .iter()
            .filter_map(|pending| match &pending.what {
                Emission::Frame { nic, bytes } => Some((pending.time, pending.node, *nic, bytes)),
                Emission::Event(_) => None,
            })
            .collect();
        // What a node sends at one moment is already in its order.
        frames.sort_by_key(|frame| (frame.0, frame.1));
        digest_of(&frames)
    }

    /// Does something at the present moment.
    ///
    /// # Errors
    /// If a machine can't be made or its engine failed; nothing has changed then, except that the
    /// node may be down.
    pub fn command(&mut self, command: Command) -> Result<(), WorldError> {
        self.check()?;
        match command {
            Command::ArmLink { id, fault } => self.fabric.arm(id, fault, self.now),
            Command::DisarmLink { id } => self.fabric.disarm(id),
            Command::Kill { node }
            | Command::PowerLoss { node, .. }
            | Command::Start { node }
            | Command::Pause { node }
            | Command::Resume { node }
            | Command::Throttle { node, .. }
            | Command::Drift { node, .. }
            | Command::MoveWall { node, .. }
            | Command::Input { node, .. }
            | Command::Control { node, .. }
            | Command::DelayTimers { node, .. }
            | Command::ArmDisk { node, .. }
            | Command::DisarmDisk { node, .. } => {
                if node < self.nodes.len() {
                    self.catch_up(node)?;
                    self.command_node(node, command)?;
                }
            }
        }
        Ok(())
    }

    fn command_node(&mut self, index: usize, command: Command) -> Result<(), WorldError> {
        let now = self.now;
        let node = &mut self.nodes[index];
        match command {
            Command::Kill { .. } => node.power_loss(Chance::NEVER),
            Command::PowerLoss { torn, .. } => node.power_loss(torn),
            Command::Start { .. } => return self.start(index),
            Command::Pause { .. } => node.pause(),
            Command::Resume { .. } => node.resume(now),
            Command::Throttle { num, den, .. } => node.throttle(num, den),
            Command::Drift { ppb, .. } => node.state.clock.set_drift(now, ppb),
            Command::MoveWall { moved_ns, .. } => node.move_wall(moved_ns),
            Command::Input { input, .. } => {
                node.input(input);
            }
            Command::Control { bytes, .. } => {
                node.input(Input::Control(bytes));
            }
            Command::DelayTimers { by_ns, .. } => node.delay_timers(by_ns),
            Command::ArmDisk {
                disk, id, fault, ..
            } => {
                if let Some(disk) = node.disk_mut(disk) {
                    disk.arm(id, fault);
                }
            }
            Command::DisarmDisk { disk, id, .. } => {
                if let Some(disk) = node.disk_mut(disk) {
                    disk.disarm(id);
                }
            }
            Command::ArmLink { .. } | Command::DisarmLink { .. } => {}
        }
        self.lifecycle_changed = true;
        Ok(())
    }

    /// Switches all nodes on, at time zero.
    fn start_all(&mut self) -> Result<(), WorldError> {
        for (index, result) in self
            .each(|node| node.start(VirtTime(0)))
            .into_iter()
            .enumerate()
        {
            self.started(index, result)?;
        }
        Ok(())
    }

    /// Does something with all nodes, and returns what came of it in their order.
    fn each<R: Send + 'static>(&mut self, work: fn(&mut Node) -> R) -> Vec<R> {
        let nodes = std::mem::take(&mut self.nodes);
        let count = nodes.len();
        let (nodes, results) = self.pool.each(nodes, work).into_iter().unzip();
        self.nodes = nodes;
        assert_eq!(self.nodes.len(), count, "a node was lost");
        results
    }

    /// Switches a node on.
    fn start(&mut self, index: usize) -> Result<(), WorldError> {
        let result = self.nodes[index].start(self.now);
        self.started(index, result)
    }

    /// A node was switched on, or could not be.
    fn started(
        &mut self,
        index: usize,
        result: Result<(), MachineError>,
    ) -> Result<(), WorldError> {
        self.lifecycle_changed = true;
        result.map_err(|source| WorldError::Machine {
            node: self.nodes[index].name.clone(),
            source,
        })?;
        let started = Emission::Event(WorldEventKind::Started);
        self.push(index, self.now, started);
        Ok(())
    }

    /// Lets a node that was left out of the last windows, because it had nothing to do, run up to now.
    fn catch_up(&mut self, index: usize) -> Result<(), WorldError> {
        if self.nodes[index].status() != Status::Running {
            return Ok(());
        }
        match self.job(index, Vec::new(), self.now) {
            Some(job) => {
                let done = job.run();
                self.absorb(done)
            }
            None => Ok(()),
        }
    }
}

fn check_names<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), WorldError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.clone();
            return Err(WorldError::Twice { what, name });
        }
    }
    Ok(())
}

/// The digest of something serialisable, by its postcard form.
fn digest_of(state: &impl Serialize) -> u128 {
    let bytes = postcard::to_allocvec(state).expect("the parts of a world have a postcard form");
    xxh3_128(&bytes)
}
