//! FSIN, FCOS, FSINCOS, FPTAN and FPATAN in software, because processors differ in them.
//!
//! Arguments are reduced by the 66-bit approximation of pi that x87 units have used since the 387
//! (Intel SDM vol. 1, 8.3.8): the remainder modulo that number is exact, so that results agree with
//! hardware close to multiples of pi/2, where the true function would differ.

use super::number::{
    Class, Finite, ONE, Out, class, denormal_flag, flag, negative, round, special_one, special_two,
    unpack, zero,
};
use super::significand::{ONE_127, Wide, mul_high, ratio_127};
use crate::state::F80;

/// The 66-bit pi/2, in units of 2^-65.
const HALF_PI_66: u128 = 0x3_243f_6a88_85a3_08d3;

/// The pi of FPATAN's results, to 128 bits: `PI / 2^126`.
const PI_126: u128 = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1;

/// Terms of the sine and cosine series. The argument is at most pi/4, so that fourteen terms leave
/// an error far below 2^-100.
const TERMS: usize = 14;

/// `1 / ((n + 1)(n + 2))` in units of 2^-128 with `n` = 1, 3, 5, ... (sine) or 0, 2, 4, ... (cosine).
const fn series_steps(first: u128) -> [u128; TERMS] {
    let mut steps = [0; TERMS];
    let mut i = 0;
    while i < TERMS {
        let n = first + 2 * i as u128;
        steps[i] = u128::MAX / ((n + 1) * (n + 2));
        i += 1;
    }
    steps
}

const SINE_STEPS: [u128; TERMS] = series_steps(1);
const COSINE_STEPS: [u128; TERMS] = series_steps(0);

/// `1 - z s0 (1 - z s1 (1 - ...))` in units of 2^-127, strictly below one.
fn alternating(z: u128, steps: &[u128; TERMS]) -> u128 {
    steps.iter().rev().fold(ONE_127 - 1, |sum, step| {
        ONE_127 - 1 - mul_high(mul_high(z, sum), *step)
    })
}

/// An angle within a quarter turn around the axis number `quadrant`.
struct Reduced {
    angle: Wide,
    quadrant: u8,
}

impl Reduced {
    /// `None` if the argument is 2^63 or more in magnitude.
    fn new(x: Wide) -> Option<Self> {
        match x.exp {
            ..-2 => Some(Self {
                angle: x,
                quadrant: 0,
            }),
            -2..63 => {
                let units = (x.sig >> 64) << (x.exp + 2);
                let (turns, rest) = (units / HALF_PI_66, units % HALF_PI_66);
                let past = rest > HALF_PI_66 / 2;
                let angle = if past { HALF_PI_66 - rest } else { rest };
                let quadrant = (turns + u128::from(past)) as u8 & 3;
                // The function of a negative argument mirrors that of its magnitude.
                let quadrant = if x.neg {
                    quadrant.wrapping_neg() & 3
                } else {
                    quadrant
                };
                let shift = angle.leading_zeros();
                let exp = 62 - shift as i32;
                Some(Self {
                    angle: Wide {
                        neg: x.neg ^ past,
                        exp,
                        sig: angle << (shift & 127),
                    },
                    quadrant,
                })
            }
            _ => None,
        }
    }

    fn sine_cosine(&self) -> (Wide, Wide) {
        let z = self.angle.square_128();
        let sine = self.angle.mul_127(alternating(z, &SINE_STEPS));
        let cosine = Wide::from_127(false, alternating(z, &COSINE_STEPS));
        match self.quadrant {
            0 => (sine, cosine),
            1 => (cosine, sine.negate_if(true)),
            2 => (sine.negate_if(true), cosine.negate_if(true)),
            _ => (cosine.negate_if(true), sine),
        }
    }
}

/// Arguments below this power of two are their own sine and tangent, whatever the rounding control says:
/// the next term of the series is not even in the precision in which processors compute.
const TINY: i32 = -68;

/// The sine or tangent of a tiny argument. It is inexact, and tiny itself if the argument is.
fn itself(x: Finite, control: u16) -> Out {
    let out = round(x.neg, x.exp, u128::from(x.sig) << 64, 64, control);
    let underflow = if x.exp < 1 { flag::UNDERFLOW } else { 0 };
    out.with(flag::PRECISION | underflow)
}

/// Sine and cosine, or `None` if the argument is out of range.
pub(super) fn sine_cosine(a: F80, control: u16) -> Option<(Out, Out)> {
    if let Some(out) = special_one(a) {
        return Some((out, out));
    }
    match class(a) {
        Class::Infinity => return Some((Out::invalid(), Out::invalid())),
        Class::Zero => return Some((Out::exact(a), Out::exact(ONE))),
        _ => {}
    }
    let x = Wide::new(unpack(a));
    let (sine, cosine) = Reduced::new(x)?.sine_cosine();
    let flags = denormal_flag(a, a);
    let sine = if x.exp < TINY {
        itself(unpack(a), control)
    } else {
        sine.round_irrational(control)
    };
    Some((
        sine.with(flags),
        cosine.round_irrational(control).with(flags),
    ))
}

