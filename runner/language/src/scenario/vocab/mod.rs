//! The words of the language: every key, its kind, its default and what it is for.
//!
//! This table is the only place that knows a key. The check of a file, the reference in
//! `docs/SCENARIOS.md`, the schemas and the random scenarios of the tests are all made from it.

mod cluster;
mod fault;
mod kinds;
mod network;
mod property;
mod root;

pub use cluster::{
    CLOCK, CONSOLE, DISK, FILE, GUEST, GUEST_USE, INTERLEAVE, KERNEL, NIC, NODE, TEMPLATE,
};
pub use fault::{AFTER, AT, BETWEEN, BUDGET, EVERY, FAULTS, RANDOM};
pub use kinds::{
    ClockKind, DiskKind, Family, FaultKind, InterruptKind, KINDS, MemoryKind, NetworkKind,
    NodeKind, ProcessKind,
};
pub use network::{LINK, NETWORK};
pub use property::PROPERTIES;
pub use root::{AXIS, EXPLORE, INCLUDE, MATRIX, READY, ROOT, RUN, SHARD, VARIANT};

/// What kind of thing a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ref {
    /// The name given to the thing itself.
    Definition,
    /// A node, a tag, a role or a set such as `all`.
    Selector,
    /// A guest.
    Guest,
    /// A network.
    Network,
    /// A disk of a node.
    Disk,
    /// A template.
    Template,
    /// A tag, freely chosen.
    Tag,
    /// A role, freely chosen.
    Role,
    /// A process inside a node.
    Process,
    /// Fault kinds or families of them.
    FaultKind,
    /// Anything; the meaning is in the key's text.
    Free,
}

/// What a key's value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// True or false; in KDL the key alone means true.
    Bool,
    /// A whole number in a range, both ends included.
    Int(i64, i64),
    /// Whole numbers in a range.
    Ints(i64, i64),
    /// Any text.
    Text,
    /// Any texts, one after another.
    Texts,
    /// What is looked for in a console: a piece of text, or `/a regular expression/`.
    Pattern,
    /// A file or folder, relative to the scenario's.
    Path,
    /// One name.
    Name(Ref),
    /// Names; in one string they are parted by commas.
    Names(Ref),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// A time span.
    Duration,
    /// A time span, or one before zero.
    SignedDuration,
    /// A time span, or a range of them.
    DurationRange,
    /// A number of bytes.
    Size,
    /// Bits per second.
    Bandwidth,
    /// A probability.
    Ratio,
    /// Events per time.
    Rate,
    /// How much faster a clock runs.
    Drift,
    /// A range of seeds.
    SeedRange,
    /// A number of nodes, or `minority`.
    Count,
    /// Freely chosen keys with texts.
    Map,
    /// Values of any kind, which another key gives the kind.
    Any,
    /// A block of keys.
    Block(&'static Section),
    /// Blocks that each have a name.
    Named(&'static Section),
}

/// One key of a block.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it may be written several times.
    pub many: bool,
    /// Whether it must be written.
    pub required: bool,
    /// What it is when it is not written, in the language's own notation; or "" for nothing.
    pub default: &'static str,
    /// What it is for, in one sentence.
    pub doc: &'static str,
}

impl Key {
    /// Allows the key several times.
    #[must_use]
    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Demands the key.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Gives the key a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

/// A key that is optional, is written at most once, and has no default.
pub(crate) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        many: false,
        required: false,
        default: "",
        doc,
    }
}

/// A block of keys.
#[derive(Debug)]
pub struct Section {
    /// Its name: mostly the key that it is written under.
    pub name: &'static str,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// The keys that a KDL node's arguments stand for, in order.
    pub args: &'static [&'static str],
    /// Whether the last of `args` takes all arguments that are left.
    pub variadic: bool,
    /// The keys, in groups that several blocks share.
    pub groups: &'static [&'static [Key]],
}

impl Section {
    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + '_ {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The key of that name. Where a name has two meanings (`jitter` of a trigger, `jitter` the
    /// fault), `block` chooses between the plain value and the block.
    #[must_use]
    pub fn key(&self, name: &str, block: bool) -> Option<&'static Key> {
        let mut found = self.keys().filter(|k| k.name == name);
        let first = found.next()?;
        match found.next() {
            Some(second) if matches!(first.kind, Kind::Block(_)) != block => Some(second),
            _ => Some(first),
        }
    }
}
