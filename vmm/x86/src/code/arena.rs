//! The memory that blocks live in.

use std::cell::Cell;

use super::decoded::DecodedBlock;
use crate::block::Block;
use crate::op::Op;

/// A line of the host's caches.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; LINE]);

const LINE: usize = 64;

/// Lines that are allocated at once. The longest block has fewer.
const CHUNK: usize = 4096;

/// Blocks one behind the other, in the order in which they were decoded, which is about the order in
/// which they are executed. They do not move, and go all at once.
pub(super) struct Arena {
    chunks: Vec<Box<[Line]>>,
    /// Lines of the last chunk that are in use.
    used: usize,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            used: CHUNK,
        }
    }

    /// The bytes that are taken from the host.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * LINE
    }

    /// Frees all blocks.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Gives a block its place.
    pub(super) fn add(&mut self, block: &DecodedBlock, heat: u8) -> *const Block {
        assert!(
            !block.ops.is_empty() && block.ops.len() <= u8::MAX.into(),
            "a block has a terminator, and its header says how many operations it has"
        );
        let size = size_of::<Block>() + size_of_val(block.ops.as_slice());
        let place = self.take(size.div_ceil(LINE)).cast::<Block>();
        let header = Block {
            key: block.key,
            links: [Cell::new(std::ptr::null()), Cell::new(std::ptr::null())],
            bytes: block.bytes,
            len: block.len,
            count: block.ops.len() as u8,
            spans: block.second_page.is_some(),
            valid: Cell::new(true),
            heat: Cell::new(heat),
        };
        // SAFETY: the place is aligned for both, large enough for the header and the operations behind
        // it, and nobody else's.
        unsafe {
            place.write(header);
            let ops = place.add(1).cast::<Op>();
            std::ptr::copy_nonoverlapping(block.ops.as_ptr(), ops, block.ops.len());
        }
        place
    }

    /// Free lines.
    fn take(&mut self, lines: usize) -> *mut Line {
        assert!(lines <= CHUNK, "a block fits into a chunk");
        if self.used + lines > CHUNK {
            let chunk = vec![Line([0; LINE]); CHUNK].into_boxed_slice();
            self.chunks.push(chunk);
            self.used = 0;
        }
        let first = self.used;
        self.used += lines;
        let chunk = self
            .chunks
            .last_mut()
            .expect("a chunk was added if none had room");
        // SAFETY: `used` is at most the length of the chunk.
        unsafe { chunk.as_mut_ptr().add(first) }
    }
}
