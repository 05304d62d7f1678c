//! FPREM, FPREM1, FSCALE and FXTRACT: exact manipulations of exponent and significand.

use super::convert::from_integer;
use super::number::{
    BIAS, Class, ONE, Out, class, denormal_flag, flag, infinity, negative, pack, round, round_any,
    special_one, special_two, unpack, zero,
};
use crate::state::F80;

/// A remainder and the part of the quotient that the condition codes tell.
pub(super) struct Remainder {
    pub out: Out,
    /// The reduction is incomplete (C2).
    pub partial: bool,
    /// The three low bits of the quotient.
    pub quotient: u8,
}

impl Remainder {
    fn plain(out: Out) -> Self {
        Self {
            out,
            partial: false,
            quotient: 0,
        }
    }
}

/// FPREM (`nearest` false: the quotient is truncated) and FPREM1 (`nearest` true: rounded to
/// nearest even). When the exponents differ by 64 or more, one step reduces the difference D by
/// N = (D mod 32) + 32, which is the processor's choice in the range that the SDM allows.
pub(super) fn remainder(a: F80, b: F80, nearest: bool, control: u16) -> Remainder {
    if let Some(out) = special_two(a, b) {
        return Remainder::plain(out);
    }
    let flags = denormal_flag(a, b);
    match (class(a), class(b)) {
        (Class::Infinity, _) | (_, Class::Zero) => return Remainder::plain(Out::invalid()),
        (Class::Zero, _) => return Remainder::plain(Out::exact(a).with(flags)),
        (_, Class::Infinity) => return Remainder::plain(same(a, control).with(flags)),
        _ => {}
    }
    let (x, y) = (unpack(a), unpack(b));
    let difference = x.exp - y.exp;
    if difference < -1 || difference == -1 && !nearest {
        return Remainder::plain(same(a, control).with(flags));
    }
    let partial = difference >= 64;
    let steps = if partial {
        (difference & 31) | 32
    } else {
        difference.max(0)
    };
    // With a difference of -1 the divisor is scaled instead, to keep everything an integer.
    let divisor = u128::from(y.sig) << i32::from(difference < 0);
    let dividend = u128::from(x.sig) << steps;
    let exp = if difference < 0 {
        x.exp
    } else {
        y.exp + difference - steps
    };
    let (mut quotient, mut rest) = (dividend / divisor, dividend % divisor);
    let mut neg = x.neg;
    let past_half = rest > divisor - rest || rest == divisor - rest && quotient & 1 != 0;
    if nearest && !partial && past_half {
        rest = divisor - rest;
        quotient += 1;
        neg = !neg;
    }
    let out = if rest == 0 {
        Out::exact(zero(x.neg))
    } else {
        round_any(neg, exp + 64, rest, 64, control)
    };
    let quotient = if partial { 0 } else { quotient as u8 & 7 };
    Remainder {
        out: out.with(flags),
        partial,
        quotient,
    }
}

/// An unchanged operand as a result: it still signals an unmasked underflow if it is tiny.
fn same(a: F80, control: u16) -> Out {
    let x = unpack(a);
    round(x.neg, x.exp, u128::from(x.sig) << 64, 64, control)
}

/// FSCALE: `a * 2^trunc(b)`.
pub(super) fn scale(a: F80, b: F80, control: u16) -> Out {
    if let Some(out) = special_two(a, b) {
        return out;
    }
    let neg = negative(a);
    let flags = denormal_flag(a, b);
    match (class(a), class(b)) {
        (Class::Zero, Class::Infinity) if !negative(b) => return Out::invalid(),
        (Class::Infinity, Class::Infinity) if negative(b) => return Out::invalid(),
        (_, Class::Infinity) if negative(b) => return Out::exact(zero(neg)).with(flags),
        (_, Class::Infinity) => return Out::exact(infinity(neg)).with(flags),
        (Class::Infinity | Class::Zero, _) => return Out::exact(a).with(flags),
        _ => {}
    }
    let x = unpack(a);
    let power = truncated(b);
    if power == 0 {
        // Nothing is computed, so that nothing underflows. Pseudo-denormals become what they stand for.
        let value = if x.exp == 1 { pack(x.neg, 1, x.sig) } else { a };
        return Out::exact(value).with(flags);
    }
    let exp = x.exp + power;
    round(x.neg, exp, u128::from(x.sig) << 64, 64, control).with(flags)
}

/// The integer part of a scale factor, limited to what makes every result overflow or underflow
/// beyond even a wrapped exponent.
fn truncated(b: F80) -> i32 {
    const LIMIT: i32 = 0x1_0000;
    if class(b) == Class::Zero {
        return 0;
    }
    let y = unpack(b);
    let power = y.exp - BIAS;
    let magnitude = match power {
        ..0 => 0,
        0..16 => (y.sig >> (63 - power)) as i32,
        _ => LIMIT,
    };
    if y.neg { -magnitude } else { magnitude }
}

/// FXTRACT: the exponent (which replaces the operand) and the significand (which is pushed). The
/// flags are those of the first.
pub(super) fn extract(a: F80) -> (Out, F80) {
    if let Some(out) = special_one(a) {
        return (out, out.value);
    }
    match class(a) {
        Class::Infinity => (Out::exact(infinity(false)), a),
        Class::Zero => (Out::exact(infinity(true)).with(flag::ZERO_DIVIDE), a),
        _ => {
            let x = unpack(a);
            let exponent = from_integer(i64::from(x.exp - BIAS));
            (
                Out::exact(exponent).with(denormal_flag(a, a)),
                pack(x.neg, i32::from(ONE.sign_exponent), x.sig),
            )
        }
    }
}
