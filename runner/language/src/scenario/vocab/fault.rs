//! When things go wrong, and how much at once.

use super::kinds::KINDS;
use super::{Kind, Ref, Section, key};

/// At a moment.
pub static AT: Section = Section {
    name: "at",
    doc: "Faults at a moment: all in the block together. Kinds happen in the order of \
        this table, several of one kind in the order of the file.",
    args: &["time"],
    variadic: false,
    groups: &[
        &[key(
            "time",
            Kind::Duration,
            "The moment, counted from when all nodes are ready.",
        )
        .required()],
        KINDS,
    ],
};

/// Over and over.
pub static EVERY: Section = Section {
    name: "every",
    doc: "Faults over and over.",
    args: &["period"],
    variadic: false,
    groups: &[
        &[
            key("period", Kind::Duration, "How far apart.").required(),
            key(
                "jitter",
                Kind::Duration,
                "How much later each time may be, drawn anew.",
            )
            .default("0"),
            key(
                "start",
                Kind::Duration,
                "The first time; by default after one period.",
            ),
            key(
                "until",
                Kind::Duration,
                "No more from this moment on; by default the quiet period.",
            ),
            key("times", Kind::Int(1, 1_000_000), "How often at most."),
        ],
        KINDS,
    ],
};

/// At moments that are drawn.
pub static BETWEEN: Section = Section {
    name: "between",
    doc: "Faults at moments that are drawn from a span.",
    args: &["start", "end"],
    variadic: false,
    groups: &[
        &[
            key(
                "start",
                Kind::Duration,
                "The first moment that can be drawn.",
            )
            .required(),
            key("end", Kind::Duration, "The end of the span.").required(),
            key(
                "times",
                Kind::Int(1, 1_000_000),
                "How many moments are drawn.",
            )
            .default("1"),
        ],
        KINDS,
    ],
};

/// When a guest does something.
pub static AFTER: Section = Section {
    name: "after",
    doc: "Faults when something happens in a guest: it sends an SDK event, or its console shows a pattern.",
    args: &["event"],
    variadic: false,
    groups: &[
        &[
            key("event", Kind::Text, "The name of the SDK event."),
            key(
                "console",
                Kind::Pattern,
                "What the console shows: a piece of text, or `/a regular \
                 expression/`. It is seen as soon as it is there, also in a prompt \
                 whose line does not end, and once in a line; an expression about an \
                 end (`$`) waits until the line has ended or nothing has followed \
                 for 100 ms.",
            ),
            key(
                "on",
                Kind::Names(Ref::Selector),
                "The nodes where it must happen.",
            )
            .default("all"),
            key(
                "delay",
                Kind::DurationRange,
                "How long after that, or a range to draw from.",
            )
            .default("0"),
            key("times", Kind::Int(1, 1_000_000), "How often at most.").default("1"),
        ],
        KINDS,
    ],
};

/// Faults that are drawn.
pub static RANDOM: Section = Section {
    name: "random",
    doc: "Faults whose kinds, targets and moments are all drawn.",
    args: &["rate"],
    variadic: false,
    groups: &[&[
        key("rate", Kind::Rate, "How often, on average.").required(),
        key(
            "from",
            Kind::Names(Ref::FaultKind),
            "Which kinds: names of faults, or of families (network, disk, node, process, \
             clock, memory, interrupt).",
        )
        .default("network,disk,node,clock"),
        key("except", Kind::Names(Ref::FaultKind), "Which of those not."),
        key("target", Kind::Names(Ref::Selector), "Whom they hit.").default("all"),
        key("start", Kind::Duration, "From when on.").default("0"),
        key(
            "until",
            Kind::Duration,
            "Up to when; by default the quiet period.",
        ),
        key("for", Kind::DurationRange, "How long each lasts.").default("100ms..3s"),
        key(
            "name",
            Kind::Text,
            "What the generator is called in reports, so that its random choices stay \
             the same when others are added.",
        ),
    ]],
};

/// How much may go wrong at once.
pub static BUDGET: Section = Section {
    name: "budget",
    doc: "How much may go wrong at once. A fault that would exceed it waits for the next \
        occasion, so that a system is never pushed past what it claims to survive and \
        every failure is a bug.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "nodes",
            Kind::Count,
            "How many nodes may be down, paused or cut off at once: a number, or `minority`.",
        ),
        key(
            "disks",
            Kind::Count,
            "On how many nodes disks may be damaged, over the whole run: a number, or `minority`.",
        ),
        key(
            "faults",
            Kind::Int(1, 10_000),
            "How many faults may be active at once.",
        ),
        key(
            "gap",
            Kind::Duration,
            "How long it stays calm after each fault before the next one.",
        )
        .default("0"),
    ]],
};

/// What goes wrong.
pub static FAULTS: Section = Section {
    name: "faults",
    doc: "What goes wrong, and when. All times are virtual and count from when all nodes are ready.",
    args: &[],
    variadic: false,
    groups: &[&[
        key("at", Kind::Block(&AT), "Faults at a moment.").many(),
        key("every", Kind::Block(&EVERY), "Faults over and over.").many(),
        key("between", Kind::Block(&BETWEEN), "Faults at drawn moments.").many(),
        key(
            "after",
            Kind::Block(&AFTER),
            "Faults when a guest does something.",
        )
        .many(),
        key(
            "random",
            Kind::Block(&RANDOM),
            "Faults that are drawn altogether.",
        )
        .many(),
        key(
            "budget",
            Kind::Block(&BUDGET),
            "How much may go wrong at once.",
        ),
        key(
            "quiet",
            Kind::Duration,
            "The end of the run in which nothing goes wrong: all faults are healed, \
             nodes that are down start, and liveness is judged.",
        )
        .default("0"),
    ]],
};
