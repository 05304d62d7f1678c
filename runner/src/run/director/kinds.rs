//! The families of faults, a file for each: how its kinds are drawn, what they do to the world and how that
//! is undone, and how they are told of. The compiler sees to it that none of that leaves out a kind.

mod clock;
mod disk;
mod interrupt;
mod memory;
mod network;
mod node;
mod process;

use chaosrun_chance::Chance;
use chaosrun_vmm::tape::Stream;

use super::Director;
use super::prepare::Prepared;
use crate::plan::fault::{Action, Target};
use crate::plan::model::Range;
use crate::scenario::vocab::FaultKind;

pub(super) use clock::{ClockEffect, ClockUndo};
pub(super) use disk::{DiskEffect, DiskUndo};
pub(super) use interrupt::{InterruptEffect, InterruptUndo};
pub(super) use network::{NetworkEffect, NetworkUndo};
pub(super) use node::{NodeEffect, NodeUndo};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// What a fault of `random` is drawn from. The ranges of the strengths are with the kinds and not in the
/// plan. They are wide enough to hurt and small enough that a sound system survives them.
pub(super) struct Draw<'a> {
    pub stream: &'a mut Stream,
    /// Whom the generator may hit.
    pub all: Target,
    /// Whom this fault hits.
    pub target: Target,
    /// The networks of the plan.
    pub networks: Vec<String>,
    /// How long the generator's faults last.
    pub duration: Range,
    /// The least memory of a node in bytes.
    pub memory_bytes: u64,
}

impl Draw<'_> {
    fn range(&mut self, low: u64, high: u64) -> u64 {
        self.stream.range(low, high)
    }

    /// So many percent.
    fn percent(&mut self, low: u64, high: u64) -> Chance {
        Chance::new(self.range(low, high).min(100), 100)
    }

    /// A number in this range, or what it is below zero.
    fn signed(&mut self, low: u64, high: u64) -> i64 {
        let by = i64::try_from(self.range(low, high)).unwrap_or(i64::MAX);
        if self.stream.below(2) == 0 { by } else { -by }
    }
}

/// A fault of this kind with a strength that is drawn; none of a kind that is never drawn.
pub(super) fn draw(kind: FaultKind, draw: &mut Draw<'_>) -> Option<Action> {
    Some(match kind {
        FaultKind::Network(kind) => Action::Network(network::draw(kind, draw)?),
        FaultKind::Disk(kind) => Action::Disk(disk::draw(kind, draw)),
        FaultKind::Node(kind) => Action::Node(node::draw(kind, draw)?),
        FaultKind::Process(kind) => Action::Process(process::draw(kind, draw)),
        FaultKind::Clock(kind) => Action::Clock(clock::draw(kind, draw)),
        FaultKind::Memory(kind) => Action::Memory(memory::draw(kind, draw)),
        FaultKind::Interrupt(kind) => Action::Interrupt(interrupt::draw(kind, draw)),
    })
}

impl Director<'_> {
    /// Draws what the plan leaves open. None if there is nobody to hit.
    pub(super) fn prepare(&mut self, name: &str, action: &Action) -> Option<Prepared> {
        match action {
            Action::Network(action) => self.prepare_network(name, action),
            Action::Disk(action) => self.prepare_disk(name, action),
            Action::Node(action) => self.prepare_node(name, action),
            Action::Process(action) => self.prepare_process(name, action),
            Action::Clock(action) => self.prepare_clock(name, action),
            Action::Memory(action) => self.prepare_memory(name, action),
            Action::Interrupt(action) => self.prepare_interrupt(name, action),
        }
    }
}
