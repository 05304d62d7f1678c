//! Guest-physical RAM as the CPU uses it: a host mapping, a list of the pages that were written, and the code
//! bits that tell when a store hits decoded instructions.
//!
//! Memory knows where decoded instructions lie and nothing of what was made of them. That is in a code
//! cache, which is somebody else's and asks which pages were overwritten before it executes anything. So
//! memory can be copied and put back without code, and whoever puts it back calls [`Memory::forget_code`].

/// The size of a page in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// What is in a page of memory.
pub type PageBytes = [u8; PAGE_SIZE as usize];

/// The start of the region above the 32-bit device hole.
const HIGH_START: u64 = 1 << 32;

/// The RAM of one machine, shared by its virtual CPUs, which run one at a time.
///
/// RAM occupies guest-physical `0..low` and, if there is more than fits below the device hole,
/// `4 GiB..4 GiB + high`. In the host it is one contiguous mapping; an *offset* is a position in it.
pub struct Memory {
    base: *mut u8,
    low: u64,
    high: u64,
    /// For every page, whether it is in `written`.
    dirty: Vec<u64>,
    /// The indices of the pages that were written since somebody asked.
    written: Vec<u32>,
    /// For every page, which of its 64 lines of 64 bytes hold decoded instructions.
    code: Vec<u64>,
    /// The pages, by their offsets, in which decoded instructions were overwritten since the code cache has
    /// asked. A page has no code from then on until it is decoded again, and the cache asks before it
    /// decodes, so that no page is in here twice.
    overwritten: Vec<u64>,
    /// The number of the code cache that `code` and `overwritten` are about; 0 for none.
    decoder: u64,
    /// Pages whose stores every CPU must send through the slow path, in the order in which that was
    /// asked for. A CPU remembers how far it has followed the log.
    protections: Vec<u64>,
    /// How often the log was dropped in favour of protecting everything.
    epoch: u64,
}

/// How far a CPU has followed the protections that its memory asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProtectionCursor {
    epoch: u64,
    position: usize,
}

/// Protections that are kept as a list; beyond that everything is protected.
const PROTECTIONS: usize = 4096;

