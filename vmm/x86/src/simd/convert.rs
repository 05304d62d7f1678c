//! Conversions between integers and floats and between float formats.

use super::host::{
    FloatOp, apply, float, float_op, int_ops, plain, quads, under_guest, under_host, vector,
};
use super::unmasked::{Arithmetic, Kind};
use super::{Frame, Prim, Quads, SimdFault};
use iced_x86::Code;

int_ops! {
    // Every 32-bit integer is a binary64 number, so that nothing is rounded.
    Cvtdq2pd "cvtdq2pd" { Cvtdq2pd_xmm_xmmm64: plain, Cvtpi2pd_xmm_mmm64: plain }
}

float_op!(Cvtdq2ps "cvtdq2ps" Kind::BOUNDED);
float_op!(Cvtps2dq "cvtps2dq" Kind::BOUNDED);
float_op!(Cvttps2dq "cvttps2dq" Kind::BOUNDED);
float_op!(Cvtpd2dq "cvtpd2dq" Kind::BOUNDED);
float_op!(Cvttpd2dq "cvttpd2dq" Kind::BOUNDED);
float_op!(Cvtps2pd "cvtps2pd" Kind::BOUNDED);
float_op!(Cvtss2sd "cvtss2sd" Kind::BOUNDED);
float_op!(Cvtpd2ps "cvtpd2ps" Kind::pd(Arithmetic::Narrow));
float_op!(Cvtsd2ss "cvtsd2ss" Kind::sd(Arithmetic::Narrow));

/// Declares conversions from the general register in `src`'s low quadword.
macro_rules! from_gpr {
    ($($name:ident $op:literal;)+) => {
        $(
            struct $name;
            impl FloatOp for $name {
                const KIND: Kind = Kind::BOUNDED;
                #[inline(always)]
                fn under_host(dst: Quads, src: Quads) -> (Quads, u32) {
                    let mut d = vector(dst);
                    let mut csr = 0_u32;
                    // SAFETY: the instruction works on registers, STMXCSR writes a local.
                    unsafe {
                        under_host!(csr, $op, d = inout(xmm_reg) d, s = in(reg) src[0]);
                    }
                    (quads(d), csr)
                }
                #[inline(always)]
                fn under_guest(dst: Quads, src: Quads, mut csr: u32) -> (Quads, u32) {
                    let mut d = vector(dst);
                    // SAFETY: as above; all exceptions are masked in `csr`, which has no reserved bit
                    // set, and the host's MXCSR is restored.
                    unsafe {
                        under_guest!(csr, $op, d = inout(xmm_reg) d, s = in(reg) src[0]);
                    }
                    (quads(d), csr)
                }
            }
        )+
    };
}

from_gpr! {
    Cvtsi2ss32 "cvtsi2ss {d}, {s:e}";
    Cvtsi2ss64 "cvtsi2ss {d}, {s:r}";
    Cvtsi2sd32 "cvtsi2sd {d}, {s:e}";
    Cvtsi2sd64 "cvtsi2sd {d}, {s:r}";
}

/// Declares conversions to a general register, the low quadword of the result.
macro_rules! to_gpr {
    ($($name:ident $op:literal;)+) => {
        $(
            struct $name;
            impl FloatOp for $name {
                const KIND: Kind = Kind::BOUNDED;
                #[inline(always)]
                fn under_host(_: Quads, src: Quads) -> (Quads, u32) {
                    let result: u64;
                    let mut csr = 0_u32;
                    // SAFETY: the instruction works on registers, STMXCSR writes a local.
                    unsafe {
                        under_host!(csr, $op, d = out(reg) result, s = in(xmm_reg) vector(src));
                    }
                    ([result, 0], csr)
                }
                #[inline(always)]
                fn under_guest(_: Quads, src: Quads, mut csr: u32) -> (Quads, u32) {
                    let result: u64;
                    // SAFETY: as above; all exceptions are masked in `csr`, which has no reserved bit
                    // set, and the host's MXCSR is restored.
                    unsafe {
                        under_guest!(csr, $op, d = out(reg) result, s = in(xmm_reg) vector(src));
                    }
                    ([result, 0], csr)
                }
            }
        )+
    };
}

