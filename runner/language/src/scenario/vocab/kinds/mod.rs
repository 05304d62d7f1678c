//! The kinds of fault: what goes wrong, and to whom.
//!
//! Each family has a file with the parameters of its kinds, their defaults, and a table of the kinds.
//! [`FaultKind`] is made of the tables, so that a kind is written down once; the plan and the director have
//! a file for each family, too, and the compiler sees to it that none of them leaves out a kind.

use super::{Key, Kind, Ref, Section, key};

/// A kind of fault: its name, positional arguments, documentation and keys.
macro_rules! fault {
    ($id:ident, $name:literal, $args:expr, $variadic:literal, $doc:literal, [$($group:expr),+ $(,)?]) => {
        static $id: super::Section = super::Section {
            name: $name,
            doc: $doc,
            args: $args,
            variadic: $variadic,
            groups: &[$($group),+],
        };
    };
}

/// The kinds of a family, in the order of the language: for each its section, its role, and a few words.
macro_rules! kinds {
    ($(#[$doc:meta])* $family:ident { $($kind:ident = $section:ident, $role:ident, $summary:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $family {
            $(#[doc = $summary] $kind,)+
        }

        impl $family {
            /// All of them, in the order of the language.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name and its keys.
            #[must_use]
            pub const fn section(self) -> &'static super::Section {
                match self {
                    $(Self::$kind => &$section,)+
                }
            }

            pub(super) const fn summary(self) -> &'static str {
                match self {
                    $(Self::$kind => $summary,)+
                }
            }

            pub(super) const fn role(self) -> super::Role {
                match self {
                    $(Self::$kind => super::Role::$role,)+
                }
            }
        }
    };
}

/// All families, and the kinds of all of them.
macro_rules! families {
    ($($family:ident($kinds:ident) = $name:literal, $doc:literal;)+) => {
        /// What a fault is about. `random from=` takes families as well as kinds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Family {
            $(#[doc = $doc] $family,)+
        }

        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FaultKind {
            $(#[doc = $doc] $family($kinds),)+
        }

        impl Family {
            /// All of them, in the order of the language.
            pub const ALL: &[Self] = &[$(Self::$family),+];

            /// The word of the language.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$family => $name,)+
                }
            }
        }

        impl FaultKind {
            /// All of them, in the order of the language.
            pub const ALL: &[Self] = &{
                let mut all = [Self::Network(NetworkKind::Partition); 0 $(+ $kinds::ALL.len())+];
                let mut count = 0;
                $(
                    let mut of_family = 0;
                    while of_family < $kinds::ALL.len() {
                        all[count] = Self::$family($kinds::ALL[of_family]);
                        count += 1;
                        of_family += 1;
                    }
                )+
                all
            };

            /// What it is about.
            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$family(_) => Family::$family,)+
                }
            }

            /// Its parameters and their defaults.
            #[must_use]
            pub const fn section(self) -> &'static Section {
                match self {
                    $(Self::$family(kind) => kind.section(),)+
                }
            }

            pub(super) const fn summary(self) -> &'static str {
                match self {
                    $(Self::$family(kind) => kind.summary(),)+
                }
            }

            const fn role(self) -> Role {
                match self {
                    $(Self::$family(kind) => kind.role(),)+
                }
            }
        }
    };
}

mod clock;
mod disk;
mod interrupt;
mod memory;
mod network;
mod node;
mod process;

pub use clock::ClockKind;
pub use disk::DiskKind;
pub use interrupt::InterruptKind;
pub use memory::MemoryKind;
pub use network::NetworkKind;
pub use node::NodeKind;
pub use process::ProcessKind;

families! {
    Network(NetworkKind) = "network", "Frames.";
    Disk(DiskKind) = "disk", "Operations of disks.";
    Node(NodeKind) = "node", "Machines as a whole.";
    Process(ProcessKind) = "process", "Programs inside a machine.";
    Clock(ClockKind) = "clock", "What a machine takes for the time.";
    Memory(MemoryKind) = "memory", "The memory that there is.";
    Interrupt(InterruptKind) = "interrupt", "What comes to processors, unasked or late.";
}

/// What a kind is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Harm.
    Harm,
    /// The end of other faults of its family before their time.
    Cure,
}

impl Family {
    /// The family of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|family| family.name() == name)
    }

    /// What `random` draws when it draws from the family, in the order of the language.
    pub fn drawn(self) -> impl Iterator<Item = FaultKind> {
        let all = FaultKind::ALL.iter().copied();
        all.filter(move |kind| kind.family() == self && kind.is_drawn())
    }
}

impl FaultKind {
    /// The word of the language, which is that of plans and reports, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.section().name
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether `random` can draw it. What only ends other faults has to be written.
    #[must_use]
    pub const fn is_drawn(self) -> bool {
        match self.role() {
            Role::Harm => true,
            Role::Cure => false,
        }
    }
}

/// Whom a fault hits.
const TARGET: &[Key] = &[
    key(
        "target",
        Kind::Names(Ref::Selector),
        "The nodes: names, `tag:NAME`, `role:NAME`, or one of `all`, `any`, `minority`, \
         `majority`.",
    )
    .default("all"),
    key(
        "tag",
        Kind::Names(Ref::Tag),
        "The nodes with one of these tags.",
    ),
    key(
        "role",
        Kind::Names(Ref::Role),
        "The nodes with one of these roles.",
    ),
    key(
        "any",
        Kind::Int(1, 4096),
        "So many of the selected nodes, drawn each time.",
    ),
    key(
        "minority",
        Kind::Bool,
        "Fewer than half of the selected nodes, drawn each time.",
    ),
    key(
        "majority",
        Kind::Bool,
        "More than half of the selected nodes, drawn each time.",
    ),
];

/// What every fault has.
const COMMON: &[Key] = &[key(
    "name",
    Kind::Text,
    "What the fault is called in reports, so that its random choices stay the same when others are added.",
)];

/// A fault that lasts.
const LASTING: &[Key] = &[key(
    "for",
    Kind::DurationRange,
    "How long it lasts, or a range to draw from; without it, until the quiet period or a `heal`.",
)];

/// Every kind of fault, as a key of each trigger.
pub const KINDS: &[Key] = &{
    let mut keys = [key("", Kind::Bool, ""); FaultKind::ALL.len()];
    let mut i = 0;
    while i < keys.len() {
        let kind = FaultKind::ALL[i];
        keys[i] = key(kind.name(), Kind::Block(kind.section()), kind.summary()).many();
        i += 1;
    }
    keys
};
