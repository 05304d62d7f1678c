//! A block device (virtio 1.2, 5.2) in front of a [`Disk`].
//!
//! A request completes when its time on the disk is over, so that several are under way at once and
//! can overtake each other. Until then its data stay in RAM.

mod request;

use std::collections::BTreeMap;

use chaosrun_x86::Memory;
use serde::{Deserialize, Serialize};

use super::mmio::Transport;
use super::queue::{Broken, SIZE_MAX};
use super::{Environment, ID_BLOCK};
use crate::devices::Deadline;
use crate::disk::{Disk, SECTOR};
use crate::invariant::invariant;
use crate::time::VirtTime;
use request::{Request, ZERO_SECTORS_MAX};

const FEATURE_SEGMENTS_MAX: u64 = 1 << 2;
const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_BLOCK_SIZE: u64 = 1 << 6;
const FEATURE_FLUSH: u64 = 1 << 9;
const FEATURE_CONFIG_WCE: u64 = 1 << 11;
const FEATURE_DISCARD: u64 = 1 << 13;
const FEATURE_WRITE_ZEROES: u64 = 1 << 14;

/// Data segments of a request, which together with header and status fit into half a queue.
const SEGMENTS_MAX: u32 = 126;
/// Where the configuration space has the write cache's mode.
const WRITEBACK: usize = 32;
const CONFIG_SIZE: usize = 60;

/// The registers of a device in front of `disk`, after reset.
pub(super) fn transport(disk: &Disk) -> Transport {
    let mut features = FEATURE_SEGMENTS_MAX | FEATURE_BLOCK_SIZE;
    if disk.read_only() {
        features |= FEATURE_READ_ONLY;
    } else {
        features |= FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
    }
    if disk.writeback() {
        features |= FEATURE_FLUSH | FEATURE_CONFIG_WCE;
    }
    Transport::new(ID_BLOCK, features, 1)
}

/// The state behind the registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockState {
    disk: usize,
    capacity: u64,
    has_cache: bool,
    /// The driver's choice of the cache's mode: whether writes may wait for a flush.
    writeback: bool,
    /// Requests under way, by the moment of completion and their number.
    pending: BTreeMap<(VirtTime, u64), Request>,
    next: u64,
}

impl BlockState {
    /// A device in front of `disk`, which is number `index` of the machine.
    pub fn new(index: usize, disk: &Disk) -> Self {
        Self {
            disk: index,
            capacity: disk.size() / SECTOR,
            has_cache: disk.writeback(),
            writeback: disk.writeback(),
            pending: BTreeMap::new(),
            next: 0,
        }
    }

    /// When the next request completes.
    pub fn deadline(&self) -> Deadline {
        self.pending.first_key_value().map(|((due, _), _)| *due)
    }

    /// How many requests are under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets the requests under way, which a device that does not work can't complete.
    pub(super) fn reset_pending(&mut self) {
        self.pending.clear();
    }

    pub(super) fn reset(&mut self) {
        self.reset_pending();
        self.writeback = self.has_cache;
    }

    /// The bytes of the configuration space (5.2.4).
    pub(super) fn config(&self) -> [u8; CONFIG_SIZE] {
        let mut config = [0; CONFIG_SIZE];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.capacity.to_le_bytes());
        put(12, &SEGMENTS_MAX.to_le_bytes());
        put(20, &(SECTOR as u32).to_le_bytes());
        put(WRITEBACK, &[self.writeback.into()]);
        put(36, &ZERO_SECTORS_MAX.to_le_bytes());
        put(40, &1u32.to_le_bytes());
        // A page of the disk is what discarding saves.
        put(44, &8u32.to_le_bytes());
        put(48, &ZERO_SECTORS_MAX.to_le_bytes());
        put(52, &1u32.to_le_bytes());
        put(56, &[1]);
        config
    }

    /// Writes a byte of the configuration space, of which only the cache's mode can be written.
    pub(super) fn configure(&mut self, transport: &Transport, at: usize, value: u8) {
        if at == WRITEBACK && transport.has(FEATURE_CONFIG_WCE) {
            self.writeback = value & 1 != 0;
        }
    }

    /// Starts the requests that wait.
    ///
    /// # Errors
    /// If the queue makes no sense.
    pub(super) fn submit(
        &mut self,
        transport: &mut Transport,
        env: &mut Environment<'_>,
    ) -> Result<(), Broken> {
        while let Some(chain) = transport.pop(env.memory, 0)? {
            // A request can't be under way twice, and there are no more of them than entries.
            let busy = self
                .pending
                .values()
                .any(|request| request.head == chain.head);
            if busy {
                return Err(Broken);
            }
            let request = Request::parse(env.memory, &chain)?;
            let disk = env.disks.get_mut(self.disk).ok_or(Broken)?;
            let due = env.now.after(request.service_time(env.memory, disk));
            self.pending.insert((due, self.next), request);
            self.next += 1;
            invariant!(
                self.pending.len() <= usize::from(SIZE_MAX),
                "more requests are under way than a queue holds"
            );
        }
        Ok(())
    }

    /// Completes the requests whose time has come.
    ///
    /// # Errors
    /// If the queue makes no sense.
    pub(super) fn complete(
        &mut self,
        transport: &mut Transport,
        env: &mut Environment<'_>,
    ) -> Result<(), Broken> {
        // Without a way to flush, a driver relies on every write to be durable (5.2.6.2).
        let through = !self.writeback || !transport.has(FEATURE_FLUSH);
        while let Some(entry) = self.pending.first_entry()
            && entry.key().0 <= env.now
        {
            let request = entry.remove();
            let disk = env.disks.get_mut(self.disk).ok_or(Broken)?;
            let written = request.complete(env.memory, disk, through)?;
            transport.push(env.memory, 0, request.head, written)?;
        }
        Ok(())
    }

    /// The machine ends: tells the disk of the writes that were under way.
    pub(super) fn interrupt(&mut self, memory: &Memory, disks: &mut [Disk]) {
        let Some(disk) = disks.get_mut(self.disk) else {
            return;
        };
        for request in std::mem::take(&mut self.pending).into_values() {
            if let Some(write) = request.interrupted(memory) {
                disk.interrupt(write.offset, write.bytes);
            }
        }
    }
}
