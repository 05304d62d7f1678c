//! The split virtqueue, the device's side (virtio 1.2, 2.7).
//!
//! Everything in a queue is the guest's, which may be wrong about it or hostile: each walk is bounded
//! by the size of the queue, every buffer is checked to be RAM, and what makes no sense is [`Broken`].

use chaosrun_x86::Memory;
use serde::{Deserialize, Serialize};

use crate::invariant::invariant;

/// The largest queue that a driver can set up.
pub const SIZE_MAX: u16 = 256;

const DESCRIPTOR: u64 = 16;
const FLAG_NEXT: u16 = 1;
const FLAG_WRITE: u16 = 2;
const FLAG_INDIRECT: u16 = 4;
const AVAIL_NO_INTERRUPT: u16 = 1;

/// The guest broke the rules, so that the device needs a reset (virtio 1.2, 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the driver broke the rules of virtio")]
pub struct Broken;

/// A piece of RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its guest-physical address.
    pub gpa: u64,
    /// Its length in bytes, never zero.
    pub len: u32,
}

/// A request of the driver: buffers to read from and buffers to write to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The index of its first descriptor, by which it is given back.
    pub head: u16,
    /// What the driver filled.
    pub readable: Vec<Segment>,
    /// What the device fills.
    pub writable: Vec<Segment>,
}

/// A virtqueue as the driver configured it, and how far the device got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The number of entries.
    pub size: u16,
    /// Whether the driver has made it ready.
    pub ready: bool,
    /// The address of the descriptor table.
    pub descriptors: u64,
    /// The address of the available ring (driver area).
    pub available: u64,
    /// The address of the used ring (device area).
    pub used: u64,
    next_available: u16,
    next_used: u16,
}

/// A table of descriptors.
#[derive(Clone, Copy)]
struct Table {
    gpa: u64,
    count: u32,
}

struct Descriptor {
    gpa: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Queue {
    /// Whether the driver's settings make a queue.
    pub fn is_possible(&self) -> bool {
        self.size.is_power_of_two()
            && self.size <= SIZE_MAX
            && self.descriptors.is_multiple_of(DESCRIPTOR)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4)
    }

    /// Takes the next request, if there is one.
    ///
    /// # Errors
    /// If the queue makes no sense.
    pub fn pop(&mut self, memory: &Memory) -> Result<Option<Chain>, Broken> {
        if !self.ready || !self.is_possible() {
            return Ok(None);
        }
        let end = read_u16(memory, self.available, 2)?;
        match end.wrapping_sub(self.next_available) {
            0 => return Ok(None),
            waiting if waiting > self.size => return Err(Broken),
            _ => {}
        }
        let slot = u64::from(self.next_available % self.size);
        let head = read_u16(memory, self.available, 4 + 2 * slot)?;
        self.next_available = self.next_available.wrapping_add(1);
        self.walk(memory, head).map(Some)
    }

