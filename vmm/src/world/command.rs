//! What the runner can do to a world, always at the present moment.

use super::fabric::{Chance, LinkFault};
use crate::disk::DiskFault;
use crate::machine::Input;

/// Something to be done now. What concerns a node that there is not, or a node in a state in which
/// it makes no sense, does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A node stops at once: RAM is lost, and so is what its disks had not made durable.
    Kill {
        /// The node.
        node: usize,
    },
    /// A node loses power: as [`Command::Kill`], and what was not durable is torn in part. For a node
    /// that is already down only the disks change.
    PowerLoss {
        /// The node.
        node: usize,
        /// How many of the writes are kept in part.
        torn: Chance,
    },
    /// A node that is down is switched on; one that is not is reset, so that RAM is lost, but not
    /// what its disks had taken.
    Start {
        /// The node.
        node: usize,
    },
    /// A node stands still. Time passes for it, but nothing executes, and what comes for it waits.
    Pause {
        /// The node.
        node: usize,
    },
    /// Ends a pause.
    Resume {
        /// The node.
        node: usize,
    },
    /// A node computes at `num / den` of its speed, also after a restart; `1 / 1` ends it.
    Throttle {
        /// The node.
        node: usize,
        /// Numerator.
        num: u64,
        /// Denominator.
        den: u64,
    },
    /// A node's clock, and everything in it, runs so many billionths fast from now on.
    Drift {
        /// The node.
        node: usize,
        /// Billionths; 0 ends it.
        ppb: i64,
    },
    /// Faults have moved a node's date so far from what it would be without them, which is also true after a
    /// restart. The kernel of a machine that is on has to be told: it does not look at the date by itself.
    MoveWall {
        /// The node.
        node: usize,
        /// Nanoseconds; 0 ends it.
        moved_ns: i64,
    },
    /// Something comes to a machine from outside.
    Input {
        /// The node.
        node: usize,
        /// What.
        input: Input,
    },
    /// Bytes for a machine's control console.
    Control {
        /// The node.
        node: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Timer interrupts come late, also after a restart.
    DelayTimers {
        /// The node.
        node: usize,
        /// By so many nanoseconds; 0 ends it.
        by_ns: u64,
    },
    /// Arms a fault of a disk.
    ArmDisk {
        /// The node.
        node: usize,
        /// The index of the disk.
        disk: usize,
        /// The number by which it is disarmed.
        id: u64,
        /// The fault.
        fault: DiskFault,
    },
    /// Ends a fault of a disk.
    DisarmDisk {
        /// The node.
        node: usize,
        /// The index of the disk.
        disk: usize,
        /// Its number.
        id: u64,
    },
    /// Arms a fault of a network.
    ArmLink {
        /// The number by which it is disarmed, which no other armed fault of a network may have.
        id: u64,
        /// The fault.
        fault: LinkFault,
    },
    /// Ends a fault of a network.
    DisarmLink {
        /// Its number.
        id: u64,
    },
}
