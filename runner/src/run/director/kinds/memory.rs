//! Faults of memory, which the node's init carries out.

use chaosrun_protocol::control::Action as GuestAction;

use super::Draw;
use crate::plan::fault::MemoryAction;
use crate::run::director::Director;
use crate::run::director::effect::Effect;
use crate::run::director::prepare::{Facts, Needs, Prepared};
use crate::scenario::vocab::MemoryKind;

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: MemoryKind, draw: &mut Draw<'_>) -> MemoryAction {
    match kind {
        MemoryKind::MemoryPressure => MemoryAction::MemoryPressure {
            target: draw.target.clone(),
            take_bytes: draw.range(draw.memory_bytes / 8, draw.memory_bytes / 2),
        },
    }
}

impl Director<'_> {
    pub(super) fn prepare_memory(&mut self, name: &str, action: &MemoryAction) -> Option<Prepared> {
        let facts = Facts {
            needs: Needs::Init,
            impairs: false,
            lasts: true,
        };
        let (told, detail) = match action {
            MemoryAction::MemoryPressure { take_bytes, .. } => (
                GuestAction::MemoryTake { bytes: *take_bytes },
                ("take", format!("{take_bytes}B").into()),
            ),
        };
        let mut prepared = self.on_nodes(name, action.target(), facts, |_, node| {
            let action = told.clone();
            Effect::Guest { node, action }
        })?;
        prepared.details = vec![detail];
        Some(prepared)
    }
}
