//! F2XM1, FYL2X and FYL2XP1 in software, because processors differ in them.

use super::number::{
    BIAS, Class, ONE, Out, class, denormal_flag, flag, infinity, negative, pack, special_one,
    special_two, unpack, zero,
};
use super::significand::{ONE_127, Wide, mul_high};
use crate::state::F80;

/// ln 2.
const LN_2: Wide = Wide {
    neg: false,
    exp: -1,
    sig: 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af,
};

/// 2 / ln 2.
const TWO_LOG2_E: Wide = Wide {
    neg: false,
    exp: 1,
    sig: 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88,
};

/// The square root of two, in units of 2^-127.
const SQRT_2: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;

/// Terms of the exponential series; its argument is at most ln 2.
const EXP_TERMS: u128 = 28;

/// F2XM1: `2^a - 1` for `a` from -1 to 1. Outside of that range, where the result is undefined, the
/// operand stays as it is; infinities give the limits.
pub(super) fn exp2_minus_1(a: F80, control: u16) -> Out {
    if let Some(out) = special_one(a) {
        return out;
    }
    match class(a) {
        Class::Zero => return Out::exact(a),
        Class::Infinity if negative(a) => return Out::exact(pack(true, BIAS, 1 << 63)),
        Class::Infinity => return Out::exact(a),
        _ => {}
    }
    let x = Wide::new(unpack(a));
    if x.exp >= 0 {
        let half = pack(true, BIAS - 1, 1 << 63);
        let is_minus_one = x.neg && x.exp == 0 && x.sig == ONE_127;
        return Out::exact(if is_minus_one { half } else { a });
    }
    let t = x.mul(LN_2);
    let fraction = t.fraction_128();
    // (e^t - 1) / t = 1 + t/2 (1 + t/3 (1 + ...)), with the signs alternating for a negative t.
    let sum = (2..EXP_TERMS).rev().fold(ONE_127, |sum, n| {
        let term = mul_high(fraction, sum) / n;
        if t.neg {
            ONE_127 - term
        } else {
            ONE_127 + term
        }
    });
    t.mul_127(sum)
        .round_irrational(control)
        .with(denormal_flag(a, a))
}

/// Terms of the logarithm's series; its argument is at most 0.1716.
const LOG_TERMS: usize = 26;

/// `1 / (2n + 1)` in units of 2^-127.
const LOG_COEFFICIENTS: [u128; LOG_TERMS] = {
    let mut coefficients = [0; LOG_TERMS];
    let mut i = 0;
    while i < LOG_TERMS {
        coefficients[i] = ONE_127 / (2 * i as u128 + 1);
        i += 1;
    }
    coefficients
};

/// `log2((1 + s) / (1 - s))` for `s` up to 0.1716 in magnitude.
fn log2_of_ratio(s: Wide) -> Wide {
    let z = s.square_128();
    let sum = LOG_COEFFICIENTS
        .iter()
        .rev()
        .fold(0, |sum, coefficient| coefficient + mul_high(z, sum));
    s.mul_127(sum).mul(TWO_LOG2_E)
}

/// The binary logarithm of a positive number: `None` if it is zero, else the value and whether it
/// is exact, which only powers of two give.
fn log2(m: Wide) -> Option<(Wide, bool)> {
    let high = m.sig > SQRT_2;
    let exponent = m.exp + i32::from(high);
    let scaled = Wide {
        exp: if high { -1 } else { 0 },
        ..m
    };
    let whole = integer(exponent);
    let Some(numerator) = scaled.add(Wide::ONE.negate_if(true)) else {
        return whole.map(|w| (w, true));
    };
    let denominator = scaled.add(Wide::ONE)?;
    let part = log2_of_ratio(numerator.div(denominator));
    match whole {
        None => Some((part, false)),
        Some(w) => w.add(part).map(|sum| (sum, false)),
    }
}

fn integer(value: i32) -> Option<Wide> {
    let magnitude = u128::from(value.unsigned_abs());
    let shift = magnitude.leading_zeros();
    (value != 0).then(|| Wide {
        neg: value < 0,
        exp: 127 - shift as i32,
        sig: magnitude << (shift & 127),
    })
}

/// The product of `y` and a logarithm, rounded.
fn scaled(y: F80, log: (Wide, bool), control: u16) -> Out {
    let product = Wide::new(unpack(y)).mul(log.0);
    if log.1 {
        product.round(control)
    } else {
        product.round_irrational(control)
    }
}

/// FYL2X: `y * log2(x)`.
pub(super) fn y_log2_x(y: F80, x: F80, control: u16) -> Out {
    if let Some(out) = special_two(y, x) {
        return out;
    }
    let (cy, cx) = (class(y), class(x));
    let flags = denormal_flag(y, x);
    if cx == Class::Zero {
        return match cy {
            Class::Zero => Out::invalid(),
            Class::Infinity => Out::exact(infinity(!negative(y))),
            _ => Out::exact(infinity(!negative(y))).with(flag::ZERO_DIVIDE),
        };
    }
    if negative(x) {
        return Out::invalid();
    }
    let is_one = (x.sign_exponent, x.mantissa) == (ONE.sign_exponent, ONE.mantissa);
    let below_one = cx != Class::Infinity && x.sign_exponent < ONE.sign_exponent;
    let neg = negative(y) ^ below_one;
    match (cy, cx) {
        (Class::Zero, Class::Infinity) => return Out::invalid(),
        (Class::Infinity, _) if is_one => return Out::invalid(),
        (_, Class::Infinity) | (Class::Infinity, _) => {
            return Out::exact(infinity(neg)).with(flags);
        }
        (Class::Zero, _) => return Out::exact(zero(neg)).with(flags),
        _ => {}
    }
    match log2(Wide::new(unpack(x))) {
        Some(log) => scaled(y, log, control).with(flags),
        None => Out::exact(zero(negative(y))).with(flags),
    }
}

/// FYL2XP1: `y * log2(x + 1)`. Operands below -1, for which the result is undefined, are invalid.
pub(super) fn y_log2_x_plus_1(y: F80, x: F80, control: u16) -> Out {
    if let Some(out) = special_two(y, x) {
        return out;
    }
    let flags = denormal_flag(y, x);
    let neg = negative(y) ^ negative(x);
    match (class(y), class(x)) {
        (_, Class::Infinity) if negative(x) => return Out::invalid(),
        (Class::Zero, Class::Infinity) | (Class::Infinity, Class::Zero) => return Out::invalid(),
        (_, Class::Zero) | (Class::Zero, _) => return Out::exact(zero(neg)).with(flags),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            return Out::exact(infinity(neg)).with(flags);
        }
        _ => {}
    }
    let wide = Wide::new(unpack(x));
    // Near zero x / (2 + x) keeps the precision that x + 1 would lose.
    if wide.exp < -2 {
        let two = Wide {
            exp: 1,
            ..Wide::ONE
        };
        let log = two
            .add(wide)
            .map(|denominator| log2_of_ratio(wide.div(denominator)));
        return log.map_or_else(Out::invalid, |log| {
            scaled(y, (log, false), control).with(flags)
        });
    }
    match wide.add(Wide::ONE) {
        None => Out::exact(infinity(!negative(y))).with(flag::ZERO_DIVIDE),
        Some(sum) if sum.neg => Out::invalid(),
        Some(sum) => match log2(sum) {
            Some(log) => scaled(y, log, control).with(flags),
            None => Out::exact(zero(neg)).with(flags),
        },
    }
}
