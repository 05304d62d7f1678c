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

/// Where compiled code goes on behind its calls, by a hash of the return address: whoever switches stacks
/// does not spoil it. What is found is a guess, as above.
#[repr(C)]
pub(crate) struct Landings {
    /// The code that they are in: see `Jit::generation`.
    generation: u64,
    pub(crate) places: [*const u8; Self::COUNT],
}

impl Landings {
    /// How many; a power of two.
    pub(crate) const COUNT: usize = 512;

    pub(crate) const fn new() -> Self {
        Self {
            generation: 0,
            places: [std::ptr::null(); Self::COUNT],
        }
    }

    /// Forgets all unless they are in the code of this generation.
    pub(crate) fn follow(&mut self, generation: u64) {
        if self.generation != generation {
            *self = Self::new();
            self.generation = generation;
        }
    }
}
