//! Faults of memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::scenario::block::Block;
use crate::scenario::vocab::MemoryKind;

/// What a fault of memory does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum MemoryAction {
    /// Memory is taken away.
    MemoryPressure { target: Target, take_bytes: u64 },
}

impl MemoryAction {
    pub(in crate::plan) fn lower(
        kind: MemoryKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let target = lower.target(block)?;
        Some(match kind {
            MemoryKind::MemoryPressure => Self::MemoryPressure {
                target,
                take_bytes: block.amount("take")?,
            },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> MemoryKind {
        match self {
            Self::MemoryPressure { .. } => MemoryKind::MemoryPressure,
        }
    }

    /// The nodes that it hits.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::MemoryPressure { target, .. } => target,
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(self.target())
    }
}
