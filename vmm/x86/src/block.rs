//! A basic block: straight-line operations up to the first that may go elsewhere.

use std::cell::Cell;

use crate::op::{At, Op};

/// A decoded basic block in the cache: this header, and its operations right behind it. It does not
/// depend on the linear address that it is executed at.
///
/// Code that is executed once in a while is rarely in the host's caches, and what a block costs then is
/// how often the host's processor has to wait for memory. So the header is half a cache line, the first
/// operation is in the same line, and the others follow.
#[repr(C, align(32))]
pub(crate) struct Block {
    /// What identifies the block: see `Blocks`.
    pub key: u64,
    /// Blocks to go on with: behind a branch not taken or a call that returned, and taken. To a block in
    /// the same page they lead for good; to others they are guesses that have to be checked.
    pub links: [Cell<*const Block>; 2],
    /// Length of the code in bytes.
    pub bytes: u16,
    /// Instructions that are retired when the block runs to its end.
    pub len: u8,
    /// How many operations there are.
    pub count: u8,
    /// Whether the block's only instruction spans two pages.
    pub spans: bool,
    /// Cleared when the code changed.
    pub valid: Cell<bool>,
    /// How often it is to be executed until it is compiled; 0 if that is past, or never happens.
    pub heat: Cell<u8>,
}

const _: () = assert!(size_of::<Block>() == 32 && size_of::<Op>() == 32);

/// What a block is like: equal for blocks that were decoded from the same bytes in the same mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    bytes: u16,
    len: u8,
    count: u8,
    spans: bool,
}

impl Block {
    /// What it is like.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            bytes: self.bytes,
            len: self.len,
            count: self.count,
            spans: self.spans,
        }
    }

    /// Asks the host to fetch what is likely to be needed next.
    #[inline(always)]
    pub(crate) fn fetch_ahead(&self) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place: *const i8 = (&raw const *self).cast();
        // SAFETY: prefetching reads nothing, whatever the address.
        unsafe {
            _mm_prefetch(place.wrapping_add(64), _MM_HINT_T0);
            _mm_prefetch(self.links[0].get().cast(), _MM_HINT_T0);
            _mm_prefetch(self.links[1].get().cast(), _MM_HINT_T0);
        }
    }

    /// Where the operations start.
    ///
    /// # Safety
    /// `block` is a block of the cache.
    #[inline(always)]
    pub(crate) unsafe fn start(block: *const Self) -> At {
        // SAFETY: the operations follow the header and end with a terminator.
        unsafe { At::new(block.add(1).cast::<Op>()) }
    }

    /// The operations.
    ///
    /// # Safety
    /// `block` is a block of the cache, and the result is used only as long as that is not cleared.
    pub(crate) unsafe fn ops<'a>(block: *const Self) -> &'a [Op] {
        // SAFETY: `count` operations follow the header.
        unsafe { std::slice::from_raw_parts(block.add(1).cast(), usize::from((*block).count)) }
    }
}
