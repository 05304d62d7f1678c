//! What a fault does to the world, with everything drawn, and how that is undone. Each family has its own.

use chaosrun_protocol::control::Action as GuestAction;
use chaosrun_vmm::world::Command;

use super::guest::Part;
use super::kinds::{
    ClockEffect, ClockUndo, DiskEffect, DiskUndo, InterruptEffect, InterruptUndo, NetworkEffect,
    NetworkUndo, NodeEffect, NodeUndo,
};
use super::{Deed, Director};

/// One thing that a fault does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Network(NetworkEffect),
    Disk(DiskEffect),
    Node(NodeEffect),
    Clock(ClockEffect),
    Interrupt(InterruptEffect),
    /// What the node's init does, for faults of processes and memory.
    Guest {
        node: usize,
        action: GuestAction,
    },
}

/// How something is undone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Undo {
    Network(NetworkUndo),
    Disk(DiskUndo),
    Node(NodeUndo),
    Clock(ClockUndo),
    Interrupt(InterruptUndo),
    /// Something to tell the node's init. It is forgotten when the node's life ends.
    Guest {
        node: usize,
        action: GuestAction,
    },
}

impl Director<'_> {
    /// Carries out `effect` of the fault `id` at `at`, and tells how to undo it.
    pub(super) fn perform(&mut self, at: u64, id: u64, effect: Effect) -> Option<Undo> {
        match effect {
            Effect::Network(effect) => self.perform_on_network(effect),
            Effect::Disk(effect) => Some(self.perform_on_disk(id, effect)),
            Effect::Node(effect) => self.perform_on_node(at, id, effect),
            Effect::Clock(effect) => self.perform_on_clock(id, effect),
            Effect::Interrupt(effect) => self.perform_interrupt(at, id, effect),
            Effect::Guest { node, action } => self.perform_in_guest(at, id, node, action),
        }
    }

    pub(super) fn undo(&mut self, id: u64, undo: Undo) {
        match undo {
            Undo::Network(undo) => self.undo_on_network(undo),
            Undo::Disk(undo) => self.undo_on_disk(id, undo),
            Undo::Node(undo) => self.undo_on_node(id, undo),
            Undo::Clock(undo) => self.undo_on_clock(id, undo),
            Undo::Interrupt(undo) => self.undo_interrupt(id, undo),
            Undo::Guest { node, action } => self.order(id, node, Part::End, action),
        }
    }

    /// Drops parts of an active fault; without any it is over.
    pub(super) fn forget(&mut self, id: u64, part: impl Fn(&Undo) -> bool) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        active.undo.retain(|undo| !part(undo));
        if active.undo.is_empty() {
            self.finish(id);
        }
    }

    pub(super) fn world(&mut self, command: Command) {
        self.deeds.push(Deed::World(command));
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
