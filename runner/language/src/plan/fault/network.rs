//! Faults of networks.

use chaosrun_chance::Chance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Target};
use crate::plan::lower::Lower;
use crate::plan::model::Range;
use crate::scenario::block::Block;
use crate::scenario::vocab::NetworkKind;

/// Which frames a network fault touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frames {
    /// The networks, sorted.
    pub networks: Vec<String>,
    /// The senders.
    pub from: Target,
    /// The receivers.
    pub to: Target,
}

/// How a network is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Split {
    /// Between these node sets.
    Sides {
        /// The sides, in order.
        sides: Vec<String>,
    },
    /// Between so many drawn groups, each with at least one member.
    Groups {
        /// How many.
        count: u64,
    },
    /// Each of these off from all others.
    Isolate {
        /// Who.
        target: Target,
    },
}

/// What a fault of networks does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum NetworkAction {
    /// Cuts networks. One-way: only frames from the first side (or the isolated) to the others.
    Partition {
        networks: Vec<String>,
        split: Split,
        one_way: bool,
    },
    /// Ends network faults.
    Heal { networks: Vec<String> },
    /// Frames travel longer.
    Latency {
        frames: Frames,
        by_ns: u64,
        jitter_ns: u64,
        overtake: bool,
    },
    /// Frames travel longer by a drawn time.
    Jitter {
        frames: Frames,
        by_ns: u64,
        overtake: bool,
    },
    /// A network gets slow.
    Bandwidth { frames: Frames, bandwidth_bps: u64 },
    /// Frames get lost.
    Loss { frames: Frames, chance: Chance },
    /// Frames are damaged.
    Corrupt { frames: Frames, chance: Chance },
    /// Frames are overtaken.
    Reorder {
        frames: Frames,
        chance: Chance,
        window_ns: u64,
    },
    /// Frames arrive twice.
    Duplicate { frames: Frames, chance: Chance },
    /// Links go down and up.
    Flap {
        frames: Frames,
        down: Range,
        up: Range,
    },
}

impl NetworkAction {
    pub(in crate::plan) fn lower(
        kind: NetworkKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        let chance = || block.ratio("chance");
        Some(match kind {
            NetworkKind::Partition => Self::Partition {
                networks: lower.networks_hit(block)?,
                split: lower.split(block)?,
                one_way: block.bool("one-way"),
            },
            NetworkKind::Heal => Self::Heal {
                networks: lower.networks_hit(block)?,
            },
            NetworkKind::Latency => Self::Latency {
                frames: lower.frames(block)?,
                by_ns: block.amount("by")?,
                jitter_ns: block.amount("jitter")?,
                overtake: block.bool("overtake"),
            },
            NetworkKind::Jitter => Self::Jitter {
                frames: lower.frames(block)?,
                by_ns: block.amount("by")?,
                overtake: block.bool("overtake"),
            },
            NetworkKind::Bandwidth => Self::Bandwidth {
                frames: lower.frames(block)?,
                bandwidth_bps: block.amount("rate")?,
            },
            NetworkKind::Loss => Self::Loss {
                frames: lower.frames(block)?,
                chance: chance()?,
            },
            NetworkKind::Corrupt => Self::Corrupt {
                frames: lower.frames(block)?,
                chance: chance()?,
            },
            NetworkKind::Reorder => Self::Reorder {
                frames: lower.frames(block)?,
                chance: chance()?,
                window_ns: block.amount("window")?,
            },
            NetworkKind::Duplicate => Self::Duplicate {
                frames: lower.frames(block)?,
                chance: chance()?,
            },
            NetworkKind::Flap => Self::Flap {
                frames: lower.frames(block)?,
                down: block.range("down")?.into(),
                up: block.range("up")?.into(),
            },
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> NetworkKind {
        match self {
            Self::Partition { .. } => NetworkKind::Partition,
            Self::Heal { .. } => NetworkKind::Heal,
            Self::Latency { .. } => NetworkKind::Latency,
            Self::Jitter { .. } => NetworkKind::Jitter,
            Self::Bandwidth { .. } => NetworkKind::Bandwidth,
            Self::Loss { .. } => NetworkKind::Loss,
            Self::Corrupt { .. } => NetworkKind::Corrupt,
            Self::Reorder { .. } => NetworkKind::Reorder,
            Self::Duplicate { .. } => NetworkKind::Duplicate,
            Self::Flap { .. } => NetworkKind::Flap,
        }
    }

    /// What it hits.
    pub(super) fn aim(&self) -> Aim<'_> {
        Aim::Networks(match self {
            Self::Partition { networks, .. } | Self::Heal { networks } => networks,
            Self::Latency { frames, .. }
            | Self::Jitter { frames, .. }
            | Self::Bandwidth { frames, .. }
            | Self::Loss { frames, .. }
            | Self::Corrupt { frames, .. }
            | Self::Reorder { frames, .. }
            | Self::Duplicate { frames, .. }
            | Self::Flap { frames, .. } => &frames.networks,
        })
    }

    /// The nodes that a network loses, if the plan tells how many.
    pub(in crate::plan) const fn takes_away(&self) -> Option<&Target> {
        match self {
            Self::Partition {
                split: Split::Isolate { target },
                ..
            } => Some(target),
            Self::Partition {
                split: Split::Sides { .. } | Split::Groups { .. },
                ..
            }
            | Self::Heal { .. }
            | Self::Latency { .. }
            | Self::Jitter { .. }
            | Self::Bandwidth { .. }
            | Self::Loss { .. }
            | Self::Corrupt { .. }
            | Self::Reorder { .. }
            | Self::Duplicate { .. }
            | Self::Flap { .. } => None,
        }
    }
}
