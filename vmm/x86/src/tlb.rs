//! The software TLB.
//!
//! It is plain data without host pointers, so that it can be saved, compared and hashed: what it
//! holds decides when page tables are read again, which the guest can observe through accessed and
//! dirty bits.

use serde::{Deserialize, Serialize};

use crate::memory::PAGE_SIZE;

/// Entries per kind of access and privilege: Linux spreads what it uses all the time over hundreds of
/// pages.
pub(crate) const ENTRIES: usize = 1024;

/// The tag of an empty entry; bit 0 keeps every fast comparison from matching.
const EMPTY: u64 = u64::MAX;

/// Set in a write entry's tag while stores have to take the slow path, because the page is clean or
/// holds decoded instructions. It is not architectural.
const SLOW: u64 = 1;

/// One translation: `linear + add` is the offset of the byte in the host mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Entry {
    pub tag: u64,
    pub add: u64,
}

const NONE: Entry = Entry { tag: EMPTY, add: 0 };

/// Set in a page's size if its translation is the same in all address spaces, so that loading CR3 need
/// not forget it (Intel SDM vol. 3, 4.10.2.4).
pub(crate) const GLOBAL: u8 = 0x80;

/// What an access wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read = 0,
    Write = 1,
    Execute = 2,
}

/// The translations of one CPU, by kind of access and privilege (0 supervisor, 1 user).
#[derive(Clone)]
#[repr(C)]
pub(crate) struct Tlb {
    entries: [[[Entry; ENTRIES]; 2]; 3],
    /// The binary logarithm of the size of the page that an entry is a part of: INVLPG forgets all
    /// of a large page. [`GLOBAL`] may be set beside it.
    spans: [[[u8; ENTRIES]; 2]; 3],
    /// A bit for each entry that may be in use. It only saves a search and is no state of its own.
    used: [[[u64; ENTRIES / 64]; 2]; 3],
    /// The largest span since the last flush. It only saves a search and is no state of its own.
    largest: u8,
}

/// What is in a TLB: only the entries in use, which are few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedTlb {
    /// The position among all entries, the size, the tag without [`SLOW`], and what to add.
    entries: Vec<(u16, u8, u64, u64)>,
    /// Saved although it follows from the past of the entries and not from them: a search that it saves must
    /// be one that finds nothing.
    largest: u8,
}

