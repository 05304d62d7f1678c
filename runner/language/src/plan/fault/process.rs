//! Faults of processes: of programs inside a machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::plan::model::Range;
use crate::scenario::block::Block;
use crate::scenario::vocab::ProcessKind;

/// What a fault of processes does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum ProcessAction {
    /// A process is killed; all of the node without a name.
    ProcessKill {
        target: Target,
        process: Option<String>,
        restart_after: Option<Range>,
    },
    /// A process is stopped, and later continued.
    ProcessPause {
        target: Target,
        process: Option<String>,
    },
    /// A process is killed and started anew.
    ProcessRestart {
        target: Target,
        process: Option<String>,
    },
}

impl ProcessAction {
    pub(in crate::plan) fn lower(
        kind: ProcessKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let target = lower.target(block)?;
        let process = match block.spanned_text("process") {
            Some(name) => Some(lower.process(name.value, name.span, &target.from)?),
            None => None,
        };
        Some(match kind {
            ProcessKind::ProcessKill => Self::ProcessKill {
                target,
                process,
                restart_after: block.range("restart-after").map(Range::from),
            },
            ProcessKind::ProcessPause => Self::ProcessPause { target, process },
            ProcessKind::ProcessRestart => Self::ProcessRestart { target, process },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ProcessKind {
        match self {
            Self::ProcessKill { .. } => ProcessKind::ProcessKill,
            Self::ProcessPause { .. } => ProcessKind::ProcessPause,
            Self::ProcessRestart { .. } => ProcessKind::ProcessRestart,
        }
    }

    /// The nodes that it hits.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::ProcessKill { target, .. }
            | Self::ProcessPause { target, .. }
            | Self::ProcessRestart { target, .. } => target,
        }
    }

    /// The process that it hits; all of the nodes without a name.
    #[must_use]
    pub const fn process(&self) -> Option<&String> {
        match self {
            Self::ProcessKill { process, .. }
            | Self::ProcessPause { process, .. }
            | Self::ProcessRestart { process, .. } => process.as_ref(),
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(self.target())
    }

    /// When what it stops starts again by itself, if the plan says so.
    #[must_use]
    pub const fn restart_after(&self) -> Option<&Range> {
        match self {
            Self::ProcessKill { restart_after, .. } => restart_after.as_ref(),
            Self::ProcessPause { .. } | Self::ProcessRestart { .. } => None,
        }
    }
}
