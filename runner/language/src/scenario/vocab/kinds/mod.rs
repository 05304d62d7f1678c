//! The kinds of fault: what goes wrong, and to whom.

use super::{Key, Kind, Ref, Section, key};

/// A kind of fault: its name, positional arguments, documentation and keys.
macro_rules! fault {
    ($id:ident, $name:literal, $args:expr, $variadic:literal, $doc:literal, [$($group:expr),+ $(,)?]) => {
        pub(super) static $id: super::Section = super::Section {
            name: $name,
            doc: $doc,
            args: $args,
            variadic: $variadic,
            groups: &[$($group),+],
        };
    };
}

mod disk;
mod network;
mod node;

use disk::*;
use network::*;
use node::*;

/// Families of fault kinds, for `random from=`.
pub const FAMILIES: &[(&str, &[&str])] = &[
    (
        "network",
        &[
            "partition",
            "latency",
            "jitter",
            "bandwidth",
            "loss",
            "corrupt",
            "reorder",
            "duplicate",
            "flap",
        ],
    ),
    (
        "disk",
        &[
            "disk-read-error",
            "disk-write-error",
            "torn-write",
            "misdirected-write",
            "bit-flip",
            "lost-flush",
            "disk-full",
            "disk-slow",
        ],
    ),
    (
        "node",
        &["kill", "restart", "pause", "power-loss", "throttle"],
    ),
    (
        "process",
        &["process-kill", "process-pause", "process-restart"],
    ),
    ("clock", &["clock-skew", "clock-drift", "clock-jump"]),
    ("memory", &["memory-pressure"]),
    (
        "interrupt",
        &["irq", "nmi", "spurious-timer", "delayed-timer"],
    ),
];

/// Whom a fault hits.
const TARGET: &[Key] = &[
    key("target", Kind::Names(Ref::Selector), "The nodes: names, `tag:NAME`, `role:NAME`, or one of `all`, `any`, `minority`, `majority`.").default("all"),
    key("tag", Kind::Names(Ref::Tag), "The nodes with one of these tags."),
    key("role", Kind::Names(Ref::Role), "The nodes with one of these roles."),
    key("any", Kind::Int(1, 4096), "So many of the selected nodes, drawn each time."),
    key("minority", Kind::Bool, "Fewer than half of the selected nodes, drawn each time."),
    key("majority", Kind::Bool, "More than half of the selected nodes, drawn each time."),
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

/// Every kind of fault. They are keys of each trigger.
pub const KINDS: &[Key] = &[
    key(
        "partition",
        Kind::Block(&PARTITION),
        "Cuts a network between groups of nodes.",
    )
    .many(),
    key("heal", Kind::Block(&HEAL), "Ends network faults.").many(),
    key("latency", Kind::Block(&LATENCY), "Frames travel longer.").many(),
    key(
        "jitter",
        Kind::Block(&JITTER),
        "Frames travel longer by a drawn time.",
    )
    .many(),
    key("bandwidth", Kind::Block(&BANDWIDTH), "A network gets slow.").many(),
    key("loss", Kind::Block(&LOSS), "Frames get lost.").many(),
    key("corrupt", Kind::Block(&CORRUPT), "Frames are damaged.").many(),
    key("reorder", Kind::Block(&REORDER), "Frames are overtaken.").many(),
    key("duplicate", Kind::Block(&DUPLICATE), "Frames arrive twice.").many(),
    key("flap", Kind::Block(&FLAP), "Links go down and up.").many(),
    key(
        "disk-read-error",
        Kind::Block(&DISK_READ_ERROR),
        "Reads fail.",
    )
    .many(),
    key(
        "disk-write-error",
        Kind::Block(&DISK_WRITE_ERROR),
        "Writes fail.",
    )
    .many(),
    key(
        "torn-write",
        Kind::Block(&TORN_WRITE),
        "Interrupted writes are kept in part.",
    )
    .many(),
    key(
        "misdirected-write",
        Kind::Block(&MISDIRECTED_WRITE),
        "Writes land elsewhere.",
    )
    .many(),
    key("bit-flip", Kind::Block(&BIT_FLIP), "Bits turn over.").many(),
    key(
        "lost-flush",
        Kind::Block(&LOST_FLUSH),
        "Flushes do nothing.",
    )
    .many(),
    key("disk-full", Kind::Block(&DISK_FULL), "No space is left.").many(),
    key("disk-slow", Kind::Block(&DISK_SLOW), "Disks are slow.").many(),
    key("kill", Kind::Block(&KILL), "Nodes stop at once.").many(),
    key("restart", Kind::Block(&RESTART), "Nodes start again.").many(),
    key("pause", Kind::Block(&PAUSE), "Nodes stand still.").many(),
    key("resume", Kind::Block(&RESUME), "Nodes go on.").many(),
    key("power-loss", Kind::Block(&POWER_LOSS), "Nodes lose power.").many(),
    key("throttle", Kind::Block(&THROTTLE), "Nodes compute slower.").many(),
    key(
        "process-kill",
        Kind::Block(&PROCESS_KILL),
        "A process dies.",
    )
    .many(),
    key(
        "process-pause",
        Kind::Block(&PROCESS_PAUSE),
        "A process stands still.",
    )
    .many(),
    key(
        "process-restart",
        Kind::Block(&PROCESS_RESTART),
        "A process starts anew.",
    )
    .many(),
    key("clock-skew", Kind::Block(&CLOCK_SKEW), "Clocks are off.").many(),
    key(
        "clock-drift",
        Kind::Block(&CLOCK_DRIFT),
        "Clocks run wrong.",
    )
    .many(),
    key("clock-jump", Kind::Block(&CLOCK_JUMP), "Clocks jump.").many(),
    key(
        "memory-pressure",
        Kind::Block(&MEMORY_PRESSURE),
        "Memory runs short.",
    )
    .many(),
    key("irq", Kind::Block(&IRQ), "A stray interrupt.").many(),
    key("nmi", Kind::Block(&NMI), "A non-maskable interrupt.").many(),
    key(
        "spurious-timer",
        Kind::Block(&SPURIOUS_TIMER),
        "Stray timer interrupts.",
    )
    .many(),
    key(
        "delayed-timer",
        Kind::Block(&DELAYED_TIMER),
        "Late timer interrupts.",
    )
    .many(),
];