impl Tlb {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            entries: [[[NONE; ENTRIES]; 2]; 3],
            spans: [[[0; ENTRIES]; 2]; 3],
            used: [[[0; ENTRIES / 64]; 2]; 3],
            largest: 0,
        })
    }

    /// Forgets every translation.
    pub(crate) fn flush(&mut self) {
        self.forget(|_, _| true);
        self.largest = 0;
    }

    /// Forgets the translations that are not global.
    pub(crate) fn flush_address_space(&mut self) {
        self.forget(|_, span| span & GLOBAL == 0);
    }

    /// Forgets entries by their tags and the sizes of their pages. The cost is that of what is in use,
    /// which is little in a machine that goes from program to program.
    fn forget(&mut self, goes: impl Fn(u64, u8) -> bool) {
        let entries = self.entries.as_flattened_mut().as_flattened_mut();
        let spans = self.spans.as_flattened().as_flattened();
        let used = self.used.as_flattened_mut().as_flattened_mut();
        for (word, bits) in used.iter_mut().enumerate() {
            let mut left = *bits;
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                let position = word * 64 + bit;
                if goes(entries[position].tag, spans[position]) {
                    entries[position] = NONE;
                    *bits &= !(1 << bit);
                }
            }
        }
    }

    /// Forgets the translation of the page that `linear` is in, all of it if it is a large one
    /// (Intel SDM vol. 3, 4.10.4.1).
    pub(crate) fn flush_page(&mut self, linear: u64) {
        if self.largest > PAGE_SIZE.trailing_zeros() as u8 {
            self.forget(|tag, span| tag != EMPTY && (tag ^ linear) >> (span & !GLOBAL) == 0);
        }
        let page = linear & !(PAGE_SIZE - 1);
        for table in self.entries.as_flattened_mut() {
            let entry = &mut table[index(linear)];
            if entry.tag & !SLOW == page {
                *entry = NONE;
            }
        }
    }

    pub(crate) fn table(&self, kind: Kind, user: bool) -> *const Entry {
        self.entries[kind as usize][usize::from(user)].as_ptr()
    }

    /// What to add to `linear` to get its offset in the host mapping, if that is known.
    #[inline]
    pub(crate) fn find(&self, kind: Kind, user: bool, linear: u64) -> Option<u64> {
        let entry = &self.entries[kind as usize][usize::from(user)][index(linear)];
        (entry.tag != EMPTY && entry.tag & !SLOW == linear & !(PAGE_SIZE - 1)).then_some(entry.add)
    }

    /// Remembers a translation in a page of `1 << span` bytes, or a global one with [`GLOBAL`]. `fast` is
    /// whether stores may use it without further ado.
    pub(crate) fn insert(
        &mut self,
        kind: Kind,
        user: bool,
        linear: u64,
        offset: u64,
        span: u8,
        fast: bool,
    ) {
        debug_assert_eq!(
            linear % PAGE_SIZE,
            offset % PAGE_SIZE,
            "a translation keeps the position in the page"
        );
        debug_assert!(
            fast || kind == Kind::Write,
            "only stores have to be looked at"
        );
        debug_assert!(
            (12..=30).contains(&(span & !GLOBAL)),
            "pages have 4 KiB to 1 GiB"
        );
        let page = linear & !(PAGE_SIZE - 1);
        let add = (offset & !(PAGE_SIZE - 1)).wrapping_sub(page);
        let tag = if fast { page } else { page | SLOW };
        let (kind, user, index) = (kind as usize, usize::from(user), index(linear));
        self.entries[kind][user][index] = Entry { tag, add };
        self.spans[kind][user][index] = span;
        self.used[kind][user][index / 64] |= 1 << (index % 64);
        self.largest = self.largest.max(span & !GLOBAL);
    }

    /// Lets stores use the translation of the page at `linear` without further ado, if there is
    /// one.
    pub(crate) fn unprotect(&mut self, user: bool, linear: u64) {
        let page = linear & !(PAGE_SIZE - 1);
        let entry = &mut self.entries[Kind::Write as usize][usize::from(user)][index(linear)];
        if entry.tag == page | SLOW {
            entry.tag = page;
        }
    }

    /// Makes stores to the page at `offset` take the slow path.
    pub(crate) fn protect(&mut self, offset: u64) {
        debug_assert!(
            offset.is_multiple_of(PAGE_SIZE),
            "{offset:#x} is not a page's"
        );
        for entry in self.entries[Kind::Write as usize].as_flattened_mut() {
            if entry.tag & SLOW == 0 && entry.tag.wrapping_add(entry.add) == offset {
                entry.tag |= SLOW;
            }
        }
    }

    /// Makes all stores take the slow path once.
    pub(crate) fn protect_all(&mut self) {
        for entry in self.entries[Kind::Write as usize].as_flattened_mut() {
            entry.tag |= SLOW;
        }
    }

    /// A copy of what it holds.
    pub(crate) fn save(&self) -> SavedTlb {
        let entries = self.entries.as_flattened().as_flattened();
        let spans = self.spans.as_flattened().as_flattened();
        let used = self.used.as_flattened().as_flattened();
        let mut held = Vec::new();
        for (word, bits) in used.iter().enumerate() {
            let mut left = *bits;
            while left != 0 {
                let position = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let entry = entries[position];
                if entry.tag != EMPTY {
                    let place = position as u16;
                    held.push((place, spans[position], entry.tag & !SLOW, entry.add));
                }
            }
        }
        SavedTlb {
            entries: held,
            largest: self.largest,
        }
    }

    /// Puts back what was held. All stores take the slow path once.
    pub(crate) fn restore(&mut self, saved: &SavedTlb) {
        self.flush();
        self.largest = saved.largest;
        let writes = Kind::Write as usize * 2 * ENTRIES..(Kind::Write as usize + 1) * 2 * ENTRIES;
        let entries = self.entries.as_flattened_mut().as_flattened_mut();
        let spans = self.spans.as_flattened_mut().as_flattened_mut();
        let used = self.used.as_flattened_mut().as_flattened_mut();
        for &(place, span, tag, add) in &saved.entries {
            let position = usize::from(place);
            let slow = if writes.contains(&position) { SLOW } else { 0 };
            entries[position] = Entry {
                tag: tag | slow,
                add,
            };
            spans[position] = span;
            used[position / 64] |= 1 << (position % 64);
        }
    }

    /// Whether what it holds may be used as it is: all translations lead to pages that `is_ram`, and stores
    /// that are not looked at to pages that are `free` for that. It takes a while, and is there for
    /// assertions.
    pub(crate) fn agrees_with(
        &self,
        is_ram: impl Fn(u64) -> bool,
        free: impl Fn(u64) -> bool,
    ) -> bool {
        let kinds = self.entries.iter().enumerate();
        kinds.into_iter().all(|(kind, entries)| {
            let held = entries.as_flattened().iter();
            held.filter(|entry| entry.tag != EMPTY).all(|entry| {
                let offset = (entry.tag & !SLOW).wrapping_add(entry.add);
                let unwatched = kind == Kind::Write as usize && entry.tag & SLOW == 0;
                is_ram(offset) && (!unwatched || free(offset))
            })
        })
    }

    /// Feeds the architecturally relevant content to `sink`.
    pub(crate) fn hash_into(&self, sink: &mut dyn FnMut(&[u8])) {
        let spans = self.spans.as_flattened().as_flattened();
        for (position, entry) in self
            .entries
            .as_flattened()
            .as_flattened()
            .iter()
            .enumerate()
        {
            if entry.tag != EMPTY {
                let span = u32::from(spans[position]);
                sink(&(position as u32 | span << 16).to_le_bytes());
                sink(&(entry.tag & !SLOW).to_le_bytes());
                sink(&entry.add.to_le_bytes());
            }
        }
    }
}

#[inline(always)]
pub(crate) fn index(linear: u64) -> usize {
    (linear / PAGE_SIZE) as usize % ENTRIES
}

/// A table in which nothing is ever found, for when every access has to be looked at.
pub(crate) static ALWAYS_MISS: [Entry; ENTRIES] = [NONE; ENTRIES];
