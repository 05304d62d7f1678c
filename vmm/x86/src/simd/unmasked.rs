//! The exception flags of arithmetic whose overflow or underflow exception is unmasked.
//!
//! The host always executes with all exceptions masked. That raises the same flags except for two
//! (Intel SDM vol. 1, 4.9.1.4 to 4.9.1.6): an unmasked underflow is raised by every tiny result, a
//! masked one only by tiny results that are inexact; and with an unmasked overflow or underflow the
//! inexact flag refers to the result with an unbounded exponent.

use super::Quads;
use super::convert::Cvtsd2ss;
use super::float::{Addsd, Addss, Divsd, Divss, Mulsd, Mulss, Subsd, Subss};
use super::host::{DAZ, FLAGS, FloatOp, OE, PE, UE};

/// What an operation computes, as far as that matters to the flags above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// Neither overflow nor underflow is possible.
    Bounded,
    /// `dst + src`.
    Add,
    /// `dst - src`.
    Sub,
    /// `dst * src`.
    Mul,
    /// `dst / src`.
    Div,
    /// `src` from binary64 to binary32.
    Narrow,
    /// `dst - src` in even lanes, `dst + src` in odd lanes.
    SubAdd,
}

/// The arithmetic of an operation, the width of its operands' lanes and how many of them it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    arithmetic: Arithmetic,
    wide: bool,
    lanes: usize,
}

impl Kind {
    /// Neither overflow nor underflow is possible.
    pub(super) const BOUNDED: Self = Self {
        arithmetic: Arithmetic::Bounded,
        wide: false,
        lanes: 0,
    };

    /// Four lanes of binary32.
    pub(super) const fn ps(arithmetic: Arithmetic) -> Self {
        Self {
            arithmetic,
            wide: false,
            lanes: 4,
        }
    }

    /// Two lanes of binary64.
    pub(super) const fn pd(arithmetic: Arithmetic) -> Self {
        Self {
            arithmetic,
            wide: true,
            lanes: 2,
        }
    }

    /// One lane of binary32.
    pub(super) const fn ss(arithmetic: Arithmetic) -> Self {
        Self {
            arithmetic,
            wide: false,
            lanes: 1,
        }
    }

    /// One lane of binary64.
    pub(super) const fn sd(arithmetic: Arithmetic) -> Self {
        Self {
            arithmetic,
            wide: true,
            lanes: 1,
        }
    }
}

/// All flags that an operation raises under the MXCSR controls `control` (all exceptions masked) if
/// the exceptions `unmasked` were unmasked; `None` if they are the masked ones.
pub(super) fn flags(
    kind: Kind,
    dst: Quads,
    src: Quads,
    control: u32,
    unmasked: u32,
) -> Option<u32> {
    if kind.arithmetic == Arithmetic::Bounded {
        return None;
    }
    let all = (0..kind.lanes).map(|lane| {
        let (arithmetic, a, b) = scalar(kind, dst, src, lane);
        lane_flags(arithmetic, kind.wide, a, b, control, unmasked)
    });
    Some(all.fold(0, |union, one| union | one))
}

/// One lane of a value, as its bits.
fn lane(value: Quads, wide: bool, index: usize) -> u64 {
    if wide {
        value[index & 1]
    } else {
        u64::from((value[(index / 2) & 1] >> (index % 2 * 32)) as u32)
    }
}

/// The scalar operation that makes one lane of the result, with its operands.
fn scalar(kind: Kind, dst: Quads, src: Quads, index: usize) -> (Arithmetic, u64, u64) {
    let vertical = |arithmetic| {
        (
            arithmetic,
            lane(dst, kind.wide, index),
            lane(src, kind.wide, index),
        )
    };
    match kind.arithmetic {
        Arithmetic::SubAdd if index.is_multiple_of(2) => vertical(Arithmetic::Sub),
        Arithmetic::SubAdd => vertical(Arithmetic::Add),
        other => vertical(other),
    }
}

