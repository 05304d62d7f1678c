//! What a guest's init tells.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// A report of init: how the start goes, what becomes of the workloads, and how commands end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitReport {
    /// A stage of the start is done: `mounts`, `modules`, `disks`, `network`,
    /// `mounted`, `workloads`. With `mounted` it waits a little for commands about disks.
    Stage {
        /// The stage's name.
        name: String,
    },
    /// Something is wrong, and the guest goes on without it.
    Trouble {
        /// What, and what it means.
        text: String,
    },
    /// A workload's process was started.
    ProcessStarted {
        /// The workload's name.
        process: String,
        /// The process, which is also its process group.
        pid: u32,
        /// 1 for the first start, and one more for each restart.
        attempt: u32,
    },
    /// A workload's process could not be started.
    ProcessNotStarted {
        /// The workload's name.
        process: String,
        /// What the kernel says.
        reason: String,
    },
    /// A workload's process ended. Either `code` or `signal` is there.
    ProcessExited {
        /// The workload's name.
        process: String,
        /// The process.
        pid: u32,
        /// Its exit code.
        code: Option<i32>,
        /// The signal that killed it.
        signal: Option<i32>,
        /// Whether a command ended it.
        asked: bool,
        /// Whether it is started again, by its policy or by a command.
        restarts: bool,
    },
    /// No workload runs, and none will be started again.
    AllEnded,
    /// A command was carried out.
    CommandDone {
        /// The command's number.
        id: u64,
    },
    /// A command was not carried out.
    CommandFailed {
        /// The command's number, or 0 if it could not even be read.
        id: u64,
        /// Why.
        reason: String,
    },
    /// No workload runs or will be started again, and no other process is left, neither their children nor
    /// others. What they said has been shown on the console before. Told once for each time that it comes to
    /// this, and only of a node that has workloads.
    NothingLeft,
}

impl InitReport {
    /// Its texts.
    pub(crate) fn texts(&mut self) -> [Option<&mut String>; 2] {
        match self {
            Self::Stage { name: text } | Self::Trouble { text } => [Some(text), None],
            Self::ProcessStarted { process, .. } | Self::ProcessExited { process, .. } => {
                [Some(process), None]
            }
            Self::ProcessNotStarted { process, reason } => [Some(process), Some(reason)],
            Self::AllEnded | Self::NothingLeft | Self::CommandDone { .. } => [None, None],
            Self::CommandFailed { reason, .. } => [Some(reason), None],
        }
    }
}
