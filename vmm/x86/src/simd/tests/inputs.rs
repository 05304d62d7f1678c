//! Operands that are likely to reach corner cases.

/// A small generator (SplitMix64); a test's inputs are the same every time.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// One of `items`.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A binary32 number, a special or an extreme one as often as not.
    pub(super) fn single(&mut self) -> u32 {
        const SPECIAL: [u32; 26] = [
            0,
            1,
            2,
            0x0007_ffff,
            0x007f_ffff,
            0x0080_0000,
            0x0080_0001,
            0x00ff_ffff,
            0x0100_0000,
            0x3f00_0000,
            0x3f7f_ffff,
            0x3f80_0000,
            0x3f80_0001,
            0x3fc0_0000,
            0x4020_0000,
            0x4eff_ffff,
            0x4f00_0000,
            0x7f00_0000,
            0x7f7f_ffff,
            0x7f7f_fffe,
            0x7e80_0002,
            0x7e80_0004,
            0x7eff_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fc1_2345,
        ];
        let bits = self.bits();
        let sign = (bits >> 32) as u32 & 0x8000_0000;
        match bits & 7 {
            0..3 => sign | self.pick(&SPECIAL),
            3 => (self.below(400) as f32 - 200.0).to_bits(),
            4 => ((self.below(4000) as f32 - 2000.0) / 4.0).to_bits(),
            5 => sign | (60 + self.below(130) as u32) << 23 | (self.bits() as u32 & 0x7f_ffff),
            _ => self.bits() as u32,
        }
    }

    /// A binary64 number, a special or an extreme one as often as not.
    pub(super) fn double(&mut self) -> u64 {
        const SPECIAL: [u64; 26] = [
            0,
            1,
            2,
            0x7_ffff_ffff_ffff,
            0xf_ffff_ffff_ffff,
            0x10_0000_0000_0000,
            0x10_0000_0000_0001,
            0x1f_ffff_ffff_ffff,
            0x3fe0_0000_0000_0000,
            0x3fef_ffff_ffff_ffff,
            0x3ff0_0000_0000_0000,
            0x3ff8_0000_0000_0000,
            0x4004_0000_0000_0000,
            0x41df_ffff_ffc0_0000,
            0x41e0_0000_0000_0000,
            0x43df_ffff_ffff_ffff,
            0x43e0_0000_0000_0000,
            0x7fe0_0000_0000_0000,
            0x7fef_ffff_ffff_ffff,
            0x7fef_ffff_ffff_fffe,
            0x7fd0_0000_0000_0002,
            0x7fd0_0000_0000_0004,
            0x7fdf_ffff_ffff_ffff,
            0x7ff0_0000_0000_0000,
            0x7ff0_0000_0000_0001,
            0x7ff8_1234_5678_9abc,
        ];
        let bits = self.bits();
        let sign = bits & 1 << 63;
        match bits & 7 {
            0..3 => sign | self.pick(&SPECIAL),
            3 => (self.below(4000) as f64 / 4.0 - 500.0).to_bits(),
            // About the limits of binary32.
            4 => {
                sign | (1023 - 152 + self.below(30) as u64) << 52
                    | self.bits() >> (12 + self.below(53) as u32).min(63)
            }
            5 => {
                sign | (1023 + 120 + self.below(12) as u64) << 52
                    | (self.bits() & 0xf_ffff_ffff_ffff)
            }
            _ => self.bits(),
        }
    }

    /// A quadword of some kind.
    pub(super) fn quad(&mut self) -> u64 {
        match self.below(8) {
            0..3 => u64::from(self.single()) | u64::from(self.single()) << 32,
            3..6 => self.double(),
            6 => (0..8).fold(0, |all, _| {
                all << 8 | self.pick(&[0, 1, 2, 0x7f, 0x80, 0xff, 0x41, 0x42])
            }),
            _ => self.bits(),
        }
    }

    /// A 128-bit value of some kind.
    pub(super) fn quads(&mut self) -> [u64; 2] {
        [self.quad(), self.quad()]
    }

    /// An MXCSR with all exceptions masked; the default controls as often as not.
    pub(super) fn masked_mxcsr(&mut self) -> u32 {
        let controls = if self.below(2) == 0 {
            0
        } else {
            self.bits() as u32 & 0xe040
        };
        let flags = if self.below(2) == 0 {
            0
        } else {
            self.bits() as u32 & 0x3f
        };
        0x1f80 | controls | flags
    }
}
