//! The code of a machine: what was decoded of its memory, and what of that is compiled.

use std::sync::atomic::{AtomicU64, Ordering};

use super::bind::{Binding, Jit};
use super::counts::CodeCounts;
use super::store::CodeStore;
use crate::block::Block;
use crate::code::{Blocks, DecodedBlock};
use crate::memory::{Memory, PAGE_SIZE, PageBytes};

/// What the CPUs of a machine have made of the code in its memory. They share it.
///
/// It is no state of the machine: without it everything is decoded and compiled anew, and nothing changes but
/// the time that things take. It belongs to one [`Memory`] at a time, which tells it what was overwritten. A
/// CPU that is lent another one, or one whose code was forgotten, drops all that there is.
pub struct CodeCache {
    pub(crate) blocks: Blocks,
    pub(crate) jit: Jit,
    /// What memory knows it by.
    number: u64,
}

// SAFETY: its pointers lead to what it owns, and only the CPU that borrows it follows them.
unsafe impl Send for CodeCache {}

impl std::fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeCache").finish_non_exhaustive()
    }
}

impl Default for CodeCache {
    fn default() -> Self {
        Self::new()
    }
}

impl CodeCache {
    /// After how many executions a block is compiled unless [`Self::compile_after`] says otherwise: often
    /// enough that it pays for code that goes on being executed.
    pub const COMPILE_AFTER: u8 = 24;

    /// One that has no code yet.
    pub fn new() -> Self {
        Self {
            blocks: Blocks::new(),
            jit: Jit::new(),
            number: new_number(),
        }
    }

    /// Sets after how many executions a block of the guest's code is compiled to the host's; 0 for never.
    /// It holds for code that is decoded from now on. It changes nothing but the time that things take.
    pub fn compile_after(&mut self, executions: u8) {
        self.jit.set_after(executions);
    }

    /// Keeps the compiled code in `store`, which other machines may use, too. It changes nothing but the time
    /// that things take.
    pub fn share(&mut self, store: &CodeStore) {
        self.blocks.clear();
        self.jit.set_store(store);
        // What memory has noted is about what was just dropped.
        self.number = new_number();
    }

    /// What was done with compiled code so far.
    pub fn counts(&self) -> CodeCounts {
        self.jit.counts
    }

    /// Catches up with `memory`: drops what was overwritten since the last time, and everything if it was
    /// decoded of another memory.
    pub(crate) fn follow(&mut self, memory: &mut Memory) {
        if memory.decoder() == self.number {
            self.drop_overwritten(memory);
        } else {
            self.blocks.clear();
            self.jit.fit(memory.pages());
            memory.set_decoder(self.number);
        }
        debug_assert!(
            memory.decoder() == self.number && !memory.has_overwritten(),
            "what is executed is what memory has"
        );
    }

    /// Drops what was decoded of pages that were overwritten. The blocks stay where they are, for one of them
    /// may be in the middle of being executed.
    pub(crate) fn drop_overwritten(&mut self, memory: &mut Memory) {
        if memory.has_overwritten() {
            for page in memory.take_overwritten() {
                self.invalidate_page(page);
            }
        }
    }

    /// Drops what was decoded of the page at `page` (an offset).
    pub(crate) fn invalidate_page(&mut self, page: u64) {
        self.jit.unbind(page / PAGE_SIZE);
        let jit = &mut self.jit;
        self.blocks
            .invalidate_page(page, |block| jit.invalidate(block));
    }

    /// Drops everything. No pointer to a block may be used afterwards.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        self.blocks.clear();
        self.jit.clear();
        memory.set_decoder(self.number);
    }

    /// Adds a block, and gives it the code that there is for it.
    pub(crate) fn insert(&mut self, block: DecodedBlock, memory: &mut Memory) -> *const Block {
        let offset = block.key >> 4;
        let in_page = PAGE_SIZE - offset % PAGE_SIZE;
        let length = u64::from(block.seen);
        memory.mark_code(offset, length.min(in_page));
        if let Some(second) = block.second_page {
            memory.mark_code(second, length.saturating_sub(in_page).max(1));
        }
        let block = self.blocks.insert(block, self.jit.after());
        self.with_content(block, memory, Jit::welcome);
        block
    }

    /// Compiles a block of the cache.
    pub(crate) fn compile(&mut self, block: *const Block, memory: &mut Memory) {
        // Compiled code is shared by the content of its page, so that a stale block would spoil others' as
        // well. SAFETY: callers pass a block of the cache.
        let valid = unsafe { (*block).valid.get() };
        assert!(valid, "what is compiled is what memory has");
        self.with_content(block, memory, Jit::compile);
    }

    fn with_content(
        &mut self,
        block: *const Block,
        memory: &mut Memory,
        work: impl FnOnce(&mut Jit, *const Block, &PageBytes) -> Option<Binding>,
    ) {
        // SAFETY: callers pass a block of the cache.
        let page = unsafe { (*block).key } >> 4 & !(PAGE_SIZE - 1);
        if work(&mut self.jit, block, memory.page(page)) == Some(Binding::Whole) {
            memory.mark_code(page, PAGE_SIZE);
        }
    }
}

/// A number that no other code cache of this process has; it is never 0.
fn new_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
