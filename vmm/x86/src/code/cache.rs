//! The decoded blocks of a machine.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::arena::Arena;
use super::decoded::DecodedBlock;
use crate::block::Block;
use crate::exec::Decoded;
use crate::memory::PAGE_SIZE;

/// Slots of the direct-mapped first level.
const SLOTS: usize = 1 << 14;

/// What the blocks may occupy before all are dropped and decoding starts afresh.
const CAPACITY_BYTES: usize = 24 << 20;

/// A block that a page has bytes of, and its key.
#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    block: *const Block,
}

/// All decoded blocks of a machine.
///
/// A block's key is the offset of its first byte in the host mapping, shifted left by four, and the
/// mode that it was decoded for in the low four bits. Blocks are dropped only by [`Self::clear`],
/// so that a pointer to an invalidated block stays good until then.
pub(crate) struct Blocks {
    /// The key is in the block, which is needed next anyway, so that the table stays small.
    slots: Box<[*const Block; SLOTS]>,
    /// What an empty slot points to: it has no block's key.
    nothing: Box<Block>,
    arena: Arena,
    #[expect(
        clippy::vec_box,
        reason = "operations point to the elements, so they must not move"
    )]
    instructions: Vec<Box<Decoded>>,
    /// The blocks by the pages that they have bytes in, each with its key beside it, so that looking
    /// for one touches none of the others.
    pages: BTreeMap<u64, Vec<Entry>>,
    /// The second pages of the blocks that have one, by their first bytes' addresses.
    seconds: BTreeMap<*const Block, u64>,
}

impl Blocks {
    /// None.
    pub(crate) fn new() -> Self {
        let nothing = Box::new(Block {
            key: u64::MAX,
            links: [Cell::new(std::ptr::null()), Cell::new(std::ptr::null())],
            bytes: 0,
            len: 0,
            count: 0,
            spans: false,
            valid: Cell::new(false),
            heat: Cell::new(0),
        });
        let empty: *const Block = &raw const *nothing;
        let slots = vec![empty; SLOTS].into_boxed_slice();
        let slots = slots
            .try_into()
            .unwrap_or_else(|_| unreachable!("the length is SLOTS"));
        Self {
            slots,
            nothing,
            arena: Arena::new(),
            instructions: Vec::new(),
            pages: BTreeMap::new(),
            seconds: BTreeMap::new(),
        }
    }

    /// The block with `key`, if the first level has it. Never a block that spans two pages.
    #[inline(always)]
    pub(crate) fn fast(&self, key: u64) -> Option<*const Block> {
        let block = self.slots[slot(key)];
        // SAFETY: slots point to blocks of the arena or to `nothing`.
        (unsafe { (*block).key } == key).then_some(block)
    }

    /// The block with `key`, if there is one.
    pub(crate) fn find(&mut self, key: u64) -> Option<*const Block> {
        let blocks = self.pages.get(&(key >> 4 & !(PAGE_SIZE - 1)))?;
        let found = blocks.iter().find(|entry| entry.key == key)?.block;
        self.remember(found);
        Some(found)
    }

    /// Whether so much has been decoded that the cache should be cleared.
    pub(crate) fn full(&self) -> bool {
        self.arena.bytes() + self.instructions.len() * size_of::<Decoded>() > CAPACITY_BYTES
    }

    /// Adds a block that is to be executed `heat` times until it is compiled.
    pub(crate) fn insert(&mut self, decoded: DecodedBlock, heat: u8) -> *const Block {
        let first = decoded.key >> 4 & !(PAGE_SIZE - 1);
        let block = self.arena.add(&decoded, heat);
        let key = decoded.key;
        let entry = Entry { key, block };
        let blocks = self.pages.entry(first).or_default();
        // Links might lead to one and the cache to the other, and the store of compiled code has one for a
        // place.
        debug_assert!(
            blocks.iter().all(|other| other.key != key),
            "a place has one block for each mode"
        );
        blocks.push(entry);
        if let Some(second) = decoded.second_page {
            self.pages.entry(second).or_default().push(entry);
            self.seconds.insert(block, second);
        }
        self.instructions.extend(decoded.instructions);
        self.remember(block);
        block
    }

    /// The offset of the page that the rest of a block's only instruction is in.
    pub(crate) fn second_page(&self, block: *const Block) -> Option<u64> {
        // SAFETY: callers pass blocks of the arena.
        let spans = unsafe { (*block).spans };
        spans.then(|| self.seconds[&block])
    }

    fn remember(&mut self, block: *const Block) {
        // SAFETY: callers pass blocks of the arena.
        let (key, spans) = unsafe { ((*block).key, (*block).spans) };
        if !spans {
            self.slots[slot(key)] = block;
        }
    }

    /// Invalidates all blocks that have bytes in the page at `page` (an offset), and calls `gone` with each.
    pub(crate) fn invalidate_page(&mut self, page: u64, mut gone: impl FnMut(*const Block)) {
        for Entry { key, block } in self.pages.remove(&page).unwrap_or_default() {
            // SAFETY: the lists hold blocks of the arena only.
            unsafe { (*block).valid.set(false) };
            gone(block);
            let slot = &mut self.slots[slot(key)];
            if *slot == block {
                *slot = &raw const *self.nothing;
            }
            let first = key >> 4 & !(PAGE_SIZE - 1);
            for other in [Some(first), self.seconds.remove(&block)]
                .into_iter()
                .flatten()
                .filter(|&other| other != page)
            {
                if let Some(list) = self.pages.get_mut(&other) {
                    list.retain(|entry| entry.block != block);
                }
            }
        }
    }

    /// Drops everything. No pointer to a block may be used afterwards.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(&raw const *self.nothing);
        self.arena.clear();
        self.instructions.clear();
        self.pages.clear();
        self.seconds.clear();
    }
}

#[inline(always)]
fn slot(key: u64) -> usize {
    // Multiplicative hashing (Fibonacci): the high bits depend on all of the key's.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
}
