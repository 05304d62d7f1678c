//! Numbers that are a function of a case's bytes, quick to make.

/// A generator of numbers (xorshift64*).
#[derive(Debug, Clone)]
pub struct Values(u64);

impl Values {
    /// The numbers of a case: its second to ninth bytes are the seed.
    pub fn of(data: &[u8]) -> Self {
        let mut seed = [0; 8];
        for (slot, byte) in seed.iter_mut().zip(data.iter().skip(1)) {
            *slot = *byte;
        }
        Self::new(u64::from_le_bytes(seed))
    }

    /// The numbers that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}
