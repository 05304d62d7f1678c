//! The memory of a machine, and its map.
//!
//! [`GuestRam`] is one lazily touched host mapping, which loaders, devices and processors see as
//! [`chaosrun_x86::Memory`].

pub mod map;

use std::ops::{Deref, DerefMut};

use chaosrun_x86::{Memory, PAGE_SIZE};
use vm_memory::MmapRegion;

/// The least RAM of a machine, enough for the boot structures of the first mebibyte and a program.
pub const RAM_MIN: u64 = 2 << 20;
/// The most RAM of a machine.
pub const RAM_MAX: u64 = 1 << 40;

/// Why guest RAM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The size is not a multiple of 4 KiB, or outside the range that a machine can have.
    #[error(
        "a machine can't have {size} bytes of RAM; use a multiple of 4 KiB from {RAM_MIN} to {RAM_MAX}"
    )]
    Size {
        /// The size asked for in bytes.
        size: u64,
    },
    /// The host has no address space for it.
    #[error("the host can't map {size} bytes of guest RAM: {source}")]
    Map {
        /// The size asked for in bytes.
        size: u64,
        /// What the host said.
        source: vm_memory::mmap::MmapRegionError,
    },
}

/// The RAM of one machine.
pub struct GuestRam {
    memory: Memory,
    low: u64,
    // `memory` points into this mapping, which is dropped last.
    _mapping: MmapRegion<()>,
}

impl GuestRam {
    /// Maps `size` bytes of zeroed RAM, of which nothing is resident in the host until touched.
    ///
    /// # Errors
    /// If the size is impossible or the host refuses the mapping.
    pub fn new(size: u64) -> Result<Self, MemoryError> {
        if !size.is_multiple_of(PAGE_SIZE) || !(RAM_MIN..=RAM_MAX).contains(&size) {
            return Err(MemoryError::Size { size });
        }
        let failed = |source| MemoryError::Map { size, source };
        let mapping = MmapRegion::<()>::new(size as usize).map_err(failed)?;
        let low = size.min(map::LOW_RAM_MAX);
        let high = size - low;
        // SAFETY: the mapping is `low + high` bytes, readable and writable, and lives as long as the
        // result, through which alone it is written.
        let memory = unsafe { Memory::new(mapping.as_ptr(), low, high) };
        Ok(Self {
            memory,
            low,
            _mapping: mapping,
        })
    }

    /// Bytes of RAM below the device hole.
    pub fn low(&self) -> u64 {
        self.low
    }

    /// Bytes of RAM from 4 GiB on.
    pub fn high(&self) -> u64 {
        self.memory.size() - self.low
    }
}

impl Deref for GuestRam {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl DerefMut for GuestRam {
    fn deref_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_rest_of_large_ram_lies_above_the_hole() {
        let mut ram = GuestRam::new(5 * GIB).unwrap();
        assert_eq!((ram.low(), ram.high()), (3 * GIB, 2 * GIB));
        assert!(ram.write(4 * GIB + 8, b"high"));
        let mut bytes = [0; 4];
        assert!(ram.read(4 * GIB + 8, &mut bytes));
        assert_eq!(&bytes, b"high");
        assert!(!ram.read(3 * GIB, &mut bytes));
        assert!(!ram.write(3 * GIB, b"hole"));
        let mut dirty = Vec::new();
        ram.drain_dirty(|page, _| dirty.push(page));
        assert_eq!(dirty, [3 * GIB / PAGE_SIZE]);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0, 4096, RAM_MIN + 1, RAM_MAX + PAGE_SIZE, u64::MAX] {
            assert!(
                matches!(GuestRam::new(size), Err(MemoryError::Size { .. })),
                "{size}"
            );
        }
    }
}
