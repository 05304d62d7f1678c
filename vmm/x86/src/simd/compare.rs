//! Float comparisons and PTEST.

use super::host::{FloatOp, apply, float, float_op, under_guest, under_host, vector};
use super::rflags::{CF, PF, ZF};
use super::unmasked::Kind;
use super::{Frame, Prim, Quads, SimdFault};
use iced_x86::Code;

float_op!(Cmpps<I> "cmpps" Kind::BOUNDED);
float_op!(Cmppd<I> "cmppd" Kind::BOUNDED);
float_op!(Cmpss<I> "cmpss" Kind::BOUNDED);
float_op!(Cmpsd<I> "cmpsd" Kind::BOUNDED);

/// The instance of a generic comparison for a predicate; the legacy encodings use three bits.
macro_rules! predicate {
    ($op:ident, $imm:expr) => {
        match $imm & 7 {
            0 => float::<$op<0>>,
            1 => float::<$op<1>>,
            2 => float::<$op<2>>,
            3 => float::<$op<3>>,
            4 => float::<$op<4>>,
            5 => float::<$op<5>>,
            6 => float::<$op<6>>,
            _ => float::<$op<7>>,
        }
    };
}

/// Declares comparisons whose result is flags: the first quadword of the result holds them.
macro_rules! flag_comparison {
    ($($name:ident $op:literal;)+) => {
        $(
            struct $name;
            impl FloatOp for $name {
                const KIND: Kind = Kind::BOUNDED;
                #[inline(always)]
                fn under_host(dst: Quads, src: Quads) -> (Quads, u32) {
                    let flags: u64;
                    let mut csr = 0_u32;
                    // SAFETY: the instructions work on registers, STMXCSR writes a local; every
                    // x86-64-v2 host has LAHF.
                    unsafe {
                        under_host!(
                            csr,
                            concat!($op, " {d}, {s}\nlahf"),
                            d = in(xmm_reg) vector(dst), s = in(xmm_reg) vector(src), out("rax") flags
                        );
                    }
                    ([flags >> 8, 0], csr)
                }
                #[inline(always)]
                fn under_guest(dst: Quads, src: Quads, mut csr: u32) -> (Quads, u32) {
                    let flags: u64;
                    // SAFETY: as above; all exceptions are masked in `csr`, which has no reserved bit
                    // set, and the host's MXCSR is restored.
                    unsafe {
                        under_guest!(
                            csr,
                            concat!($op, " {d}, {s}\nlahf"),
                            d = in(xmm_reg) vector(dst), s = in(xmm_reg) vector(src), out("rax") flags
                        );
                    }
                    ([flags >> 8, 0], csr)
                }
            }
        )+
    };
}

flag_comparison! {
    Comiss "comiss";
    Comisd "comisd";
    Ucomiss "ucomiss";
    Ucomisd "ucomisd";
}

/// The primitive of a comparison.
pub(super) fn prim(code: Code, imm: u8) -> Option<Prim> {
    Some(match code {
        Code::Cmpps_xmm_xmmm128_imm8 => predicate!(Cmpps, imm),
        Code::Cmppd_xmm_xmmm128_imm8 => predicate!(Cmppd, imm),
        Code::Cmpss_xmm_xmmm32_imm8 => predicate!(Cmpss, imm),
        Code::Cmpsd_xmm_xmmm64_imm8 => predicate!(Cmpsd, imm),
        Code::Comiss_xmm_xmmm32 => to_flags::<Comiss>,
        Code::Comisd_xmm_xmmm64 => to_flags::<Comisd>,
        Code::Ucomiss_xmm_xmmm32 => to_flags::<Ucomiss>,
        Code::Ucomisd_xmm_xmmm64 => to_flags::<Ucomisd>,
        Code::Ptest_xmm_xmmm128 => ptest,
        _ => return None,
    })
}

/// COMIS and UCOMIS: ZF, PF and CF tell the result; OF, AF and SF become 0.
fn to_flags<O: FloatOp>(f: &mut Frame) -> Result<(), SimdFault> {
    let flags = apply::<O>(f.dst, f.src, &mut f.mxcsr)?[0] as u32;
    f.flags = Some(flags & (ZF | PF | CF));
    Ok(())
}

/// PTEST: ZF if `dst & src` is zero, CF if `!dst & src` is.
fn ptest(f: &mut Frame) -> Result<(), SimdFault> {
    let all_zero = |value: [u64; 2]| value[0] | value[1] == 0;
    let both = [f.dst[0] & f.src[0], f.dst[1] & f.src[1]];
    let only_source = [!f.dst[0] & f.src[0], !f.dst[1] & f.src[1]];
    f.flags =
        Some(if all_zero(both) { ZF } else { 0 } | if all_zero(only_source) { CF } else { 0 });
    Ok(())
}
