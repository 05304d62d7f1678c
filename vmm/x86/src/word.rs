//! The four operand widths, so that one handler body serves all of them.

/// An unsigned integer of operand width.
pub(crate) trait Word:
    Copy
    + Eq
    + Ord
    + std::ops::BitAnd<Output = Self>
    + std::ops::BitOr<Output = Self>
    + std::ops::BitXor<Output = Self>
    + std::ops::Not<Output = Self>
{
    /// The width in bytes.
    const SIZE: u64;
    /// The index of the top bit.
    const TOP: u32;
    /// The low bits of `value`.
    fn low(value: u64) -> Self;
    /// Zero-extends.
    fn wide(self) -> u64;
    /// Sign-extends.
    fn sign(self) -> i64;
    /// The value that a write to a register of this width stores in the 64-bit register that held
    /// `old`: 32-bit writes clear the upper half, narrower ones keep the rest.
    fn merge(self, old: u64) -> u64;
}

macro_rules! word {
    ($t:ty, $s:ty, $merge:expr) => {
        impl Word for $t {
            const SIZE: u64 = size_of::<$t>() as u64;
            const TOP: u32 = <$t>::BITS - 1;
            #[inline(always)]
            fn low(value: u64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn wide(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn sign(self) -> i64 {
                self as $s as i64
            }
            #[inline(always)]
            fn merge(self, old: u64) -> u64 {
                let merge: fn(u64, u64) -> u64 = $merge;
                merge(self as u64, old)
            }
        }
    };
}

word!(u8, i8, |new, old| old & !0xff | new);
word!(u16, i16, |new, old| old & !0xffff | new);
word!(u32, i32, |new, _| new);
word!(u64, i64, |new, _| new);
