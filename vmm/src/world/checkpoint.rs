//! Checkpoints: a world at a moment, to go back to or to go on from more than once.

use std::sync::Arc;

use chaosrun_x86::CodeStore;

use super::body::{Life, SavedBody};
use super::fabric::FabricState;
use super::node::{Node, NodeState};
use super::pool::Pool;
use super::window::Pending;
use super::{World, WorldConfig, WorldError, WorldEvent};
use crate::disk::Disk;
use crate::engine::EngineError;
use crate::machine::MachineError;
use crate::tape::{StreamState, Tape};
use crate::time::VirtTime;

/// A world at a moment. Copies are the same one, and cheap. Pages of RAM and of disks are shared with other
/// checkpoints as far as they are the same.
#[derive(Clone)]
pub struct Checkpoint(Arc<SavedWorld>);

impl Checkpoint {
    /// The moment.
    pub fn time(&self) -> VirtTime {
        self.0.now
    }
}

/// All of a world that has to be saved besides its configuration and the tape.
struct SavedWorld {
    now: VirtTime,
    nodes: Vec<SavedNode>,
    fabric: FabricState,
    pending: Vec<Pending>,
    emitted: u64,
    events: Vec<WorldEvent>,
    chain: u128,
    /// Where compiled code is, which is no state: forks begin with it.
    code: CodeStore,
}

/// A node at a moment.
struct SavedNode {
    state: NodeState,
    body: Option<SavedBody>,
    disks: Vec<Disk>,
    power: StreamState,
}

impl World {
    /// Saves the world, with everything that decides what happens next and the events that nobody has taken.
    /// It goes on as if nothing had happened. Captures of networks are no part of it.
    ///
    /// # Errors
    /// If an engine failed, or the world is poisoned.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, WorldError> {
        self.check()?;
        // Every field is named, so that a new one can't be forgotten.
        let Self {
            now,
            nodes,
            fabric,
            tape: _,
            pool: _,
            code,
            pending,
            emitted,
            events,
            chain,
            // Follow from the others.
            lifecycle_changed: _,
            reach: _,
            earliest: _,
            // Only in the middle of a step.
            arriving: _,
            poisoned: _,
        } = self;
        let save = |node: &mut Node| {
            node.save().map_err(|source| WorldError::Engine {
                node: node.name.clone(),
                source,
            })
        };
        let saved = SavedWorld {
            now: *now,
            nodes: nodes.iter_mut().map(save).collect::<Result<_, _>>()?,
            fabric: fabric.state(),
            pending: pending.clone(),
            emitted: *emitted,
            events: events.clone(),
            chain: *chain,
            code: code.clone(),
        };
        Ok(Checkpoint(Arc::new(saved)))
    }

    /// Goes back, or forward, to a checkpoint of this world or of a fork of it. Later decisions are those of
    /// this world's tape. Captures of networks go on. Its cost is that of what differs.
    ///
    /// # Errors
    /// If a machine can't be made or its engine failed. The world is then poisoned: it can only be dropped.
    ///
    /// # Panics
    /// If the checkpoint is of a world of another configuration.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), WorldError> {
        self.check()?;
        let SavedWorld {
            now,
            nodes,
            fabric,
            pending,
            emitted,
            events,
            chain,
            code: _,
        } = &*checkpoint.0;
        assert_eq!(
            nodes.len(),
            self.nodes.len(),
            "a checkpoint is of a world with the same nodes"
        );
        self.poisoned = true;
        for (node, saved) in self.nodes.iter_mut().zip(nodes) {
            node.restore(saved, &self.tape)
                .map_err(|source| WorldError::Machine {
                    node: node.name.clone(),
                    source,
                })?;
        }
        self.fabric.set_state(fabric, &self.tape);
        self.now = *now;
        self.pending.clone_from(pending);
        self.emitted = *emitted;
        self.events.clone_from(events);
        self.chain = *chain;
        self.lifecycle_changed = true;
        self.poisoned = false;
        Ok(())
    }

    /// Makes another world that goes on from a checkpoint, with the decisions of its own tape. `config` is
    /// otherwise that of the world which the checkpoint is of. The two share compiled code, and may run on
    /// different threads.
    ///
    /// # Errors
    /// If the configuration is not possible or a machine can't be made.
    ///
    /// # Panics
    /// As [`World::restore`].
    pub fn fork(config: WorldConfig, checkpoint: &Checkpoint) -> Result<Self, WorldError> {
        let pool = Pool::new(config.jobs);
        let mut world = Self::off(config, pool, checkpoint.0.code.clone())?;
        world.restore(checkpoint)?;
        Ok(world)
    }

    /// Refuses a world of which only a part was put back.
    pub(super) fn check(&self) -> Result<(), WorldError> {
        if self.poisoned {
            return Err(WorldError::Poisoned);
        }
        Ok(())
    }
}

impl Node {
    fn save(&mut self) -> Result<SavedNode, EngineError> {
        let Self {
            state,
            body,
            disks,
            power,
            // What it is.
            name: _,
            maker: _,
            pin: _,
            // Estimates, which have no effect on results.
            weight: _,
            lane: _,
        } = self;
        Ok(SavedNode {
            state: state.clone(),
            body: body.as_mut().map(|body| body.save()).transpose()?,
            disks: disks.clone(),
            power: power.state().clone(),
        })
    }

    fn restore(&mut self, saved: &SavedNode, tape: &Tape) -> Result<(), MachineError> {
        let SavedNode {
            state,
            body,
            disks,
            power,
        } = saved;
        self.body = match (self.body.take(), body) {
            // A machine can be put back into any life of its node.
            (Some(mut body), Some(saved)) => {
                body.restore(saved)?;
                Some(body)
            }
            (None, Some(saved)) => {
                let life = Life {
                    // The first one is number zero.
                    number: state.life - 1,
                    born: state.born,
                    moved_ns: state.moved_ns,
                };
                Some(self.maker.resume(life, saved)?)
            }
            (_, None) => None,
        };
        self.state.clone_from(state);
        self.disks.clone_from(disks);
        for disk in &mut self.disks {
            disk.decide_by(tape);
        }
        self.power = tape.resume(power);
        Ok(())
    }
}
