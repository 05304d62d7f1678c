//! Faults of processes, which the node's init carries out.

use chaosrun_protocol::control::Action as GuestAction;

use super::Draw;
use crate::plan::fault::ProcessAction;
use crate::run::director::Director;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::{Facts, Needs, Prepared};
use crate::scenario::units::duration;
use crate::scenario::vocab::ProcessKind;

/// A fault of this kind.
pub(super) fn draw(kind: ProcessKind, draw: &mut Draw<'_>) -> ProcessAction {
    let (target, process) = (draw.target.clone(), None);
    match kind {
        ProcessKind::ProcessKill => ProcessAction::ProcessKill {
            target,
            process,
            restart_after: Some(draw.duration),
        },
        ProcessKind::ProcessPause => ProcessAction::ProcessPause { target, process },
        ProcessKind::ProcessRestart => ProcessAction::ProcessRestart { target, process },
    }
}

impl Director<'_> {
    pub(super) fn prepare_process(
        &mut self,
        name: &str,
        action: &ProcessAction,
    ) -> Option<Prepared> {
        let facts = Facts {
            needs: Needs::Init,
            impairs: true,
            lasts: match action {
                ProcessAction::ProcessKill { restart_after, .. } => restart_after.is_some(),
                ProcessAction::ProcessPause { .. } => true,
                ProcessAction::ProcessRestart { .. } => false,
            },
        };
        let mut prepared = self.on_nodes(name, action.target(), facts, |this, node| {
            let after = action.restart_after();
            let action = told(action, after.map(|range| this.draw_range(name, range)));
            Effect::Guest { node, action }
        })?;
        let process = action.process().cloned();
        let process = process.map(|process| ("process", process.into()));
        prepared.details = process.into_iter().collect();
        if let Some(Effect::Guest {
            action:
                GuestAction::ProcessKill {
                    restart_after_ns: Some(after),
                    ..
                },
            ..
        }) = prepared.effects.first()
        {
            let after = duration(*after);
            prepared.details.push(("restart-after", after.into()));
        }
        Some(prepared)
    }

    /// A killed process is back.
    pub(in crate::run::director) fn process_back(&mut self, at: u64, id: u64, node: usize) {
        self.forget(id, |undo| {
            let of_node = |of: usize, action: &GuestAction| {
                of == node && matches!(action, GuestAction::ProcessStart { .. })
            };
            matches!(undo, Undo::Guest { node, action } if of_node(*node, action))
        });
        self.last_fault = Some(at);
        self.retry(at);
    }
}

/// What init is told.
fn told(action: &ProcessAction, restart_after_ns: Option<u64>) -> GuestAction {
    let process = action.process().cloned();
    match action {
        ProcessAction::ProcessKill { .. } => GuestAction::ProcessKill {
            process,
            restart_after_ns,
        },
        ProcessAction::ProcessPause { .. } => GuestAction::ProcessPause { process },
        ProcessAction::ProcessRestart { .. } => GuestAction::ProcessRestart {
            process,
            restart_after_ns: 0,
        },
    }
}
