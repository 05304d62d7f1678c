//! Extended-precision numbers taken apart and put together again: classes, NaN rules, and the one
//! place where a result is rounded (Intel SDM vol. 1, 4.2, 4.8 and 8.5).

use crate::state::F80;

/// Exception flags, at their places in the status word.
pub(super) mod flag {
    pub const INVALID: u16 = 0x01;
    pub const DENORMAL: u16 = 0x02;
    pub const ZERO_DIVIDE: u16 = 0x04;
    pub const OVERFLOW: u16 = 0x08;
    pub const UNDERFLOW: u16 = 0x10;
    pub const PRECISION: u16 = 0x20;
    pub const STACK_FAULT: u16 = 0x40;
}

/// The exponent bias of the extended format.
pub(super) const BIAS: i32 = 16383;

/// What an unmasked overflow or underflow of a register result moves the exponent by.
const WRAP: i32 = 24576;

/// The quiet NaN that stands for an invalid result ("real indefinite").
pub(super) const INDEFINITE: F80 = F80 {
    mantissa: 0xc000_0000_0000_0000,
    sign_exponent: 0xffff,
};

/// Plus one.
pub(super) const ONE: F80 = F80 {
    mantissa: 1 << 63,
    sign_exponent: 0x3fff,
};

/// The kinds of bit pattern, as exceptions distinguish them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Zero,
    /// Denormals and pseudo-denormals.
    Denormal,
    Normal,
    Infinity,
    QuietNan,
    SignalingNan,
    /// Unnormals, pseudo-infinities and pseudo-NaNs, which no processor since the 387 accepts.
    Unsupported,
}

/// A finite nonzero number: `sig / 2^63 * 2^(exp - BIAS)` with bit 63 of `sig` set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finite {
    pub neg: bool,
    pub exp: i32,
    pub sig: u64,
}

impl Finite {
    pub(super) fn negated(self) -> Self {
        Self {
            neg: !self.neg,
            ..self
        }
    }
}

/// The outcome of an operation: the value that goes to the destination if the exceptions in `flags`
/// let it, and whether rounding made its magnitude larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Out {
    pub value: F80,
    pub flags: u16,
    pub up: bool,
}

impl Out {
    pub(super) fn exact(value: F80) -> Self {
        Self {
            value,
            flags: 0,
            up: false,
        }
    }

    pub(super) fn invalid() -> Self {
        Self {
            value: INDEFINITE,
            flags: flag::INVALID,
            up: false,
        }
    }

    /// The same outcome with further flags.
    pub(super) fn with(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }
}

#[inline]
pub(super) fn class(x: F80) -> Class {
    let integer = x.mantissa >> 63 != 0;
    match x.sign_exponent & 0x7fff {
        0 if x.mantissa == 0 => Class::Zero,
        0 => Class::Denormal,
        _ if !integer => Class::Unsupported,
        0x7fff if x.mantissa << 1 == 0 => Class::Infinity,
        0x7fff if x.mantissa >> 62 & 1 != 0 => Class::QuietNan,
        0x7fff => Class::SignalingNan,
        _ => Class::Normal,
    }
}

impl Class {
    pub(super) fn is_nan(self) -> bool {
        matches!(self, Class::QuietNan | Class::SignalingNan)
    }

    pub(super) fn is_finite(self) -> bool {
        matches!(self, Class::Zero | Class::Denormal | Class::Normal)
    }
}

pub(super) fn negative(x: F80) -> bool {
    x.sign_exponent >> 15 != 0
}

pub(super) fn zero(neg: bool) -> F80 {
    F80 {
        mantissa: 0,
        sign_exponent: u16::from(neg) << 15,
    }
}

pub(super) fn infinity(neg: bool) -> F80 {
    F80 {
        mantissa: 1 << 63,
        sign_exponent: 0x7fff | u16::from(neg) << 15,
    }
}

/// Puts sign, biased exponent (0 to 0x7fff) and significand together.
pub(super) fn pack(neg: bool, exp: i32, mantissa: u64) -> F80 {
    F80 {
        mantissa,
        sign_exponent: (exp as u16 & 0x7fff) | u16::from(neg) << 15,
    }
}

/// Takes a denormal or normal number apart.
pub(super) fn unpack(x: F80) -> Finite {
    let shift = x.mantissa.leading_zeros();
    let exp = i32::from(x.sign_exponent & 0x7fff).max(1) - shift as i32;
    Finite {
        neg: negative(x),
        exp,
        sig: x.mantissa << (shift & 63),
    }
}

pub(super) fn quiet(x: F80) -> F80 {
    F80 {
        mantissa: x.mantissa | 0xc000_0000_0000_0000,
        ..x
    }
}

