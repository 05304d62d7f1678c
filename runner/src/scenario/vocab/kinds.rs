//! The kinds of fault: what goes wrong, and to whom.

use super::{Key, Kind, Ref, Section, key};

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

/// Which frames a network fault touches.
const FRAMES: &[Key] = &[
    key(
        "network",
        Kind::Name(Ref::Network),
        "The network; by default all.",
    ),
    key(
        "from",
        Kind::Names(Ref::Selector),
        "Only frames sent by these nodes.",
    )
    .default("all"),
    key(
        "to",
        Kind::Names(Ref::Selector),
        "Only frames to these nodes.",
    )
    .default("all"),
];

/// Which disks a disk fault touches.
const DISKS: &[Key] = &[
    key(
        "disk",
        Kind::Name(Ref::Disk),
        "The disk of those nodes; by default all their disks.",
    ),
    key("chance", Kind::Ratio, "How many operations are hit.").default("100%"),
    key(
        "times",
        Kind::Int(1, 1_000_000_000),
        "How many operations are hit at most; then the fault is over.",
    ),
    key(
        "offset",
        Kind::Size,
        "Only operations at or behind this byte of the disk.",
    ),
    key(
        "length",
        Kind::Size,
        "Only operations within so many bytes from `offset`.",
    ),
];

const PROCESS: &[Key] = &[key(
    "process",
    Kind::Name(Ref::Process),
    "The guest whose process it is; by default all of the node.",
)];

macro_rules! fault {
    ($id:ident, $name:literal, $args:expr, $variadic:literal, $doc:literal, [$($group:expr),+ $(,)?]) => {
        static $id: Section = Section { name: $name, doc: $doc, args: $args, variadic: $variadic, groups: &[$($group),+] };
    };
}

static SIDE: Section = Section {
    name: "side",
    doc: "The nodes of one side of a partition. Nodes on no side keep all their links.",
    args: &["node"],
    variadic: true,
    groups: &[&[key("node", Kind::Names(Ref::Selector), "The nodes.").required()]],
};

const CHANCE: &[Key] = &[key("chance", Kind::Ratio, "How many frames are hit.").required()];

fault!(
    PARTITION,
    "partition",
    &["network"],
    false,
    "Cuts a network between groups of nodes: the given sides, `groups` drawn ones, or one node off from the rest.",
    [
        &[
            key(
                "network",
                Kind::Name(Ref::Network),
                "The network; by default all."
            ),
            key("side", Kind::Block(&SIDE), "The nodes of one side.").many(),
            key(
                "groups",
                Kind::Int(2, 4096),
                "Into how many groups of drawn nodes."
            ),
            key(
                "isolate",
                Kind::Names(Ref::Selector),
                "Nodes that are cut off, each from all others: names, `any`, `minority`."
            ),
            key(
                "one-way",
                Kind::Bool,
                "Whether only frames from the first side to the others are cut."
            )
            .default("false"),
        ],
        LASTING,
        COMMON
    ]
);
fault!(
    HEAL,
    "heal",
    &["network"],
    false,
    "Ends network faults before their time.",
    [
        &[key(
            "network",
            Kind::Name(Ref::Network),
            "The network; by default all."
        ),],
        COMMON
    ]
);
fault!(
    LATENCY,
    "latency",
    &["network"],
    false,
    "Frames travel longer.",
    [
        FRAMES,
        &[
            key("by", Kind::Duration, "How much longer.").required(),
            key(
                "jitter",
                Kind::Duration,
                "How much more than that, drawn for each frame."
            )
            .default("0"),
        ],
        LASTING,
        COMMON
    ]
);
fault!(
    JITTER,
    "jitter",
    &["network"],
    false,
    "Frames travel longer by a time that is drawn for each.",
    [
        FRAMES,
        &[key("by", Kind::Duration, "The longest of those times.").required(),],
        LASTING,
        COMMON
    ]
);
fault!(
    BANDWIDTH,
    "bandwidth",
    &["network"],
    false,
    "A network gets slow.",
    [
        FRAMES,
        &[key(
            "rate",
            Kind::Bandwidth,
            "How many bits per second are left."
        )
        .required(),],
        LASTING,
        COMMON
    ]
);
fault!(
    LOSS,
    "loss",
    &["network"],
    false,
    "Frames get lost.",
    [FRAMES, CHANCE, LASTING, COMMON]
);
fault!(
    CORRUPT,
    "corrupt",
    &["network"],
    false,
    "Frames arrive with a bit turned over.",
    [FRAMES, CHANCE, LASTING, COMMON]
);
fault!(
    REORDER,
    "reorder",
    &["network"],
    false,
    "Frames are overtaken by later ones.",
    [
        FRAMES,
        CHANCE,
        &[key(
            "window",
            Kind::Duration,
            "How long such a frame is held back at most."
        )
        .default("5ms"),],
        LASTING,
        COMMON
    ]
);
fault!(
    DUPLICATE,
    "duplicate",
    &["network"],
    false,
    "Frames arrive twice.",
    [FRAMES, CHANCE, LASTING, COMMON]
);
fault!(
    FLAP,
    "flap",
    &["network"],
    false,
    "Links go down and come up again, over and over.",
    [
        FRAMES,
        &[
            key(
                "down",
                Kind::DurationRange,
                "How long they are down each time."
            )
            .default("200ms"),
            key(
                "up",
                Kind::DurationRange,
                "How long they are up in between."
            )
            .default("500ms"),
        ],
        LASTING,
        COMMON
    ]
);

