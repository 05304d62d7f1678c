//! Floating point with 128-bit significands and fixed point with 128-bit fractions: enough room
//! for the transcendental functions to be wrong only in their last rounding. All results are
//! truncated, with relative errors of a few units of 2^-127.

use super::number::{BIAS, Finite, Out, round, shift_right_sticky};

/// A nonzero number `sig / 2^127 * 2^exp`, with bit 127 of `sig` set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    pub neg: bool,
    pub exp: i32,
    pub sig: u128,
}

/// One in fixed point with 127 fraction bits.
pub(super) const ONE_127: u128 = 1 << 127;

/// The high half of a 256-bit product.
pub(super) const fn mul_high(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (ah, al, bh, bl) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let middle = ((al * bl) >> 64) + ((ah * bl) & LOW) + ((al * bh) & LOW);
    ah * bh + ((ah * bl) >> 64) + ((al * bh) >> 64) + (middle >> 64)
}

/// `a / b * 2^127` for `a < 2b`, truncated.
pub(super) const fn ratio_127(a: u128, b: u128) -> u128 {
    let mut quotient = 0;
    let mut rest = a;
    let mut overflow = false;
    let mut i = 0;
    while i < 128 {
        quotient <<= 1;
        if overflow || rest >= b {
            rest = rest.wrapping_sub(b);
            quotient |= 1;
        }
        overflow = rest >> 127 != 0;
        rest <<= 1;
        i += 1;
    }
    quotient
}

impl Wide {
    pub(super) const ONE: Self = Self {
        neg: false,
        exp: 0,
        sig: ONE_127,
    };

    /// The same value, exactly.
    pub(super) fn new(x: Finite) -> Self {
        Self {
            neg: x.neg,
            exp: x.exp - BIAS,
            sig: u128::from(x.sig) << 64,
        }
    }

    /// `fixed / 2^127`; `fixed` must not be zero.
    pub(super) fn from_127(neg: bool, fixed: u128) -> Self {
        let shift = fixed.leading_zeros();
        Self {
            neg,
            exp: -(shift as i32),
            sig: fixed << (shift & 127),
        }
    }

    pub(super) fn negate_if(self, neg: bool) -> Self {
        Self {
            neg: self.neg ^ neg,
            ..self
        }
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let product = mul_high(self.sig, other.sig);
        let carry = product >> 127;
        let exp = self.exp + other.exp + carry as i32;
        Self {
            neg: self.neg ^ other.neg,
            exp,
            sig: product << (1 - carry),
        }
    }

    /// Multiplies by `fixed / 2^127`, which is in (0, 2).
    pub(super) fn mul_127(self, fixed: u128) -> Self {
        self.mul(Self::from_127(false, fixed))
    }

    pub(super) fn div(self, other: Self) -> Self {
        let quotient = ratio_127(self.sig, other.sig);
        let shift = quotient.leading_zeros();
        let exp = self.exp - other.exp - shift as i32;
        Self {
            neg: self.neg ^ other.neg,
            exp,
            sig: quotient << shift,
        }
    }

    /// The sum, or `None` if it is exactly zero.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        let swap = (self.exp, self.sig) < (other.exp, other.sig);
        let (large, small) = if swap { (other, self) } else { (self, other) };
        let low = shift_right_sticky(small.sig, (large.exp - small.exp) as u32 + 1);
        let high = large.sig >> 1 | large.sig & 1;
        let sum = if large.neg == small.neg {
            high + low
        } else {
            high - low
        };
        if sum == 0 {
            return None;
        }
        let shift = sum.leading_zeros();
        Some(Self {
            neg: large.neg,
            exp: large.exp + 1 - shift as i32,
            sig: sum << shift,
        })
    }

    /// The magnitude times 2^128 in fixed point; the magnitude must be below one.
    pub(super) fn fraction_128(self) -> u128 {
        match self.exp {
            -128..0 => self.sig >> (-1 - self.exp),
            _ => 0,
        }
    }

    /// The square times 2^128 in fixed point; the magnitude must be below one.
    pub(super) fn square_128(self) -> u128 {
        let product = mul_high(self.sig, self.sig);
        match -2 - 2 * self.exp {
            shift @ 0..128 => product >> shift,
            _ => 0,
        }
    }

    /// Rounds an irrational result to a register: it is inexact whatever its bits look like.
    pub(super) fn round_irrational(self, control: u16) -> Out {
        round(
            self.neg,
            self.exp.saturating_add(BIAS),
            self.sig | 1,
            64,
            control,
        )
    }

    /// Rounds a result that is exact if the bits below the register's precision are zero.
    pub(super) fn round(self, control: u16) -> Out {
        round(
            self.neg,
            self.exp.saturating_add(BIAS),
            self.sig,
            64,
            control,
        )
    }
}
