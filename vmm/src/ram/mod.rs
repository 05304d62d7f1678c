//! The memory of a machine, and its map.
//!
//! [`GuestRam`] is one lazily touched host mapping, seen by loaders and devices as vm-memory regions and
//! by the CPUs as [`chaosrun_x86::Memory`].

pub mod map;

use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};

use chaosrun_x86::{Memory, PAGE_SIZE};
use vm_memory::bitmap::AtomicBitmap;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MmapRegion,
};

/// Guest RAM as vm-memory sees it, with a dirty bit per page.
pub type Regions = GuestMemoryMmap<AtomicBitmap>;

/// The least RAM of a machine, enough for the boot structures of the first mebibyte and a program.
pub const RAM_MIN: u64 = 2 << 20;
/// The most RAM of a machine.
pub const RAM_MAX: u64 = 1 << 40;

/// Why guest RAM could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The size is not a multiple of 4 KiB, or outside the range that a machine can have.
    #[error(
        "{size} bytes of guest RAM are not possible; use a multiple of 4 KiB from {RAM_MIN} to {RAM_MAX}"
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

/// The RAM of one machine. Dereferences to the view of the CPUs.
pub struct GuestRam {
    memory: Memory,
    regions: Regions,
    low: u64,
    // Both views point into this mapping; it is dropped last.
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
        let base = mapping.as_ptr();
        let mut regions = vec![region(base, low, 0).map_err(failed)?];
        if high > 0 {
            // SAFETY: `low` is less than the size of the mapping.
            let start = unsafe { base.add(low as usize) };
            regions.push(region(start, high, map::HIGH_RAM_START).map_err(failed)?);
        }
        let regions =
            Regions::from_regions(regions).expect("the two ranges are disjoint and ascending");
        // SAFETY: the mapping is `low + high` bytes, readable and writable, and lives as long as the
        // result. The regions are only written through while no CPU runs, for they are lent together.
        let memory = unsafe { Memory::new(base, low, high) };
        Ok(Self {
            memory,
            regions,
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

    /// RAM as vm-memory regions. What is written there becomes visible to the dirty tracking of the
    /// CPUs' view by [`Self::merge_region_writes`].
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Tells the CPUs' view which pages were written through the regions, so that they are hashed
    /// and code decoded from them is dropped.
    pub fn merge_region_writes(&mut self) {
        let mut page = [0; PAGE_SIZE as usize];
        for region in self.regions.iter() {
            let start = region.start_addr().0;
            for (word, bits) in region
                .get_mmap()
                .bitmap()
                .get_and_reset()
                .into_iter()
                .enumerate()
            {
                let mut bits = bits;
                while bits != 0 {
                    let bit = u64::from(bits.trailing_zeros());
                    bits &= bits - 1;
                    let gpa = start + (word as u64 * 64 + bit) * PAGE_SIZE;
                    // Writing a page's own bytes is how the other view learns of it.
                    let known = self.memory.read(gpa, &mut page) && self.memory.write(gpa, &page);
                    debug_assert!(known, "the views disagree about {gpa:#x}");
                }
            }
        }
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

/// A region of `size` bytes at `base` for guest-physical addresses from `gpa` on.
fn region(
    base: *mut u8,
    size: u64,
    gpa: u64,
) -> Result<GuestRegionMmap<AtomicBitmap>, vm_memory::mmap::MmapRegionError> {
    let page = NonZeroUsize::new(PAGE_SIZE as usize).expect("a page is not empty");
    let bitmap = AtomicBitmap::new(size as usize, page);
    let builder = MmapRegionBuilder::new_with_bitmap(size as usize, bitmap);
    // SAFETY: the caller's mapping covers the range and outlives the region, for `GuestRam` owns both.
    let mapping = unsafe { builder.with_raw_mmap_pointer(base) }.build()?;
    Ok(GuestRegionMmap::new(mapping, GuestAddress(gpa)).expect("guest RAM ends below 2^64"))
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn dirty(ram: &mut GuestRam) -> Vec<u64> {
        let mut pages = Vec::new();
        ram.drain_dirty(|page, _| pages.push(page));
        pages
    }

    #[test]
    fn ram_above_the_hole_is_seen_alike_by_both_views() {
        let mut ram = GuestRam::new(5 * GIB).unwrap();
        assert_eq!((ram.low(), ram.high()), (3 * GIB, 2 * GIB));
        ram.regions()
            .write_slice(b"high", GuestAddress(4 * GIB + 8))
            .unwrap();
        let mut bytes = [0; 4];
        assert!(ram.read(4 * GIB + 8, &mut bytes));
        assert_eq!(&bytes, b"high");
        assert!(!ram.read(3 * GIB, &mut bytes));
        assert!(
            ram.regions()
                .write_slice(b"hole", GuestAddress(3 * GIB))
                .is_err()
        );
        ram.merge_region_writes();
        assert_eq!(dirty(&mut ram), [3 * GIB / PAGE_SIZE]);
    }

    #[test]
    fn writes_through_the_regions_become_dirty_once_merged() {
        let mut ram = GuestRam::new(4 << 20).unwrap();
        ram.regions()
            .write_slice(&[1; 5000], GuestAddress(0x1ffc))
            .unwrap();
        assert!(dirty(&mut ram).is_empty());
        ram.merge_region_writes();
        assert_eq!(dirty(&mut ram), [1, 2, 3]);
        ram.merge_region_writes();
        assert!(dirty(&mut ram).is_empty());
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
