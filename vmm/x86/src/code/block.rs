//! A basic block: straight-line operations up to the first that may go elsewhere.

use std::cell::Cell;

use iced_x86::Instruction;

use crate::exec::RareFn;
use crate::op::Op;

/// The most instructions in one block.
pub(crate) const MAX_LEN: usize = 64;

/// An instruction whose handler looks at the decoded form itself, because it is too rare for a
/// handler of its own.
///
/// It dereferences to the decoded instruction, whose IP is relative to the start of the block.
pub(crate) struct Rare {
    /// What executes it.
    pub func: RareFn,
    /// What else was found out when it was decoded.
    pub extra: Extra,
    pub(super) instruction: Instruction,
}

impl std::ops::Deref for Rare {
    type Target = Instruction;

    fn deref(&self) -> &Instruction {
        &self.instruction
    }
}

/// What a family of rare instructions finds out at decoding.
#[derive(Clone, Copy)]
pub(crate) enum Extra {
    /// Nothing.
    None,
    /// An x87 instruction.
    Fpu(crate::fpu::FpuOp),
    /// An MMX or SSE instruction.
    Simd(crate::simd::Prim, crate::simd::Shape),
}

/// A decoded basic block. It does not depend on the linear address that it is executed at.
pub(crate) struct Block {
    /// The operations; the last one is a terminator.
    pub ops: Box<[Op]>,
    /// The rare instructions that operations point to.
    #[expect(
        clippy::vec_box,
        reason = "operations point to the elements, so they must not move"
    )]
    pub rares: Vec<Box<Rare>>,
    /// What identifies the block: see `CodeCache`.
    pub key: u64,
    /// Instructions that are retired when the block runs to its end.
    pub len: u32,
    /// Length of the code in bytes.
    pub bytes: u32,
    /// The offset of the second page if the block's only instruction spans two.
    pub second_page: Option<u64>,
    /// Cleared when the code changed.
    pub valid: Cell<bool>,
    /// Blocks in the same page to go on with: behind a branch not taken, and taken.
    pub links: [Cell<*const Block>; 2],
}

impl Block {
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.ops.len() * size_of::<Op>()
            + self.rares.len() * (size_of::<Rare>() + 16)
    }
}