    /// Gives back a request into whose buffers `written` bytes were written. Returns whether the
    /// driver wants an interrupt for it.
    ///
    /// # Errors
    /// If the used ring is not in RAM.
    pub fn push(&mut self, memory: &mut Memory, head: u16, written: u32) -> Result<bool, Broken> {
        if !self.ready || !self.is_possible() {
            return Ok(false);
        }
        let slot = u64::from(self.next_used % self.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        write(memory, self.used, 4 + 8 * slot, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        write(memory, self.used, 2, &self.next_used.to_le_bytes())?;
        let flags = read_u16(memory, self.available, 0)?;
        Ok(flags & AVAIL_NO_INTERRUPT == 0)
    }

    /// How many requests were taken, by which [`Self::rewind`] gives some of them back untouched.
    pub fn taken(&self) -> u16 {
        self.next_available
    }

    /// Puts back the requests taken since [`Self::taken`] was asked.
    pub fn rewind(&mut self, taken: u16) {
        invariant!(
            self.next_available.wrapping_sub(taken) <= SIZE_MAX,
            "more requests are put back than a queue holds"
        );
        self.next_available = taken;
    }

    /// Follows a chain of descriptors.
    fn walk(&self, memory: &Memory, head: u16) -> Result<Chain, Broken> {
        let mut chain = Chain {
            head,
            ..Chain::default()
        };
        let mut table = Table {
            gpa: self.descriptors,
            count: self.size.into(),
        };
        let (mut index, mut indirect) = (head, false);
        // A chain is never longer than the queue (2.7.5.3.1), so that one with a loop ends here.
        for _ in 0..=self.size {
            let descriptor = table.get(memory, index)?;
            if descriptor.flags & FLAG_INDIRECT != 0 {
                if indirect || descriptor.flags & FLAG_NEXT != 0 {
                    return Err(Broken);
                }
                table = descriptor.table()?;
                (index, indirect) = (0, true);
                continue;
            }
            chain.add(memory, &descriptor)?;
            if descriptor.flags & FLAG_NEXT == 0 {
                // What is longer has a loop, which never ends, so that it does not come here.
                invariant!(
                    chain.readable.len() + chain.writable.len() <= usize::from(self.size),
                    "a chain is longer than its queue"
                );
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(Broken)
    }
}

impl Table {
    fn get(self, memory: &Memory, index: u16) -> Result<Descriptor, Broken> {
        if u32::from(index) >= self.count {
            return Err(Broken);
        }
        let mut bytes = [0; DESCRIPTOR as usize];
        read(memory, self.gpa, DESCRIPTOR * u64::from(index), &mut bytes)?;
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            l0,
            l1,
            l2,
            l3,
            f0,
            f1,
            n0,
            n1,
        ] = bytes;
        Ok(Descriptor {
            gpa: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        })
    }
}

impl Descriptor {
    /// The table that an indirect descriptor points to.
    fn table(&self) -> Result<Table, Broken> {
        let count = u64::from(self.len) / DESCRIPTOR;
        if count == 0 || !u64::from(self.len).is_multiple_of(DESCRIPTOR) {
            return Err(Broken);
        }
        Ok(Table {
            gpa: self.gpa,
            count: count as u32,
        })
    }
}

impl Chain {
    fn add(&mut self, memory: &Memory, descriptor: &Descriptor) -> Result<(), Broken> {
        let Descriptor {
            gpa, len, flags, ..
        } = *descriptor;
        let write = flags & FLAG_WRITE != 0;
        // The driver puts all it fills in front of what the device fills (2.7.4.2).
        if !write && !self.writable.is_empty() {
            return Err(Broken);
        }
        if len == 0 {
            return Ok(());
        }
        if !is_ram(memory, gpa, len) {
            return Err(Broken);
        }
        let side = if write {
            &mut self.writable
        } else {
            &mut self.readable
        };
        side.push(Segment { gpa, len });
        Ok(())
    }
}

/// The bytes that segments have.
pub fn total(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.len)).sum()
}

/// The segments without their first `skip` bytes and without what follows `len` bytes from there.
pub fn part(segments: &[Segment], skip: u64, len: u64) -> Vec<Segment> {
    let (mut skip, mut left) = (skip, len);
    let mut parts = Vec::new();
    for segment in segments {
        let skipped = skip.min(segment.len.into());
        skip -= skipped;
        let kept = (u64::from(segment.len) - skipped).min(left);
        left -= kept;
        if kept > 0 {
            parts.push(Segment {
                gpa: segment.gpa + skipped,
                len: kept as u32,
            });
        }
    }
    parts
}

/// The first bytes of the segments, at most `most`.
///
/// # Errors
/// If a segment is not RAM.
pub fn gather(memory: &Memory, segments: &[Segment], most: u64) -> Result<Vec<u8>, Broken> {
    let mut bytes = vec![0; total(segments).min(most) as usize];
    let mut done = 0;
    for segment in segments {
        let count = (bytes.len() - done).min(segment.len as usize);
        read(memory, segment.gpa, 0, &mut bytes[done..done + count])?;
        done += count;
    }
    Ok(bytes)
}

/// Writes as many of `bytes` to the segments as they hold, and returns how many.
///
/// # Errors
/// If a segment is not RAM.
pub fn scatter(memory: &mut Memory, segments: &[Segment], bytes: &[u8]) -> Result<u32, Broken> {
    let mut done = 0;
    for segment in segments {
        let count = (bytes.len() - done).min(segment.len as usize);
        write(memory, segment.gpa, 0, &bytes[done..done + count])?;
        done += count;
    }
    Ok(done as u32)
}

/// Whether all of `len` bytes at `gpa` are RAM, in one piece.
fn is_ram(memory: &Memory, gpa: u64, len: u32) -> bool {
    let last = u64::from(len.max(1)) - 1;
    let end = gpa.checked_add(last).and_then(|end| memory.offset(end));
    match (memory.offset(gpa), end) {
        (Some(start), Some(end)) => end.checked_sub(start) == Some(last),
        _ => false,
    }
}

fn read(memory: &Memory, base: u64, offset: u64, into: &mut [u8]) -> Result<(), Broken> {
    let gpa = base.checked_add(offset).ok_or(Broken)?;
    if into.is_empty() || memory.read(gpa, into) {
        Ok(())
    } else {
        Err(Broken)
    }
}

fn read_u16(memory: &Memory, base: u64, offset: u64) -> Result<u16, Broken> {
    let mut bytes = [0; 2];
    read(memory, base, offset, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

fn write(memory: &mut Memory, base: u64, offset: u64, bytes: &[u8]) -> Result<(), Broken> {
    let gpa = base.checked_add(offset).ok_or(Broken)?;
    if bytes.is_empty() || memory.write(gpa, bytes) {
        Ok(())
    } else {
        Err(Broken)
    }
}
