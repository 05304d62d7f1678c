//! Faults of interrupts: what comes to processors unasked, or late.

use super::{COMMON, Kind, LASTING, TARGET, key};

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

kinds! {
    /// What goes wrong with interrupts.
    InterruptKind {
        Irq = IRQ, Harm, "A stray interrupt.";
        Nmi = NMI, Harm, "A non-maskable interrupt.";
        SpuriousTimer = SPURIOUS_TIMER, Harm, "Stray timer interrupts.";
        DelayedTimer = DELAYED_TIMER, Harm, "Late timer interrupts.";
    }
}
