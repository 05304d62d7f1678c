//! The memory of a machine, and its map.
//!
//! [`GuestRam`] is one lazily touched host mapping, which loaders, devices and processors see as
//! [`chaosrun_x86::Memory`]. Its state hash and its checkpoints both need to know what was written since they
//! last looked; each has a list of its own, which are filled from the one of the memory.

mod hashes;
mod image;
pub mod map;
mod pages;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use chaosrun_x86::{Memory, PAGE_SIZE};
use hashes::PageHashes;
pub use pages::Pages;
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

/// Indices of pages, each once.
struct Indices {
    /// A bit for each page that is in the list.
    members: Vec<u64>,
    list: Vec<u32>,
}

impl Indices {
    fn new(pages: usize) -> Self {
        Self {
            members: vec![0; pages.div_ceil(64)],
            list: Vec::new(),
        }
    }

    fn insert(&mut self, index: u32) {
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        if self.members[word] & bit == 0 {
            self.members[word] |= bit;
            self.list.push(index);
        }
    }

    /// Takes them out, in ascending order.
    fn take(&mut self) -> Vec<u32> {
        let mut list = std::mem::take(&mut self.list);
        for index in &list {
            self.members[(index / 64) as usize] = 0;
        }
        list.sort_unstable();
        list
    }
}