to_gpr! {
    Cvtss2si32 "cvtss2si {d:e}, {s}";
    Cvtss2si64 "cvtss2si {d:r}, {s}";
    Cvtsd2si32 "cvtsd2si {d:e}, {s}";
    Cvtsd2si64 "cvtsd2si {d:r}, {s}";
    Cvttss2si32 "cvttss2si {d:e}, {s}";
    Cvttss2si64 "cvttss2si {d:r}, {s}";
    Cvttsd2si32 "cvttsd2si {d:e}, {s}";
    Cvttsd2si64 "cvttsd2si {d:r}, {s}";
}

/// The primitive of a conversion.
pub(super) fn prim(code: Code) -> Option<Prim> {
    packed(code).or_else(|| scalar(code))
}

/// Conversions of packed values.
fn packed(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Cvtdq2ps_xmm_xmmm128 => float::<Cvtdq2ps>,
        Code::Cvtps2dq_xmm_xmmm128 => float::<Cvtps2dq>,
        Code::Cvttps2dq_xmm_xmmm128 => float::<Cvttps2dq>,
        Code::Cvtpd2dq_xmm_xmmm128 => float::<Cvtpd2dq>,
        Code::Cvttpd2dq_xmm_xmmm128 => float::<Cvttpd2dq>,
        Code::Cvtps2pd_xmm_xmmm64 => float::<Cvtps2pd>,
        Code::Cvtpd2ps_xmm_xmmm128 => float::<Cvtpd2ps>,
        Code::Cvtpi2ps_xmm_mmm64 => cvtpi2ps,
        Code::Cvtps2pi_mm_xmmm64 => low_half::<Cvtps2dq>,
        Code::Cvttps2pi_mm_xmmm64 => low_half::<Cvttps2dq>,
        Code::Cvtpd2pi_mm_xmmm128 => float::<Cvtpd2dq>,
        Code::Cvttpd2pi_mm_xmmm128 => float::<Cvttpd2dq>,
        _ => return hosted(code),
    })
}

/// Conversions of one value.
fn scalar(code: Code) -> Option<Prim> {
    Some(match code {
        Code::Cvtss2sd_xmm_xmmm32 => float::<Cvtss2sd>,
        Code::Cvtsd2ss_xmm_xmmm64 => float::<Cvtsd2ss>,
        Code::Cvtsi2ss_xmm_rm32 => float::<Cvtsi2ss32>,
        Code::Cvtsi2ss_xmm_rm64 => float::<Cvtsi2ss64>,
        Code::Cvtsi2sd_xmm_rm32 => float::<Cvtsi2sd32>,
        Code::Cvtsi2sd_xmm_rm64 => float::<Cvtsi2sd64>,
        Code::Cvtss2si_r32_xmmm32 => float::<Cvtss2si32>,
        Code::Cvtss2si_r64_xmmm32 => float::<Cvtss2si64>,
        Code::Cvtsd2si_r32_xmmm64 => float::<Cvtsd2si32>,
        Code::Cvtsd2si_r64_xmmm64 => float::<Cvtsd2si64>,
        Code::Cvttss2si_r32_xmmm32 => float::<Cvttss2si32>,
        Code::Cvttss2si_r64_xmmm32 => float::<Cvttss2si64>,
        Code::Cvttsd2si_r32_xmmm64 => float::<Cvttsd2si32>,
        Code::Cvttsd2si_r64_xmmm64 => float::<Cvttsd2si64>,
        _ => return None,
    })
}

/// CVTPI2PS: CVTDQ2PS on the low half; the high half of the destination stays.
fn cvtpi2ps(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst[0] = apply::<Cvtdq2ps>(f.dst, [f.src[0], 0], &mut f.mxcsr)?[0];
    Ok(())
}

/// The forms that convert the low half of an XMM register to an MM register. The high half is made
/// zero, which raises nothing.
fn low_half<O: FloatOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = [apply::<O>(f.dst, [f.src[0], 0], &mut f.mxcsr)?[0], 0];
    Ok(())
}
