//! Faults of nodes: of a machine as a whole.

use chaosrun_chance::Chance;
use chaosrun_vmm::world::Command;

use super::Draw;
use crate::plan::fault::NodeAction;
use crate::run::director::Director;
use crate::run::director::agenda::Item;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::{Facts, Needs, Prepared};
use crate::run::director::words::{Detail, ratio};
use crate::scenario::units::duration;
use crate::scenario::vocab::NodeKind;

/// What a fault does to a node.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum NodeEffect {
    /// It loses power; this part of its unflushed writes is torn.
    Down {
        node: usize,
        torn: Chance,
        restart_after: Option<u64>,
    },
    /// It starts if it is down and is reset if it runs.
    Reset {
        node: usize,
    },
    Pause {
        node: usize,
    },
    Resume {
        node: usize,
    },
    Throttle {
        node: usize,
        to: Chance,
    },
}

/// How that is undone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum NodeUndo {
    Pause { node: usize },
    Throttle { node: usize },
}

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: NodeKind, draw: &mut Draw<'_>) -> Option<NodeAction> {
    let target = draw.target.clone();
    let restart_after = Some(draw.duration);
    Some(match kind {
        NodeKind::Kill => NodeAction::Kill {
            target,
            restart_after,
        },
        NodeKind::Restart => NodeAction::Restart { target },
        NodeKind::Pause => NodeAction::Pause { target },
        NodeKind::Resume => return None,
        NodeKind::PowerLoss => NodeAction::PowerLoss {
            target,
            restart_after,
            torn: draw.percent(0, 100),
        },
        NodeKind::Throttle => NodeAction::Throttle {
            target,
            to: draw.percent(5, 60),
        },
    })
}

/// Whom it can hit and what it costs.
fn facts(action: &NodeAction) -> Facts {
    let (needs, impairs, lasts) = match action {
        NodeAction::Kill { .. } | NodeAction::PowerLoss { .. } => (Needs::Up, true, false),
        // Restarting is for nodes that are down as well, and for those that ended.
        NodeAction::Restart { .. } => (Needs::Nothing, true, false),
        NodeAction::Pause { .. } => (Needs::Running, true, true),
        NodeAction::Resume { .. } => (Needs::Paused, false, false),
        NodeAction::Throttle { .. } => (Needs::Up, false, true),
    };
    Facts {
        needs,
        impairs,
        lasts,
    }
}

/// What it is made of besides its targets.
fn details(action: &NodeAction) -> Vec<Detail> {
    match action {
        NodeAction::PowerLoss { torn, .. } => vec![("torn", ratio(*torn).into())],
        NodeAction::Throttle { to, .. } => vec![("to", ratio(*to).into())],
        NodeAction::Kill { .. }
        | NodeAction::Restart { .. }
        | NodeAction::Pause { .. }
        | NodeAction::Resume { .. } => Vec::new(),
    }
}

impl Director<'_> {
    pub(super) fn prepare_node(&mut self, name: &str, action: &NodeAction) -> Option<Prepared> {
        let mut prepared = self.on_nodes(name, action.target(), facts(action), |this, node| {
            Effect::Node(this.node_effect(name, node, action))
        })?;
        prepared.details = details(action);
        if let Some(Effect::Node(NodeEffect::Down {
            restart_after: Some(after),
            ..
        })) = prepared.effects.first()
        {
            let after = duration(*after);
            prepared.details.push(("restart-after", after.into()));
        }
        Some(prepared)
    }

    fn node_effect(&mut self, name: &str, node: usize, action: &NodeAction) -> NodeEffect {
        let after = action.restart_after();
        let restart_after = after.map(|range| self.draw_range(name, range));
        match action {
            NodeAction::Kill { .. } => NodeEffect::Down {
                node,
                torn: Chance::NEVER,
                restart_after,
            },
            NodeAction::PowerLoss { torn, .. } => NodeEffect::Down {
                node,
                torn: *torn,
                restart_after,
            },
            NodeAction::Restart { .. } => NodeEffect::Reset { node },
            NodeAction::Pause { .. } => NodeEffect::Pause { node },
            NodeAction::Resume { .. } => NodeEffect::Resume { node },
            NodeAction::Throttle { to, .. } => NodeEffect::Throttle { node, to: *to },
        }
    }

    pub(in crate::run::director) fn perform_on_node(
        &mut self,
        at: u64,
        id: u64,
        effect: NodeEffect,
    ) -> Option<Undo> {
        match effect {
            NodeEffect::Down {
                node,
                torn,
                restart_after,
            } => {
                self.take_down(at, node, torn, restart_after);
                None
            }
            NodeEffect::Reset { node } => {
                // A reset is no loss of power: the disks keep what they have taken.
                self.forget_pauses(node);
                self.start_node(node);
                None
            }
            NodeEffect::Pause { node } => {
                let status = self.nodes.get(node);
                let first = status.pauses.is_empty();
                status.pauses.insert(id);
                if first {
                    self.world(Command::Pause { node });
                }
                Some(Undo::Node(NodeUndo::Pause { node }))
            }
            NodeEffect::Resume { node } => {
                self.resume(at, node);
                None
            }
            NodeEffect::Throttle { node, to } => {
                self.nodes
                    .get(node)
                    .throttles
                    .insert(id, (to.num(), to.den()));
                self.apply_speed(node);
                Some(Undo::Node(NodeUndo::Throttle { node }))
            }
        }
    }

    pub(in crate::run::director) fn undo_on_node(&mut self, id: u64, undo: NodeUndo) {
        match undo {
            NodeUndo::Pause { node } => {
                let status = self.nodes.get(node);
                if status.pauses.remove(&id) && status.pauses.is_empty() && !status.down {
                    self.world(Command::Resume { node });
                }
            }
            NodeUndo::Throttle { node } => {
                self.nodes.get(node).throttles.remove(&id);
                self.apply_speed(node);
            }
        }
    }

    /// Starts a node that is down, with whatever faults still do to it.
    pub(in crate::run::director) fn start_node(&mut self, node: usize) {
        self.life_is_over(node);
        let status = self.nodes.get(node);
        status.down = false;
        status.ended = false;
        status.boot += 1;
        self.world(Command::Start { node });
    }

    /// Takes all pauses from a node.
    fn resume(&mut self, at: u64, node: usize) {
        let status = self.nodes.get(node);
        let pauses = std::mem::take(&mut status.pauses);
        if pauses.is_empty() {
            return;
        }
        self.world(Command::Resume { node });
        for id in pauses {
            self.forget(id, |undo| *undo == Undo::Node(NodeUndo::Pause { node }));
        }
        // A fault may wait for it to take commands.
        self.agenda.add(at, Item::Retry);
    }

    fn take_down(&mut self, at: u64, node: usize, torn: Chance, restart_after: Option<u64>) {
        let status = self.nodes.get(node);
        status.down = true;
        let boot = status.boot;
        self.forget_pauses(node);
        self.life_is_over(node);
        self.world(Command::PowerLoss { node, torn });
        if let Some(after) = restart_after {
            self.agenda
                .add(at.saturating_add(after), Item::Start { node, boot });
        }
    }

    /// A machine is no more: a pause of it does not hold the next one.
    fn forget_pauses(&mut self, node: usize) {
        for id in std::mem::take(&mut self.nodes.get(node).pauses) {
            self.forget(id, |undo| *undo == Undo::Node(NodeUndo::Pause { node }));
        }
    }

    fn apply_speed(&mut self, node: usize) {
        let (num, den) = self.nodes.get(node).speed();
        self.world(Command::Throttle { node, num, den });
    }
}
