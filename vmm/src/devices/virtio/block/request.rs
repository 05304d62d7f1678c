//! Requests to a block device (virtio 1.2, 5.2.6).

use chaosrun_x86::Memory;
use serde::{Deserialize, Serialize};

use crate::devices::virtio::queue::{Broken, Chain, Segment, gather, part, scatter, total};
use crate::disk::{Disk, IoError, OPERATION_MAX, Operation, SECTOR, SERIAL_MAX};

const HEADER: u64 = 16;
/// The most sectors of one discard or write of zeros.
pub(super) const ZERO_SECTORS_MAX: u32 = 1 << 18;
/// The bytes of a range to discard or to fill with zeros (5.2.6.2).
const RANGE: u64 = 16;
const UNMAP: u32 = 1;

/// The status byte.
const STATUS_OK: u8 = 0;
const STATUS_IO_ERROR: u8 = 1;
const STATUS_UNSUPPORTED: u8 = 2;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Read,
    Write,
    Flush,
    Serial,
    /// A discard or a write of zeros.
    Zero {
        /// The flags that the request may have.
        flags: u32,
    },
    Unsupported,
}

/// A request that is under way. Its data stay in the guest's RAM until it completes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// By which the request is given back.
    pub head: u16,
    kind: Kind,
    /// Where on the disk, in bytes.
    offset: u64,
    data: Vec<Segment>,
    /// The address of the status byte.
    status: u64,
}

/// What a request of a write means if it never completes.
pub(super) struct Interrupted {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Request {
    /// The request that a chain describes.
    ///
    /// # Errors
    /// If it is too short to be one.
    pub fn parse(memory: &Memory, chain: &Chain) -> Result<Self, Broken> {
        let header = gather(memory, &chain.readable, HEADER)?;
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] =
            <[u8; HEADER as usize]>::try_from(header).map_err(|_| Broken)?;
        let last = chain.writable.last().ok_or(Broken)?;
        let outgoing = part(&chain.readable, HEADER, u64::MAX);
        let incoming = part(&chain.writable, 0, total(&chain.writable) - 1);
        let (kind, data) = match u32::from_le_bytes([t0, t1, t2, t3]) {
            0 => (Kind::Read, incoming),
            1 => (Kind::Write, outgoing),
            4 => (Kind::Flush, Vec::new()),
            8 => (Kind::Serial, incoming),
            11 => (Kind::Zero { flags: 0 }, outgoing),
            13 => (Kind::Zero { flags: UNMAP }, outgoing),
            _ => (Kind::Unsupported, Vec::new()),
        };
        let sector = u64::from_le_bytes(sector);
        Ok(Self {
            head: chain.head,
            kind,
            // A sector behind every disk stays behind every disk.
            offset: sector.saturating_mul(SECTOR) & !(SECTOR - 1),
            data,
            status: last.gpa + u64::from(last.len) - 1,
        })
    }

    /// How long the request takes on `disk`, in nanoseconds.
    pub fn service_time(&self, memory: &Memory, disk: &mut Disk) -> u64 {
        let len = total(&self.data).min(OPERATION_MAX);
        match self.kind {
            Kind::Read => disk.service_time(Operation::Read, self.offset, len),
            Kind::Write => disk.service_time(Operation::Write, self.offset, len),
            Kind::Flush => disk.service_time(Operation::Flush, 0, 0),
            Kind::Zero { .. } => {
                let offset = self.range(memory).map_or(0, |range| range.offset);
                disk.service_time(Operation::Write, offset, 0)
            }
            Kind::Serial | Kind::Unsupported => 0,
        }
    }

    /// Carries the request out; writes are durable at once if `through` is set. Returns how many bytes
    /// were written to the guest's buffers.
    ///
    /// # Errors
    /// If a buffer is not RAM.
    pub fn complete(
        &self,
        memory: &mut Memory,
        disk: &mut Disk,
        through: bool,
    ) -> Result<u32, Broken> {
        let mut written = 0;
        let status = match self.kind {
            Kind::Read => self.read(memory, disk, &mut written)?,
            Kind::Write => self.write(memory, disk, through)?,
            Kind::Flush => status_of(disk.flush()),
            Kind::Serial => {
                let mut serial = [0; SERIAL_MAX];
                serial[..disk.serial().len()].copy_from_slice(disk.serial().as_bytes());
                written = scatter(memory, &self.data, &serial)?;
                STATUS_OK
            }
            Kind::Zero { flags } => match self.range(memory) {
                Some(range) if range.flags & !flags != 0 => STATUS_UNSUPPORTED,
                Some(range) if range.is_possible() => {
                    status_of(disk.zero(range.offset, range.len, through))
                }
                _ => STATUS_IO_ERROR,
            },
            Kind::Unsupported => STATUS_UNSUPPORTED,
        };
        if !memory.write(self.status, &[status]) {
            return Err(Broken);
        }
        Ok(written + 1)
    }

    /// What is lost or torn if the machine ends before the request completes.
    pub fn interrupted(&self, memory: &Memory) -> Option<Interrupted> {
        let write = self.kind == Kind::Write && total(&self.data) <= OPERATION_MAX;
        let bytes = gather(memory, &self.data, OPERATION_MAX).ok()?;
        write.then_some(Interrupted {
            offset: self.offset,
            bytes,
        })
    }

    fn read(&self, memory: &mut Memory, disk: &mut Disk, written: &mut u32) -> Result<u8, Broken> {
        let len = total(&self.data);
        if len > OPERATION_MAX {
            return Ok(STATUS_IO_ERROR);
        }
        let mut bytes = vec![0; len as usize];
        let result = disk.read(self.offset, &mut bytes);
        if result.is_ok() {
            *written = scatter(memory, &self.data, &bytes)?;
        }
        Ok(status_of(result))
    }

    fn write(&self, memory: &Memory, disk: &mut Disk, through: bool) -> Result<u8, Broken> {
        if total(&self.data) > OPERATION_MAX {
            return Ok(STATUS_IO_ERROR);
        }
        let bytes = gather(memory, &self.data, OPERATION_MAX)?;
        Ok(status_of(disk.write(self.offset, &bytes, through)))
    }

    /// The one range that a discard or a write of zeros may have.
    fn range(&self, memory: &Memory) -> Option<Range> {
        if total(&self.data) != RANGE {
            return None;
        }
        let bytes = gather(memory, &self.data, RANGE).ok()?;
        let (sector, rest) = bytes.split_first_chunk::<8>()?;
        let (sectors, flags) = rest.split_first_chunk::<4>()?;
        Some(Range {
            offset: u64::from_le_bytes(*sector).saturating_mul(SECTOR) & !(SECTOR - 1),
            len: u64::from(u32::from_le_bytes(*sectors)) * SECTOR,
            flags: u32::from_le_bytes(*flags.first_chunk()?),
        })
    }
}

struct Range {
    offset: u64,
    len: u64,
    flags: u32,
}

impl Range {
    fn is_possible(&self) -> bool {
        self.len <= u64::from(ZERO_SECTORS_MAX) * SECTOR
    }
}

fn status_of(result: Result<(), IoError>) -> u8 {
    match result {
        Ok(()) => STATUS_OK,
        Err(IoError) => STATUS_IO_ERROR,
    }
}
