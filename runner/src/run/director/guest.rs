//! What is told to the inits of nodes, and what they answer.
//!
//! An init takes commands from when it has started its programs until the node's life ends. Faults that need
//! it wait for that, see [`Director::can_hit`]. What it could not do was without effect, which is recorded;
//! what it could not undo is a reason to trust no verdict.

use std::collections::BTreeSet;

use chaosrun_protocol::control::{Action as GuestAction, Command as GuestCommand};
use chaosrun_vmm::world::Command;

use super::agenda::Item;
use super::effect::{Effect, Undo};
use super::kinds::{ClockEffect, ClockUndo};
use super::prepare::Prepared;
use super::{Deed, Director, Stage};
use crate::outcome::event::Fault as FaultEvent;

/// An init that has not answered in this many nanoseconds does not.
const ANSWER_NS: u64 = 1_000_000_000;

/// Which part of a fault a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It begins, or happens in a moment.
    Begin,
    /// The date jumps.
    Jump { by_ns: i64 },
    /// It ends.
    End,
}

/// Something that a node was told.
#[derive(Debug, Clone)]
pub(super) struct Order {
    fault: u64,
    node: usize,
    part: Part,
    at: u64,
}

/// A fault of which nodes were told something, or will be.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    source: String,
    event: FaultEvent,
    /// The nodes of which it is not known that it had no effect there.
    works: BTreeSet<usize>,
}

