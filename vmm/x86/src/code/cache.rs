//! The block cache.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::block::Block;
use crate::memory::PAGE_SIZE;

/// Slots of the direct-mapped first level.
const SLOTS: usize = 1 << 14;

/// What the blocks may occupy before all are dropped and decoding starts afresh.
const CAPACITY_BYTES: usize = 24 << 20;

#[derive(Clone, Copy)]
struct Slot {
    key: u64,
    block: *const Block,
}

const EMPTY: Slot = Slot {
    key: u64::MAX,
    block: std::ptr::null(),
};

/// All decoded blocks of a machine.
///
/// A block's key is the offset of its first byte in the host mapping, shifted left by four, and the
/// mode that it was decoded for in the low four bits. Blocks are dropped only by [`Self::clear`],
/// so that a pointer to an invalidated block stays good until then.
pub(crate) struct CodeCache {
    slots: Box<[Slot; SLOTS]>,
    #[expect(
        clippy::vec_box,
        reason = "links and slots point to the blocks, so they must not move"
    )]
    arena: Vec<Box<Block>>,
    /// The blocks by the pages that they have bytes in, each with its key beside it, so that looking
    /// for one touches none of the others.
    pages: BTreeMap<u64, Vec<Slot>>,
    bytes: usize,
}

impl CodeCache {
    pub(crate) fn new() -> Self {
        let slots = vec![EMPTY; SLOTS].into_boxed_slice();
        let slots = slots
            .try_into()
            .unwrap_or_else(|_| unreachable!("the length is SLOTS"));
        Self {
            slots,
            arena: Vec::new(),
            pages: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The block with `key`, if the first level has it. Never a block that spans two pages.
    #[inline(always)]
    pub(crate) fn fast(&self, key: u64) -> Option<*const Block> {
        let slot = &self.slots[slot(key)];
        (slot.key == key).then_some(slot.block)
    }

    /// The block with `key`, if there is one.
    pub(crate) fn find(&mut self, key: u64) -> Option<*const Block> {
        let blocks = self.pages.get(&(key >> 4 & !(PAGE_SIZE - 1)))?;
        let found = blocks.iter().find(|slot| slot.key == key)?.block;
        self.remember(found);
        Some(found)
    }

    /// Whether so much has been decoded that the cache should be cleared.
    pub(crate) fn full(&self) -> bool {
        self.bytes > CAPACITY_BYTES
    }

    /// Adds a block.
    pub(crate) fn insert(&mut self, block: Block) -> *const Block {
        let first = block.key >> 4 & !(PAGE_SIZE - 1);
        self.bytes += block.weight();
        let block = Box::new(block);
        let pointer: *const Block = &*block;
        let entry = Slot {
            key: block.key,
            block: pointer,
        };
        self.pages.entry(first).or_default().push(entry);
        if let Some(second) = block.second_page {
            self.pages.entry(second).or_default().push(entry);
        }
        self.arena.push(block);
        self.remember(pointer);
        pointer
    }

    fn remember(&mut self, block: *const Block) {
        // SAFETY: callers pass blocks of the arena.
        let (key, spans) = unsafe { ((*block).key, (*block).second_page.is_some()) };
        if !spans {
            self.slots[slot(key)] = Slot { key, block };
        }
    }

    /// Invalidates all blocks that have bytes in the page at `page` (an offset).
    pub(crate) fn invalidate_page(&mut self, page: u64) {
        for Slot { block: pointer, .. } in self.pages.remove(&page).unwrap_or_default() {
            // SAFETY: the lists hold blocks of the arena only.
            let block = unsafe { &*pointer };
            block.valid.set(false);
            let slot = &mut self.slots[slot(block.key)];
            if slot.key == block.key {
                *slot = EMPTY;
            }
            let first = block.key >> 4 & !(PAGE_SIZE - 1);
            for other in [Some(first), block.second_page]
                .into_iter()
                .flatten()
                .filter(|&other| other != page)
            {
                if let Some(list) = self.pages.get_mut(&other) {
                    list.retain(|entry| entry.block != pointer);
                }
            }
        }
    }

    /// Drops everything. No pointer to a block may be used afterwards.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(EMPTY);
        self.arena.clear();
        self.pages.clear();
        self.bytes = 0;
    }

    /// The links of a new block.
    pub(crate) fn no_links() -> [Cell<*const Block>; 2] {
        [Cell::new(std::ptr::null()), Cell::new(std::ptr::null())]
    }
}

#[inline(always)]
fn slot(key: u64) -> usize {
    // Multiplicative hashing (Fibonacci): the high bits depend on all of the key's.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
}
