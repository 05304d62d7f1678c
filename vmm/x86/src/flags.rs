//! Lazy arithmetic flags.
//!
//! Almost no flag that an instruction sets is ever read. So an instruction stores its result and
//! the vector of carries between bit positions, and a flag is computed when something asks for it.
//! One representation serves every instruction, and every combination of flags can be expressed.

use crate::word::Word;

/// Carry flag.
pub(crate) const CF: u64 = 1 << 0;
/// Parity flag.
pub(crate) const PF: u64 = 1 << 2;
/// Auxiliary carry flag.
pub(crate) const AF: u64 = 1 << 4;
/// Zero flag.
pub(crate) const ZF: u64 = 1 << 6;
/// Sign flag.
pub(crate) const SF: u64 = 1 << 7;
/// Trap flag.
pub(crate) const TF: u64 = 1 << 8;
/// Interrupt enable flag.
pub(crate) const IF: u64 = 1 << 9;
/// Direction flag.
pub(crate) const DF: u64 = 1 << 10;
/// Overflow flag.
pub(crate) const OF: u64 = 1 << 11;
/// I/O privilege level.
pub(crate) const IOPL: u64 = 3 << 12;
/// Nested task.
pub(crate) const NT: u64 = 1 << 14;
/// Resume flag.
pub(crate) const RF: u64 = 1 << 16;
/// Virtual-8086 mode.
pub(crate) const VM: u64 = 1 << 17;
/// Alignment check.
pub(crate) const AC: u64 = 1 << 18;
/// Virtual interrupt flag.
pub(crate) const VIF: u64 = 1 << 19;
/// Virtual interrupt pending.
pub(crate) const VIP: u64 = 1 << 20;
/// CPUID can be used.
pub(crate) const ID: u64 = 1 << 21;
/// The six arithmetic flags, which [`Lazy`] holds.
pub(crate) const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

/// SF is what the result says, and not the opposite.
pub(crate) const SIGN: u8 = 1 << 0;
/// PF is what the result says, and not the opposite.
pub(crate) const PARITY: u8 = 1 << 1;
/// The bits that the index of a top bit always has, so that there is room for other things.
pub(crate) const IN_TOPS: u8 = 7;
/// The index of the top bit.
pub(crate) const TOP: u8 = 63;
/// `carry` is the second operand of an addition.
pub(crate) const OF_ADD: u8 = 1 << 6;
/// `carry` is the second operand of a subtraction.
pub(crate) const OF_SUB: u8 = 1 << 7;
/// There are no carries, whatever `carry` is.
pub(crate) const NO_CARRIES: u8 = OF_ADD | OF_SUB;

/// The arithmetic flags in lazy form.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Lazy {
    /// The sign-extended result: gives ZF, SF and PF.
    pub(crate) result: u64,
    /// Bit n is the carry out of bit n: gives CF, OF and AF. Or the second operand that these carries
    /// follow from, together with the result; `meta` says which.
    pub(crate) carry: u64,
    /// The top bit's index; in its lowest bits, which are the same in all, whether SF and PF are as the
    /// result has them, for there are combinations that no result has; above it, what `carry` is.
    pub(crate) meta: u8,
}

impl Default for Lazy {
    fn default() -> Self {
        Self::from_bits(0)
    }
}

impl Lazy {
    /// The flags of an addition or subtraction with its carry (or borrow) vector.
    #[inline(always)]
    pub(crate) fn arith<T: Word>(result: T, carry: T) -> Self {
        Self {
            result: result.sign() as u64,
            carry: carry.wide(),
            meta: T::TOP as u8,
        }
    }

    /// The flags of an addition of `b` without a carry.
    #[inline(always)]
    pub(crate) fn added<T: Word>(result: T, b: T) -> Self {
        Self {
            result: result.sign() as u64,
            carry: b.wide(),
            meta: T::TOP as u8 | OF_ADD,
        }
    }

    /// The flags of a subtraction of `b` without a borrow.
    #[inline(always)]
    pub(crate) fn subtracted<T: Word>(result: T, b: T) -> Self {
        Self {
            result: result.sign() as u64,
            carry: b.wide(),
            meta: T::TOP as u8 | OF_SUB,
        }
    }

    /// Bit n is the carry out of bit n, up to the top bit.
    #[inline(always)]
    fn carries(self) -> u64 {
        let (r, b) = (self.result, self.carry);
        match self.meta & NO_CARRIES {
            0 => self.carry,
            OF_ADD => carries(r.wrapping_sub(b), b, r),
            OF_SUB => borrows(r.wrapping_add(b), b, r),
            _ => 0,
        }
    }

    /// The index of the top bit.
    #[inline(always)]
    fn top(self) -> u8 {
        self.meta & TOP | IN_TOPS
    }

    /// The flags of a logical operation: CF, OF and AF are clear.
    #[inline(always)]
    pub(crate) fn logic<T: Word>(result: T) -> Self {
        Self {
            result: result.sign() as u64,
            carry: 0,
            meta: T::TOP as u8 | NO_CARRIES,
        }
    }

    /// ZF, SF and PF of `result`, CF and OF as given, AF clear.
    #[inline(always)]
    pub(crate) fn with_carry<T: Word>(result: T, cf: bool, of: bool) -> Self {
        Self {
            result: result.sign() as u64,
            carry: u64::from(cf) << 63 | u64::from(cf ^ of) << 62,
            meta: TOP,
        }
    }

