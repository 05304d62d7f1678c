//! RCPPS, RCPSS, RSQRTPS and RSQRTSS, which processors of different vendors answer differently. These
//! are never executed on the host; their results are defined here.
//!
//! For a normal operand the result is the exact reciprocal (or reciprocal square root), rounded to 14
//! fraction bits relative to the power of two that is at least as large as it, halves upwards in
//! magnitude. That is: with `x = m * 2^e`, `1 <= m < 2`, RCP is `2^-e * floor(2^14 / m + 1/2) / 2^14`;
//! with `x = m * 2^e`, `1 <= m < 4` and even `e`, RSQRT is
//! `2^(-e/2) * floor((floor(2^15 / sqrt(m)) + 1) / 2) / 2^14`. The relative error is at most `2^-14`;
//! the architecture allows `1.5 * 2^-12`. Powers of two (of four) have exact results.
//!
//! Special operands follow the SDM: they neither depend on MXCSR nor raise exceptions; denormals count
//! as zeros of their sign, tiny results become zeros of their sign.

use super::shuffles::{doubles, from_doubles};
use super::{Frame, Prim, SimdFault};
use iced_x86::Code;

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;
const QUIET: u32 = 1 << 22;
/// The NaN that an invalid operation gives.
const DEFAULT_NAN: u32 = 0xffc0_0000;

/// The primitive of an approximation.
pub(super) fn prim(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Rcpps_xmm_xmmm128 => |f| packed(f, reciprocal),
        Code::Rcpss_xmm_xmmm32 => |f| scalar(f, reciprocal),
        Code::Rsqrtps_xmm_xmmm128 => |f| packed(f, reciprocal_sqrt),
        Code::Rsqrtss_xmm_xmmm32 => |f| scalar(f, reciprocal_sqrt),
        _ => return None,
    })
}

fn packed(f: &mut Frame, operation: fn(u32) -> u32) -> Result<(), SimdFault> {
    f.dst = from_doubles(doubles(f.src).map(operation));
    Ok(())
}

fn scalar(f: &mut Frame, operation: fn(u32) -> u32) -> Result<(), SimdFault> {
    f.dst[0] = f.dst[0] & !0xffff_ffff | u64::from(operation(f.src[0] as u32));
    Ok(())
}

/// The biased exponent and the 24-bit significand of a normal binary32 number.
fn split(x: u32) -> (i32, u64) {
    (
        (x >> 23 & 0xff) as i32,
        u64::from(x & 0x7f_ffff | 0x80_0000),
    )
}

/// Assembles `rounded / 2^14 * 2^scale` with `2^13 <= rounded <= 2^14`; tiny values become zero.
fn assemble(sign: u32, rounded: u64, scale: i32) -> u32 {
    let (fraction, exponent) = if rounded == 1 << 14 {
        (0, scale)
    } else {
        ((rounded as u32 & 0x1fff) << 10, scale - 1)
    };
    let biased = exponent + 127;
    if biased < 1 {
        sign
    } else {
        sign | (biased as u32) << 23 | fraction
    }
}

/// The defined approximation of `1 / x`.
pub(super) fn reciprocal(x: u32) -> u32 {
    let sign = x & SIGN;
    match split(x) {
        (0xff, _) if x & 0x7f_ffff != 0 => x | QUIET,
        (0xff, _) => sign,
        (0, _) => sign | INFINITY,
        (exponent, significand) => {
            let rounded = ((1_u64 << 38) / significand).div_ceil(2);
            assemble(sign, rounded, 127 - exponent)
        }
    }
}

/// The defined approximation of `1 / sqrt(x)`.
pub(super) fn reciprocal_sqrt(x: u32) -> u32 {
    let sign = x & SIGN;
    match split(x) {
        (0xff, _) if x & 0x7f_ffff != 0 => x | QUIET,
        (0, _) => sign | INFINITY,
        _ if sign != 0 => DEFAULT_NAN,
        (0xff, _) => 0,
        (exponent, significand) => {
            let unbiased = exponent - 127;
            let odd = unbiased.rem_euclid(2);
            let root = ((1_u64 << 53) / (significand << odd)).isqrt();
            assemble(0, root.div_ceil(2), -(unbiased - odd) / 2)
        }
    }
}
