//! The model of a disk: copy-on-write pages over a shared base, a volatile write cache, and faults.
//!
//! A disk has no time of its own. Whoever drives it asks [`Disk::service_time`] when an operation
//! starts and carries the operation out when that time has passed. What was written is in the cache
//! until a flush; only what is durable survives [`Disk::power_loss`]. A disk without writeback has no
//! cache. Sectors of 512 bytes are what a crash can't split.

mod base;
mod fault;
mod pages;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use chaosrun_chance::Chance;
use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub use base::{Base, Content, SharedBytes};
pub use fault::{DiskCounters, DiskFault, DiskFaultKind};

use crate::invariant::invariant;
use crate::tape::{Stream, Tape};
use fault::{Extent, Faults};
use pages::{ALL_SECTORS, Bytes, Pages};

/// The size of a sector in bytes.
pub const SECTOR: u64 = 512;
/// The size of a page in bytes, in which writes lie over the base.
pub const PAGE: u64 = 4096;
/// The longest serial number in bytes (virtio 1.2, 5.2.6.4).
pub const SERIAL_MAX: usize = 20;
/// The most bytes of one operation.
pub const OPERATION_MAX: u64 = 4 << 20;

const SECTORS_PER_PAGE: u64 = PAGE / SECTOR;
/// Nanoseconds that every operation takes.
const LATENCY: u64 = 100_000;

/// What a disk is.
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// The serial number that the guest sees.
    pub serial: String,
    /// The size in bytes, a multiple of 512.
    pub size: u64,
    /// The content that it starts with.
    pub base: Base,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether writes wait in a volatile cache for a flush.
    pub writeback: bool,
}

/// Why a disk could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The size is zero or not a multiple of a sector.
    #[error("a disk can't have {size} bytes; use a positive multiple of {SECTOR}")]
    Size {
        /// The size asked for.
        size: u64,
    },
    /// The base does not fit.
    #[error("{base} bytes do not fit on a disk of {size} bytes")]
    Base {
        /// The length of the base in bytes.
        base: u64,
        /// The size of the disk in bytes.
        size: u64,
    },
    /// The serial number is too long or has other characters than printable ASCII.
    #[error(
        "`{serial}` can't be a disk's serial number: use at most {SERIAL_MAX} ASCII characters"
    )]
    Serial {
        /// The serial number asked for.
        serial: String,
    },
}

/// An operation that failed, which the guest sees as an I/O error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operation failed")]
pub struct IoError;

/// A kind of operation, for [`Disk::service_time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading.
    Read,
    /// Writing, discarding, writing zeros.
    Write,
    /// Making durable what was written.
    Flush,
}

/// A disk. Copies share all pages that neither has written since.
#[derive(Debug, Clone)]
pub struct Disk {
    config: DiskConfig,
    durable: Pages,
    cache: Pages,
    /// Writes that the end of the machine interrupted.
    under_way: Vec<(u64, Vec<u8>)>,
    faults: Faults,
    stream: Stream,
    counters: DiskCounters,
}