/// The exceptions of a lone operand that is not a number that the operation can compute with: an
/// unsupported pattern or a NaN. `None` for everything else.
pub(super) fn special_one(a: F80) -> Option<Out> {
    match class(a) {
        Class::Unsupported => Some(Out::invalid()),
        Class::SignalingNan => Some(Out::exact(quiet(a)).with(flag::INVALID)),
        Class::QuietNan => Some(Out::exact(a)),
        _ => None,
    }
}

/// The same for two operands, with the choice between two NaNs (Intel SDM vol. 1, table 4-7).
pub(super) fn special_two(a: F80, b: F80) -> Option<Out> {
    let (ca, cb) = (class(a), class(b));
    if ca == Class::Unsupported || cb == Class::Unsupported {
        return Some(Out::invalid());
    }
    if !ca.is_nan() && !cb.is_nan() {
        return None;
    }
    let signaling = ca == Class::SignalingNan || cb == Class::SignalingNan;
    let value = if !cb.is_nan() {
        a
    } else if !ca.is_nan() {
        b
    } else if ca != cb {
        // A quiet NaN is preferred to a signaling one.
        if ca == Class::QuietNan { a } else { b }
    } else if a.mantissa != b.mantissa {
        if a.mantissa > b.mantissa { a } else { b }
    } else if negative(a) {
        b
    } else {
        a
    };
    Some(Out::exact(quiet(value)).with(if signaling { flag::INVALID } else { 0 }))
}

/// DENORMAL if one of the operands is a denormal.
pub(super) fn denormal_flag(a: F80, b: F80) -> u16 {
    if class(a) == Class::Denormal || class(b) == Class::Denormal {
        flag::DENORMAL
    } else {
        0
    }
}

/// Both operands are normal numbers, which is the common case and cannot signal by itself.
pub(super) fn both_normal(a: F80, b: F80) -> bool {
    let normal =
        |x: F80| (x.sign_exponent & 0x7fff).wrapping_sub(1) < 0x7ffe && x.mantissa >> 63 != 0;
    normal(a) && normal(b)
}

/// Shifts right and keeps in bit 0 whether anything was lost.
pub(super) fn shift_right_sticky(x: u128, by: u32) -> u128 {
    match by {
        0 => x,
        1..=127 => x >> by | u128::from(x << (128 - by) != 0),
        _ => u128::from(x != 0),
    }
}

/// A significand after rounding.
pub(super) struct Rounded {
    /// The rounded significand in the high bits; after a carry, bit 127 alone.
    pub sig: u128,
    /// The significand overflowed, so that the exponent grows by one.
    pub carry: bool,
    pub inexact: bool,
    /// The magnitude became larger.
    pub up: bool,
}

/// Rounds to the `bits` (1 to 127) high bits of `sig` by the rounding control of `control`.
#[inline]
pub(super) fn round_at(neg: bool, sig: u128, bits: u32, control: u16) -> Rounded {
    let drop = 128 - bits;
    let unit = 1u128 << drop;
    let rest = sig & (unit - 1);
    let kept = sig - rest;
    let half = unit >> 1;
    let up = match control >> 10 & 3 {
        0 => rest > half || rest == half && kept & unit != 0,
        1 => neg && rest != 0,
        2 => !neg && rest != 0,
        _ => false,
    };
    let (sum, carry) = kept.overflowing_add(if up { unit } else { 0 });
    Rounded {
        sig: if carry { 1 << 127 } else { sum },
        carry,
        inexact: rest != 0,
        up,
    }
}

/// The number of significand bits that the precision control asks for. The reserved encoding
/// behaves as full precision.
pub(super) fn precision(control: u16) -> u32 {
    match control >> 8 & 3 {
        0 => 24,
        2 => 53,
        _ => 64,
    }
}

/// A destination format: its precision and its exponent range, in terms of the extended bias.
pub(super) struct Format {
    pub bits: u32,
    pub min: i32,
    pub max: i32,
}

/// A rounded finite result in some format.
pub(super) struct Fitted {
    /// The biased extended exponent, meaningless when `infinite`.
    pub exp: i32,
    /// The significand, with bit 63 clear for a denormal of the format or a zero.
    pub sig: u64,
    pub infinite: bool,
    pub flags: u16,
    pub up: bool,
}

