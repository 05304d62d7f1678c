//! x87 instructions.

use iced_x86::Instruction;

use super::{End, Lowered};
use crate::exec::{Extra, fpu};

/// Lowers an x87 instruction; `bytes` are its own.
pub(super) fn lower(ins: &Instruction, bytes: &[u8]) -> Option<Lowered> {
    let extra = Extra::Fpu(crate::fpu::lower(ins, bytes)?);
    Some(Lowered::decoded_with(fpu::x87, extra, End::No))
}
