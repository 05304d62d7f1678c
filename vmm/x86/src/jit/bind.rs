//! What a machine has of the code in the store.
//!
//! A page of the machine's memory is *bound* to a page of the store while their contents are equal. Whoever
//! writes to it unbinds it, and has the CPU leave the code of the page before the next block. A page that is
//! written again and again, or whose content is elsewhere in the machine, too, gets a page of the store for
//! itself, of which only what was decoded has to stay as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::counts::CodeCounts;
use super::store::{CodeStore, Inner, new_generation};
use super::{CodeCache, MODE, Site, Target, compile};
use crate::block::Block;
use crate::memory::{PAGE_SIZE, PageBytes};
use crate::op::{Op, OpFn};

/// How often a page is bound to a page that others may have, too.
const PATIENCE: u8 = 4;

/// After how many executions a block is compiled that was before.
const AGAIN: u8 = 4;

/// The compiled code of a machine.
pub(crate) struct Jit {
    store: CodeStore,
    /// The store's generation that all this is about. It is compared whenever the CPU gets the right to execute
    /// code, and does not change as long as it has that.
    generation: u64,
    /// Changes whenever a page is unbound, and is no other machine's.
    bindings: u64,
    /// The store's page that a page of the machine's memory is bound to; 0 for none.
    bound: Vec<u32>,
    /// The other way round: the pages of the machine's memory. The two are changed together, by [`Self::bind`]
    /// and [`Self::unbind`].
    holders: BTreeMap<u32, u64>,
    /// How often pages were unbound. It says what is worth while and nothing else.
    lost: BTreeMap<u64, u8>,
    /// The machine's blocks by the store's numbers; null for those that nobody asked for yet. Those whose page
    /// was unbound stay until the next page is bound, for the block that did it to come to its end; only
    /// code of a page that is bound asks for its block, and a page is bound by [`Self::bind`].
    blocks: Vec<*const Block>,
    /// The other way round, as long as the blocks are valid. They live longer than that.
    adopted: BTreeMap<*const Block, Adopted>,
    /// Numbers whose blocks are not valid any more.
    stale: Vec<u32>,
    /// What was done.
    pub(crate) counts: CodeCounts,
    /// After how many executions a block is compiled.
    after: u8,
}

/// What a block of the machine has from the store.
struct Adopted {
    /// Its number there.
    number: u32,
    /// What the handlers of its operations were before.
    handlers: Arc<[OpFn]>,
}

/// What a page of the machine's memory has become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Nothing may be written to it.
    Whole,
    /// Nothing may be written to what was decoded.
    Decoded,
}

impl Jit {
    /// For a memory without pages: see [`Self::fit`].
    pub(crate) fn new() -> Self {
        let store = CodeStore::default();
        Self {
            generation: store.generation(),
            bindings: new_generation(),
            store,
            bound: Vec::new(),
            holders: BTreeMap::new(),
            lost: BTreeMap::new(),
            blocks: Vec::new(),
            adopted: BTreeMap::new(),
            stale: Vec::new(),
            counts: CodeCounts::default(),
            after: CodeCache::COMPILE_AFTER,
        }
    }

    /// After how many executions a block is compiled.
    pub(crate) fn after(&self) -> u8 {
        self.after
    }

    /// Sets after how many executions blocks that are decoded from now on are compiled; 0 for never.
    pub(crate) fn set_after(&mut self, after: u8) {
        self.after = after;
    }

    /// Where the code is.
    pub(crate) fn store(&self) -> &CodeStore {
        &self.store
    }

    /// Forgets everything, for a memory of so many pages.
    pub(crate) fn fit(&mut self, pages: usize) {
        self.clear();
        if self.bound.len() != pages {
            self.bound = vec![0; pages];
        }
    }

    /// Uses another store. The machine has no code yet.
    pub(crate) fn set_store(&mut self, store: &CodeStore) {
        self.store = store.clone();
        self.clear();
    }

    /// The store's generation that this is about.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What says that no page was unbound meanwhile as long as it is the same.
    #[inline]
    pub(crate) fn bindings(&self) -> u64 {
        self.bindings
    }

    /// Whether the store has forgotten what this is about.
    pub(crate) fn is_outdated(&self) -> bool {
        self.generation != self.store.generation()
    }

    /// Gives all blocks their handlers back, since the store has forgotten their code. Those that were
    /// compiled once will soon be again if they are executed.
    pub(crate) fn start_over(&mut self) {
        self.counts.starts_over += 1;
        for (block, adopted) in std::mem::take(&mut self.adopted) {
            for (index, handler) in adopted.handlers.iter().enumerate() {
                // SAFETY: the block is valid, so that it is in the cache, and it has as many operations.
                unsafe { (*operation(block, index)).func = *handler };
            }
            // SAFETY: as above.
            unsafe { (*block).heat.set(self.after.min(AGAIN)) };
        }
        self.clear();
    }

