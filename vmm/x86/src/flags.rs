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

const FLIP_SIGN: u32 = 1 << 8;
const FLIP_PARITY: u32 = 1 << 9;

/// The arithmetic flags in lazy form.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Lazy {
    /// The sign-extended result: gives ZF, SF and PF.
    result: u64,
    /// Bit n is the carry out of bit n: gives CF, OF and AF.
    carry: u64,
    /// The top bit's index in the low byte; above it, corrections to SF and PF for combinations
    /// that no result has.
    meta: u32,
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
            meta: T::TOP,
        }
    }

    /// The flags of a logical operation: CF, OF and AF are clear.
    #[inline(always)]
    pub(crate) fn logic<T: Word>(result: T) -> Self {
        Self {
            result: result.sign() as u64,
            carry: 0,
            meta: T::TOP,
        }
    }

    /// ZF, SF and PF of `result`, CF and OF as given, AF clear.
    #[inline(always)]
    pub(crate) fn with_carry<T: Word>(result: T, cf: bool, of: bool) -> Self {
        Self {
            result: result.sign() as u64,
            carry: u64::from(cf) << 63 | u64::from(cf ^ of) << 62,
            meta: 63,
        }
    }

    /// The same flags with CF and OF replaced.
    #[inline(always)]
    pub(crate) fn replace_carry(self, cf: bool, of: bool) -> Self {
        Self {
            result: self.result,
            carry: self.carry & 8 | u64::from(cf) << 63 | u64::from(cf ^ of) << 62,
            meta: self.meta & !0xff | 63,
        }
    }

    /// Flags from their positions in RFLAGS.
    pub(crate) fn from_bits(bits: u64) -> Self {
        let has = |flag: u64| bits & flag != 0;
        // A result of 1 has SF and PF clear, a result of 0 has SF clear and PF set.
        let (result, parity) = if has(ZF) { (0, true) } else { (1, false) };
        let mut meta = 63;
        if has(SF) {
            meta |= FLIP_SIGN;
        }
        if has(PF) != parity {
            meta |= FLIP_PARITY;
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
        self.carry >> (self.meta & 63) & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn of(self) -> bool {
        let top = self.meta & 63;
        (self.carry >> top ^ self.carry >> (top - 1)) & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn zf(self) -> bool {
        self.result == 0
    }

    #[inline(always)]
    pub(crate) fn sf(self) -> bool {
        ((self.result as i64) < 0) ^ (self.meta & FLIP_SIGN != 0)
    }

    #[inline(always)]
    pub(crate) fn pf(self) -> bool {
        (self.result as u8).count_ones().is_multiple_of(2) ^ (self.meta & FLIP_PARITY != 0)
    }

    #[inline(always)]
    pub(crate) fn af(self) -> bool {
        self.carry & 8 != 0
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
