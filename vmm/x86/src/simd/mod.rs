//! MMX, SSE, SSE2, SSE3, SSSE3, SSE4.1 and SSE4.2 in their legacy encodings.
//!
//! A *primitive* ([`Prim`]) is the arithmetic of one instruction form on a [`Frame`] of operand
//! values; a [`Shape`] says where these values come from and where the result goes. Both are looked
//! up once, when an instruction is decoded. The executor reads the operands, calls the primitive and
//! writes the result back; all memory accesses and all faults but those of the arithmetic are its.
//!
//! Integer and IEEE 754 operations of these extensions are defined exactly by the architecture, so
//! most primitives are the host's own instruction, under the guest's MXCSR where that matters. What
//! the architecture leaves to the implementation (the reciprocal approximations) and what would need
//! one host instruction for each immediate is computed here in integer arithmetic instead.

mod approx;
mod compare;
mod convert;
mod dot;
mod float;
mod host;
mod integer;
mod moves;
mod shape;
mod shifts;
mod shuffles;
mod strings;
mod unmasked;

#[cfg(test)]
mod tests;

use iced_x86::{Code, Instruction, OpKind};

pub(crate) use shape::{Extra, Output, Place, Shape, shape};

/// A 128-bit value as its low and high quadwords.
pub(crate) type Quads = [u64; 2];

/// The bits of MXCSR that can be set; loading any other bit is a #GP(0) (Intel SDM vol. 1, 10.2.3).
pub(crate) const MXCSR_MASK: u32 = 0xffff;

/// The arithmetic flags as RFLAGS holds them.
pub(crate) mod rflags {
    /// Carry.
    pub(crate) const CF: u32 = 1;
    /// Parity.
    pub(crate) const PF: u32 = 1 << 2;
    /// Zero.
    pub(crate) const ZF: u32 = 1 << 6;
    /// Sign.
    pub(crate) const SF: u32 = 1 << 7;
    /// Overflow.
    pub(crate) const OF: u32 = 1 << 11;
}

/// The operands of one instruction, then its results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// In: the old value of the destination, if that is an XMM or MM register (an MM register in
    /// the low quadword, the high one zero). Out: the whole new value of the destination. A memory
    /// destination takes its low bytes; a general register takes the low quadword, which is already
    /// zero-extended for a 32-bit one; an MM register takes the low quadword.
    pub dst: Quads,
    /// In: the source, zero-extended from a memory operand, an MM register or a general register.
    pub src: Quads,
    /// In: XMM0, for [`Extra::Xmm0`]. Out: its new value, for [`Output::Xmm0`].
    pub xmm0: Quads,
    /// In: RAX and RDX, for [`Extra::Lengths`].
    pub gpr: [u64; 2],
    /// In: the immediate byte, or zero.
    pub imm: u8,
    /// In: MXCSR. Out: MXCSR with the exception flags that the instruction raised, or what LDMXCSR
    /// loaded. It is to be written back even if the primitive returns [`SimdFault::FloatingPoint`].
    pub mxcsr: u32,
    /// Out: the new values of CF, PF, AF, ZF, SF and OF, for instructions that write them.
    pub flags: Option<u32>,
    /// Out: the new value of RCX, for [`Output::Rcx`]; for [`Output::Masked`] the bytes to be
    /// stored, one bit each.
    pub rcx: u64,
}

/// Why an instruction does not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SimdFault {
    /// An exception that MXCSR does not mask was raised: #XM, or #UD if CR4.OSXMMEXCPT is clear
    /// (Intel SDM vol. 1, 11.5.3). Nothing but MXCSR is written.
    FloatingPoint,
    /// LDMXCSR would set a reserved bit: #GP(0).
    GeneralProtection,
}

/// The arithmetic of one instruction form.
pub(crate) type Prim = fn(&mut Frame) -> Result<(), SimdFault>;

/// The primitive of `instr`, or `None` if it is not an instruction of this module. Primitives can be
/// specific to an immediate or to a memory operand.
pub(crate) fn prim(instr: &Instruction) -> Option<Prim> {
    let count = instr.op_count();
    let imm = match count.checked_sub(1).map(|last| instr.op_kind(last)) {
        Some(OpKind::Immediate8) => instr.immediate8(),
        _ => 0,
    };
    let from_memory = count > 1 && instr.op_kind(1) == OpKind::Memory;
    select(instr.code(), imm, from_memory)
}

/// The primitive of an instruction form with an immediate, whose source operand is in memory or not.
fn select(code: Code, imm: u8, from_memory: bool) -> Option<Prim> {
    moves::prim(code, from_memory)
        .or_else(|| integer::prim(code))
        .or_else(|| shifts::prim(code))
        .or_else(|| shuffles::prim(code, imm, from_memory))
        .or_else(|| float::prim(code, imm))
        .or_else(|| convert::prim(code))
        .or_else(|| compare::prim(code, imm))
        .or_else(|| dot::prim(code))
        .or_else(|| approx::prim(code))
        .or_else(|| strings::prim(code))
}

/// Every instruction form that this module implements, in the order of iced-x86's `Code`.
pub fn forms() -> impl Iterator<Item = Code> {
    Code::values().filter(|&code| select(code, 0, false).is_some())
}
