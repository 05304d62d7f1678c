//! Faults of processes: of programs inside a machine.

use super::{COMMON, Key, Kind, LASTING, Ref, TARGET, key};

/// Whose process it is.
const PROCESS: &[Key] = &[key(
    "process",
    Kind::Name(Ref::Process),
    "The guest whose process it is; by default all of the node.",
)];

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

kinds! {
    /// What goes wrong with programs.
    ProcessKind {
        ProcessKill = PROCESS_KILL, Harm, "A process dies.";
        ProcessPause = PROCESS_PAUSE, Harm, "A process stands still.";
        ProcessRestart = PROCESS_RESTART, Harm, "A process starts anew.";
    }
}
