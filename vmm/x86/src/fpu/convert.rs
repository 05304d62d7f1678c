//! Conversions between the extended format of the registers and the formats of memory operands.

use super::number::{
    BIAS, Class, Format, INDEFINITE, Out, class, fit, flag, infinity, negative, pack, quiet,
    round_at, shift_right_sticky, unpack, zero,
};
use crate::state::F80;

/// A memory format narrower than a register: the width of its fraction and of its exponent.
struct Narrow {
    fraction: u32,
    exponent: u32,
}

const SINGLE: Narrow = Narrow {
    fraction: 23,
    exponent: 8,
};
const DOUBLE: Narrow = Narrow {
    fraction: 52,
    exponent: 11,
};

/// Reads 10 bytes as they are.
pub(super) fn from_m80(bytes: &[u8; 16]) -> F80 {
    F80 {
        mantissa: u64::from_le_bytes(std::array::from_fn(|i| bytes[i])),
        sign_exponent: u16::from_le_bytes([bytes[8], bytes[9]]),
    }
}

/// Writes 10 bytes as they are.
pub(super) fn to_m80(value: F80, bytes: &mut [u8; 16]) {
    bytes[..8].copy_from_slice(&value.mantissa.to_le_bytes());
    bytes[8..10].copy_from_slice(&value.sign_exponent.to_le_bytes());
}

/// Widens a single. The value of a signaling NaN stays signaling; the flags say whether the source
/// is a denormal, which the wider format no longer shows.
pub(super) fn from_single(bits: u32) -> Out {
    widen(u64::from(bits), &SINGLE)
}

/// Widens a double, with the same remarks.
pub(super) fn from_double(bits: u64) -> Out {
    widen(bits, &DOUBLE)
}

fn widen(bits: u64, format: &Narrow) -> Out {
    let neg = bits >> (format.fraction + format.exponent) & 1 != 0;
    let max = (1u64 << format.exponent) - 1;
    let exp = bits >> format.fraction & max;
    let fraction = bits << (64 - format.fraction) >> 1;
    let bias = (max >> 1) as i32;
    if exp == max {
        return Out::exact(pack(neg, 0x7fff, fraction | 1 << 63));
    }
    if exp != 0 {
        return Out::exact(pack(neg, exp as i32 - bias + BIAS, fraction | 1 << 63));
    }
    if fraction == 0 {
        return Out::exact(zero(neg));
    }
    let shift = fraction.leading_zeros();
    Out::exact(pack(neg, 1 - bias + BIAS - shift as i32, fraction << shift)).with(flag::DENORMAL)
}

/// A value rounded to a memory format, little-endian in the low bits.
pub(super) struct Stored {
    pub bits: u64,
    pub flags: u16,
    pub up: bool,
}

/// Rounds to a single.
pub(super) fn to_single(value: F80, control: u16) -> Stored {
    narrow(value, &SINGLE, control)
}

/// Rounds to a double.
pub(super) fn to_double(value: F80, control: u16) -> Stored {
    narrow(value, &DOUBLE, control)
}

fn narrow(value: F80, format: &Narrow, control: u16) -> Stored {
    let max = (1u64 << format.exponent) - 1;
    let sign = u64::from(negative(value)) << (format.fraction + format.exponent);
    let fraction = |mantissa: u64| mantissa << 1 >> (64 - format.fraction);
    let stored = |bits, flags| Stored {
        bits,
        flags,
        up: false,
    };
    let nan = |x: F80| {
        let sign = u64::from(negative(x)) << (format.fraction + format.exponent);
        sign | max << format.fraction | fraction(quiet(x).mantissa)
    };
    match class(value) {
        Class::Unsupported => return stored(nan(INDEFINITE), flag::INVALID),
        Class::SignalingNan => return stored(nan(value), flag::INVALID),
        Class::QuietNan => return stored(nan(value), 0),
        Class::Infinity => return stored(sign | max << format.fraction, 0),
        Class::Zero => return stored(sign, 0),
        Class::Denormal | Class::Normal => {}
    }
    let x = unpack(value);
    let bias = (max >> 1) as i32;
    let limits = Format {
        bits: format.fraction + 1,
        min: BIAS + 1 - bias,
        max: BIAS + bias,
    };
    let sig = u128::from(x.sig) << 64;
    let fitted = fit(x.neg, x.exp, sig, &limits, control);
    let mut flags = fitted.flags;
    // An unmasked underflow is signaled for every tiny result, even for an exact one.
    if fitted.sig >> 63 == 0 && control & flag::UNDERFLOW == 0 {
        flags |= flag::UNDERFLOW;
    }
    let bits = if fitted.infinite {
        sign | max << format.fraction
    } else {
        let exp = if fitted.sig >> 63 == 0 {
            0
        } else {
            (fitted.exp - BIAS + bias) as u64
        };
        sign | exp << format.fraction | fraction(fitted.sig)
    };
    Stored {
        bits,
        flags,
        up: fitted.up,
    }
}