fault!(
    DISK_READ_ERROR,
    "disk-read-error",
    &["disk"],
    false,
    "Reads fail with an I/O error.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    DISK_WRITE_ERROR,
    "disk-write-error",
    &["disk"],
    false,
    "Writes fail with an I/O error.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    TORN_WRITE,
    "torn-write",
    &["disk"],
    false,
    "Of a write that a crash interrupts, only some sectors are kept.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    MISDIRECTED_WRITE,
    "misdirected-write",
    &["disk"],
    false,
    "Writes land in another place.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    BIT_FLIP,
    "bit-flip",
    &["disk"],
    false,
    "Bits on the disk turn over; later reads see it.",
    [
        DISKS,
        &[key("bits", Kind::Int(1, 1_000_000), "How many bits.").default("1"),],
        TARGET,
        LASTING,
        COMMON
    ]
);
fault!(
    LOST_FLUSH,
    "lost-flush",
    &["disk"],
    false,
    "Flushes report success and do nothing.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    DISK_FULL,
    "disk-full",
    &["disk"],
    false,
    "Writes fail as on a full device.",
    [DISKS, TARGET, LASTING, COMMON]
);
fault!(
    DISK_SLOW,
    "disk-slow",
    &["disk"],
    false,
    "Operations take longer.",
    [
        DISKS,
        &[key(
            "by",
            Kind::DurationRange,
            "How much longer, or a range to draw from."
        )
        .required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);

fault!(
    KILL,
    "kill",
    &["target"],
    true,
    "Stops nodes at once. RAM is lost, and so is what the disks had not flushed.",
    [
        TARGET,
        &[key(
            "restart-after",
            Kind::DurationRange,
            "When they start again, or a range to draw from; without it, at the quiet period or by a `restart`."
        ),],
        COMMON
    ]
);
fault!(
    RESTART,
    "restart",
    &["target"],
    true,
    "Starts nodes that are down; nodes that run are reset.",
    [TARGET, COMMON]
);
fault!(
    PAUSE,
    "pause",
    &["target"],
    true,
    "Nodes stand still, and notice nothing of it but the time.",
    [TARGET, LASTING, COMMON]
);
fault!(
    RESUME,
    "resume",
    &["target"],
    true,
    "Ends a `pause` before its time.",
    [TARGET, COMMON]
);
fault!(
    POWER_LOSS,
    "power-loss",
    &["target"],
    true,
    "Nodes lose power together: as `kill`, and writes under way are torn.",
    [
        TARGET,
        &[
            key(
                "restart-after",
                Kind::DurationRange,
                "When they start again, or a range to draw from; without it, at the quiet period or by a `restart`."
            ),
            key(
                "torn",
                Kind::Ratio,
                "How many of the unflushed writes are kept in part."
            )
            .default("50%"),
        ],
        COMMON
    ]
);
fault!(
    THROTTLE,
    "throttle",
    &["target"],
    true,
    "Nodes compute slower.",
    [
        TARGET,
        &[key("to", Kind::Ratio, "What is left of their speed.").required(),],
        LASTING,
        COMMON
    ]
);

fault!(
    PROCESS_KILL,
    "process-kill",
    &["target"],
    true,
    "Kills a process inside nodes (SIGKILL).",
    [
        PROCESS,
        TARGET,
        &[key(
            "restart-after",
            Kind::DurationRange,
            "When it is started again; without it, as the guest's `restart` says."
        ),],
        COMMON
    ]
);
fault!(
    PROCESS_PAUSE,
    "process-pause",
    &["target"],
    true,
    "Stops a process inside nodes (SIGSTOP, later SIGCONT).",
    [PROCESS, TARGET, LASTING, COMMON]
);
fault!(
    PROCESS_RESTART,
    "process-restart",
    &["target"],
    true,
    "Kills a process inside nodes and starts it again.",
    [PROCESS, TARGET, COMMON]
);

fault!(
    CLOCK_SKEW,
    "clock-skew",
    &["target"],
    true,
    "Clocks are off by a fixed time.",
    [
        &[key(
            "by",
            Kind::SignedDuration,
            "How far ahead, or with a minus behind."
        )
        .required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);
fault!(
    CLOCK_DRIFT,
    "clock-drift",
    &["target"],
    true,
    "Clocks run too fast or too slow.",
    [
        &[key(
            "by",
            Kind::Drift,
            "How much faster, or with a minus slower."
        )
        .required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);
fault!(
    CLOCK_JUMP,
    "clock-jump",
    &["target"],
    true,
    "Clocks jump, forward or (with a minus) back, and stay there.",
    [
        &[key("by", Kind::SignedDuration, "How far.").required(),],
        TARGET,
        COMMON
    ]
);
fault!(
    MEMORY_PRESSURE,
    "memory-pressure",
    &["target"],
    true,
    "Nodes run short of memory.",
    [
        &[key("take", Kind::Size, "How much is taken away.").required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);

fault!(
    IRQ,
    "irq",
    &["target"],
    true,
    "An interrupt that no device raised.",
    [
        &[key(
            "line",
            Kind::Int(0, 23),
            "The line of the interrupt controller."
        )
        .required(),],
        TARGET,
        COMMON
    ]
);
fault!(
    NMI,
    "nmi",
    &["target"],
    true,
    "A non-maskable interrupt.",
    [
        &[key(
            "vcpu",
            Kind::Int(0, 7),
            "Which vcpu gets it; by default the first."
        )
        .default("0"),],
        TARGET,
        COMMON
    ]
);
fault!(
    SPURIOUS_TIMER,
    "spurious-timer",
    &["target"],
    true,
    "Timer interrupts that were not asked for.",
    [
        &[key("rate", Kind::Rate, "How often.").default("100/s"),],
        TARGET,
        LASTING,
        COMMON
    ]
);
fault!(
    DELAYED_TIMER,
    "delayed-timer",
    &["target"],
    true,
    "Timer interrupts come late.",
    [
        &[key(
            "by",
            Kind::DurationRange,
            "How late, or a range to draw from."
        )
        .required(),],
        TARGET,
        LASTING,
        COMMON
    ]
);

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
