//! Faults of memory: how much of it there is.

use super::{COMMON, Kind, LASTING, TARGET, key};

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

kinds! {
    /// What goes wrong with memory.
    MemoryKind {
        MemoryPressure = MEMORY_PRESSURE, Harm, "Memory runs short.";
    }
}
