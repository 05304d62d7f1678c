//! Random values that lean towards the corners where instructions go wrong.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::layout::{PAGE, WINDOW_SIZE};

/// A deterministic source of random values.
pub struct Gen(ChaCha8Rng);

/// What the lanes of a vector register look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// Two doubles.
    F64,
    /// Four singles.
    F32,
    /// Integers of this many bits.
    Int(u32),
}

impl Gen {
    /// The source for case `index` of stream `stream` under `seed`. Cases do not depend on each
    /// other, so that one can be repeated alone.
    pub fn new(seed: u64, stream: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        rng.set_word_pos(u128::from(index) << 20);
        Self(rng)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number in `start..=end`.
    pub fn between(&mut self, start: i64, end: i64) -> i64 {
        start + self.below((end - start + 1) as u64) as i64
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An integer that is interesting at a width of `bits`, with anything above.
    pub fn int(&mut self, bits: u32) -> u64 {
        let top = 1_u64 << (bits - 1);
        let mask = u64::MAX >> (64 - bits);
        let small = self.below(17);
        let value = match self.below(10) {
            0 => 0_u64.wrapping_sub(small),
            1 => top.wrapping_add(small).wrapping_sub(8),
            2 => 1 << self.below(bits.into()),
            3 => (1_u64 << self.below(bits.into())).wrapping_sub(1),
            4 => small,
            5 => (self.bits() & 0xff) * 0x0101_0101_0101_0101,
            _ => self.bits(),
        };
        match self.below(4) {
            0 => value & mask,
            1 => ((value << (64 - bits)) as i64 >> (64 - bits)) as u64,
            2 => value,
            _ => value & mask | self.bits() & !mask,
        }
    }

    /// A general register's value.
    pub fn gpr(&mut self) -> u64 {
        let bits = self.pick(&[8, 16, 32, 64]);
        self.int(bits)
    }

    /// The bits of a single.
    pub fn f32(&mut self) -> u32 {
        let sign = (self.bits() as u32 & 1) << 31;
        let fraction = if self.chance(30) {
            0
        } else {
            self.bits() as u32 & 0x7f_ffff
        };
        let magnitude = match self.below(16) {
            0 => 0,
            1 => 0x7f80_0000,
            2 => 0x7fc0_0000 | fraction,
            3 => 0x7f80_0001 | fraction & 0x3f_ffff,
            4 => self.pick(&[1, 0x7f_ffff, 0x80_0000, 0x7f7f_ffff]),
            5 => fraction,
            6 => self.pick(&[
                0x4f00_0000,
                0x4eff_ffff,
                0x5f00_0000,
                0x5eff_ffff,
                0x4f80_0000,
                0x5f80_0000,
            ]),
            7 => (self.below(64) as f32 + 0.5).to_bits(),
            8 => (self.below(64) as f32).to_bits(),
            9 => self.bits() as u32 & 0x7fff_ffff,
            _ => (self.between(127 - 40, 127 + 40) as u32) << 23 | fraction,
        };
        sign | magnitude
    }

    /// The bits of a double.
    pub fn f64(&mut self) -> u64 {
        let sign = self.bits() << 63;
        let fraction = if self.chance(30) {
            0
        } else {
            self.bits() >> 12
        };
        let magnitude = match self.below(18) {
            0 => 0,
            1 => 0x7ff0 << 48,
            2 => 0x7ff8 << 48 | fraction,
            3 => 0x7ff0 << 48 | 1 | fraction >> 1,
            4 => self.pick(&[
                1,
                0xf_ffff_ffff_ffff,
                0x10_0000_0000_0000,
                0x7fef_ffff_ffff_ffff,
            ]),
            5 => fraction,
            6 => (self.pick(&[
                2_147_483_648.0,
                2_147_483_647.5,
                2_147_483_647.0,
                4_294_967_296.0,
                9.3e18,
                1.9e19_f64,
            ]))
            .to_bits(),
            7 => (self.below(64) as f64 + 0.5).to_bits(),
            8 => (self.below(64) as f64).to_bits(),
            9 => self.bits() >> 1,
            // Values at the edges of what a single can hold.
            10 => (self.between(1023 - 152, 1023 - 122) as u64) << 52 | fraction,
            11 => (self.between(1023 + 125, 1023 + 129) as u64) << 52 | fraction,
            _ => (self.between(1023 - 60, 1023 + 60) as u64) << 52 | fraction,
        };
        sign | magnitude
    }

    /// An x87 register: significand, and sign with exponent. One in ten is an encoding that no
    /// operation produces (Intel SDM vol. 1, table 8-3).
    pub fn f80(&mut self) -> (u64, u16) {
        const INTEGER: u64 = 1 << 63;
        let sign = (self.bits() as u16) << 15;
        let fraction = match self.below(6) {
            0 => 0,
            1 => self.bits() & 0x7fff_ffff_ffff_f800,
            2 => self.bits() & 0x7fff_ff00_0000_0000,
            _ => self.bits() >> 1,
        };
        let near = 0x3fff + self.between(-70, 70) as u16;
        let (mantissa, exponent) = match self.below(24) {
            0 => (0, 0),
            1 => (INTEGER, 0x7fff),
            2 => (INTEGER | 1 << 62 | fraction, 0x7fff),
            3 => (INTEGER | 1 | fraction & !(1 << 62), 0x7fff),
            4 => (fraction | 1, 0),
            5 => (INTEGER | fraction, 0),
            6 => (fraction, near),
            7 => (fraction, 0x7fff),
            8 => (INTEGER | fraction, self.pick(&[1, 0x7ffe])),
            9 => (
                INTEGER | fraction,
                0x3fff + self.between(-1080, 1030) as u16,
            ),
            10 => (
                INTEGER | fraction,
                0x3fff + self.between(-16382, 16383) as u16,
            ),
            11 | 12 => {
                let value = (self.below(1 << 20) << 1 | 1) << 43;
                (
                    value << value.leading_zeros(),
                    0x3fff + 20 - value.leading_zeros() as u16,
                )
            }
            13 => (INTEGER, 0x3fff),
            14 => (INTEGER | fraction, 0x3fff + 63),
            15 => (INTEGER | fraction, 0x3fff + self.pick(&[31, 30, 15, 14])),
            _ => (INTEGER | fraction, near),
        };
        (mantissa, sign | exponent)
    }

    /// A vector register or a 16-byte memory operand.
    pub fn vector(&mut self, lanes: Lanes) -> [u64; 2] {
        std::array::from_fn(|_| self.quadword(lanes))
    }

    /// Eight bytes of lanes.
    pub fn quadword(&mut self, lanes: Lanes) -> u64 {
        match lanes {
            Lanes::F64 => self.f64(),
            Lanes::F32 => u64::from(self.f32()) | u64::from(self.f32()) << 32,
            Lanes::Int(64) => self.int(64),
            Lanes::Int(bits) => {
                let mask = u64::MAX >> (64 - bits);
                (0..64 / bits).fold(0, |word, lane| {
                    word | (self.int(bits) & mask) << (lane * bits)
                })
            }
        }
    }

    /// A kind of lanes: mostly `likely`, sometimes another.
    pub fn lanes(&mut self, likely: Option<Lanes>) -> Lanes {
        match likely {
            Some(lanes) if self.chance(85) => lanes,
            _ => {
                let all = [
                    Lanes::F64,
                    Lanes::F32,
                    Lanes::Int(8),
                    Lanes::Int(16),
                    Lanes::Int(32),
                    Lanes::Int(64),
                ];
                self.pick(&all)
            }
        }
    }
}

/// What the data window holds before a case's patches. Runs of equal bytes give the string
/// instructions something to compare.
pub fn background() -> Vec<u8> {
    let mut random = Gen::new(0, 1, 0);
    let mut bytes = Vec::new();
    while bytes.len() < WINDOW_SIZE as usize {
        if random.chance(30) {
            let byte = random.bits() as u8;
            bytes.extend(std::iter::repeat_n(byte, 1 + random.below(24) as usize));
        } else {
            bytes.extend_from_slice(&random.gpr().to_le_bytes());
        }
    }
    bytes.truncate(WINDOW_SIZE as usize);
    bytes
}

/// What the read-only page holds.
pub fn read_only_page() -> Vec<u8> {
    let mut random = Gen::new(0, 2, 0);
    (0..PAGE / 8)
        .flat_map(|_| random.gpr().to_le_bytes())
        .collect()
}