impl Disk {
    /// A disk with the content of its base.
    ///
    /// # Errors
    /// If its size or serial number is impossible.
    pub fn new(config: DiskConfig) -> Result<Self, DiskError> {
        let (size, base) = (config.size, config.base.len());
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(DiskError::Size { size });
        }
        if base > size {
            return Err(DiskError::Base { base, size });
        }
        let printable = config.serial.bytes().all(|byte| byte.is_ascii_graphic());
        if config.serial.len() > SERIAL_MAX || !printable {
            return Err(DiskError::Serial {
                serial: config.serial,
            });
        }
        Ok(Self {
            config,
            durable: Pages::default(),
            cache: Pages::default(),
            under_way: Vec::new(),
            faults: Faults::default(),
            stream: Tape::default().stream("disk/faults"),
            counters: DiskCounters::default(),
        })
    }

    /// A disk of zeros with a write cache.
    ///
    /// # Errors
    /// If its size or serial number is impossible.
    pub fn blank(serial: &str, size: u64) -> Result<Self, DiskError> {
        Self::new(DiskConfig {
            serial: serial.to_owned(),
            size,
            base: Base::Blank,
            read_only: false,
            writeback: true,
        })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.config.size
    }

    /// The serial number.
    pub fn serial(&self) -> &str {
        &self.config.serial
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.config.read_only
    }

    /// Whether it has a volatile write cache.
    pub fn writeback(&self) -> bool {
        self.config.writeback
    }

    /// What it has done so far.
    pub fn counters(&self) -> &DiskCounters {
        &self.counters
    }

    /// Pages that lie over the base, durable or not; a measure of its memory.
    pub fn pages_written(&self) -> usize {
        self.durable.len() + self.cache.len()
    }

    /// Puts the disk into a machine: its choices come from stream `name` of `tape`, at the decision
    /// after the last one if the disk drew from a stream of this name before. What was under way in
    /// an earlier machine is forgotten.
    pub fn attach(&mut self, tape: &Tape, name: &str) {
        self.under_way.clear();
        self.stream = if self.stream.state().name == name {
            tape.resume(self.stream.state())
        } else {
            tape.stream(name)
        };
    }

    /// Goes on with the decisions of `tape`, at the position at which it is.
    pub fn decide_by(&mut self, tape: &Tape) {
        self.stream = tape.resume(self.stream.state());
    }

    /// Arms a fault. One that was armed with the same id is replaced.
    pub fn arm(&mut self, id: u64, fault: DiskFault) {
        self.faults.arm(id, fault);
    }

    /// Disarms a fault. Returns whether it was armed.
    pub fn disarm(&mut self, id: u64) -> bool {
        self.faults.disarm(id)
    }

    /// How long an operation that starts now takes, in nanoseconds: 100 us, a nanosecond for each
    /// byte, and what faults add.
    pub fn service_time(&mut self, operation: Operation, offset: u64, len: u64) -> u64 {
        let extent = match operation {
            Operation::Flush => Extent::ALL,
            Operation::Read | Operation::Write => Extent { offset, len },
        };
        let slow = self
            .faults
            .strike(extent, &mut self.stream, |kind| match kind {
                DiskFaultKind::Slow { min, max } => Some((min, max)),
                _ => None,
            });
        let added = slow.map_or(0, |(min, max)| self.stream.range(min, max));
        self.counters.slowed += u64::from(slow.is_some());
        LATENCY.saturating_add(len).saturating_add(added)
    }

    /// Reads `into.len()` bytes at `offset`, both multiples of a sector.
    ///
    /// # Errors
    /// If the range is not on the disk or a fault says so.
    pub fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), IoError> {
        self.counters.reads += 1;
        let extent = self.extent(offset, into.len() as u64)?;
        if self.strikes(extent, DiskFaultKind::ReadError) {
            self.counters.read_errors += 1;
            return Err(IoError);
        }
        self.flip_bits(extent);
        self.peek(offset, into);
        self.counters.bytes_read += extent.len;
        Ok(())
    }

    /// Writes `bytes` at `offset`; offset and length are multiples of a sector. The bytes are durable
    /// at once if `through` is set or the disk has no cache.
    ///
    /// # Errors
    /// If the range is not on the disk, the disk is read-only, or a fault says so.
    pub fn write(&mut self, offset: u64, bytes: &[u8], through: bool) -> Result<(), IoError> {
        let offset = self.begin_write(offset, bytes.len() as u64)?;
        self.store(offset, bytes, through || !self.config.writeback);
        self.end_write(offset, bytes.len() as u64);
        Ok(())
    }

    /// Makes `len` bytes at `offset` zeros: what both a write of zeros and a discard do.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn zero(&mut self, offset: u64, len: u64, through: bool) -> Result<(), IoError> {
        let offset = self.begin_write(offset, len)?;
        let durable = through || !self.config.writeback;
        let (mut done, mut zeros_until) = (0, 0);
        while done < len {
            let part = (PAGE - (offset + done) % PAGE).min(len - done);
            if part == PAGE {
                self.zero_page((offset + done) / PAGE, durable, &mut zeros_until);
            } else {
                self.store(offset + done, &[0; PAGE as usize][..part as usize], durable);
            }
            done += part;
        }
        self.end_write(offset, len);
        Ok(())
    }

    /// Makes everything durable that was written so far.
    ///
    /// # Errors
    /// None so far: a flush that is lost reports success.
    pub fn flush(&mut self) -> Result<(), IoError> {
        self.counters.flushes += 1;
        if self.strikes(Extent::ALL, DiskFaultKind::LostFlush) {
            self.counters.lost_flushes += 1;
            return Ok(());
        }
        for (index, sectors, bytes) in self.cache.take().iter() {
            self.keep(index, sectors, bytes);
        }
        Ok(())
    }

    /// The end of the machine interrupts a write. A torn write is kept in part; otherwise the write
    /// has not happened, unless the power fails as well.
    pub fn interrupt(&mut self, offset: u64, bytes: Vec<u8>) {
        let Ok(extent) = self.extent(offset, bytes.len() as u64) else {
            return;
        };
        if self.config.read_only || bytes.is_empty() {
            return;
        }
        if self.strikes(extent, DiskFaultKind::Torn) {
            let kept = kept_of_write(&bytes, &mut self.stream);
            self.counters.torn += 1;
            self.store(offset, kept, !self.config.writeback);
        } else {
            self.under_way.push((offset, bytes));
        }
    }

    /// The power fails: what is not durable is lost, but of a share `torn` of
    /// the writes under way and of the unflushed pages some sectors are kept, drawn from `stream`. A
    /// [`DiskFaultKind::Torn`] fault adds to the share.
    pub fn power_loss(&mut self, torn: Chance, stream: &mut Stream) {
        for (index, sectors, bytes) in self.cache.take().iter() {
            self.counters.lost_pages += 1;
            let extent = Extent {
                offset: index * PAGE,
                len: PAGE,
            };
            if stream.happens(torn) || self.strikes(extent, DiskFaultKind::Torn) {
                let nth = stream.range(1, (1 << sectors.count_ones()) - 1);
                let kept = spread(nth, sectors);
                // The others are on the medium as they were flushed, which no power loss undoes.
                assert!(
                    kept != 0 && kept & !sectors == 0,
                    "of sectors {sectors:#b} of a page {kept:#b} are torn"
                );
                self.keep(index, kept, bytes);
                self.counters.torn += 1;
            }
        }
        for (offset, bytes) in std::mem::take(&mut self.under_way) {
            if stream.happens(torn) {
                self.counters.torn += 1;
                self.store(offset, kept_of_write(&bytes, stream), true);
            }
        }
    }

    /// Copies what a read without faults would give, from anywhere on the disk; zeros beyond it.
    pub fn peek(&self, offset: u64, into: &mut [u8]) {
        for_pages(offset, into.len() as u64, |index, start, range| {
            let into = &mut into[range];
            let page = self.cache.get(index).or_else(|| self.durable.get(index));
            match page {
                Some(page) => into.copy_from_slice(&page[start..start + into.len()]),
                None => self.config.base.read(index * PAGE + start as u64, into),
            }
        });
    }

    /// The digest of everything that decides what the disk does next.
    pub fn digest(&mut self) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(&self.durable.digest().to_le_bytes());
        hasher.update(&self.cache.digest().to_le_bytes());
        let rest = (
            &self.faults,
            self.stream.state(),
            &self.counters,
            &self.under_way,
        );
        hasher.update(&digest_of(&rest).to_le_bytes());
        hasher.digest128()
    }

    /// The bytes that an operation touches, if they are sectors of the disk.
    fn extent(&self, offset: u64, len: u64) -> Result<Extent, IoError> {
        let end = offset.checked_add(len).ok_or(IoError)?;
        let whole = offset.is_multiple_of(SECTOR) && len.is_multiple_of(SECTOR);
        if whole && end <= self.config.size {
            Ok(Extent { offset, len })
        } else {
            Err(IoError)
        }
    }

    fn strikes(&mut self, extent: Extent, kind: DiskFaultKind) -> bool {
        !self.faults.is_empty()
            && self
                .faults
                .strike(extent, &mut self.stream, |other| {
                    (other == kind).then_some(())
                })
                .is_some()
    }

    /// Decides what becomes of a write. Returns where it lands.
    fn begin_write(&mut self, offset: u64, len: u64) -> Result<u64, IoError> {
        self.counters.writes += 1;
        let extent = self.extent(offset, len)?;
        if self.config.read_only {
            return Err(IoError);
        }
        if self.strikes(extent, DiskFaultKind::WriteError) {
            self.counters.write_errors += 1;
            return Err(IoError);
        }
        if !self.faults.is_empty()
            && self.grows(extent)
            && self.strikes(extent, DiskFaultKind::Full)
        {
            self.counters.full += 1;
            return Err(IoError);
        }
        let places = (self.config.size - len) / SECTOR;
        if len > 0 && places > 0 && self.strikes(extent, DiskFaultKind::Misdirected) {
            self.counters.misdirected += 1;
            let other = self.stream.below(places);
            return Ok((other + u64::from(other >= offset / SECTOR)) * SECTOR);
        }
        Ok(offset)
    }

    fn end_write(&mut self, offset: u64, len: u64) {
        self.flip_bits(Extent { offset, len });
        self.counters.bytes_written += len;
    }

    /// Whether a write needs pages that the disk does not have yet.
    fn grows(&self, extent: Extent) -> bool {
        let last = extent.offset.saturating_add(extent.len.max(1) - 1) / PAGE;
        (extent.offset / PAGE..=last)
            .any(|index| !self.durable.contains(index) && !self.cache.contains(index))
    }

    fn flip_bits(&mut self, extent: Extent) {
        if self.faults.is_empty() || extent.len == 0 {
            return;
        }
        let bits = self
            .faults
            .strike(extent, &mut self.stream, |kind| match kind {
                DiskFaultKind::BitFlip { bits } => Some(bits),
                _ => None,
            });
        // More flips than bits would only undo each other.
        for _ in 0..bits.unwrap_or(0).min(extent.len * 8) {
            let bit = self.stream.below(extent.len * 8);
            let (at, mask) = (extent.offset + bit / 8, 1 << (bit % 8));
            self.flip(at, mask);
            self.counters.bits_flipped += 1;
        }
    }

    /// Flips bits of the byte at `at` on the medium and, if it is there, in the cache.
    fn flip(&mut self, at: u64, mask: u8) {
        let (index, byte) = (at / PAGE, (at % PAGE) as usize);
        let base = &self.config.base;
        self.durable
            .write(index, ALL_SECTORS, || base_page(base, index))[byte] ^= mask;
        if self.cache.contains(index) {
            self.cache.write(index, 0, || [0; PAGE as usize])[byte] ^= mask;
        }
    }

    /// Stores bytes that lie on the disk.
    fn store(&mut self, offset: u64, bytes: &[u8], durable: bool) {
        // Wherever a fault or the end of a machine has it land.
        assert!(
            self.extent(offset, bytes.len() as u64).is_ok(),
            "{} bytes at {offset} are not sectors of a disk of {} bytes",
            bytes.len(),
            self.config.size
        );
        let Self {
            config,
            durable: medium,
            cache,
            ..
        } = self;
        for_pages(offset, bytes.len() as u64, |index, start, range| {
            let bytes = &bytes[range];
            let sectors = sectors_of(start, bytes.len());
            if durable || cache.contains(index) {
                // A page in the cache stands before the medium, so that both have to know.
                let stale = || base_page(&config.base, index);
                if durable {
                    medium.write(index, ALL_SECTORS, stale)[start..start + bytes.len()]
                        .copy_from_slice(bytes);
                }
                if cache.contains(index) {
                    let kept = if durable { 0 } else { sectors };
                    cache.write(index, kept, || [0; PAGE as usize])[start..start + bytes.len()]
                        .copy_from_slice(bytes);
                }
                return;
            }
            let below = || match medium.get(index) {
                Some(page) => *page,
                None => base_page(&config.base, index),
            };
            cache.write(index, sectors, below)[start..start + bytes.len()].copy_from_slice(bytes);
        });
    }

    /// Makes a page zeros at little cost, for guests discard whole disks. Where the base is zeros
    /// anyway, and it may be a terabyte of them, nothing is remembered. Up to `zeros_until` the base is
    /// known to be zeros.
    fn zero_page(&mut self, index: u64, durable: bool, zeros_until: &mut u64) {
        static ZEROS: LazyLock<Arc<Bytes>> = LazyLock::new(|| Arc::new([0; PAGE as usize]));
        let known = self.durable.contains(index) || self.cache.contains(index);
        if !known && self.is_zeros_below(index, zeros_until) {
            return;
        }
        if durable {
            self.durable.put(index, ZEROS.clone());
        }
        if !durable || self.cache.contains(index) {
            self.cache.put(index, ZEROS.clone());
        }
    }

    /// Whether a page of the base is all zeros. That depends on its content only, not on how the base
    /// is kept.
    fn is_zeros_below(&self, index: u64, zeros_until: &mut u64) -> bool {
        let (start, end) = (index * PAGE, (index + 1) * PAGE);
        if *zeros_until < end {
            *zeros_until = self.config.base.zeros_until(start);
        }
        *zeros_until >= end || base_page(&self.config.base, index) == [0; PAGE as usize]
    }

    /// Makes some sectors of an unflushed page durable.
    fn keep(&mut self, index: u64, sectors: u8, bytes: &Bytes) {
        let base = &self.config.base;
        let page = self
            .durable
            .write(index, ALL_SECTORS, || base_page(base, index));
        for sector in (0..SECTORS_PER_PAGE as usize).filter(|sector| sectors >> sector & 1 != 0) {
            let range = sector * SECTOR as usize..(sector + 1) * SECTOR as usize;
            page[range.clone()].copy_from_slice(&bytes[range]);
        }
    }
}