/// Converts an integer, which is always exact.
pub(super) fn from_integer(value: i64) -> F80 {
    if value == 0 {
        return zero(false);
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    pack(value < 0, BIAS + 63 - shift as i32, magnitude << shift)
}

/// A value rounded to an integer: its magnitude, or `None` if it is 2^64 or more.
struct Integer {
    magnitude: Option<u64>,
    inexact: bool,
    up: bool,
}

fn round_to_integer(value: F80, control: u16) -> Integer {
    if class(value) == Class::Zero {
        return Integer {
            magnitude: Some(0),
            inexact: false,
            up: false,
        };
    }
    let x = unpack(value);
    let power = x.exp - BIAS;
    if power > 63 {
        return Integer {
            magnitude: None,
            inexact: false,
            up: false,
        };
    }
    // The integer part in the high half, its fraction in the low half.
    let fixed = shift_right_sticky(u128::from(x.sig) << 64, (63 - power) as u32);
    let rounded = round_at(x.neg, fixed, 64, control);
    let magnitude = (!rounded.carry).then_some((rounded.sig >> 64) as u64);
    Integer {
        magnitude,
        inexact: rounded.inexact,
        up: rounded.up,
    }
}

/// Rounds to a signed integer of `bits` (16, 32 or 64). Everything that does not fit is the
/// integer indefinite, the most negative one.
pub(super) fn to_integer(value: F80, bits: u32, control: u16) -> Stored {
    let limit = 1u64 << (bits - 1);
    let invalid = Stored {
        bits: limit,
        flags: flag::INVALID,
        up: false,
    };
    if !class(value).is_finite() {
        return invalid;
    }
    let integer = round_to_integer(value, control);
    let neg = negative(value);
    match integer.magnitude {
        Some(m) if m < limit || neg && m == limit => Stored {
            bits: if neg { m.wrapping_neg() } else { m },
            flags: if integer.inexact { flag::PRECISION } else { 0 },
            up: integer.up,
        },
        _ => invalid,
    }
}

/// Reads 18 packed decimal digits. Digits above nine, which are undefined, count with their value.
pub(super) fn from_bcd(bytes: &[u8; 16]) -> F80 {
    let magnitude = bytes[..9].iter().rev().fold(0i64, |sum, byte| {
        sum * 100 + i64::from(byte >> 4) * 10 + i64::from(byte & 15)
    });
    let value = from_integer(magnitude);
    F80 {
        sign_exponent: value.sign_exponent | u16::from(bytes[9] >> 7) << 15,
        ..value
    }
}

/// Writes 18 packed decimal digits, or the packed indefinite; gives exceptions and rounding.
pub(super) fn to_bcd(value: F80, bytes: &mut [u8; 16], control: u16) -> (u16, bool) {
    let integer = if class(value).is_finite() {
        round_to_integer(value, control)
    } else {
        Integer {
            magnitude: None,
            inexact: false,
            up: false,
        }
    };
    let Some(mut rest) = integer.magnitude.filter(|m| *m < 1_000_000_000_000_000_000) else {
        bytes[..10].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff]);
        return (flag::INVALID, false);
    };
    for byte in &mut bytes[..9] {
        let pair = (rest % 100) as u8;
        *byte = ((pair / 10) << 4) | (pair % 10);
        rest /= 100;
    }
    bytes[9] = u8::from(negative(value)) << 7;
    (
        if integer.inexact { flag::PRECISION } else { 0 },
        integer.up,
    )
}

/// FRNDINT.
pub(super) fn round_integral(value: F80, control: u16) -> Out {
    if let Some(out) = super::number::special_one(value) {
        return out;
    }
    let class = class(value);
    let flags = if class == Class::Denormal {
        flag::DENORMAL
    } else {
        0
    };
    if matches!(class, Class::Zero | Class::Infinity) || unpack(value).exp >= BIAS + 63 {
        return Out::exact(value).with(flags);
    }
    let integer = round_to_integer(value, control);
    let neg = negative(value);
    let rounded = match integer.magnitude {
        Some(0) => zero(neg),
        Some(m) => pack(
            neg,
            BIAS + 63 - m.leading_zeros() as i32,
            m << m.leading_zeros(),
        ),
        None => infinity(neg),
    };
    let flags = flags | if integer.inexact { flag::PRECISION } else { 0 };
    Out {
        value: rounded,
        flags,
        up: integer.up,
    }
}
