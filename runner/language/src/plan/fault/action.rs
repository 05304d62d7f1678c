//! What a fault does, whatever it is about.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{
    ClockAction, DiskAction, InterruptAction, MemoryAction, NetworkAction, NodeAction,
    ProcessAction, Target,
};
use crate::plan::human::pick_name;
use crate::plan::lower::Lower;
use crate::plan::model::Range;
use crate::scenario::block::Block;
use crate::scenario::vocab::{Family, FaultKind};

/// What a fault does. In JSON the family is not seen: the field `kind` has the kind's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the families are documented where they are")]
pub enum Action {
    Network(NetworkAction),
    Disk(DiskAction),
    Node(NodeAction),
    Process(ProcessAction),
    Clock(ClockAction),
    Memory(MemoryAction),
    Interrupt(InterruptAction),
}

/// What a fault hits.
pub(super) enum Aim<'a> {
    /// Networks, by name.
    Networks(&'a [String]),
    /// Nodes.
    Nodes(&'a Target),
}

impl Action {
    pub(in crate::plan) fn lower(
        kind: FaultKind,
        lower: &mut Lower<'_>,
        block: &Block,
    ) -> Option<Self> {
        Some(match kind {
            FaultKind::Network(kind) => Self::Network(NetworkAction::lower(kind, lower, block)?),
            FaultKind::Disk(kind) => Self::Disk(DiskAction::lower(kind, lower, block)?),
            FaultKind::Node(kind) => Self::Node(NodeAction::lower(kind, lower, block)?),
            FaultKind::Process(kind) => Self::Process(ProcessAction::lower(kind, lower, block)?),
            FaultKind::Clock(kind) => Self::Clock(ClockAction::lower(kind, lower, block)?),
            FaultKind::Memory(kind) => Self::Memory(MemoryAction::lower(kind, lower, block)?),
            FaultKind::Interrupt(kind) => {
                Self::Interrupt(InterruptAction::lower(kind, lower, block)?)
            }
        })
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Network(action) => FaultKind::Network(action.kind()),
            Self::Disk(action) => FaultKind::Disk(action.kind()),
            Self::Node(action) => FaultKind::Node(action.kind()),
            Self::Process(action) => FaultKind::Process(action.kind()),
            Self::Clock(action) => FaultKind::Clock(action.kind()),
            Self::Memory(action) => FaultKind::Memory(action.kind()),
            Self::Interrupt(action) => FaultKind::Interrupt(action.kind()),
        }
    }

    /// What it hits.
    fn aim(&self) -> Aim<'_> {
        match self {
            Self::Network(action) => action.aim(),
            Self::Disk(action) => action.aim(),
            Self::Node(action) => action.aim(),
            Self::Process(action) => action.aim(),
            Self::Clock(action) => action.aim(),
            Self::Memory(action) => action.aim(),
            Self::Interrupt(action) => action.aim(),
        }
    }

    /// The nodes that it takes from the cluster at once, where the plan tells how many.
    pub(in crate::plan) const fn takes_away(&self) -> Option<&Target> {
        match self {
            Self::Network(action) => action.takes_away(),
            Self::Node(action) => action.takes_away(),
            Self::Disk(_)
            | Self::Process(_)
            | Self::Clock(_)
            | Self::Memory(_)
            | Self::Interrupt(_) => None,
        }
    }

    /// When what it stops starts again by itself, if the plan says so.
    #[must_use]
    pub const fn restart_after(&self) -> Option<&Range> {
        match self {
            Self::Node(action) => action.restart_after(),
            Self::Process(action) => action.restart_after(),
            Self::Network(_)
            | Self::Disk(_)
            | Self::Clock(_)
            | Self::Memory(_)
            | Self::Interrupt(_) => None,
        }
    }

    /// A fault in a few words, e.g. `kill n1`.
    pub(in crate::plan) fn describe(&self) -> String {
        let kind = self.kind().name();
        match self.aim() {
            Aim::Networks(networks) => format!("{kind} {}", networks.join(",")),
            Aim::Nodes(target) => format!("{kind} {}", pick_name(target)),
        }
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The part that says which of the others there are.
        #[derive(Deserialize)]
        struct Tag {
            kind: FaultKind,
        }
        let value = Value::deserialize(deserializer)?;
        let read = || -> Result<Self, serde_json::Error> {
            Ok(match Tag::deserialize(&value)?.kind {
                FaultKind::Network(_) => Self::Network(NetworkAction::deserialize(&value)?),
                FaultKind::Disk(_) => Self::Disk(DiskAction::deserialize(&value)?),
                FaultKind::Node(_) => Self::Node(NodeAction::deserialize(&value)?),
                FaultKind::Process(_) => Self::Process(ProcessAction::deserialize(&value)?),
                FaultKind::Clock(_) => Self::Clock(ClockAction::deserialize(&value)?),
                FaultKind::Memory(_) => Self::Memory(MemoryAction::deserialize(&value)?),
                FaultKind::Interrupt(_) => Self::Interrupt(InterruptAction::deserialize(&value)?),
            })
        };
        read().map_err(de::Error::custom)
    }
}

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    /// One list of the kinds of all families, as JSON has them.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut kinds = Vec::new();
        for family in Family::ALL {
            let mut schema = match family {
                Family::Network => NetworkAction::json_schema(generator),
                Family::Disk => DiskAction::json_schema(generator),
                Family::Node => NodeAction::json_schema(generator),
                Family::Process => ProcessAction::json_schema(generator),
                Family::Clock => ClockAction::json_schema(generator),
                Family::Memory => MemoryAction::json_schema(generator),
                Family::Interrupt => InterruptAction::json_schema(generator),
            };
            if let Some(Value::Array(of_family)) = schema.remove("oneOf") {
                kinds.extend(of_family);
            }
        }
        json_schema!({ "description": "What a fault does.", "oneOf": kinds })
    }
}

impl Serialize for FaultKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FaultKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || de::Error::custom(format!("`{name}` is no kind of fault"));
        Self::from_name(&name).ok_or_else(unknown)
    }
}
