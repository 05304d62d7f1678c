//! A block that was just decoded.

use crate::exec::Decoded;
use crate::op::Op;

/// The most instructions in one block.
pub(crate) const MAX_LEN: usize = 64;

/// A block as it was decoded, before it has its place in the cache.
pub(crate) struct DecodedBlock {
    /// The operations; the last one is a terminator.
    pub ops: Vec<Op>,
    /// The decoded instructions that operations point to.
    #[expect(
        clippy::vec_box,
        reason = "operations point to the elements, so they must not move"
    )]
    pub instructions: Vec<Box<Decoded>>,
    /// What identifies the block: see `Blocks`.
    pub key: u64,
    /// Instructions that are retired when the block runs to its end.
    pub len: u8,
    /// Length of the code in bytes.
    pub bytes: u16,
    /// Length of what was looked at to find that out, in bytes: an instruction that has to be in a block of
    /// its own, or is not complete, ends the block in front of it.
    pub seen: u16,
    /// The offset of the second page if the block's only instruction spans two.
    pub second_page: Option<u64>,
}