/// The RAM of one machine.
pub struct GuestRam {
    memory: Memory,
    low: u64,
    /// The pages that may hold something else than when the state hash last looked.
    unhashed: Indices,
    /// The pages that may hold something else than `saved` has.
    unsaved: Indices,
    /// What was saved or put back last.
    saved: Pages,
    hashes: PageHashes,
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
        let pages = (size / PAGE_SIZE) as usize;
        Ok(Self::over(
            mapping,
            Pages::zeros(pages),
            PageHashes::new(pages as u64),
        ))
    }

    /// Makes RAM that holds what was saved of another one. It shares what that was mapped over, so that its
    /// cost is that of what differs from there.
    ///
    /// # Errors
    /// If the host refuses the mapping.
    pub fn of(pages: &Pages) -> Result<Self, MemoryError> {
        let size = pages.count() as u64 * PAGE_SIZE;
        let mut ram = match pages.image() {
            Some(image) => {
                let failed = |source| MemoryError::Map { size, source };
                let mapping = image.map().map_err(failed)?;
                Self::over(mapping, image.pages.clone(), image.hashes.clone())
            }
            None => Self::new(size)?,
        };
        ram.restore(pages);
        Ok(ram)
    }

    /// The RAM in a mapping that holds `saved`, which has these hashes.
    fn over(mapping: MmapRegion<()>, saved: Pages, hashes: PageHashes) -> Self {
        let size = mapping.size() as u64;
        let low = size.min(map::LOW_RAM_MAX);
        let high = size - low;
        // SAFETY: the mapping is `low + high` bytes, readable and writable, and lives as long as the
        // result, through which alone it is written.
        let memory = unsafe { Memory::new(mapping.as_ptr(), low, high) };
        let pages = memory.pages();
        Self {
            memory,
            low,
            unhashed: Indices::new(pages),
            unsaved: Indices::new(pages),
            saved,
            hashes,
            _mapping: mapping,
        }
    }

    /// Takes over what memory knows to be written. An engine that knows more has told memory before.
    fn collect(&mut self) {
        for index in self.memory.take_written() {
            self.unhashed.insert(index);
            self.unsaved.insert(index);
        }
    }

    /// The digest of all RAM. `changed` is called with the index and the hash of each page whose hash is
    /// another one than the last time, in ascending order. Its cost is that of what was written or put back
    /// since then.
    pub fn digest(&mut self, mut changed: impl FnMut(u64, u128)) -> u128 {
        self.collect();
        for index in self.unhashed.take() {
            let bytes = self.memory.page(offset(index));
            if let Some(hash) = self.hashes.update(index.into(), bytes) {
                changed(index.into(), hash);
            }
        }
        self.hashes.digest()
    }

    /// How many pages were written since it was saved or put back last.
    pub fn unsaved(&mut self) -> usize {
        self.collect();
        self.unsaved.list.len()
    }

    /// What it holds, shared with what was saved before as far as that is the same. Its cost is that of what
    /// was written since then.
    pub fn save(&mut self) -> Pages {
        self.collect();
        for index in self.unsaved.take() {
            let bytes = self.memory.page(offset(index));
            if self.saved.get(index) != Some(bytes) {
                let is_zero = bytes
                    .as_chunks::<64>()
                    .0
                    .iter()
                    .all(|line| *line == [0; 64]);
                let page = (!is_zero).then(|| Arc::new(*bytes));
                if page.is_some() || self.saved.get(index).is_some() {
                    self.saved.set(index, page);
                }
            }
        }
        self.saved.clone()
    }

    /// Has RAMs that are made of what is saved from now on share with each other what this one holds now.
    pub fn settle(&mut self) {
        self.save();
        self.saved.settle();
    }

    /// Puts back what was saved of this RAM, or of another one of its size. Its cost is that of what was
    /// written since then, and of what is not shared with what was saved or put back last.
    ///
    /// # Panics
    /// If it was saved of a RAM of another size.
    pub fn restore(&mut self, pages: &Pages) {
        self.collect();
        for index in self.unsaved.take() {
            self.put_back(index, pages);
        }
        let saved = std::mem::replace(&mut self.saved, pages.clone());
        saved.differences(pages, &mut |index| self.put_back(index, pages));
    }

    fn put_back(&mut self, index: u32, pages: &Pages) {
        if self.memory.put_back(offset(index), pages.get(index)) {
            self.unhashed.insert(index);
        }
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

/// Where a page lies in the host mapping.
fn offset(index: u32) -> u64 {
    u64::from(index) * PAGE_SIZE
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
    use crate::tape::Tape;

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
        ram.digest(|page, _| dirty.push(page));
        assert_eq!(dirty, [3 * GIB / PAGE_SIZE]);
    }

    /// All of the RAM.
    fn content(ram: &GuestRam) -> Vec<u8> {
        let mut bytes = vec![0; ram.size() as usize];
        assert!(ram.read(0, &mut bytes));
        bytes
    }

    #[test]
    fn any_saved_content_can_be_put_back_at_any_time() {
        let mut stream = Tape::new(8).stream("ram");
        let mut ram = GuestRam::new(RAM_MIN).unwrap();
        let mut other = GuestRam::new(RAM_MIN).unwrap();
        let mut kept = vec![(ram.save(), content(&ram))];
        for _ in 0..300 {
            for _ in 0..stream.below(20) {
                let at = stream.below(RAM_MIN - 8);
                // Zeros, too, and what is there already.
                let byte = stream.below(3) as u8;
                assert!(ram.write(at, &[byte; 8]));
            }
            match stream.below(4) {
                0 => kept.push((ram.save(), content(&ram))),
                1 => {
                    let (pages, expected) = &kept[stream.below(kept.len() as u64) as usize];
                    ram.restore(pages);
                    assert!(content(&ram) == *expected);
                    other.restore(pages);
                    assert!(content(&other) == *expected, "forks hold the same");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_state_hash_hears_of_what_was_written_and_of_what_was_put_back() {
        let mut ram = GuestRam::new(RAM_MIN).unwrap();
        let changed = |ram: &mut GuestRam| {
            let mut pages = Vec::new();
            ram.digest(|index, _| pages.push(index));
            pages
        };
        ram.write(9 * PAGE_SIZE, &[1]);
        ram.write(3 * PAGE_SIZE, &[1]);
        let saved = ram.save();
        assert_eq!(changed(&mut ram), [3, 9]);
        ram.write(3 * PAGE_SIZE, &[2]);
        ram.write(4 * PAGE_SIZE, &[0]);
        assert_eq!(changed(&mut ram), [3]);
        ram.restore(&saved);
        assert_eq!(changed(&mut ram), [3]);
        ram.restore(&saved);
        assert!(changed(&mut ram).is_empty());
    }

    #[test]
    fn rams_over_one_image_share_it_until_they_write() {
        let mut stream = Tape::new(5).stream("image");
        let mut plain = GuestRam::new(RAM_MIN).unwrap();
        let write = |ram: &mut GuestRam, stream: &mut crate::tape::Stream| {
            for _ in 0..30 {
                let at = stream.below(RAM_MIN - 8);
                assert!(ram.write(at, &stream.below(3).to_le_bytes()));
            }
        };
        write(&mut plain, &mut stream);
        let mut settled = plain.save();
        settled.settle();
        assert!(settled.image().is_some(), "the host has files of memory");
        let mut rams = vec![GuestRam::of(&settled).unwrap()];
        for round in 0..40 {
            let from = stream.below(rams.len() as u64) as usize;
            write(&mut rams[from], &mut stream);
            let saved = rams[from].save();
            assert!(saved.image().is_some(), "what is saved knows its image");
            let mut other = GuestRam::of(&saved).unwrap();
            let mut copy = GuestRam::new(RAM_MIN).unwrap();
            copy.restore(&saved);
            let digest = copy.digest(|_, _| {});
            for ram in [&mut other, &mut rams[from]] {
                assert!(content(ram) == content(&copy), "round {round}");
                assert_eq!(ram.digest(|_, _| {}), digest);
            }
            rams.push(other);
        }
        assert!(content(&GuestRam::of(&settled).unwrap()) == content(&plain));
    }

    #[test]
    fn what_was_written_with_the_same_bytes_is_shared() {
        let mut ram = GuestRam::new(RAM_MIN).unwrap();
        ram.write(0, &[1]);
        ram.write(PAGE_SIZE, &[1]);
        let before = ram.save();
        ram.write(0, &[1]);
        ram.write(PAGE_SIZE, &[2]);
        ram.write(2 * PAGE_SIZE, &[0]);
        let after = ram.save();
        let mut differ = Vec::new();
        before.differences(&after, &mut |index| differ.push(index));
        assert_eq!(differ, [1]);
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