/// Page `index` of a base.
fn base_page(base: &Base, index: u64) -> Bytes {
    let mut bytes = [0; PAGE as usize];
    base.read(index * PAGE, &mut bytes);
    bytes
}

/// The first sectors of an interrupted write, which are all that is kept of it: at least one and, if
/// there are several, not all.
fn kept_of_write<'a>(bytes: &'a [u8], stream: &mut Stream) -> &'a [u8] {
    let sectors = bytes.len() as u64 / SECTOR;
    let kept = stream.range(1, sectors.saturating_sub(1).max(1));
    invariant!(
        kept < sectors || sectors == 1,
        "a torn write is whole: {kept} of {sectors} sectors"
    );
    &bytes[..(kept * SECTOR) as usize]
}

/// Calls `part` with the page, the start in it and the range of bytes for each page that `len` bytes
/// at `offset` touch.
fn for_pages(offset: u64, len: u64, mut part: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let at = offset + done;
        let count = (PAGE - at % PAGE).min(len - done);
        part(
            at / PAGE,
            (at % PAGE) as usize,
            done as usize..(done + count) as usize,
        );
        done += count;
    }
}

/// The sectors of a page that `len` bytes at `start` fill.
fn sectors_of(start: usize, len: usize) -> u8 {
    let (first, end) = (start as u64 / SECTOR, (start + len) as u64 / SECTOR);
    (first..end).fold(0, |sectors, sector| sectors | 1 << sector)
}

/// The bits of `nth` moved to the places of the bits that are set in `sectors`.
fn spread(nth: u64, sectors: u8) -> u8 {
    (0..u8::BITS)
        .filter(|bit| sectors >> bit & 1 != 0)
        .enumerate()
        .filter(|(place, _)| nth >> place & 1 != 0)
        .fold(0, |kept, (_, bit)| kept | 1 << bit)
}

fn digest_of(state: &impl Serialize) -> u128 {
    xxh3_128(&postcard::to_allocvec(state).expect("disk states have a postcard form"))
}