    /// The same flags with CF and OF replaced.
    #[inline(always)]
    pub(crate) fn replace_carry(self, cf: bool, of: bool) -> Self {
        Self {
            result: self.result,
            carry: self.carries() & 8 | u64::from(cf) << 63 | u64::from(cf ^ of) << 62,
            meta: self.meta & (SIGN | PARITY) | TOP & !(SIGN | PARITY),
        }
    }

    /// The same flags with ZF replaced.
    pub(crate) fn replace_zero(self, zf: bool) -> Self {
        // A result of 1 has SF and PF clear, a result of 0 has SF clear and PF set.
        let sign = if self.sf() { 0 } else { SIGN };
        let parity = if self.pf() == zf { PARITY } else { 0 };
        Self {
            result: u64::from(!zf),
            carry: self.carries(),
            meta: self.meta & TOP & !(SIGN | PARITY) | sign | parity,
        }
    }

    /// Flags from their positions in RFLAGS.
    pub(crate) fn from_bits(bits: u64) -> Self {
        let has = |flag: u64| bits & flag != 0;
        // A result of 1 has SF and PF clear, a result of 0 has SF clear and PF set.
        let (result, parity) = if has(ZF) { (0, true) } else { (1, false) };
        let mut meta = TOP;
        if has(SF) {
            meta &= !SIGN;
        }
        if has(PF) != parity {
            meta &= !PARITY;
        }
        let carry =
            u64::from(has(CF)) << 63 | u64::from(has(CF) ^ has(OF)) << 62 | u64::from(has(AF)) << 3;
        Self {
            result,
            carry,
            meta,
        }
    }

    /// The six flags at their positions in RFLAGS.
    pub(crate) fn bits(self) -> u64 {
        let set = |condition: bool, flag: u64| if condition { flag } else { 0 };
        set(self.cf(), CF)
            | set(self.pf(), PF)
            | set(self.af(), AF)
            | set(self.zf(), ZF)
            | set(self.sf(), SF)
            | set(self.of(), OF)
    }

    #[inline(always)]
    pub(crate) fn cf(self) -> bool {
        self.carries() >> self.top() & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn of(self) -> bool {
        let top = self.top();
        let carries = self.carries();
        (carries >> top ^ carries >> (top - 1)) & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn zf(self) -> bool {
        self.result == 0
    }

    #[inline(always)]
    pub(crate) fn sf(self) -> bool {
        ((self.result as i64) < 0) ^ (self.meta & SIGN == 0)
    }

    #[inline(always)]
    pub(crate) fn pf(self) -> bool {
        (self.result as u8).count_ones().is_multiple_of(2) ^ (self.meta & PARITY == 0)
    }

    #[inline(always)]
    pub(crate) fn af(self) -> bool {
        self.carries() & 8 != 0
    }

    /// Evaluates a condition code, the low four bits of the opcodes of Jcc, SETcc and CMOVcc.
    #[inline(always)]
    pub(crate) fn condition(self, code: u8) -> bool {
        let base = match code >> 1 & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        base != (code & 1 != 0)
    }
}

/// The carry vector of `a + b (+ carry) = r`.
#[inline(always)]
pub(crate) fn carries<T: Word>(a: T, b: T, r: T) -> T {
    a & b | (a | b) & !r
}

/// The borrow vector of `a - b (- borrow) = r`.
#[inline(always)]
pub(crate) fn borrows<T: Word>(a: T, b: T, r: T) -> T {
    !a & b | (!a | b) & r
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags in every representation and combination.
    fn all() -> Vec<Lazy> {
        let values = [0u8, 1, 2, 0x7f, 0x80, 0x81, 0xfe, 0xff];
        let pairs = values.map(|a| values.map(|b| (a, b)));
        let made = pairs.as_flattened().iter().flat_map(|&(a, b)| {
            let (sum, difference) = (a.wrapping_add(b), a.wrapping_sub(b));
            [
                Lazy::added(sum, b),
                Lazy::subtracted(difference, b),
                Lazy::arith(sum, carries(a, b, sum)),
                Lazy::logic(a & b),
                // As compiled code leaves it.
                Lazy {
                    carry: !0,
                    ..Lazy::logic(a | b)
                },
                Lazy::with_carry(a, b & 1 != 0, b & 2 != 0),
            ]
        });
        let given = (0..1 << 12).map(Lazy::from_bits);
        made.chain(given).collect()
    }

    #[test]
    fn logic_has_no_carries_whatever_there_was() {
        for value in [0u64, 1, 2, 1 << 63] {
            let left = Lazy {
                carry: !0,
                ..Lazy::logic(value)
            };
            assert_eq!(left.bits(), Lazy::logic(value).bits());
            assert_eq!(left.bits() & (CF | OF | AF), 0);
        }
    }

    #[test]
    fn replacing_one_flag_leaves_the_others() {
        for flags in all() {
            let before = flags.bits();
            for zf in [false, true] {
                let expected = before & !ZF | if zf { ZF } else { 0 };
                assert_eq!(flags.replace_zero(zf).bits(), expected, "{flags:?}");
            }
            let expected = before ^ CF;
            let replaced = flags.replace_carry(!flags.cf(), flags.of());
            assert_eq!(replaced.bits(), expected, "{flags:?}");
        }
    }
}
