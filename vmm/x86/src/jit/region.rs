//! Room for code, piece by piece.

use super::memory::{PIECE, Piece};

/// No block's code is longer than that: at most 64 operations of 160 bytes.
pub(super) const LONGEST: usize = 16 << 10;

/// The most pieces of memory that a region of one machine takes.
const PIECES: usize = 64;

/// Where code is put.
#[derive(Default)]
pub(super) struct Region {
    pieces: Vec<Piece>,
    /// Bytes of the last piece that are in use.
    used: usize,
}

impl Region {
    /// Whether there will be no more pieces.
    pub(super) fn full(&self) -> bool {
        self.pieces.len() >= PIECES
    }

    /// Room for the longest code of a block.
    pub(super) fn place(&mut self) -> Option<*mut u8> {
        if self.pieces.is_empty() || self.used + LONGEST > PIECE {
            if self.full() {
                return None;
            }
            self.pieces.push(Piece::take()?);
            self.used = 0;
        }
        // SAFETY: `used` is within the piece.
        Some(unsafe { self.pieces.last()?.start().add(self.used) })
    }

    /// Puts code where [`Self::place`] said.
    pub(super) fn fill(&mut self, code: &[u8]) {
        let piece = self.pieces.last().expect("`place` was called");
        assert!(code.len() <= LONGEST);
        // SAFETY: `place` left room for the longest code, which nobody executes yet.
        unsafe {
            let place = piece.start().add(self.used);
            std::ptr::copy_nonoverlapping(code.as_ptr(), place, code.len());
        }
        self.used += code.len();
    }
}