/// Rounds `sig / 2^127 * 2^(exp - BIAS)`, bit 127 set, into a format with the responses of masked
/// overflow and underflow. Tininess is detected after rounding.
pub(super) fn fit(neg: bool, exp: i32, sig: u128, format: &Format, control: u16) -> Fitted {
    let free = round_at(neg, sig, format.bits, control);
    let after = exp.saturating_add(i32::from(free.carry));
    let inexact = if free.inexact { flag::PRECISION } else { 0 };
    if after > format.max {
        return overflowed(neg, format, control);
    }
    if after >= format.min {
        let sig = (free.sig >> 64) as u64;
        return Fitted {
            exp: after,
            sig,
            infinite: false,
            flags: inexact,
            up: free.up,
        };
    }
    let shifted = shift_right_sticky(sig, format.min.saturating_sub(exp) as u32);
    let tiny = round_at(neg, shifted, format.bits, control);
    let flags = if tiny.inexact {
        flag::UNDERFLOW | flag::PRECISION
    } else {
        0
    };
    Fitted {
        exp: format.min,
        sig: (tiny.sig >> 64) as u64,
        infinite: false,
        flags,
        up: tiny.up,
    }
}

fn overflowed(neg: bool, format: &Format, control: u16) -> Fitted {
    let to_infinity = match control >> 10 & 3 {
        0 => true,
        1 => neg,
        2 => !neg,
        _ => false,
    };
    let largest = u64::MAX << (64 - format.bits);
    let flags = flag::OVERFLOW | flag::PRECISION;
    Fitted {
        exp: format.max,
        sig: largest,
        infinite: to_infinity,
        flags,
        up: to_infinity,
    }
}

/// Rounds `sig / 2^127 * 2^(exp - BIAS)` to a register with `bits` of precision. Bit 127 of `sig`
/// must be set; bit 0 may be a sticky bit. Unmasked overflow and underflow wrap the exponent
/// (Intel SDM vol. 1, 8.5.4 and 8.5.5).
pub(super) fn round(neg: bool, exp: i32, sig: u128, bits: u32, control: u16) -> Out {
    let free = round_at(neg, sig, bits, control);
    let after = exp.saturating_add(i32::from(free.carry));
    if (1..0x7fff).contains(&after) {
        let flags = if free.inexact { flag::PRECISION } else { 0 };
        return Out {
            value: pack(neg, after, (free.sig >> 64) as u64),
            flags,
            up: free.up,
        };
    }
    round_extreme(neg, exp, sig, bits, control)
}

/// [`round`] for results that overflow or underflow.
#[cold]
fn round_extreme(neg: bool, exp: i32, sig: u128, bits: u32, control: u16) -> Out {
    let free = round_at(neg, sig, bits, control);
    let after = exp.saturating_add(i32::from(free.carry));
    let unmasked = !control & (flag::OVERFLOW | flag::UNDERFLOW);
    let wrapped = if after > 0x7ffe && unmasked & flag::OVERFLOW != 0 {
        Some((after - WRAP, flag::OVERFLOW))
    } else if after < 1 && unmasked & flag::UNDERFLOW != 0 {
        Some((after.saturating_add(WRAP), flag::UNDERFLOW))
    } else {
        None
    };
    if let Some((exp, flags)) = wrapped {
        return round_wrapped(neg, exp, &free, flags);
    }
    let fitted = fit(
        neg,
        exp,
        sig,
        &Format {
            bits,
            min: 1,
            max: 0x7ffe,
        },
        control,
    );
    let value = if fitted.infinite {
        infinity(neg)
    } else {
        pack(
            neg,
            if fitted.sig >> 63 == 0 { 0 } else { fitted.exp },
            fitted.sig,
        )
    };
    Out {
        value,
        flags: fitted.flags,
        up: fitted.up,
    }
}

/// The register result of an unmasked overflow or underflow. FSCALE can go so far that even the
/// wrapped exponent does not fit: then the result is an infinity or a zero.
fn round_wrapped(neg: bool, exp: i32, free: &Rounded, flags: u16) -> Out {
    if exp > 0x7ffe {
        return Out {
            value: infinity(neg),
            flags: flags | flag::PRECISION,
            up: true,
        };
    }
    if exp < 1 {
        return Out {
            value: zero(neg),
            flags: flags | flag::PRECISION,
            up: false,
        };
    }
    let inexact = if free.inexact { flag::PRECISION } else { 0 };
    Out {
        value: pack(neg, exp, (free.sig >> 64) as u64),
        flags: flags | inexact,
        up: free.up,
    }
}

/// As [`round`], for a significand whose leading bit may be anywhere. It must not be zero.
pub(super) fn round_any(neg: bool, exp: i32, sig: u128, bits: u32, control: u16) -> Out {
    let shift = sig.leading_zeros();
    round(neg, exp - shift as i32, sig << (shift & 127), bits, control)
}
