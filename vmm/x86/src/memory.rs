//! Guest-physical RAM as the CPU uses it: a host mapping, a dirty bit per page, and the code bits
//! that tell when a store hits decoded instructions.

/// The size of a page in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The start of the region above the 32-bit device hole.
const HIGH_START: u64 = 1 << 32;

/// The RAM of one machine, shared by its virtual CPUs, which run one at a time.
///
/// RAM occupies guest-physical `0..low` and, if there is more than fits below the device hole,
/// `4 GiB..4 GiB + high`. In the host it is one contiguous mapping; an *offset* is a position in it.
#[derive(Debug)]
pub struct Memory {
    base: *mut u8,
    low: u64,
    high: u64,
    dirty: Vec<u64>,
}

// SAFETY: the mapping is owned by whoever made the `Memory`, outlives it by the contract of `new`,
// and is only touched through `&mut self` or by the CPU that borrows the `Memory` mutably.
unsafe impl Send for Memory {}

impl Memory {
    /// Wraps a host mapping of `low + high` bytes. Both sizes are multiples of [`PAGE_SIZE`].
    ///
    /// # Safety
    /// `base` points to a readable and writable mapping of `low + high` bytes that stays valid as
    /// long as the `Memory` lives, and that nobody else writes while a CPU runs.
    ///
    /// # Panics
    /// If a size is not a multiple of the page size or `low` reaches past 4 GiB.
    pub unsafe fn new(base: *mut u8, low: u64, high: u64) -> Self {
        assert!(low.is_multiple_of(PAGE_SIZE) && high.is_multiple_of(PAGE_SIZE) && low <= HIGH_START);
        let pages = ((low + high) / PAGE_SIZE) as usize;
        Self { base, low, high, dirty: vec![0; pages.div_ceil(64)] }
    }

    /// The size of the RAM in bytes.
    pub fn size(&self) -> u64 {
        self.low + self.high
    }

    /// The offset in the host mapping of guest-physical address `gpa`, if it is RAM.
    #[inline]
    pub fn offset(&self, gpa: u64) -> Option<u64> {
        if gpa < self.low {
            Some(gpa)
        } else if gpa >= HIGH_START && gpa - HIGH_START < self.high {
            Some(gpa - HIGH_START + self.low)
        } else {
            None
        }
    }

    /// Copies guest-physical bytes into `into`. Returns `false`, with nothing promised about
    /// `into`, if part of the range is not RAM.
    pub fn read(&self, gpa: u64, into: &mut [u8]) -> bool {
        let Some(offset) = self.range(gpa, into.len()) else { return false };
        // SAFETY: `range` checked that the bytes lie in the mapping.
        unsafe { std::ptr::copy_nonoverlapping(self.base.add(offset), into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copies `bytes` to guest-physical memory, marks the pages dirty and drops decoded code there.
    /// Returns `false`, having written nothing, if part of the range is not RAM.
    pub fn write(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        let Some(offset) = self.range(gpa, bytes.len()) else { return false };
        // SAFETY: `range` checked that the bytes lie in the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len()) };
        self.mark_dirty(offset as u64, bytes.len() as u64);
        true
    }

    /// Calls `page` with the index and the bytes of every page written since the last call, in
    /// ascending order, and forgets that they were dirty. A page's index is its offset in the host
    /// mapping divided by [`PAGE_SIZE`].
    pub fn drain_dirty(&mut self, mut page: impl FnMut(u64, &[u8])) {
        for word in 0..self.dirty.len() {
            let mut bits = std::mem::take(&mut self.dirty[word]);
            while bits != 0 {
                let index = word as u64 * 64 + u64::from(bits.trailing_zeros());
                bits &= bits - 1;
                // SAFETY: only pages of the mapping are ever marked dirty.
                let bytes = unsafe {
                    std::slice::from_raw_parts(self.base.add((index * PAGE_SIZE) as usize), PAGE_SIZE as usize)
                };
                page(index, bytes);
            }
        }
    }

    fn range(&self, gpa: u64, len: usize) -> Option<usize> {
        let offset = self.offset(gpa)?;
        let end = if gpa < self.low { self.low } else { self.size() };
        (end - offset >= len as u64).then_some(offset as usize)
    }

    fn mark_dirty(&mut self, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        for page in offset / PAGE_SIZE..=(offset + len - 1) / PAGE_SIZE {
            self.dirty[(page / 64) as usize] |= 1 << (page % 64);
        }
    }
}
