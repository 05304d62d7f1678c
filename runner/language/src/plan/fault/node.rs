//! Faults of nodes: of a machine as a whole.

use chaosrun_chance::Chance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::plan::model::Range;
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::vocab::NodeKind;

/// What a fault of nodes does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum NodeAction {
    /// Nodes stop at once; restarted after a time, or at the quiet period.
    Kill {
        target: Target,
        restart_after: Option<Range>,
    },
    /// Nodes start again.
    Restart { target: Target },
    /// Nodes stand still.
    Pause { target: Target },
    /// Nodes go on.
    Resume { target: Target },
    /// Nodes lose power; `torn` of the unflushed writes are kept in part.
    PowerLoss {
        target: Target,
        restart_after: Option<Range>,
        torn: Chance,
    },
    /// Nodes compute at this part of their speed.
    Throttle { target: Target, to: Chance },
}

impl NodeAction {
    pub(in crate::plan) fn lower(
        kind: NodeKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let target = lower.target(block)?;
        let restart_after = block.range("restart-after").map(Range::from);
        Some(match kind {
            NodeKind::Kill => Self::Kill {
                target,
                restart_after,
            },
            NodeKind::Restart => Self::Restart { target },
            NodeKind::Pause => Self::Pause { target },
            NodeKind::Resume => Self::Resume { target },
            NodeKind::PowerLoss => Self::PowerLoss {
                target,
                restart_after,
                torn: block.ratio("torn")?,
            },
            NodeKind::Throttle => {
                let to = block.ratio("to")?;
                if !to.is_possible() {
                    lower.push(
                        Diag::error(codes::OUT_OF_RANGE, "a throttled node can't stand still")
                            .label(block.span_of("to"), "nothing is left")
                            .help("use `pause` for that"),
                    );
                    return None;
                }
                Self::Throttle { target, to }
            }
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> NodeKind {
        match self {
            Self::Kill { .. } => NodeKind::Kill,
            Self::Restart { .. } => NodeKind::Restart,
            Self::Pause { .. } => NodeKind::Pause,
            Self::Resume { .. } => NodeKind::Resume,
            Self::PowerLoss { .. } => NodeKind::PowerLoss,
            Self::Throttle { .. } => NodeKind::Throttle,
        }
    }

    /// The nodes that it hits.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::Kill { target, .. }
            | Self::Restart { target }
            | Self::Pause { target }
            | Self::Resume { target }
            | Self::PowerLoss { target, .. }
            | Self::Throttle { target, .. } => target,
        }
    }

    /// What it hits.
    pub(super) const fn aim(&self) -> Aim<'_> {
        Aim::Nodes(self.target())
    }

    /// The nodes that it takes from the cluster, where a budget is to be checked before a run.
    pub(in crate::plan) const fn takes_away(&self) -> Option<&Target> {
        match self {
            Self::Kill { target, .. } | Self::Pause { target } | Self::PowerLoss { target, .. } => {
                Some(target)
            }
            Self::Restart { .. } | Self::Resume { .. } | Self::Throttle { .. } => None,
        }
    }

    /// When what it stops starts again by itself, if it does.
    #[must_use]
    pub const fn restart_after(&self) -> Option<&Range> {
        match self {
            Self::Kill { restart_after, .. } | Self::PowerLoss { restart_after, .. } => {
                restart_after.as_ref()
            }
            Self::Restart { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Throttle { .. } => None,
        }
    }
}
