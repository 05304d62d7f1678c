//! Addition, multiplication, division, square root and comparison, in integers: every result is
//! the exact one rounded once, as IEEE 754 and the SDM want, so no host arithmetic is involved.

use super::number::{
    BIAS, Class, Finite, Out, both_normal, class, denormal_flag, flag, infinity, negative,
    precision, round, round_any, shift_right_sticky, special_one, special_two, unpack, zero,
};
use crate::state::F80;

/// The four operations with two operands; the reversed forms swap theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arith {
    Add,
    Mul,
    Sub,
    SubReversed,
    Div,
    DivReversed,
}

/// Computes `a op b` (or `b op a` for the reversed operations) with the precision and rounding of
/// `control`.
pub(super) fn binary(op: Arith, a: F80, b: F80, control: u16) -> Out {
    if both_normal(a, b) {
        let (fa, fb) = (unpack(a), unpack(b));
        return match op {
            Arith::Add => add_finite(fa, fb, control),
            Arith::Sub => add_finite(fa, fb.negated(), control),
            Arith::SubReversed => add_finite(fb, fa.negated(), control),
            Arith::Mul => mul_finite(fa, fb, control),
            Arith::Div => div_finite(fa, fb, control),
            Arith::DivReversed => div_finite(fb, fa, control),
        };
    }
    if let Some(out) = special_two(a, b) {
        return out;
    }
    match op {
        Arith::Add => add(a, b, false, control),
        Arith::Sub => add(a, b, true, control),
        Arith::SubReversed => add(b, a, true, control),
        Arith::Mul => mul(a, b, control),
        Arith::Div => div(a, b, control),
        Arith::DivReversed => div(b, a, control),
    }
}

fn add(a: F80, b: F80, subtract: bool, control: u16) -> Out {
    let (na, nb) = (negative(a), negative(b) ^ subtract);
    let (ca, cb) = (class(a), class(b));
    let flags = denormal_flag(a, b);
    match (ca, cb) {
        (Class::Infinity, Class::Infinity) if na != nb => return Out::invalid(),
        (Class::Infinity, _) => return Out::exact(infinity(na)).with(flags),
        (_, Class::Infinity) => return Out::exact(infinity(nb)).with(flags),
        (Class::Zero, Class::Zero) => return Out::exact(zero(sum_sign(na, nb, control))),
        _ => {}
    }
    let bits = precision(control);
    let fb = unpack(b);
    let fb = if subtract { fb.negated() } else { fb };
    if ca == Class::Zero {
        return round(nb, fb.exp, u128::from(fb.sig) << 64, bits, control).with(flags);
    }
    let fa = unpack(a);
    if cb == Class::Zero {
        return round(na, fa.exp, u128::from(fa.sig) << 64, bits, control).with(flags);
    }
    add_finite(fa, fb, control).with(flags)
}

/// The sum of two numbers that are not zero.
fn add_finite(a: Finite, b: Finite, control: u16) -> Out {
    let (large, small) = if (a.exp, a.sig) >= (b.exp, b.sig) {
        (a, b)
    } else {
        (b, a)
    };
    // One bit of headroom for the carry; what is shifted out below can only matter as a sticky
    // bit, because a difference loses more than one leading bit only if nothing was shifted out.
    let high = u128::from(large.sig) << 63;
    let low = shift_right_sticky(u128::from(small.sig) << 63, (large.exp - small.exp) as u32);
    let sum = if a.neg == b.neg {
        high + low
    } else {
        high - low
    };
    if sum == 0 {
        return Out::exact(zero(sum_sign(a.neg, b.neg, control)));
    }
    round_any(large.neg, large.exp + 1, sum, precision(control), control)
}

/// The sign of an exact zero sum.
fn sum_sign(a: bool, b: bool, control: u16) -> bool {
    if a == b { a } else { control >> 10 & 3 == 1 }
}

