//! Random operands with a taste for corners.

use crate::state::{F80, X87};

/// A small generator (splitmix64), so that failures repeat.
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// A significand: random, short, all ones, or close to a rounding boundary.
    fn mantissa(&mut self) -> u64 {
        let random = self.next();
        match self.below(8) {
            0 => 1 << 63,
            1 => u64::MAX,
            2 => u64::MAX << self.below(64),
            3 => 1 << 63 | (random >> (63 - self.below(20))),
            4 => random << 40 | 1 << 63 | 1 << 39,
            5 => {
                random & !0x7ff | 1 << 63 | [0x400, 0x3ff, 0x401, 1, 0x7ff][self.below(5) as usize]
            }
            6 => {
                random & !0xff_ffff_ffff
                    | 1 << 63
                    | [0x80_0000_0000, 0x7f_ffff_ffff, 1][self.below(3) as usize]
            }
            _ => random | 1 << 63,
        }
    }

    /// Any register content.
    pub(super) fn extended(&mut self) -> F80 {
        let exponent = match self.below(24) {
            0 => return self.oddity(),
            1 => {
                return F80 {
                    mantissa: 0,
                    sign_exponent: (self.next() as u16) & 0x8000,
                };
            }
            2 => 0,
            3 => 1 + self.below(70),
            4 => 0x7ffe - self.below(70),
            5 => self.below(0x7fff),
            6 => 0x3fff - 1023 - 60 + self.below(130),
            7 => 0x3fff + 1023 - 2 + self.below(4),
            8 => 0x3fff - 127 - 30 + self.below(60),
            9 => 0x3fff + 127 - 2 + self.below(4),
            10 | 11 => 0x3fff + self.below(70),
            12 => 0x3fff + 12 + self.below(5),
            _ => 0x3fff - 3 + self.below(8),
        };
        let mantissa = self.mantissa();
        let mantissa = if exponent == 0 && !self.chance(4) {
            mantissa >> self.below(64)
        } else {
            mantissa
        };
        F80 {
            mantissa,
            sign_exponent: exponent as u16 | (self.next() as u16) & 0x8000,
        }
    }

    /// NaNs, infinities and unsupported patterns.
    fn oddity(&mut self) -> F80 {
        let exponent = if self.chance(5) {
            self.below(0x7fff) as u16
        } else {
            0x7fff
        };
        let mantissa = match self.below(6) {
            0 | 1 => 1 << 63,
            2 => 0xc000_0000_0000_0000 | self.below(3),
            3 => 0xc000_0000_0000_0000 | self.next(),
            4 => 0x8000_0000_0000_0000 | self.next() >> 2 | 1,
            _ => self.next() >> 1,
        };
        F80 {
            mantissa,
            sign_exponent: exponent | (self.next() as u16) & 0x8000,
        }
    }

    /// Any 16 bytes of a memory operand of this size.
    pub(super) fn memory(&mut self, size: u8) -> [u8; 16] {
        let word = match (size, self.below(6)) {
            (4, 0..4) => self.narrow(23, 8),
            (8, 0..4) => self.narrow(52, 11),
            (10, _) => return self.ten_bytes(),
            (_, 4) => [0, 1, u64::MAX, 1 << 63, 1 << 31, 1 << 15, 9][self.below(7) as usize],
            _ => self.next() >> self.below(64),
        };
        let mut bytes = [0x5a; 16];
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        bytes
    }

    fn narrow(&mut self, fraction: u32, exponent: u32) -> u64 {
        let max = (1 << exponent) - 1;
        let exp = match self.below(6) {
            0 => 0,
            1 => max,
            2 => self.below(max),
            _ => max / 2 - 2 + self.below(5),
        };
        let bits = match self.below(4) {
            0 => 0,
            1 => 1 << (fraction - 1),
            _ => self.next(),
        };
        self.below(2) << (fraction + exponent) | exp << fraction | bits & ((1 << fraction) - 1)
    }

    /// Ten bytes that are both a sensible extended value and, half of the time, valid decimals.
    fn ten_bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0x5a; 16];
        if self.chance(2) {
            for byte in &mut bytes[..9] {
                *byte = (self.below(10) << 4 | self.below(10)) as u8;
            }
            bytes[9] = self.next() as u8 & 0x80;
        } else {
            let value = self.extended();
            bytes[..8].copy_from_slice(&value.mantissa.to_le_bytes());
            bytes[8..10].copy_from_slice(&value.sign_exponent.to_le_bytes());
        }
        bytes
    }

    /// A state with any rounding, precision, masks and condition codes; nothing unmasked is pending.
    pub(super) fn state(&mut self) -> X87 {
        let masks = if self.chance(2) {
            0x3f
        } else {
            self.below(64) as u16
        };
        let control = masks | 0x40 | (self.below(16) << 8) as u16;
        let pending = if self.chance(2) {
            0
        } else {
            self.next() as u16 & (masks | 0x40)
        };
        let status = pending | self.next() as u16 & 0x7f00;
        let mut fpu = X87 {
            control,
            status,
            ..X87::default()
        };
        let related = self.chance(4);
        for i in 0..8 {
            let mut value = self.extended();
            if related && i > 0 {
                value.mantissa = fpu.regs[i - 1]
                    .mantissa
                    .wrapping_add(self.below(3))
                    .wrapping_sub(1);
            }
            fpu.regs[i] = value;
        }
        let full = match self.below(8) {
            0 => self.next() as u8,
            1 => 0xff,
            _ => 0x0f << fpu.top() | (0x0f_u16 << fpu.top() >> 8) as u8,
        };
        fpu.load_tags(full);
        fpu
    }
}
