//! A disk in memory for tests: it forgets what was not flushed, tears writes, and lies if told to.

use std::io;

use super::device::{Device, SECTOR};
use crate::rng::Rng;

/// The disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    /// What survives.
    stable: Vec<u8>,
    /// What was written since the last flush, in order: offset and bytes of each write.
    cache: Vec<(usize, Vec<u8>)>,
    /// Reads see this.
    seen: Vec<u8>,
    /// The next operations that fail.
    pub fail_reads: u32,
    pub fail_writes: u32,
    pub fail_flushes: u32,
    /// The next write goes here.
    pub misdirect_to: Option<u64>,
    /// How many more writes and flushes there are before all fail.
    pub left: Option<u32>,
}

impl SimDisk {
    pub fn new(size: usize) -> SimDisk {
        SimDisk {
            stable: vec![0; size],
            cache: Vec::new(),
            seen: vec![0; size],
            fail_reads: 0,
            fail_writes: 0,
            fail_flushes: 0,
            misdirect_to: None,
            left: None,
        }
    }

    /// The power goes: unflushed writes are lost, or each with one chance in two kept in part.
    pub fn power_loss(&mut self, torn: bool, rng: &mut Rng) {
        for (offset, bytes) in std::mem::take(&mut self.cache) {
            if !torn || rng.chance(1, 2) {
                continue;
            }
            for (i, sector) in bytes.chunks(SECTOR).enumerate() {
                if rng.chance(1, 2) {
                    let at = offset + i * SECTOR;
                    self.stable[at..at + SECTOR].copy_from_slice(sector);
                }
            }
        }
        self.seen.clone_from(&self.stable);
    }

    /// A bit turns over.
    pub fn flip(&mut self, byte: u64, bit: u8) {
        self.stable[byte as usize] ^= 1 << bit;
        self.seen[byte as usize] ^= 1 << bit;
    }

    fn count(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn failed(left: &mut u32) -> io::Result<()> {
    if *left == 0 {
        return Ok(());
    }
    *left -= 1;
    Err(io::Error::other("told to fail"))
}

impl Device for SimDisk {
    fn size(&self) -> u64 {
        self.stable.len() as u64
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        failed(&mut self.fail_reads)?;
        let from = offset as usize;
        buffer.copy_from_slice(&self.seen[from..from + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert_eq!((offset as usize % SECTOR, bytes.len() % SECTOR), (0, 0));
        self.count()?;
        failed(&mut self.fail_writes)?;
        let to = self.misdirect_to.take().unwrap_or(offset) as usize;
        self.seen[to..to + bytes.len()].copy_from_slice(bytes);
        self.cache.push((to, bytes.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.count()?;
        failed(&mut self.fail_flushes)?;
        for (offset, bytes) in std::mem::take(&mut self.cache) {
            self.stable[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn pause(&mut self, _attempt: u32) {}
}
