//! What happened in a world, for those who watch it.

use crate::machine::{MachineEvent, Stop};
use crate::time::VirtTime;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldEvent {
    /// When, in world time.
    pub time: VirtTime,
    /// The index of the node.
    pub node: Option<usize>,
    /// What.
    pub kind: WorldEventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorldEventKind {
    /// The node's machine gave something out that is not for another machine.
    Machine(MachineEvent),
    /// The machine ended by itself. It is down until it is started again.
    Stopped(Stop),
    /// The machine was switched on, for the first time or again.
    Started,
}
