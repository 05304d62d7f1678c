//! Faults of clocks.

use chaosrun_vmm::world::Command;

use super::{Draw, MS};
use crate::plan::fault::ClockAction;
use crate::run::director::Director;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::{Facts, Needs, Prepared};
use crate::run::director::words::{Detail, signed};
use crate::scenario::vocab::ClockKind;

/// What a fault does to a node's clock.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum ClockEffect {
    Drift { node: usize, ppb: i64 },
    Skew { node: usize, by_ns: i64 },
    Jump { node: usize, by_ns: i64 },
}

/// How that is undone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum ClockUndo {
    Drift { node: usize },
    Skew { node: usize },
}

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: ClockKind, draw: &mut Draw<'_>) -> ClockAction {
    let target = draw.target.clone();
    match kind {
        ClockKind::ClockSkew => ClockAction::ClockSkew {
            target,
            by_ns: draw.signed(20 * MS, 5_000 * MS),
        },
        ClockKind::ClockDrift => ClockAction::ClockDrift {
            target,
            by_ppb: draw.signed(50_000, 20_000_000),
        },
        ClockKind::ClockJump => ClockAction::ClockJump {
            target,
            by_ns: draw.signed(10 * MS, 10_000 * MS),
        },
    }
}

/// What it is made of besides its targets.
fn detail(action: &ClockAction) -> Detail {
    let by = match action {
        ClockAction::ClockSkew { by_ns, .. } | ClockAction::ClockJump { by_ns, .. } => {
            signed(*by_ns)
        }
        ClockAction::ClockDrift { by_ppb, .. } => format!("{by_ppb}ppb"),
    };
    ("by", by.into())
}

impl Director<'_> {
    pub(super) fn prepare_clock(&mut self, name: &str, action: &ClockAction) -> Option<Prepared> {
        let facts = Facts {
            // A clock goes on, and goes wrong, whatever the machine around it does.
            needs: Needs::Nothing,
            impairs: false,
            lasts: match action {
                ClockAction::ClockSkew { .. } | ClockAction::ClockDrift { .. } => true,
                ClockAction::ClockJump { .. } => false,
            },
        };
        let mut prepared = self.on_nodes(name, action.target(), facts, |_, node| {
            Effect::Clock(match *action {
                ClockAction::ClockSkew { by_ns, .. } => ClockEffect::Skew { node, by_ns },
                ClockAction::ClockDrift { by_ppb, .. } => ClockEffect::Drift { node, ppb: by_ppb },
                ClockAction::ClockJump { by_ns, .. } => ClockEffect::Jump { node, by_ns },
            })
        })?;
        prepared.details = vec![detail(action)];
        Some(prepared)
    }

    pub(in crate::run::director) fn perform_on_clock(
        &mut self,
        id: u64,
        effect: ClockEffect,
    ) -> Option<Undo> {
        match effect {
            ClockEffect::Drift { node, ppb } => {
                self.nodes.get(node).drifts.insert(id, ppb);
                self.apply_drift(node);
                Some(Undo::Clock(ClockUndo::Drift { node }))
            }
            ClockEffect::Skew { node, by_ns } => {
                self.skew(id, node, by_ns);
                Some(Undo::Clock(ClockUndo::Skew { node }))
            }
            ClockEffect::Jump { node, by_ns } => {
                self.jump(id, node, by_ns);
                None
            }
        }
    }

    pub(in crate::run::director) fn undo_on_clock(&mut self, id: u64, undo: ClockUndo) {
        match undo {
            ClockUndo::Drift { node } => {
                self.nodes.get(node).drifts.remove(&id);
                self.apply_drift(node);
            }
            ClockUndo::Skew { node } => self.unskew(id, node),
        }
    }

    fn apply_drift(&mut self, node: usize) {
        let ppb = self.nodes.drift(node);
        self.world(Command::Drift { node, ppb });
    }
}
