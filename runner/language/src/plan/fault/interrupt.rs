//! Faults of interrupts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::plan::model::{Range, Rate};
use crate::scenario::block::Block;
use crate::scenario::vocab::InterruptKind;

/// What a fault of interrupts does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum InterruptAction {
    /// A stray interrupt.
    Irq { target: Target, line: u32 },
    /// A non-maskable interrupt.
    Nmi { target: Target, vcpu: u32 },
    /// Stray timer interrupts.
    SpuriousTimer { target: Target, rate: Rate },
    /// Late timer interrupts.
    DelayedTimer { target: Target, by: Range },
}

impl InterruptAction {
    pub(in crate::plan) fn lower(
        kind: InterruptKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let target = lower.target(block)?;
        let small = |key: &str| block.unsigned(key).and_then(|n| u32::try_from(n).ok());
        Some(match kind {
            InterruptKind::Irq => Self::Irq {
                target,
                line: small("line")?,
            },
            InterruptKind::Nmi => Self::Nmi {
                target,
                vcpu: small("vcpu")?,
            },
            InterruptKind::SpuriousTimer => {
                let rate = block.rate("rate")?;
                Self::SpuriousTimer {
                    target,
                    rate: Rate {
                        count: rate.count,
                        per_ns: rate.per_ns,
                    },
                }
            }
            InterruptKind::DelayedTimer => Self::DelayedTimer {
                target,
                by: block.range("by")?.into(),
            },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> InterruptKind {
        match self {
            Self::Irq { .. } => InterruptKind::Irq,
            Self::Nmi { .. } => InterruptKind::Nmi,
            Self::SpuriousTimer { .. } => InterruptKind::SpuriousTimer,
            Self::DelayedTimer { .. } => InterruptKind::DelayedTimer,
        }
    }

    /// The nodes that it hits.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::Irq { target, .. }
            | Self::Nmi { target, .. }
            | Self::SpuriousTimer { target, .. }
            | Self::DelayedTimer { target, .. } => target,
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(self.target())
    }
}
