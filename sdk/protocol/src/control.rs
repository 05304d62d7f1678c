//! What the host asks of a guest's init, over the console device `/dev/hvc0`: one JSON object per line.
//! Init answers with [`InitReport`](crate::InitReport)s that carry the command's number.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The longest line, in bytes, with its newline.
pub const MAX_LINE: usize = 4096;

/// A command: `{"id":7,"action":{"process_kill":{"process":"raft","restart_after_ns":100000000}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The number that the answer carries, from 1.
    pub id: u64,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done. `process` is the name of a workload; none means each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// SIGKILL to the program and to all that it started.
    ProcessKill {
        /// Which workload.
        #[serde(default)]
        process: Option<String>,
        /// The time from the death to the restart; none leaves it to the workload's policy.
        #[serde(default)]
        restart_after_ns: Option<u64>,
    },
    /// SIGSTOP to the program and to all that it started, until [`Action::ProcessResume`].
    ProcessPause {
        /// Which workload.
        #[serde(default)]
        process: Option<String>,
    },
    /// SIGCONT to what a pause stopped, unless another pause holds it.
    ProcessResume {
        /// The number of the command that paused it.
        of: u64,
    },
    /// What was killed by a command and waits for its restart starts at once.
    ProcessStart {
        /// The number of the command that killed it.
        of: u64,
    },
    /// SIGKILL to the program, if it runs, and to all that it started, and a new start.
    ProcessRestart {
        /// Which workload.
        #[serde(default)]
        process: Option<String>,
        /// The time from the death to the start.
        #[serde(default)]
        restart_after_ns: u64,
    },
    /// Faults have moved the date: CLOCK_REALTIME takes the step that it has not taken yet. How far the date
    /// is moved is asked for at the SDK's port, see [`Op::DateMoved`](crate::port::Op::DateMoved).
    ClockFollow {},
    /// Takes memory away from the workloads, until [`Action::MemoryRelease`].
    MemoryTake {
        /// How much.
        bytes: u64,
    },
    /// Gives memory back.
    MemoryRelease {
        /// The number of the command that took it.
        of: u64,
    },
    /// From now on the file systems of these disks are full, and no others.
    DisksFull {
        /// The serial numbers of disks that init has mounted.
        disks: Vec<String>,
    },
}

#[cfg(feature = "std")]
impl Command {
    /// The line, with its newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// The command of a line, with or without its newline.
    ///
    /// # Errors
    /// If the line is no command.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn commands_are_lines_of_json() {
        let command = Command {
            id: 7,
            action: Action::ProcessKill {
                process: Some("raft".to_string()),
                restart_after_ns: Some(100),
            },
        };
        let line = command.to_line();
        assert_eq!(
            line,
            "{\"id\":7,\"action\":{\"process_kill\":{\"process\":\"raft\",\"restart_after_ns\":100}}}\n"
        );
        assert_eq!(Command::from_line(&line).unwrap(), command);
    }

    #[test]
    fn optional_fields_may_be_left_out_and_unknown_ones_are_errors() {
        let command = Command::from_line(r#"{"id":1,"action":{"process_pause":{}}}"#).unwrap();
        assert_eq!(command.action, Action::ProcessPause { process: None });
        let command = Command::from_line(r#"{"id":1,"action":{"clock_follow":{}}}"#).unwrap();
        assert_eq!(command.action, Action::ClockFollow {});
        let command =
            Command::from_line(r#"{"id":2,"action":{"memory_release":{"of":1}}}"#).unwrap();
        assert_eq!(command.action, Action::MemoryRelease { of: 1 });
        assert!(Command::from_line(r#"{"id":1,"action":{"process_pause":{"x":1}}}"#).is_err());
        assert!(Command::from_line(r#"{"id":1,"action":{"halt":{}}}"#).is_err());
    }
}
