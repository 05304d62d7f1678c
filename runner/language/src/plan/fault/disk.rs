//! Faults of disks.

use chaosrun_chance::Chance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::plan::model::Range;
use crate::scenario::block::Block;
use crate::scenario::vocab::DiskKind;

/// Which disk operations a disk fault touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskOps {
    /// The nodes.
    pub target: Target,
    /// The disk of those nodes; all without it.
    pub disk: Option<String>,
    /// How many operations are hit.
    pub chance: Chance,
    /// How many at most.
    pub times: Option<u64>,
    /// Only at or behind this byte.
    pub offset_bytes: u64,
    /// Only so many bytes from there.
    pub length_bytes: Option<u64>,
}

/// What a fault of disks does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum DiskAction {
    /// Reads fail.
    DiskReadError { disks: DiskOps },
    /// Writes fail.
    DiskWriteError { disks: DiskOps },
    /// Interrupted writes are kept in part.
    TornWrite { disks: DiskOps },
    /// Writes land elsewhere.
    MisdirectedWrite { disks: DiskOps },
    /// Bits turn over.
    BitFlip { disks: DiskOps, bits: u64 },
    /// Flushes do nothing.
    LostFlush { disks: DiskOps },
    /// No space is left.
    DiskFull { disks: DiskOps },
    /// Operations take longer.
    DiskSlow { disks: DiskOps, by: Range },
}

impl DiskAction {
    pub(in crate::plan) fn lower(
        kind: DiskKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let disks = lower.disk_ops(block)?;
        Some(match kind {
            DiskKind::DiskReadError => Self::DiskReadError { disks },
            DiskKind::DiskWriteError => Self::DiskWriteError { disks },
            DiskKind::TornWrite => Self::TornWrite { disks },
            DiskKind::MisdirectedWrite => Self::MisdirectedWrite { disks },
            DiskKind::BitFlip => Self::BitFlip {
                disks,
                bits: block.unsigned("bits")?,
            },
            DiskKind::LostFlush => Self::LostFlush { disks },
            DiskKind::DiskFull => Self::DiskFull { disks },
            DiskKind::DiskSlow => Self::DiskSlow {
                disks,
                by: block.range("by")?.into(),
            },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> DiskKind {
        match self {
            Self::DiskReadError { .. } => DiskKind::DiskReadError,
            Self::DiskWriteError { .. } => DiskKind::DiskWriteError,
            Self::TornWrite { .. } => DiskKind::TornWrite,
            Self::MisdirectedWrite { .. } => DiskKind::MisdirectedWrite,
            Self::BitFlip { .. } => DiskKind::BitFlip,
            Self::LostFlush { .. } => DiskKind::LostFlush,
            Self::DiskFull { .. } => DiskKind::DiskFull,
            Self::DiskSlow { .. } => DiskKind::DiskSlow,
        }
    }

    /// The operations that it hits.
    #[must_use]
    pub const fn ops(&self) -> &DiskOps {
        match self {
            Self::DiskReadError { disks }
            | Self::DiskWriteError { disks }
            | Self::TornWrite { disks }
            | Self::MisdirectedWrite { disks }
            | Self::BitFlip { disks, .. }
            | Self::LostFlush { disks }
            | Self::DiskFull { disks }
            | Self::DiskSlow { disks, .. } => disks,
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(&self.ops().target)
    }
}
