//! Packed shifts.

use super::host::{IntOp, int_ops, plain};
use super::{Frame, Prim, SimdFault};
use iced_x86::Code;

/// The primitive of a shift.
pub(super) fn prim(code: Code) -> Option<Prim> {
    match code {
        Code::Pslldq_xmm_imm8 => Some(pslldq),
        Code::Psrldq_xmm_imm8 => Some(psrldq),
        _ => hosted(code),
    }
}

int_ops! {
    Psllw "psllw" {
        Psllw_xmm_xmmm128: plain, Psllw_mm_mmm64: plain,
        Psllw_xmm_imm8: by_immediate, Psllw_mm_imm8: by_immediate,
    }
    Pslld "pslld" {
        Pslld_xmm_xmmm128: plain, Pslld_mm_mmm64: plain,
        Pslld_xmm_imm8: by_immediate, Pslld_mm_imm8: by_immediate,
    }
    Psllq "psllq" {
        Psllq_xmm_xmmm128: plain, Psllq_mm_mmm64: plain,
        Psllq_xmm_imm8: by_immediate, Psllq_mm_imm8: by_immediate,
    }
    Psrlw "psrlw" {
        Psrlw_xmm_xmmm128: plain, Psrlw_mm_mmm64: plain,
        Psrlw_xmm_imm8: by_immediate, Psrlw_mm_imm8: by_immediate,
    }
    Psrld "psrld" {
        Psrld_xmm_xmmm128: plain, Psrld_mm_mmm64: plain,
        Psrld_xmm_imm8: by_immediate, Psrld_mm_imm8: by_immediate,
    }
    Psrlq "psrlq" {
        Psrlq_xmm_xmmm128: plain, Psrlq_mm_mmm64: plain,
        Psrlq_xmm_imm8: by_immediate, Psrlq_mm_imm8: by_immediate,
    }
    Psraw "psraw" {
        Psraw_xmm_xmmm128: plain, Psraw_mm_mmm64: plain,
        Psraw_xmm_imm8: by_immediate, Psraw_mm_imm8: by_immediate,
    }
    Psrad "psrad" {
        Psrad_xmm_xmmm128: plain, Psrad_mm_mmm64: plain,
        Psrad_xmm_imm8: by_immediate, Psrad_mm_imm8: by_immediate,
    }
}

/// A shift whose count is the immediate: the form with the count in a register.
fn by_immediate<O: IntOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = O::run(f.dst, [u64::from(f.imm), 0]);
    Ok(())
}

/// The number of bits of a shift by whole bytes, below 128 if anything is left.
fn byte_shift(imm: u8) -> u32 {
    u32::from(imm) * 8
}

fn pslldq(f: &mut Frame) -> Result<(), SimdFault> {
    let value = super::shuffles::wide(f.dst);
    f.dst = super::shuffles::from_wide(value.checked_shl(byte_shift(f.imm)).unwrap_or(0));
    Ok(())
}

fn psrldq(f: &mut Frame) -> Result<(), SimdFault> {
    let value = super::shuffles::wide(f.dst);
    f.dst = super::shuffles::from_wide(value.checked_shr(byte_shift(f.imm)).unwrap_or(0));
    Ok(())
}