/// Tangent, or `None` if the argument is out of range.
pub(super) fn tangent(a: F80, control: u16) -> Option<Out> {
    if let Some(out) = special_one(a) {
        return Some(out);
    }
    match class(a) {
        Class::Infinity => return Some(Out::invalid()),
        Class::Zero => return Some(Out::exact(a)),
        _ => {}
    }
    let x = Wide::new(unpack(a));
    if x.exp < TINY {
        return Some(itself(unpack(a), control).with(denormal_flag(a, a)));
    }
    let (sine, cosine) = Reduced::new(x)?.sine_cosine();
    Some(
        sine.div(cosine)
            .round_irrational(control)
            .with(denormal_flag(a, a)),
    )
}

/// Terms of the arctangent series; its argument is at most 1/64.
const ARC_TERMS: usize = 11;

/// `1 / (2n + 1)` in units of 2^-127.
const ARC_COEFFICIENTS: [u128; ARC_TERMS] = {
    let mut coefficients = [0; ARC_TERMS];
    let mut i = 0;
    while i < ARC_TERMS {
        coefficients[i] = ONE_127 / (2 * i as u128 + 1);
        i += 1;
    }
    coefficients
};

/// `atan(t) / t` in units of 2^-127, from `t * t` in units of 2^-128; strictly below one.
const fn arc_series(z: u128) -> u128 {
    let mut sum = 0;
    let mut i = ARC_TERMS;
    while i > 0 {
        i -= 1;
        sum = ARC_COEFFICIENTS[i] - mul_high(z, sum);
    }
    if sum >= ONE_127 { ONE_127 - 1 } else { sum }
}

/// `atan(k / 32)` in units of 2^-127: each differs from the one before by the arctangent of
/// `32 / (1024 + k (k - 1))`.
const ARC_TABLE: [u128; 33] = {
    let mut table = [0; 33];
    let mut k = 1;
    while k < 33 {
        let denominator = 1024 + (k * (k - 1)) as u128;
        let t = ratio_127(32, denominator);
        let z = mul_high(t << 1, t << 1);
        table[k] = table[k - 1] + (mul_high(t, wide_arc_series(z)) << 1);
        k += 1;
    }
    table
};

/// [`arc_series`] with enough terms for arguments up to 1/32.
const fn wide_arc_series(z: u128) -> u128 {
    let mut sum = 0;
    let mut i = 16;
    while i > 0 {
        i -= 1;
        sum = ONE_127 / (2 * i as u128 + 1) - mul_high(z, sum);
    }
    sum
}

/// The arctangent of a positive number that is at most one.
fn arctangent(q: Wide) -> Wide {
    if q.exp < -6 {
        return q.mul_127(arc_series(q.square_128()));
    }
    let fixed = q.sig >> (-q.exp);
    let k = (fixed + (1 << 121)) >> 122;
    let center = k << 122;
    // 1 + q k/32 in units of 2^-126, so that two fits.
    let denominator = (1 << 126) + (fixed >> 6) * k;
    let below = fixed < center;
    let numerator = if below {
        center - fixed
    } else {
        fixed - center
    };
    let t = ratio_127(numerator >> 1, denominator);
    let z = mul_high(t << 1, t << 1);
    let arc = mul_high(t, arc_series(z)) << 1;
    let base = ARC_TABLE[k as usize];
    Wide::from_127(false, if below { base - arc } else { base + arc })
}

/// A quarter turn multiple `quarters * pi / 4`.
fn quarter_turns(quarters: u128) -> Wide {
    let sig = PI_126 / 4 * quarters;
    let shift = sig.leading_zeros();
    Wide {
        neg: false,
        exp: 1 - shift as i32,
        sig: sig << shift,
    }
}

/// FPATAN: the angle of the point (`x`, `y`).
pub(super) fn angle(y: F80, x: F80, control: u16) -> Out {
    if let Some(out) = special_two(y, x) {
        return out;
    }
    let flags = denormal_flag(y, x);
    let neg = negative(y);
    let turns = |n| {
        quarter_turns(n)
            .negate_if(neg)
            .round_irrational(control)
            .with(flags)
    };
    match (class(y), class(x)) {
        (Class::Infinity, Class::Infinity) => return turns(if negative(x) { 3 } else { 1 }),
        (Class::Infinity, _) => return turns(2),
        (_, Class::Infinity) | (Class::Zero, _) if !negative(x) => {
            return Out::exact(zero(neg)).with(flags);
        }
        (_, Class::Infinity) | (Class::Zero, _) => return turns(4),
        (_, Class::Zero) => return turns(2),
        _ => {}
    }
    let (wy, wx) = (Wide::new(unpack(y)), Wide::new(unpack(x)));
    let (ay, ax) = (wy.negate_if(wy.neg), wx.negate_if(wx.neg));
    let steep = (ay.exp, ay.sig) > (ax.exp, ax.sig);
    let small = if steep { ax.div(ay) } else { ay.div(ax) };
    // The angle from the nearest axis is added to or taken from that axis' direction.
    let arc = if small.exp >= 0 {
        quarter_turns(1)
    } else {
        arctangent(small)
    };
    let axis = match (steep, wx.neg) {
        (false, false) => return arc.negate_if(neg).round_irrational(control).with(flags),
        (true, _) => quarter_turns(2),
        (false, true) => quarter_turns(4),
    };
    let sum = axis.add(arc.negate_if(steep != wx.neg)).unwrap_or(axis);
    sum.negate_if(neg).round_irrational(control).with(flags)
}