impl Director<'_> {
    /// Keeps in mind what is needed to tell later that a fault had no effect.
    pub(super) fn follow_up(
        &mut self,
        id: u64,
        source: &str,
        prepared: &Prepared,
        event: &FaultEvent,
    ) {
        if prepared.effects.iter().any(Effect::tells_init) {
            let sent = Sent {
                source: source.to_owned(),
                event: event.clone(),
                works: prepared.hit.clone(),
            };
            self.sent.insert(id, sent);
        }
    }

    /// Has a node's init do something, and tells how that is undone.
    pub(super) fn perform_in_guest(
        &mut self,
        at: u64,
        id: u64,
        node: usize,
        action: GuestAction,
    ) -> Option<Undo> {
        // The number of the order that is about to be given.
        let of = self.next_id;
        let undo = match action {
            GuestAction::ProcessPause { .. } => Some(GuestAction::ProcessResume { of }),
            GuestAction::MemoryTake { .. } => Some(GuestAction::MemoryRelease { of }),
            GuestAction::ProcessKill {
                restart_after_ns: Some(after),
                ..
            } => {
                let back = Item::ProcessBack { id, node };
                self.agenda.add(at.saturating_add(after), back);
                Some(GuestAction::ProcessStart { of })
            }
            GuestAction::ProcessKill {
                restart_after_ns: None,
                ..
            }
            | GuestAction::ProcessRestart { .. }
            | GuestAction::ProcessResume { .. }
            | GuestAction::ProcessStart { .. }
            | GuestAction::MemoryRelease { .. }
            | GuestAction::ClockFollow {}
            | GuestAction::DisksFull { .. } => None,
        };
        self.order(id, node, Part::Begin, action);
        undo.map(|action| Undo::Guest { node, action })
    }

    /// Tells a node's init to do something for a fault.
    pub(super) fn order(&mut self, fault: u64, node: usize, part: Part, action: GuestAction) {
        let id = self.tell(node, action);
        let order = Order {
            fault,
            node,
            part,
            at: self.now,
        };
        self.orders.insert(id, order);
    }

    /// Sends an action to a node's init, and returns the command's number.
    pub(super) fn tell(&mut self, node: usize, action: GuestAction) -> u64 {
        let id = self.fresh_id();
        let bytes = GuestCommand { id, action }.to_line().into_bytes();
        self.world(Command::Control { node, bytes });
        id
    }

    /// Whether a node was told of the beginning of a fault and has not answered.
    pub(super) fn is_ordered(&self, fault: u64, node: usize) -> bool {
        let of =
            |order: &Order| order.fault == fault && order.node == node && order.part == Part::Begin;
        self.orders.values().any(of)
    }

    /// A node's init takes commands from `now` on.
    pub fn listens(&mut self, now: u64, node: usize) {
        let status = self.nodes.get(node);
        status.listens = true;
        // It has set its clock by all that there is.
        status.unnoticed.clear();
        for skew in status.skews.values_mut() {
            skew.noticed = true;
        }
        if std::mem::take(&mut status.stale) {
            // Unless that was before the last of it.
            self.tell(node, GuestAction::ClockFollow {});
        }
        self.agenda.add(now, Item::Retry);
    }

    /// A node's init has done what the command of this number asks, or says why it has not.
    pub fn answered(&mut self, now: u64, node: usize, command: u64, failure: Option<&str>) {
        // What guests say is not trusted: one node cannot answer for another.
        let of_node = |order: &Order| order.node == node;
        let order = self.orders.get(&command).filter(|order| of_node(order));
        let Some(&Order { fault, part, .. }) = order else {
            return;
        };
        self.orders.remove(&command);
        let Some(why) = failure else {
            let status = self.nodes.get(node);
            status.unnoticed.remove(&fault);
            if let Some(skew) = status.skews.get_mut(&fault) {
                skew.noticed = true;
            }
            return;
        };
        if part == Part::End {
            self.is_unhealed(fault, node, why);
            return;
        }
        self.take_back(fault, node, part);
        self.without_effect(fault, node, why);
        self.forget(fault, |undo| undo.is_of_guest(node));
        self.agenda.add(now, Item::Retry);
    }

    /// A node's machine is no more, and with it all that its init did. What was done to its date is not.
    pub(super) fn life_is_over(&mut self, node: usize) {
        self.nodes.get(node).life_is_over();
        let dead = |_: &u64, order: &mut Order| order.node == node;
        let dead: Vec<Order> = self.orders.extract_if(.., dead).map(|(_, o)| o).collect();
        let dates = &self.nodes.get(node).skews;
        let lost: Vec<u64> = dead
            .iter()
            .filter(|order| order.part == Part::Begin && !dates.contains_key(&order.fault))
            .map(|order| order.fault)
            .collect();
        for fault in lost {
            self.without_effect(fault, node, "the node went down before it had done it");
        }
        let in_guest = |undo: &Undo| matches!(undo, Undo::Guest { node: of, .. } if *of == node);
        let active = self.active.iter();
        let hit = active.filter(|(_, active)| active.undo.iter().any(in_guest));
        for id in hit.map(|(id, _)| *id).collect::<Vec<u64>>() {
            self.forget(id, in_guest);
        }
    }

    /// Records that a fault did nothing to a node.
    pub(super) fn without_effect(&mut self, fault: u64, node: usize, why: &str) {
        let Some(sent) = self.sent.get_mut(&fault) else {
            return;
        };
        if sent.works.remove(&node) {
            let entirely = sent.works.is_empty();
            self.record_without_effect(fault, node, why, entirely);
        }
    }

    pub(super) fn record_without_effect(
        &mut self,
        fault: u64,
        node: usize,
        why: &str,
        entirely: bool,
    ) {
        let Some(sent) = self.sent.get(&fault) else {
            return;
        };
        let mut event = sent.event.clone().with("why", why);
        event.affected_nodes = vec![self.plan.nodes[node].name.clone()];
        self.deeds.push(Deed::Record {
            id: fault,
            source: sent.source.clone(),
            stage: Stage::WithoutEffect { entirely },
            fault: event,
        });
    }

    fn is_unhealed(&mut self, fault: u64, node: usize, why: &str) {
        let kind = self.sent.get(&fault).map_or("a fault", |s| &s.event.name);
        let name = &self.plan.nodes[node].name;
        let text = format!("{kind} of {name} was not undone: {why}");
        self.unhealed.push(text);
    }

    /// The run ends at `now`: what is to be recorded of nodes that never answered, and what could not be
    /// undone, in sentences.
    pub fn close(&mut self, now: u64) -> (Vec<Deed>, Vec<String>) {
        for order in std::mem::take(&mut self.orders).into_values() {
            let silent = now.saturating_sub(order.at) >= ANSWER_NS;
            match order.part {
                _ if !silent => {}
                Part::End if self.nodes.listens(order.node) => {
                    self.is_unhealed(order.fault, order.node, "its init does not answer");
                }
                Part::End => {}
                Part::Begin | Part::Jump { .. } => {
                    self.without_effect(order.fault, order.node, "its init does not answer");
                }
            }
        }
        let unnoticed = self.nodes.all().filter(|(_, status)| !status.listens);
        let unnoticed: Vec<(usize, u64)> = unnoticed
            .flat_map(|(node, status)| status.unnoticed.iter().map(move |id| (node, *id)))
            .collect();
        for (node, fault) in unnoticed {
            self.without_effect(fault, node, "the node did not run programs again");
        }
        let unhealed = std::mem::take(&mut self.unhealed);
        (std::mem::take(&mut self.deeds), unhealed)
    }
}

impl Effect {
    /// Whether the node's init is told to do something, or to look at the date.
    fn tells_init(&self) -> bool {
        match self {
            Self::Guest { .. }
            | Self::Clock(ClockEffect::Skew { .. } | ClockEffect::Jump { .. }) => true,
            Self::Network(_)
            | Self::Disk(_)
            | Self::Node(_)
            | Self::Clock(ClockEffect::Drift { .. })
            | Self::Interrupt(_) => false,
        }
    }
}

impl Undo {
    /// Whether it concerns what the init of this node was told.
    fn is_of_guest(&self, node: usize) -> bool {
        match self {
            Self::Guest { node: of, .. } | Self::Clock(ClockUndo::Skew { node: of }) => *of == node,
            Self::Network(_)
            | Self::Disk(_)
            | Self::Node(_)
            | Self::Clock(ClockUndo::Drift { .. })
            | Self::Interrupt(_) => false,
        }
    }
}
