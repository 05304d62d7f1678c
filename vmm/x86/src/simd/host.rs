//! Running an operation on the host's own SIMD unit.
//!
//! The host is x86-64-v2 or better. `asm!` needs no target feature for the instructions it contains.

use super::unmasked::{self, Kind};
use super::{Frame, Quads, SimdFault};
use core::arch::asm;
use core::arch::x86_64::__m128i;

/// The exception flags of MXCSR: IE, DE, ZE, OE, UE, PE.
pub(super) const FLAGS: u32 = 0x3f;
/// The flags that are found before anything is computed: IE, DE, ZE.
pub(super) const EARLY: u32 = 7;
/// Overflow.
pub(super) const OE: u32 = 8;
/// Underflow.
pub(super) const UE: u32 = 0x10;
/// Inexact result.
pub(super) const PE: u32 = 0x20;
/// Denormals are zeros.
pub(super) const DAZ: u32 = 0x40;
/// The exception masks, in the order of the flags and seven bits above them.
pub(super) const MASKS: u32 = 0x1f80;

/// Puts a value into the type that an XMM register operand has.
#[inline(always)]
pub(super) fn vector(value: Quads) -> __m128i {
    // SAFETY: both types are 16 bytes of plain data.
    unsafe { core::mem::transmute(value) }
}

/// The inverse of [`vector`].
#[inline(always)]
pub(super) fn quads(value: __m128i) -> Quads {
    // SAFETY: both types are 16 bytes of plain data.
    unsafe { core::mem::transmute(value) }
}

/// An operation that neither reads nor writes MXCSR.
pub(super) trait IntOp {
    /// Executes the instruction.
    fn run(dst: Quads, src: Quads) -> Quads;
}

