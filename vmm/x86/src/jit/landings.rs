//! Where returns to compiled code lead.

/// Where compiled code goes on behind its calls, by a hash of the return address: whoever switches stacks
/// does not spoil it. What is found is a guess, for nothing keeps a
/// guest from returning elsewhere, so that every landing looks whether the return is its own.
#[repr(C)]
pub(crate) struct Landings {
    /// The code that they are in: see `CodeStore::generation`.
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