/// The flags of one scalar operation.
fn lane_flags(
    arithmetic: Arithmetic,
    wide: bool,
    a: u64,
    b: u64,
    control: u32,
    unmasked: u32,
) -> u32 {
    let execute = match (arithmetic, wide) {
        (Arithmetic::Add, false) => Addss::under_guest,
        (Arithmetic::Add, true) => Addsd::under_guest,
        (Arithmetic::Sub, false) => Subss::under_guest,
        (Arithmetic::Sub, true) => Subsd::under_guest,
        (Arithmetic::Mul, false) => Mulss::under_guest,
        (Arithmetic::Mul, true) => Mulsd::under_guest,
        (Arithmetic::Div, false) => Divss::under_guest,
        (Arithmetic::Div, true) => Divsd::under_guest,
        _ => Cvtsd2ss::under_guest,
    };
    let (result, csr) = execute([a, 0], [b, 0], control);
    let mut raised = csr & FLAGS;
    let wide_result = wide && arithmetic != Arithmetic::Narrow;
    let tiny = raised & UE != 0 || is_denormal(lane(result, wide_result, 0), wide_result);
    if unmasked & OE & raised != 0 || (unmasked & UE != 0 && tiny) {
        raised |= if tiny { UE } else { 0 };
        raised &= !PE;
        if !exact(arithmetic, wide, a, b, control & DAZ != 0) {
            raised |= PE;
        }
    }
    raised
}

/// Whether a float is denormal; zero is not.
fn is_denormal(bits: u64, wide: bool) -> bool {
    let fraction_bits = if wide { 52 } else { 23 };
    let magnitude = bits & !(1 << if wide { 63 } else { 31 });
    magnitude != 0 && magnitude >> fraction_bits == 0
}

/// A finite float as its sign, significand and the exponent of the significand's unit.
fn unpack(bits: u64, wide: bool, daz: bool) -> (bool, u64, i32) {
    let (fraction_bits, exponent_bits) = if wide { (52, 11) } else { (23, 8) };
    let fraction = bits & ((1 << fraction_bits) - 1);
    let exponent = (bits >> fraction_bits & ((1 << exponent_bits) - 1)) as i32;
    let negative = bits >> (fraction_bits + exponent_bits) & 1 != 0;
    match exponent {
        0 if daz => (negative, 0, 1),
        0 => (negative, fraction, 1),
        _ => (negative, fraction | 1 << fraction_bits, exponent),
    }
}

/// Whether the result of an operation on finite operands, rounded to the destination's precision with
/// an unbounded exponent, is exact.
fn exact(arithmetic: Arithmetic, wide: bool, a: u64, b: u64, daz: bool) -> bool {
    let precision = if wide && arithmetic != Arithmetic::Narrow {
        53
    } else {
        24
    };
    let (a_negative, a, a_exponent) = unpack(a, wide, daz);
    let (b_negative, b, b_exponent) = unpack(b, wide, daz);
    match arithmetic {
        Arithmetic::Mul => significant_bits(u128::from(a) * u128::from(b)) <= precision,
        Arithmetic::Narrow => significant_bits(u128::from(b)) <= precision,
        Arithmetic::Div if b != 0 => a.is_multiple_of(b >> b.trailing_zeros()),
        Arithmetic::Div => true,
        _ if a == 0 || b == 0 => true,
        _ => {
            let subtract = (a_negative != b_negative) != (arithmetic == Arithmetic::Sub);
            let (high, low) = if a_exponent >= b_exponent {
                (a, b)
            } else {
                (b, a)
            };
            let distance = a_exponent.abs_diff(b_exponent);
            if distance > 64 {
                return false;
            }
            let high = u128::from(high) << distance;
            let low = u128::from(low);
            let sum = if subtract {
                high.abs_diff(low)
            } else {
                high + low
            };
            significant_bits(sum) <= precision
        }
    }
}

/// How many bits lie between the highest and the lowest one that is set, inclusive.
fn significant_bits(value: u128) -> u32 {
    if value == 0 {
        0
    } else {
        128 - value.leading_zeros() - value.trailing_zeros()
    }
}
