//! Moves: whole registers, parts of registers, masks, and MXCSR itself.

use super::{Frame, MXCSR_MASK, Prim, Quads, SimdFault};
use iced_x86::Code;

/// The primitive of a move.
pub(super) fn prim(code: Code, from_memory: bool) -> Option<Prim> {
    whole(code)
        .or_else(|| scalar(code, from_memory))
        .or_else(|| half(code))
        .or_else(|| quad_or_double(code))
        .or_else(|| special(code))
}

/// Moves of 16 bytes.
fn whole(code: Code) -> Option<Prim> {
    match code {
        Code::Movups_xmm_xmmm128
        | Code::Movupd_xmm_xmmm128
        | Code::Movups_xmmm128_xmm
        | Code::Movupd_xmmm128_xmm
        | Code::Movaps_xmm_xmmm128
        | Code::Movapd_xmm_xmmm128
        | Code::Movaps_xmmm128_xmm
        | Code::Movapd_xmmm128_xmm
        | Code::Movdqa_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128
        | Code::Movdqa_xmmm128_xmm
        | Code::Movdqu_xmmm128_xmm
        | Code::Movntps_m128_xmm
        | Code::Movntpd_m128_xmm
        | Code::Movntdq_m128_xmm
        | Code::Movntdqa_xmm_m128
        | Code::Lddqu_xmm_m128 => Some(copy),
        _ => None,
    }
}

/// MOVSS and MOVSD: a load clears the rest of the register, a move between registers keeps it.
fn scalar(code: Code, from_memory: bool) -> Option<Prim> {
    Some(match code {
        Code::Movss_xmm_xmmm32 | Code::Movsd_xmm_xmmm64 if from_memory => copy,
        Code::Movss_xmm_xmmm32 | Code::Movss_xmmm32_xmm => merge_double,
        Code::Movsd_xmm_xmmm64 | Code::Movsd_xmmm64_xmm => merge_quad,
        _ => return None,
    })
}

/// Moves between halves of XMM registers, and between a half and memory.
fn half(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Movlps_xmm_m64 | Code::Movlpd_xmm_m64 => merge_quad,
        Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => quad,
        Code::Movhps_xmm_m64 | Code::Movhpd_xmm_m64 | Code::Movlhps_xmm_xmm => to_high,
        Code::Movhps_m64_xmm | Code::Movhpd_m64_xmm => high,
        Code::Movhlps_xmm_xmm => high_to_low,
        _ => return None,
    })
}

/// Moves of a quadword or a doubleword that clear the rest.
fn quad_or_double(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Movq_mm_rm64
        | Code::Movq_xmm_rm64
        | Code::Movq_mm_mmm64
        | Code::Movq_rm64_mm
        | Code::Movq_rm64_xmm
        | Code::Movq_xmm_xmmm64
        | Code::Movq_mmm64_mm
        | Code::Movq_xmmm64_xmm
        | Code::Movq2dq_xmm_mm
        | Code::Movdq2q_mm_xmm
        | Code::Movntq_m64_mm
        | Code::Movnti_m64_r64 => quad,
        Code::Movd_mm_rm32
        | Code::Movd_xmm_rm32
        | Code::Movd_rm32_mm
        | Code::Movd_rm32_xmm
        | Code::Movnti_m32_r32 => double,
        _ => return None,
    })
}

/// Masks and MXCSR.
fn special(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Movmskps_r32_xmm | Code::Movmskps_r64_xmm => movmskps,
        Code::Movmskpd_r32_xmm | Code::Movmskpd_r64_xmm => movmskpd,
        Code::Pmovmskb_r32_mm
        | Code::Pmovmskb_r64_mm
        | Code::Pmovmskb_r32_xmm
        | Code::Pmovmskb_r64_xmm => pmovmskb,
        Code::Maskmovq_rDI_mm_mm | Code::Maskmovdqu_rDI_xmm_xmm => maskmov,
        Code::Ldmxcsr_m32 => ldmxcsr,
        Code::Stmxcsr_m32 => stmxcsr,
        _ => return None,
    })
}

fn copy(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = f.src;
    Ok(())
}

fn quad(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [f.src[0], 0];
    Ok(())
}

fn double(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [u64::from(f.src[0] as u32), 0];
    Ok(())
}

fn merge_quad(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst[0] = f.src[0];
    Ok(())
}

fn merge_double(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst[0] = f.dst[0] & !0xffff_ffff | f.src[0] & 0xffff_ffff;
    Ok(())
}

fn to_high(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst[1] = f.src[0];
    Ok(())
}

fn high(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [f.src[1], 0];
    Ok(())
}

fn high_to_low(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst[0] = f.src[1];
    Ok(())
}

/// The top bits of the bytes of `value`, in bits 0-15.
pub(super) fn byte_signs(value: Quads) -> u64 {
    let signs =
        |quad: u64| (quad >> 7 & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    signs(value[0]) | signs(value[1]) << 8
}

fn pmovmskb(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [byte_signs(f.src), 0];
    Ok(())
}

fn movmskps(f: &mut Frame) -> Result<(), SimdFault> {
    let signs = |quad: u64| quad >> 31 & 1 | quad >> 63 << 1;
    f.dst = [signs(f.src[0]) | signs(f.src[1]) << 2, 0];
    Ok(())
}

fn movmskpd(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [f.src[0] >> 63 | f.src[1] >> 63 << 1, 0];
    Ok(())
}

/// MASKMOVQ and MASKMOVDQU: the value of operand 1 stays in `dst`, the mask is in `src`.
fn maskmov(f: &mut Frame) -> Result<(), SimdFault> {
    f.rcx = byte_signs(f.src);
    Ok(())
}

fn ldmxcsr(f: &mut Frame) -> Result<(), SimdFault> {
    let value = f.src[0] as u32;
    if value & !MXCSR_MASK != 0 {
        return Err(SimdFault::GeneralProtection);
    }
    f.mxcsr = value;
    Ok(())
}

fn stmxcsr(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [u64::from(f.mxcsr), 0];
    Ok(())
}
