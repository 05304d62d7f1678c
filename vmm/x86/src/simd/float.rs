//! Float arithmetic and rounding.

use super::host::{FloatOp, apply, float, float_op};
use super::shuffles::{doubles, from_doubles};
use super::unmasked::{Arithmetic, Kind};
use super::{Frame, Prim, SimdFault};
use iced_x86::Code;

/// Declares arithmetic operations and a function that finds the forms.
macro_rules! arithmetic {
    ($($name:ident $op:literal $kind:expr => $code:ident;)+) => {
        $(float_op!($name $op $kind);)+

        /// The primitive of an arithmetic instruction.
        fn arithmetic(code: Code) -> Option<Prim> {
            Some(match code {
                $(Code::$code => float::<$name>,)+
                _ => return None,
            })
        }
    };
}

arithmetic! {
    Addps "addps" Kind::ps(Arithmetic::Add) => Addps_xmm_xmmm128;
    Addpd "addpd" Kind::pd(Arithmetic::Add) => Addpd_xmm_xmmm128;
    Addss "addss" Kind::ss(Arithmetic::Add) => Addss_xmm_xmmm32;
    Addsd "addsd" Kind::sd(Arithmetic::Add) => Addsd_xmm_xmmm64;
    Subps "subps" Kind::ps(Arithmetic::Sub) => Subps_xmm_xmmm128;
    Subpd "subpd" Kind::pd(Arithmetic::Sub) => Subpd_xmm_xmmm128;
    Subss "subss" Kind::ss(Arithmetic::Sub) => Subss_xmm_xmmm32;
    Subsd "subsd" Kind::sd(Arithmetic::Sub) => Subsd_xmm_xmmm64;
    Mulps "mulps" Kind::ps(Arithmetic::Mul) => Mulps_xmm_xmmm128;
    Mulpd "mulpd" Kind::pd(Arithmetic::Mul) => Mulpd_xmm_xmmm128;
    Mulss "mulss" Kind::ss(Arithmetic::Mul) => Mulss_xmm_xmmm32;
    Mulsd "mulsd" Kind::sd(Arithmetic::Mul) => Mulsd_xmm_xmmm64;
    Divps "divps" Kind::ps(Arithmetic::Div) => Divps_xmm_xmmm128;
    Divpd "divpd" Kind::pd(Arithmetic::Div) => Divpd_xmm_xmmm128;
    Divss "divss" Kind::ss(Arithmetic::Div) => Divss_xmm_xmmm32;
    Divsd "divsd" Kind::sd(Arithmetic::Div) => Divsd_xmm_xmmm64;
    Sqrtps "sqrtps" Kind::BOUNDED => Sqrtps_xmm_xmmm128;
    Sqrtpd "sqrtpd" Kind::BOUNDED => Sqrtpd_xmm_xmmm128;
    Sqrtss "sqrtss" Kind::BOUNDED => Sqrtss_xmm_xmmm32;
    Sqrtsd "sqrtsd" Kind::BOUNDED => Sqrtsd_xmm_xmmm64;
    Minps "minps" Kind::BOUNDED => Minps_xmm_xmmm128;
    Minpd "minpd" Kind::BOUNDED => Minpd_xmm_xmmm128;
    Minss "minss" Kind::BOUNDED => Minss_xmm_xmmm32;
    Minsd "minsd" Kind::BOUNDED => Minsd_xmm_xmmm64;
    Maxps "maxps" Kind::BOUNDED => Maxps_xmm_xmmm128;
    Maxpd "maxpd" Kind::BOUNDED => Maxpd_xmm_xmmm128;
    Maxss "maxss" Kind::BOUNDED => Maxss_xmm_xmmm32;
    Maxsd "maxsd" Kind::BOUNDED => Maxsd_xmm_xmmm64;
    Addsubps "addsubps" Kind::ps(Arithmetic::SubAdd) => Addsubps_xmm_xmmm128;
    Addsubpd "addsubpd" Kind::pd(Arithmetic::SubAdd) => Addsubpd_xmm_xmmm128;
}

float_op!(Roundps<I> "roundps" Kind::BOUNDED);
float_op!(Roundpd<I> "roundpd" Kind::BOUNDED);
float_op!(Roundss<I> "roundss" Kind::BOUNDED);
float_op!(Roundsd<I> "roundsd" Kind::BOUNDED);

/// The instance of a generic operation for a ROUND immediate: bits 0-1 the mode, bit 2 to use
/// MXCSR's mode instead, bit 3 to suppress the inexact exception. Other bits are ignored.
macro_rules! rounding {
    ($op:ident, $imm:expr) => {
        match $imm & 15 {
            0 => float::<$op<0>>,
            1 => float::<$op<1>>,
            2 => float::<$op<2>>,
            3 => float::<$op<3>>,
            4..8 => float::<$op<4>>,
            8 => float::<$op<8>>,
            9 => float::<$op<9>>,
            10 => float::<$op<10>>,
            11 => float::<$op<11>>,
            _ => float::<$op<12>>,
        }
    };
}

/// The primitive of a float arithmetic instruction.
pub(super) fn prim(code: Code, imm: u8) -> Option<Prim> {
    Some(match code {
        Code::Roundps_xmm_xmmm128_imm8 => rounding!(Roundps, imm),
        Code::Roundpd_xmm_xmmm128_imm8 => rounding!(Roundpd, imm),
        Code::Roundss_xmm_xmmm32_imm8 => rounding!(Roundss, imm),
        Code::Roundsd_xmm_xmmm64_imm8 => rounding!(Roundsd, imm),
        Code::Haddps_xmm_xmmm128 => horizontal_ps::<Addps>,
        Code::Hsubps_xmm_xmmm128 => horizontal_ps::<Subps>,
        Code::Haddpd_xmm_xmmm128 => horizontal_pd::<Addpd>,
        Code::Hsubpd_xmm_xmmm128 => horizontal_pd::<Subpd>,
        _ => return arithmetic(code),
    })
}

/// HADDPS and HSUBPS, with the even lanes as the first operands. That order decides which of two
/// NaNs is the result; the architecture leaves it open, and so this is not the host's instruction.
fn horizontal_ps<O: FloatOp>(f: &mut Frame) -> Result<(), SimdFault> {
    let (dst, src) = (doubles(f.dst), doubles(f.src));
    let lanes = |odd: usize| from_doubles([dst[odd], dst[2 + odd], src[odd], src[2 + odd]]);
    f.dst = apply::<O>(lanes(0), lanes(1), &mut f.mxcsr)?;
    Ok(())
}

/// HADDPD and HSUBPD, as [`horizontal_ps`].
fn horizontal_pd<O: FloatOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = apply::<O>([f.dst[0], f.src[0]], [f.dst[1], f.src[1]], &mut f.mxcsr)?;
    Ok(())
}