// SAFETY: the mapping is owned by whoever made the `Memory`, outlives it by the contract of `new`,
// and is only touched through `&mut self` or by the CPU that borrows the `Memory` mutably.
unsafe impl Send for Memory {}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("low", &self.low)
            .field("high", &self.high)
            .finish_non_exhaustive()
    }
}

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
        assert!(
            low.is_multiple_of(PAGE_SIZE) && high.is_multiple_of(PAGE_SIZE) && low <= HIGH_START
        );
        let pages = ((low + high) / PAGE_SIZE) as usize;
        Self {
            base,
            low,
            high,
            dirty: vec![0; pages.div_ceil(64)],
            written: Vec::new(),
            code: vec![0; pages],
            overwritten: Vec::new(),
            decoder: 0,
            protections: Vec::new(),
            epoch: 0,
        }
    }

    /// The host address of offset 0.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    /// The ranges of guest-physical addresses that are RAM, each with its host address and its size
    /// in bytes, for an engine that has the host's processor execute the guest. What such an engine
    /// writes there must be reported with [`Self::mark_written`].
    pub fn host_ranges(&self) -> impl Iterator<Item = (u64, *mut u8, u64)> {
        // SAFETY: `low` is at most the size of the mapping.
        let high = unsafe { self.base.add(self.low as usize) };
        [(0, self.base, self.low), (HIGH_START, high, self.high)]
            .into_iter()
            .filter(|(_, _, size)| *size > 0)
    }

    /// Notes that `len` bytes of RAM from guest-physical address `gpa` on were written by other means than
    /// this `Memory`: marks the pages dirty, and code that was decoded there is dropped. Returns `false`,
    /// having done nothing, if part of the range is not RAM.
    pub fn mark_written(&mut self, gpa: u64, len: u64) -> bool {
        let Some(offset) = usize::try_from(len)
            .ok()
            .and_then(|len| self.range(gpa, len))
        else {
            return false;
        };
        self.note_write(offset as u64, len);
        true
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
        let Some(offset) = self.range(gpa, into.len()) else {
            return false;
        };
        // SAFETY: `range` checked that the bytes lie in the mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(self.base.add(offset), into.as_mut_ptr(), into.len())
        };
        true
    }

    /// Copies `bytes` to guest-physical memory, marks the pages dirty, and code that was decoded there is
    /// dropped before the next instruction. Returns `false`, having written nothing, if part of the range is
    /// not RAM.
    pub fn write(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        let Some(offset) = self.range(gpa, bytes.len()) else {
            return false;
        };
        // SAFETY: `range` checked that the bytes lie in the mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len())
        };
        self.note_write(offset as u64, bytes.len() as u64);
        true
    }

    /// The indices of the pages that were written since the last call, in no particular order, each once.
    /// Its cost is that of what was written, not that of the RAM. A page's index is its offset in the host
    /// mapping divided by [`PAGE_SIZE`].
    pub fn take_written(&mut self) -> Vec<u32> {
        let written = std::mem::take(&mut self.written);
        for index in &written {
            self.dirty[(index / 64) as usize] &= !(1 << (index % 64));
        }
        self.protect_everything();
        written
    }

    /// Makes the page at `offset` hold `bytes`, zeros if there are none. Unlike a store this does not count
    /// as written, and code that was decoded there is dropped only if the page changes. Returns whether it
    /// does.
    ///
    /// # Panics
    /// If there is no such page, or it was written and nobody has asked since.
    pub fn put_back(&mut self, offset: u64, bytes: Option<&PageBytes>) -> bool {
        const ZEROS: PageBytes = [0; PAGE_SIZE as usize];
        let page = offset / PAGE_SIZE;
        assert!(
            self.dirty[(page / 64) as usize] >> (page % 64) & 1 == 0,
            "whoever puts pages back has asked which were written"
        );
        let bytes = bytes.unwrap_or(&ZEROS);
        if self.page(offset) == bytes {
            return false;
        }
        // SAFETY: `page` has checked that it lies in the mapping, which nobody else uses meanwhile.
        unsafe {
            self.base
                .add(offset as usize)
                .cast::<PageBytes>()
                .write(*bytes)
        };
        self.drop_code(page, u64::MAX);
        true
    }

    /// Remembers that decoded code in some lines of a page has to be dropped. Returns whether there is any.
    fn drop_code(&mut self, page: u64, lines: u64) -> bool {
        let hit = self.code[page as usize] & lines != 0;
        if hit {
            let start = page * PAGE_SIZE;
            debug_assert!(
                !self.overwritten.contains(&start),
                "a page that was overwritten has no code until that was dropped"
            );
            self.code[page as usize] = 0;
            self.overwritten.push(start);
        }
        hit
    }

    /// Records that `len` bytes at `offset` are about to be or have been written: marks the pages
    /// dirty, and remembers those whose decoded code has to be dropped. Returns whether there are any.
    pub(crate) fn note_write(&mut self, offset: u64, len: u64) -> bool {
        let mut hit = false;
        if len == 0 {
            return false;
        }
        let last = offset + len - 1;
        // Whoever writes beyond RAM has already overwritten what belongs to the host, or is about to.
        assert!(last < self.size(), "what is written is RAM");
        for page in offset / PAGE_SIZE..=last / PAGE_SIZE {
            let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
            if self.dirty[word] & bit == 0 {
                self.dirty[word] |= bit;
                self.written.push(page as u32);
            }
            let start = page * PAGE_SIZE;
            let from = offset.max(start) - start;
            let to = last.min(start + PAGE_SIZE - 1) - start;
            hit |= self.drop_code(page, line_mask(from, to));
        }
        hit
    }

    /// Whether any of `len` bytes at `offset`, within one page, were decoded.
    pub(crate) fn holds_code(&self, offset: u64, len: u64) -> bool {
        let from = offset % PAGE_SIZE;
        self.code[(offset / PAGE_SIZE) as usize] & line_mask(from, from + len - 1) != 0
    }

    /// Whether anything in the page at `offset` was decoded.
    pub(crate) fn has_code(&self, offset: u64) -> bool {
        self.code[(offset / PAGE_SIZE) as usize] != 0
    }

    /// Whether stores to the page at `offset` need no further attention.
    pub(crate) fn is_dirty_data(&self, offset: u64) -> bool {
        let page = offset / PAGE_SIZE;
        self.code[page as usize] == 0 && self.dirty[(page / 64) as usize] >> (page % 64) & 1 != 0
    }

    /// Records that the bytes from `offset` to `offset + len - 1`, within one page, were decoded.
    pub(crate) fn mark_code(&mut self, offset: u64, len: u64) {
        let page = offset / PAGE_SIZE;
        let from = offset % PAGE_SIZE;
        // What is not marked here may be overwritten without anybody dropping the code.
        assert!(
            self.decoder != 0 && len > 0 && from + len <= PAGE_SIZE,
            "a cache has the code that was decoded, which is marked page by page"
        );
        let lines = &mut self.code[page as usize];
        if *lines == 0 {
            self.protections.push(page * PAGE_SIZE);
        }
        *lines |= line_mask(from, from + len - 1);
        if self.protections.len() > PROTECTIONS {
            self.protect_everything();
        }
    }

    /// The content of the page at `offset`.
    ///
    /// # Panics
    /// If there is no such page.
    pub fn page(&self, offset: u64) -> &PageBytes {
        assert!(
            offset.is_multiple_of(PAGE_SIZE) && offset < self.size(),
            "there is no page at offset {offset:#x}"
        );
        // SAFETY: the page lies in the mapping, which nobody writes while the memory is borrowed.
        unsafe { &*self.base.add(offset as usize).cast() }
    }

    /// The number of pages.
    pub fn pages(&self) -> usize {
        self.code.len()
    }

    /// The number of the code cache that knows what was decoded; 0 for none.
    pub(crate) fn decoder(&self) -> u64 {
        self.decoder
    }

    /// From now on the code cache with this number knows what was decoded, which is nothing yet.
    pub(crate) fn set_decoder(&mut self, decoder: u64) {
        assert_ne!(decoder, 0, "0 stands for no cache");
        self.forget_code();
        self.decoder = decoder;
    }

    /// Forgets where decoded instructions lie, since memory has become another than what was decoded:
    /// whatever cache has them drops them before the next instruction.
    pub fn forget_code(&mut self) {
        if self.decoder != 0 {
            self.code.fill(0);
            self.overwritten.clear();
            self.decoder = 0;
        }
    }

    /// Whether there are pages whose decoded code has to be dropped.
    #[inline]
    pub(crate) fn has_overwritten(&self) -> bool {
        !self.overwritten.is_empty()
    }

    /// The pages, by their offsets, whose decoded code has to be dropped. Whoever asks does that.
    pub(crate) fn take_overwritten(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.overwritten)
    }

    /// The pages, by their offsets, whose protection was asked for since `cursor`, which follows; `None` for
    /// all pages.
    pub(crate) fn protections_since(&self, cursor: &mut ProtectionCursor) -> Option<&[u64]> {
        debug_assert!(
            cursor.epoch <= self.epoch,
            "a CPU has followed no more protections than were asked for"
        );
        let since = (cursor.epoch == self.epoch).then(|| &self.protections[cursor.position..]);
        *cursor = ProtectionCursor {
            epoch: self.epoch,
            position: self.protections.len(),
        };
        since
    }

    /// Whether there are protections that `cursor` has not seen.
    pub(crate) fn has_news(&self, cursor: &ProtectionCursor) -> bool {
        cursor.epoch != self.epoch || cursor.position != self.protections.len()
    }

    fn protect_everything(&mut self) {
        self.protections.clear();
        self.epoch += 1;
    }

    /// Reads an aligned page-table entry; bytes that are not RAM read as ones.
    pub(crate) fn read_entry(&self, gpa: u64) -> u64 {
        let mut bytes = [0xff; 8];
        if !self.read(gpa, &mut bytes) {
            return u64::MAX;
        }
        u64::from_le_bytes(bytes)
    }

    fn range(&self, gpa: u64, len: usize) -> Option<usize> {
        let offset = self.offset(gpa)?;
        let end = if gpa < self.low {
            self.low
        } else {
            self.size()
        };
        (end - offset >= len as u64).then_some(offset as usize)
    }
}

/// The lines that bytes `from..=to` of a page touch.
fn line_mask(from: u64, to: u64) -> u64 {
    debug_assert!(
        from <= to && to < PAGE_SIZE,
        "bytes {from} to {to} of a page"
    );
    let (first, last) = (from / 64, to / 64);
    (u64::MAX >> (63 - (last - first))) << first
}