fn mul(a: F80, b: F80, control: u16) -> Out {
    let neg = negative(a) ^ negative(b);
    let flags = denormal_flag(a, b);
    match (class(a), class(b)) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => return Out::invalid(),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            return Out::exact(infinity(neg)).with(flags);
        }
        (Class::Zero, _) | (_, Class::Zero) => return Out::exact(zero(neg)).with(flags),
        _ => {}
    }
    mul_finite(unpack(a), unpack(b), control).with(flags)
}

/// The product of two numbers that are not zero.
fn mul_finite(a: Finite, b: Finite, control: u16) -> Out {
    let neg = a.neg ^ b.neg;
    let product = u128::from(a.sig) * u128::from(b.sig);
    round_any(
        neg,
        a.exp + b.exp - BIAS + 1,
        product,
        precision(control),
        control,
    )
}

fn div(a: F80, b: F80, control: u16) -> Out {
    let neg = negative(a) ^ negative(b);
    let flags = denormal_flag(a, b);
    match (class(a), class(b)) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => return Out::invalid(),
        (Class::Infinity, _) => return Out::exact(infinity(neg)).with(flags),
        (_, Class::Infinity) | (Class::Zero, _) => return Out::exact(zero(neg)).with(flags),
        (_, Class::Zero) => return Out::exact(infinity(neg)).with(flag::ZERO_DIVIDE),
        _ => {}
    }
    div_finite(unpack(a), unpack(b), control).with(flags)
}

/// The quotient of two numbers that are not zero.
fn div_finite(a: Finite, b: Finite, control: u16) -> Out {
    let neg = a.neg ^ b.neg;
    let divisor = u128::from(b.sig);
    let dividend = u128::from(a.sig) << 63;
    let (high, rest) = (dividend / divisor, dividend % divisor);
    let (low, rest) = ((rest << 64) / divisor, (rest << 64) % divisor);
    let quotient = high << 64 | low | u128::from(rest != 0);
    round_any(
        neg,
        a.exp - b.exp + BIAS,
        quotient,
        precision(control),
        control,
    )
}

/// FSQRT.
pub(super) fn sqrt(a: F80, control: u16) -> Out {
    if let Some(out) = special_one(a) {
        return out;
    }
    match class(a) {
        Class::Zero => return Out::exact(a),
        _ if negative(a) => return Out::invalid(),
        Class::Infinity => return Out::exact(a),
        _ => {}
    }
    let x = unpack(a);
    let power = x.exp - BIAS;
    let square = u128::from(x.sig) << (63 + (power & 1));
    let root = square.isqrt();
    let rest = square - root * root;
    // The root is never exactly between two integers; it is above the middle if rest > root.
    let below = if rest > root {
        3 << 62
    } else {
        u128::from(rest != 0)
    };
    round(
        false,
        BIAS + (power >> 1),
        root << 64 | below,
        precision(control),
        control,
    )
    .with(denormal_flag(a, a))
}

/// The relation of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Less,
    Equal,
    Greater,
    Unordered,
}

/// Compares; `quiet` comparisons do not signal for quiet NaNs. The second value is the exceptions.
pub(super) fn compare(a: F80, b: F80, quiet: bool) -> (Relation, u16) {
    if let Some(out) = special_two(a, b) {
        let flags = if quiet { out.flags } else { flag::INVALID };
        return (Relation::Unordered, flags);
    }
    let order = ordered(a).cmp(&ordered(b));
    let relation = match order {
        std::cmp::Ordering::Less => Relation::Less,
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::Greater,
    };
    (relation, denormal_flag(a, b))
}

/// A key that orders all numbers; the exponent of a pseudo-denormal counts as one.
fn ordered(x: F80) -> i128 {
    let exp = match class(x) {
        Class::Denormal => 1,
        _ => x.sign_exponent & 0x7fff,
    };
    let magnitude = i128::from(exp) << 64 | i128::from(x.mantissa);
    let magnitude = if x.mantissa == 0 { 0 } else { magnitude };
    if negative(x) { -magnitude } else { magnitude }
}