    /// Forgets everything, as all blocks go.
    pub(crate) fn clear(&mut self) {
        self.generation = self.store.generation();
        self.bindings = new_generation();
        self.bound.fill(0);
        self.holders.clear();
        self.lost.clear();
        self.blocks.clear();
        self.adopted.clear();
        self.stale.clear();
    }

    /// The tables that compiled code looks into: pages by the machine's pages, and blocks by numbers, of
    /// which there are as many as in the store.
    pub(crate) fn tables(&mut self) -> (*const u32, *const *const Block) {
        let count = self.store.blocks();
        if self.blocks.len() < count {
            self.blocks.resize(count, std::ptr::null());
        }
        (self.bound.as_ptr(), self.blocks.as_ptr())
    }

    /// The store's page that the page with an index is bound to; 0 for none.
    pub(crate) fn bound(&self, index: u64) -> u32 {
        self.bound.get(index as usize).copied().unwrap_or(0)
    }

    /// The operations of a block with the handlers that they had when it was decoded.
    pub(crate) fn original(&self, block: *const Block, ops: &[Op]) -> Vec<Op> {
        let mut ops = ops.to_vec();
        if let Some(adopted) = self.adopted.get(&block) {
            for (op, handler) in ops.iter_mut().zip(adopted.handlers.iter()) {
                op.func = *handler;
            }
        }
        ops
    }

    /// Aims the jump at `site` straight at `target`, if that is compiled.
    pub(crate) fn aim(&self, site: &Site, target: *const Block) {
        if let Some(adopted) = self.adopted.get(&target) {
            self.store.aim(site, adopted.number);
        }
    }

    /// Where a block is in the store, if it is compiled.
    pub(crate) fn target(&self, block: &Block) -> Option<Target> {
        let adopted = self.adopted.get(&std::ptr::from_ref(block))?;
        let inner = self.store.inner();
        let compiled = inner.block(adopted.number);
        Some(Target {
            place: compiled.place,
            len: block.len.into(),
            entry: compiled.entry,
        })
    }

    /// The content of the page with an index has changed. [`Self::invalidate`] follows for each of its
    /// blocks.
    pub(crate) fn unbind(&mut self, index: u64) {
        let page = std::mem::take(&mut self.bound[index as usize]);
        if page != 0 {
            let holder = self.holders.remove(&page);
            assert_eq!(holder, Some(index), "a page is bound by its holder");
            self.bindings = new_generation();
            self.counts.unbound += 1;
            let lost = self.lost.entry(index).or_default();
            *lost = lost.saturating_add(1);
        }
    }

    /// A block is not valid any more.
    pub(crate) fn invalidate(&mut self, block: *const Block) {
        // The CPU may be in the middle of it and still need it.
        let adopted = self.adopted.remove(&block);
        self.stale.extend(adopted.map(|adopted| adopted.number));
    }

    /// Gives a block that was just decoded the code that there is for it, and tells if its page was bound
    /// for that.
    pub(crate) fn welcome(&mut self, block: *const Block, content: &PageBytes) -> Option<Binding> {
        // SAFETY: callers pass a block of the cache.
        let block_ref = unsafe { &*block };
        let index = position(block_ref)?;
        if self.after == 0 {
            return None;
        }
        let store = self.store.clone();
        let inner = store.inner();
        let mut binding = None;
        if self.bound(index) == 0 {
            let page = inner.known(content)?;
            if !self.may_share(index, page) {
                return None;
            }
            self.bind(index, page);
            binding = Some(Binding::Whole);
        }
        if let Some(number) = inner.number(self.place(block_ref)) {
            self.adopt(block, number, &inner);
        }
        binding
    }

