//! What can go wrong with a disk, as data.

use std::collections::BTreeMap;

use chaosrun_chance::Chance;
use serde::{Deserialize, Serialize};

use crate::tape::Stream;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFaultKind {
    /// A read fails.
    ReadError,
    /// A write fails, with nothing written.
    WriteError,
    /// A write that the end of its machine interrupts, or that was not flushed when the power
    /// failed, is kept in part.
    Torn,
    /// A write succeeds, but in another place.
    Misdirected,
    /// Bits on the medium turn over where an operation reads or has written; this and later reads
    /// see it until the place is written again.
    BitFlip {
        /// How many bits.
        bits: u64,
    },
    /// A flush reports success and makes nothing durable.
    LostFlush,
    /// A write to pages that were never written fails, as in a thin pool without space.
    Full,
    /// An operation takes longer.
    Slow {
        /// The least that is added, in nanoseconds.
        min: u64,
        /// The most that is added, in nanoseconds.
        max: u64,
    },
}

/// A fault that is armed until it is disarmed or used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFault {
    /// What goes wrong.
    pub kind: DiskFaultKind,
    /// For how many of the operations.
    pub chance: Chance,
    /// How often at most.
    pub times: Option<u64>,
    /// Only for operations that touch bytes from here on; a flush touches all.
    pub offset: u64,
    /// And only so many bytes from there.
    pub length: Option<u64>,
}

impl DiskFault {
    /// A fault that hits every operation of its kind.
    pub fn always(kind: DiskFaultKind) -> Self {
        Self {
            kind,
            chance: Chance::ALWAYS,
            times: None,
            offset: 0,
            length: None,
        }
    }
}

/// What a disk has done, and how often which fault struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskCounters {
    /// Reads asked for.
    pub reads: u64,
    /// Writes asked for, with discards and writes of zeros.
    pub writes: u64,
    /// Flushes asked for.
    pub flushes: u64,
    /// Bytes read successfully.
    pub bytes_read: u64,
    /// Bytes written successfully.
    pub bytes_written: u64,
    /// Reads that a fault failed.
    pub read_errors: u64,
    /// Writes that a fault failed.
    pub write_errors: u64,
    /// Writes that were kept in part.
    pub torn: u64,
    /// Writes that landed elsewhere.
    pub misdirected: u64,
    /// Bits that turned over.
    pub bits_flipped: u64,
    /// Flushes that did nothing.
    pub lost_flushes: u64,
    /// Writes that failed because the disk was full.
    pub full: u64,
    /// Operations that were slowed down.
    pub slowed: u64,
    /// Unflushed pages that a power loss took, in part or whole.
    pub lost_pages: u64,
}

/// A fault and how often it can still strike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Armed {
    fault: DiskFault,
    left: Option<u64>,
}

/// The faults that are armed, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Faults {
    armed: BTreeMap<u64, Armed>,
}

/// The bytes that an operation touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub offset: u64,
    pub len: u64,
}

impl Extent {
    /// What a flush touches.
    pub const ALL: Self = Self {
        offset: 0,
        len: u64::MAX,
    };
}

impl Faults {
    pub fn arm(&mut self, id: u64, fault: DiskFault) {
        let left = fault.times;
        self.armed.insert(id, Armed { fault, left });
    }

    pub fn disarm(&mut self, id: u64) -> bool {
        self.armed.remove(&id).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// The first armed fault of a kind that `wanted` accepts and that strikes an operation on
    /// `extent`. Each candidate takes one decision from `stream`.
    pub fn strike<T>(
        &mut self,
        extent: Extent,
        stream: &mut Stream,
        mut wanted: impl FnMut(DiskFaultKind) -> Option<T>,
    ) -> Option<T> {
        self.armed.values_mut().find_map(|armed| {
            let kind = wanted(armed.fault.kind)?;
            let struck = armed.left != Some(0)
                && touches(&armed.fault, extent)
                && stream.happens(armed.fault.chance);
            if struck && let Some(left) = &mut armed.left {
                *left -= 1;
            }
            struck.then_some(kind)
        })
    }
}

fn touches(fault: &DiskFault, extent: Extent) -> bool {
    let end = fault
        .length
        .map_or(u64::MAX, |length| fault.offset.saturating_add(length));
    extent.offset < end && extent.offset.saturating_add(extent.len.max(1)) > fault.offset
}
