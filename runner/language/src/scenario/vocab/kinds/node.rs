//! Faults of nodes: of a machine as a whole.

use super::{COMMON, Kind, LASTING, TARGET, key};

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
            "When they start again, or a range to draw from; without it, at the \
             quiet period or by a `restart`."
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
                "When they start again, or a range to draw from; without it, at the \
                 quiet period or by a `restart`."
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

kinds! {
    /// What goes wrong with machines.
    NodeKind {
        Kill = KILL, Harm, "Nodes stop at once.";
        Restart = RESTART, Harm, "Nodes start again.";
        Pause = PAUSE, Harm, "Nodes stand still.";
        Resume = RESUME, Cure, "Nodes go on.";
        PowerLoss = POWER_LOSS, Harm, "Nodes lose power.";
        Throttle = THROTTLE, Harm, "Nodes compute slower.";
    }
}
