//! Faults of clocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::scenario::block::Block;
use crate::scenario::vocab::ClockKind;

/// What a fault of clocks does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum ClockAction {
    /// Clocks are off.
    ClockSkew { target: Target, by_ns: i64 },
    /// Clocks run wrong.
    ClockDrift { target: Target, by_ppb: i64 },
    /// Clocks jump.
    ClockJump { target: Target, by_ns: i64 },
}

impl ClockAction {
    pub(in crate::plan) fn lower(
        kind: ClockKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let target = lower.target(block)?;
        Some(match kind {
            ClockKind::ClockSkew => Self::ClockSkew {
                target,
                by_ns: block.int("by")?,
            },
            ClockKind::ClockDrift => Self::ClockDrift {
                target,
                by_ppb: block.int("by")?,
            },
            ClockKind::ClockJump => Self::ClockJump {
                target,
                by_ns: block.int("by")?,
            },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ClockKind {
        match self {
            Self::ClockSkew { .. } => ClockKind::ClockSkew,
            Self::ClockDrift { .. } => ClockKind::ClockDrift,
            Self::ClockJump { .. } => ClockKind::ClockJump,
        }
    }

    /// The nodes that it hits.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::ClockSkew { target, .. }
            | Self::ClockDrift { target, .. }
            | Self::ClockJump { target, .. } => target,
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(self.target())
    }
}
