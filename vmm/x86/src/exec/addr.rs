//! Effective addresses.

use crate::cpu::Cpu;
use crate::op::At;
use crate::word::Word;

/// A form of memory operand.
pub(crate) trait Addr {
    /// The linear address of the operand.
    fn linear(cpu: &Cpu, at: At) -> u64;
    /// The effective address: the offset in the segment.
    fn effective(cpu: &Cpu, at: At) -> u64;
}

/// 64-bit base and displacement in a flat segment.
pub(crate) struct Based;
/// 64-bit base, scaled index and displacement in a flat segment.
pub(crate) struct Indexed;
/// Everything: address size, segment base, wrapping.
pub(crate) struct General;

impl Addr for Based {
    #[inline(always)]
    fn linear(cpu: &Cpu, at: At) -> u64 {
        cpu.reg::<u64>(at.base).wrapping_add(at.disp as i64 as u64)
    }

    #[inline(always)]
    fn effective(cpu: &Cpu, at: At) -> u64 {
        Self::linear(cpu, at)
    }
}

impl Addr for Indexed {
    #[inline(always)]
    fn linear(cpu: &Cpu, at: At) -> u64 {
        cpu.reg::<u64>(at.base)
            .wrapping_add(cpu.reg::<u64>(at.index) << at.scale)
            .wrapping_add(at.disp as i64 as u64)
    }

    #[inline(always)]
    fn effective(cpu: &Cpu, at: At) -> u64 {
        Self::linear(cpu, at)
    }
}

impl Addr for General {
    #[inline(always)]
    fn linear(cpu: &Cpu, at: At) -> u64 {
        let base = cpu.reg::<u64>(at.seg);
        cpu.wrap_linear(Self::effective(cpu, at).wrapping_add(base))
    }

    #[inline(always)]
    fn effective(cpu: &Cpu, at: At) -> u64 {
        let mask = u64::MAX >> (64 - (16u32 << (at.asize & 3)));
        Indexed::linear(cpu, at) & mask
    }
}

impl Cpu {
    /// Reads the register at a byte offset.
    #[inline(always)]
    pub(crate) fn reg<T: Word>(&self, offset: u8) -> T {
        debug_assert!(usize::from(offset) + T::SIZE as usize <= size_of_val(&self.regs));
        // SAFETY: lowering makes offsets of registers and slots only, all of which lie in `regs`.
        unsafe {
            self.regs
                .as_ptr()
                .cast::<u8>()
                .add(usize::from(offset))
                .cast::<T>()
                .read_unaligned()
        }
    }

    /// Writes the register at a byte offset. A 32-bit write clears the upper half.
    #[inline(always)]
    pub(crate) fn set_reg<T: Word>(&mut self, offset: u8, value: T) {
        debug_assert!(usize::from(offset) + T::SIZE as usize <= size_of_val(&self.regs));
        // SAFETY: as in `reg`; a 32-bit register's offset is that of its 64-bit register.
        unsafe {
            let pointer = self.regs.as_mut_ptr().cast::<u8>().add(usize::from(offset));
            if T::SIZE == 4 {
                pointer.cast::<u64>().write_unaligned(value.wide());
            } else {
                pointer.cast::<T>().write_unaligned(value);
            }
        }
    }
}
