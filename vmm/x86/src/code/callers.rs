//! Where returns probably lead.

use super::block::Block;

const DEPTH: usize = 16;

/// The blocks whose calls have not returned, the last ones of them. It is a guess, for nothing keeps a
/// guest from returning elsewhere.
pub(crate) struct Callers {
    blocks: [*const Block; DEPTH],
    next: usize,
}

impl Callers {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: [std::ptr::null(); DEPTH],
            next: 0,
        }
    }

    /// Forgets all, which has to happen before blocks are freed.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// A block ends with a call.
    #[inline(always)]
    pub(crate) fn push(&mut self, block: *const Block) {
        self.blocks[self.next % DEPTH] = block;
        self.next = self.next.wrapping_add(1);
    }

    /// The block that called last, or null.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> *const Block {
        self.next = self.next.wrapping_sub(1);
        std::mem::replace(&mut self.blocks[self.next % DEPTH], std::ptr::null())
    }
}
