//! Where jumps of compiled code lead that may lead to many places.

/// What a CPU remembers of that. It holds addresses of code, which are the same for all machines that share
/// it, and nothing that a guest could see.
#[repr(C)]
pub(crate) struct Landings {
    /// The code that they are in: see `CodeStore::generation`.
    generation: u64,
    /// The bindings that the landings were noted under: see `Jit::bindings`.
    bindings: u64,
    /// Where compiled code goes on behind its calls, by a hash of the return address: whoever switches stacks
    /// does not spoil it. What is found is a guess, for nothing keeps a guest from returning elsewhere, so
    /// that every landing looks whether the return is its own. One that is not asks for nothing of its block;
    /// one that is may, as the block is there: a landing is forgotten before the next block when any page of
    /// the machine is unbound.
    pub(crate) places: [*const u8; Self::COUNT],
    /// Blocks that are looked for again and again, by a hash of their places: see [`Self::slot`]. They have
    /// their places with them, and a page's number in the store is given out once in a generation, so
    /// that the one at a place is the block there whoever is bound to the page, and that nobody gets to
    /// one whose page nobody is bound to.
    pub(crate) targets: [Target; Self::COUNT],
}

/// A block of the store in 64-bit mode.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Its place in the store.
    pub place: u32,
    /// Instructions that are retired when it runs to its end.
    pub len: u32,
    /// Where jumps from other blocks lead.
    pub entry: *const u8,
}

const NOWHERE: Target = Target {
    place: u32::MAX,
    len: 0,
    entry: std::ptr::null(),
};

impl Landings {
    /// How many of each kind; a power of two.
    pub(crate) const COUNT: usize = 512;

    pub(crate) const fn new() -> Self {
        Self {
            generation: 0,
            bindings: 0,
            places: [std::ptr::null(); Self::COUNT],
            targets: [NOWHERE; Self::COUNT],
        }
    }

    /// Forgets all unless they are in the code of this generation, and the landings unless they were noted
    /// under these bindings.
    /// Tells how many landings are forgotten because of the bindings.
    #[cold]
    #[inline(never)]
    pub(crate) fn follow(&mut self, generation: u64, bindings: u64) -> u64 {
        let mut forgotten = 0;
        if self.generation != generation {
            *self = Self::new();
            self.generation = generation;
        }
        if self.bindings != bindings {
            for place in &mut self.places {
                forgotten += u64::from(!std::mem::replace(place, std::ptr::null()).is_null());
            }
            self.bindings = bindings;
        }
        forgotten
    }

    /// Whether the landings were noted under these bindings.
    #[inline]
    pub(crate) fn are_of(&self, bindings: u64) -> bool {
        self.bindings == bindings
    }

    /// Remembers a block.
    pub(crate) fn remember(&mut self, target: Target) {
        self.targets[Self::slot(target.place)] = target;
    }

    /// The block at a place, if that is remembered.
    #[inline]
    pub(crate) fn target(&self, place: u64) -> Option<Target> {
        let place = u32::try_from(place).ok()?;
        let target = self.targets[Self::slot(place)];
        (target.place == place).then_some(target)
    }

    /// Where the block at a place would be; compiled code calculates the same.
    fn slot(place: u32) -> usize {
        (place >> 9 ^ place) as usize & (Self::COUNT - 1)
    }
}
