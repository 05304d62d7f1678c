//! Instructions that are executed from their decoded form.

use iced_x86::Instruction;

use super::RareFn;

/// An instruction whose handler looks at the decoded form itself, because it is too rare for a
/// handler of its own.
///
/// It dereferences to the decoded instruction, whose IP is relative to the start of the block.
pub(crate) struct Rare {
    /// What executes it.
    pub func: RareFn,
    /// What else was found out when it was decoded.
    pub extra: Extra,
    instruction: Instruction,
}

impl Rare {
    /// An instruction and what executes it.
    pub(crate) fn new(func: RareFn, extra: Extra, instruction: Instruction) -> Self {
        Self {
            func,
            extra,
            instruction,
        }
    }
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