/// Declares host instructions that ignore MXCSR, with the forms that they implement and how, and a
/// function `prim` that finds them.
macro_rules! int_ops {
    ($($name:ident $op:literal { $($code:ident: $form:ident),+ $(,)? })+) => {
        $(
            struct $name;
            impl $crate::simd::host::IntOp for $name {
                #[inline(always)]
                fn run(dst: $crate::simd::Quads, src: $crate::simd::Quads) -> $crate::simd::Quads {
                    let mut d = $crate::simd::host::vector(dst);
                    // SAFETY: a register-to-register instruction without side effects, which every
                    // x86-64-v2 host has.
                    unsafe {
                        core::arch::asm!(
                            concat!($op, " {d}, {s}"),
                            d = inout(xmm_reg) d,
                            s = in(xmm_reg) $crate::simd::host::vector(src),
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                    $crate::simd::host::quads(d)
                }
            }
        )+

        /// The primitive of an instruction form that is one host instruction.
        fn hosted(code: iced_x86::Code) -> Option<$crate::simd::Prim> {
            Some(match code {
                $($(iced_x86::Code::$code => $form::<$name>,)+)+
                _ => return None,
            })
        }
    };
}
pub(super) use int_ops;

/// `dst = op(dst, src)`. It serves MM forms too if the low quadword of the result depends only on the
/// low quadwords of the operands.
pub(super) fn plain<O: IntOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = O::run(f.dst, f.src);
    Ok(())
}

/// For MM forms of operations that put a result made from `dst` below one made from `src` (packs and
/// horizontal operations): the low half of the XMM form on both operands concatenated.
pub(super) fn concatenated<O: IntOp>(f: &mut Frame) -> Result<(), SimdFault> {
    let both = [f.dst[0], f.src[0]];
    f.dst = [O::run(both, both)[0], 0];
    Ok(())
}

/// An operation that works under MXCSR.
pub(super) trait FloatOp {
    /// What decides its flags when an exception is unmasked.
    const KIND: Kind;
    /// Executes under the host's MXCSR; the second result is MXCSR after it.
    fn under_host(dst: Quads, src: Quads) -> (Quads, u32);
    /// Executes under `mxcsr`, all of whose exceptions must be masked; the second result is MXCSR
    /// after it. The host's MXCSR is restored.
    fn under_guest(dst: Quads, src: Quads, mxcsr: u32) -> (Quads, u32);
}

/// One host instruction, then STMXCSR to `$csr`.
macro_rules! under_host {
    ($csr:ident, $op:expr, $($operand:tt)*) => {
        core::arch::asm!(
            $op,
            "stmxcsr [{csr}]",
            $($operand)*,
            csr = in(reg) core::ptr::from_mut(&mut $csr),
            options(nostack),
        )
    };
}
pub(super) use under_host;

/// One host instruction under the MXCSR in `$csr`, which receives MXCSR after it.
macro_rules! under_guest {
    ($csr:ident, $op:expr, $($operand:tt)*) => {
        let mut host = 0_u32;
        core::arch::asm!(
            "stmxcsr [{host}]",
            "ldmxcsr [{csr}]",
            $op,
            "stmxcsr [{csr}]",
            "ldmxcsr [{host}]",
            $($operand)*,
            host = in(reg) core::ptr::from_mut(&mut host),
            csr = in(reg) core::ptr::from_mut(&mut $csr),
            options(nostack),
        )
    };
}
pub(super) use under_guest;

/// Declares float operations from one XMM register to another. With `<I>`, the operation is generic
/// in its immediate.
macro_rules! float_op {
    ($name:ident $op:literal $kind:expr) => {
        float_op!(@ $name [] $kind, concat!($op, " {d}, {s}"), []);
    };
    ($name:ident<I> $op:literal $kind:expr) => {
        float_op!(@ $name [I] $kind, concat!($op, " {d}, {s}, {i}"), [, i = const I]);
    };
    (@ $name:ident [$($i:ident)?] $kind:expr, $op:expr, [$($extra:tt)*]) => {
        pub(super) struct $name$(<const $i: u8>)?;
        impl$(<const $i: u8>)? $crate::simd::host::FloatOp for $name$(<$i>)? {
            const KIND: $crate::simd::unmasked::Kind = $kind;
            #[inline(always)]
            fn under_host(dst: $crate::simd::Quads, src: $crate::simd::Quads) -> ($crate::simd::Quads, u32) {
                let mut d = $crate::simd::host::vector(dst);
                let mut csr = 0_u32;
                // SAFETY: the instruction works on registers, STMXCSR writes a local; every
                // x86-64-v2 host has both. MXCSR's control bits do not change.
                unsafe {
                    $crate::simd::host::under_host!(
                        csr, $op, d = inout(xmm_reg) d,
                        s = in(xmm_reg) $crate::simd::host::vector(src) $($extra)*
                    );
                }
                ($crate::simd::host::quads(d), csr)
            }
            #[inline(always)]
            fn under_guest(
                dst: $crate::simd::Quads,
                src: $crate::simd::Quads,
                mut csr: u32,
            ) -> ($crate::simd::Quads, u32) {
                let mut d = $crate::simd::host::vector(dst);
                // SAFETY: as above; all exceptions are masked in `csr`, which has no reserved bit
                // set, and the host's MXCSR is restored.
                unsafe {
                    $crate::simd::host::under_guest!(
                        csr, $op, d = inout(xmm_reg) d,
                        s = in(xmm_reg) $crate::simd::host::vector(src) $($extra)*
                    );
                }
                ($crate::simd::host::quads(d), csr)
            }
        }
    };
}
pub(super) use float_op;

/// Executes a float operation under the guest's MXCSR, to which it adds the raised flags.
///
/// Most guests run with the host's control bits and soon have the flags that their operations raise.
/// So this first executes under the host's MXCSR and looks whether that was right.
///
/// # Errors
/// [`SimdFault::FloatingPoint`] if it raises an exception that `mxcsr` does not mask.
#[inline(always)]
pub(super) fn apply<O: FloatOp>(
    dst: Quads,
    src: Quads,
    mxcsr: &mut u32,
) -> Result<Quads, SimdFault> {
    let (result, after) = O::under_host(dst, src);
    if (after ^ *mxcsr) & !(*mxcsr & FLAGS) == 0 {
        // The control bits are equal, and neither has the operation raised a flag that the guest
        // does not have, nor has the host kept one from before.
        return Ok(result);
    }
    apply_again::<O>(dst, src, mxcsr, after)
}

/// [`apply`] where the host's MXCSR, whose value is `host`, did not serve as it was.
#[cold]
#[inline(never)]
fn apply_again<O: FloatOp>(
    dst: Quads,
    src: Quads,
    mxcsr: &mut u32,
    host: u32,
) -> Result<Quads, SimdFault> {
    if (host ^ *mxcsr) & !FLAGS != 0 {
        return apply_under_guest::<O>(dst, src, mxcsr);
    }
    let clean = host & !FLAGS;
    // SAFETY: only exception flags change, which no Rust code relies on.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) core::ptr::from_ref(&clean), options(nostack));
    }
    let (result, after) = O::under_host(dst, src);
    *mxcsr |= after & FLAGS;
    Ok(result)
}

/// [`apply`] with control bits that are not the host's.
///
/// With an unmasked exception it works in the two phases of SDM vol. 1, 11.5.2: an early exception
/// that is unmasked keeps the late ones from being found.
fn apply_under_guest<O: FloatOp>(
    dst: Quads,
    src: Quads,
    mxcsr: &mut u32,
) -> Result<Quads, SimdFault> {
    let unmasked = !(*mxcsr >> 7) & FLAGS;
    // Flushing to zero belongs to the masked response to an underflow (SDM vol. 1, 10.2.3.3). It
    // need not be cleared if that is unmasked: a tiny result raises the exception either way.
    let control = (*mxcsr & super::MXCSR_MASK & !FLAGS) | MASKS;
    let (result, csr) = O::under_guest(dst, src, control);
    let mut raised = csr & FLAGS;
    if raised & unmasked & EARLY != 0 {
        *mxcsr |= raised & EARLY;
        return Err(SimdFault::FloatingPoint);
    }
    if unmasked & (OE | UE) != 0
        && let Some(exact) = unmasked::flags(O::KIND, dst, src, control, unmasked)
    {
        raised = exact;
    }
    *mxcsr |= raised;
    if raised & unmasked == 0 {
        Ok(result)
    } else {
        Err(SimdFault::FloatingPoint)
    }
}

/// The primitive of a float operation from XMM to XMM.
pub(super) fn float<O: FloatOp>(f: &mut Frame) -> Result<(), SimdFault> {
    f.dst = apply::<O>(f.dst, f.src, &mut f.mxcsr)?;
    Ok(())
}
