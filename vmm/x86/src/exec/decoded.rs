//! Instructions that are executed from their decoded form.

use iced_x86::Instruction;

use super::DecodedFn;

/// An instruction that is executed from its decoded form, because it is too rare for a handler of its own.
///
/// It dereferences to the decoded instruction, whose IP is relative to the start of the block.
pub(crate) struct Decoded {
    /// What executes it.
    pub func: DecodedFn,
    /// What else was found out when it was decoded.
    pub extra: Extra,
    instruction: Instruction,
}

impl Decoded {
    /// An instruction and what executes it.
    pub(crate) fn new(func: DecodedFn, extra: Extra, instruction: Instruction) -> Self {
        Self {
            func,
            extra,
            instruction,
        }
    }
}

impl std::ops::Deref for Decoded {
    type Target = Instruction;

    fn deref(&self) -> &Instruction {
        &self.instruction
    }
}

/// What a family of such instructions finds out when they are decoded.
#[derive(Clone, Copy)]
pub(crate) enum Extra {
    /// Nothing.
    None,
    /// An x87 instruction.
    Fpu(crate::fpu::FpuOp),
    /// An MMX or SSE instruction.
    Simd(crate::simd::Prim, crate::simd::Shape),
}