    /// Compiles a block, or gives it the code that there is for it, and tells if its page was bound for
    /// that.
    pub(crate) fn compile(&mut self, block: *const Block, content: &PageBytes) -> Option<Binding> {
        // SAFETY: callers pass a block of the cache.
        let block_ref = unsafe { &*block };
        let index = position(block_ref)?;
        let store = self.store.clone();
        let mut inner = store.inner();
        let mut binding = None;
        if self.bound(index) == 0 {
            let shared = inner.page(content);
            let shared = shared.filter(|&page| self.may_share(index, page));
            binding = Some(match shared {
                Some(_) => Binding::Whole,
                None => Binding::Decoded,
            });
            let Some(page) = shared.or_else(|| inner.new_page()) else {
                store.overflow(&mut inner);
                return None;
            };
            self.bind(index, page);
        }
        let place = self.place(block_ref);
        let number = match inner.number(place) {
            Some(number) => number,
            None => {
                let number = inner.next_number();
                let Some(places) = inner.room() else {
                    store.overflow(&mut inner);
                    return binding;
                };
                // SAFETY: `block` is a block of the cache, which is not cleared meanwhile.
                let ops = unsafe { Block::ops(block) };
                let start = (block_ref.key >> 4 & (PAGE_SIZE - 1)) as usize;
                let code = &content[start..start + usize::from(block_ref.bytes)];
                let subject = compile::Subject {
                    number,
                    place,
                    len: block_ref.len,
                    ops,
                    code,
                };
                let Some(made) = compile::compile(&subject, places) else {
                    return binding;
                };
                let handlers = ops.iter().map(|op| op.func).collect();
                inner.add(made, places, place, (block_ref.shape(), handlers));
                store.grown(&inner);
                self.counts.compiled += 1;
                number
            }
        };
        self.adopt(block, number, &inner);
        binding
    }

    /// The machine's block with a number, unless somebody has to look for it at the key that is returned
    /// then.
    pub(crate) fn resolve(&self, number: u32) -> Result<*const Block, u64> {
        let block = self.blocks[number as usize];
        if !block.is_null() {
            return Ok(block);
        }
        let place = u64::from(self.store.inner().block(number).place);
        let holder = self.holders.get(&((place / PAGE_SIZE) as u32));
        let index = *holder.expect("code that asks for its block is in a page that is bound");
        Err((index * PAGE_SIZE + place % PAGE_SIZE) << 4)
    }

    /// Gives a block the code with a number.
    pub(crate) fn attach(&mut self, block: *const Block, number: u32) {
        let store = self.store.clone();
        self.adopt(block, number, &store.inner());
    }

    fn adopt(&mut self, block: *const Block, number: u32, inner: &Inner) {
        // SAFETY: callers pass a block of the cache.
        let block_ref = unsafe { &*block };
        block_ref.heat.set(0);
        let compiled = inner.block(number);
        // What is written to the block's operations below must be theirs, and what is executed instead of
        // them must be what they do.
        assert!(block_ref.valid.get(), "the block's code is what it was");
        assert_eq!(self.place(block_ref), compiled.place, "the block's place");
        assert_eq!(block_ref.shape(), compiled.shape, "the block's code");
        for &(index, entry) in &compiled.entries {
            // SAFETY: the block has as many operations as the one that was compiled, whose bytes were the
            // same, and nobody else looks at them now.
            unsafe { (*operation(block, index)).func = entry };
        }
        let handlers = Arc::clone(&compiled.handlers);
        self.tables();
        self.blocks[number as usize] = block;
        self.counts.adopted += 1;
        self.adopted.insert(block, Adopted { number, handlers });
    }

    /// Whether the page with an index may be bound to a page that others may have, too.
    fn may_share(&self, index: u64, page: u32) -> bool {
        !self.holders.contains_key(&page)
            && self.lost.get(&index).is_none_or(|&lost| lost < PATIENCE)
    }

    fn bind(&mut self, index: u64, page: u32) {
        // Nobody is in the middle of a block now.
        for number in std::mem::take(&mut self.stale) {
            self.blocks[number as usize] = std::ptr::null();
        }
        let before = std::mem::replace(&mut self.bound[index as usize], page);
        let holder = self.holders.insert(page, index);
        assert!(
            before == 0 && holder.is_none(),
            "a page is bound to one page, which nobody else in the machine is bound to"
        );
        self.counts.bound += 1;
    }

    /// Where a block of a bound page is in the store.
    fn place(&self, block: &Block) -> u32 {
        let offset = block.key >> 4;
        self.bound(offset / PAGE_SIZE) << PAGE_SIZE.trailing_zeros() | (offset % PAGE_SIZE) as u32
    }
}

/// An operation of a block.
///
/// # Safety
/// `block` is a block of the cache with more than `index` operations.
pub(super) unsafe fn operation(block: *const Block, index: usize) -> *mut Op {
    // SAFETY: the operations follow the header.
    unsafe { block.add(1).cast::<Op>().cast_mut().add(index) }
}

/// The index of a block's page, if the block can be compiled.
fn position(block: &Block) -> Option<u64> {
    (!block.spans && block.key & 15 == MODE).then_some(block.key >> 4 >> PAGE_SIZE.trailing_zeros())
}
