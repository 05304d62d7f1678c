//! Faults of clocks: what a machine takes for the time.

use super::{COMMON, Kind, LASTING, TARGET, key};

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

kinds! {
    /// What goes wrong with clocks.
    ClockKind {
        ClockSkew = CLOCK_SKEW, Harm, "Clocks are off.";
        ClockDrift = CLOCK_DRIFT, Harm, "Clocks run wrong.";
        ClockJump = CLOCK_JUMP, Harm, "Clocks jump.";
    }
}
