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
}

macro_rules! word {
    ($t:ty, $s:ty) => {
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
        }
    };
}

word!(u8, i8);
word!(u16, i16);
word!(u32, i32);
word!(u64, i64);
