//! Faults of nodes: of a machine as a whole, its processes, clock, memory and interrupts.

use super::{COMMON, Key, Kind, LASTING, Ref, TARGET, key};

/// Whose process it is.
const PROCESS: &[Key] = &[key(
    "process",
    Kind::Name(Ref::Process),
    "The guest whose process it is; by default all of the node.",
)];

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
    "Kills a program inside nodes and all that it started (SIGKILL).",
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
    "Stops a program inside nodes and all that it started (SIGSTOP, later SIGCONT).",
    [PROCESS, TARGET, LASTING, COMMON]
);

fault!(
    PROCESS_RESTART,
    "process-restart",
    &["target"],
    true,
    "Kills a program inside nodes with all that it started, and starts it again.",
    [PROCESS, TARGET, COMMON]
);

fault!(
    CLOCK_SKEW,
    "clock-skew",
    &["target"],
    true,
    "Clocks are off by a fixed time, also those of nodes that are down or start meanwhile.",
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
