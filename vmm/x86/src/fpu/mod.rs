//! The x87 unit: the semantics of every D8-DF instruction, EMMS, and the memory images of the x87
//! and SSE state (Intel SDM vol. 1, chapters 8, 10.5 and 13).
//!
//! Everything is computed in integers, nothing on the host's floating-point units, so that results,
//! flags and condition codes are the same on every host. The tests compare with a real x87.
//!
//! Where the architecture leaves a choice:
//! - FIP, FDP and FOP tell of the last non-control instruction, whether it signaled or not; FDP
//!   keeps its value over instructions without a memory operand. FCS and FDS are deprecated
//!   (CPUID.7.0:EBX bit 13) and are stored as zero.
//! - Condition codes that the SDM calls undefined keep their values, except that C1 is cleared by
//!   whatever may set it.
//! - Partial remainders, the pi of the trigonometric functions and operands outside the domain of a
//!   transcendental: see [`remainder`], [`trig`] and [`explog`].

mod arith;
mod convert;
mod env;
mod exec;
mod explog;
mod forms;
mod image;
mod mmx;
mod number;
mod remainder;
mod significand;
mod stack;
#[cfg(test)]
mod tests;
mod trig;
mod xsave;

use crate::state::X87;
use iced_x86::{Code, Instruction};

pub(crate) use env::{EnvFormat, load_environment, restore, save, store_environment};
pub(crate) use exec::execute;
pub(crate) use image::{FXSAVE_SIZE, ImageFormat, Legacy, fxrstor, fxsave};
pub(crate) use mmx::{emms, mmx_enter, mmx_read, mmx_write};
pub(crate) use xsave::{XSAVE_SIZE, XsaveKind, xrstor, xsave};

/// A memory operand that was read or is to be written, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operand {
    /// The bytes, of which the instruction uses the first [`FpuOp::mem_size`].
    pub bytes: [u8; 16],
    /// The offset within its segment, for the last-data pointer.
    pub address: u64,
}

/// What an instruction does outside of the x87 state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing; also when an unmasked exception suppresses a store.
    None,
    /// The first so many bytes of the operand are to be written to memory.
    StoreMem(u8),
    /// FNSTSW AX.
    SetAx(u16),
    /// FCOMI and its kind: the bits of RFLAGS in `mask` become those of `value`.
    SetFlags {
        /// The bits that change.
        mask: u64,
        /// Their values.
        value: u64,
    },
}

/// An instruction, resolved once at decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FpuOp {
    op: forms::Op,
    /// The number of the register operand ST(i), if there is one.
    sti: u8,
    /// The size of the memory operand in bytes, or zero.
    pub mem_size: u8,
    /// The memory operand is to be read before [`execute`].
    pub reads_mem: bool,
    /// The memory operand is to be written if [`execute`] says so. It must be known to be writable
    /// before, since the stack has been popped by then.
    pub writes_mem: bool,
    /// The instruction first raises #MF if [`pending_exception`].
    pub waits: bool,
    /// The eleven bits that identify the instruction in FOP.
    opcode: u16,
}

/// Resolves a decoded x87 instruction. `bytes` are those of the whole instruction, prefixes
/// included. `None` for everything that is not an x87 instruction and for those with images, which
/// have functions of their own (see [`forms`]).
pub(crate) fn lower(instruction: &Instruction, bytes: &[u8]) -> Option<FpuOp> {
    let op = forms::operation(instruction.code())?;
    let opcode = fop(bytes);
    let (mem_size, writes) = op.memory().unwrap_or((0, false));
    Some(FpuOp {
        op,
        sti: operand_register(instruction.code(), opcode),
        mem_size,
        reads_mem: mem_size != 0 && !writes,
        writes_mem: writes,
        waits: op.is_waiting(),
        opcode,
    })
}

/// The ST(i) of a register form. FCOMPP and FUCOMPP name ST(1) by their encoding.
fn operand_register(code: Code, opcode: u16) -> u8 {
    if matches!(code, Code::Fcompp | Code::Fucompp) {
        1
    } else {
        (opcode & 7) as u8
    }
}

/// The opcode as FOP keeps it: three bits of the first byte, and the ModRM byte. No prefix lies in
/// the range of the first byte.
fn fop(bytes: &[u8]) -> u16 {
    let start = bytes.iter().position(|byte| (0xd8..=0xdf).contains(byte));
    let pair = start.and_then(|at| Some((bytes[at], *bytes.get(at + 1)?)));
    pair.map_or(0, |(first, modrm)| {
        u16::from(first & 7) << 8 | u16::from(modrm)
    })
}

/// Every instruction form that this module implements.
pub fn forms() -> impl Iterator<Item = Code> {
    let images = forms::IMAGE_FORMS
        .into_iter()
        .chain(forms::MORE_IMAGE_FORMS);
    Code::values()
        .filter(|code| forms::operation(*code).is_some())
        .chain(images)
}

/// An unmasked exception waits to be reported as #MF by the next waiting instruction (all but the
/// FN forms), FWAIT or MMX instruction.
pub(crate) fn pending_exception(fpu: &X87) -> bool {
    fpu.status & stack::SUMMARY != 0
}
