//! The register stack, its tags, the status word, and what an exception does to them.

use super::number::{Class, INDEFINITE, Out, class, flag};
use crate::state::{F80, X87};

/// The exception summary bit of the status word.
pub(super) const SUMMARY: u16 = 0x80;
/// The busy bit, which mirrors the summary.
pub(super) const BUSY: u16 = 0x8000;
pub(super) const C0: u16 = 0x100;
pub(super) const C1: u16 = 0x200;
pub(super) const C2: u16 = 0x400;
pub(super) const C3: u16 = 0x4000;
/// The exceptions that a control word can mask.
const MASKABLE: u16 = 0x3f;

/// Where the result of an operation goes, which decides what an unmasked overflow or underflow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Register,
    Memory,
}

impl X87 {
    pub(super) fn top(&self) -> u8 {
        (self.status >> 11 & 7) as u8
    }

    pub(super) fn set_top(&mut self, top: u8) {
        self.status = self.status & !0x3800 | u16::from(top & 7) << 11;
    }

    fn physical(&self, i: u8) -> usize {
        usize::from(self.top().wrapping_add(i) & 7)
    }

    pub(super) fn st(&self, i: u8) -> F80 {
        self.regs[self.physical(i)]
    }

    pub(super) fn is_empty(&self, i: u8) -> bool {
        self.tag >> (2 * self.physical(i)) & 3 == 3
    }

    pub(super) fn set_st(&mut self, i: u8, value: F80) {
        let register = self.physical(i);
        self.set_physical(register, value);
    }

    /// Writes a register by its physical number and marks it as full.
    pub(super) fn set_physical(&mut self, register: usize, value: F80) {
        self.regs[register] = value;
        self.tag = self.tag & !(3 << (2 * register)) | tag_of(value) << (2 * register);
    }

    pub(super) fn free(&mut self, i: u8) {
        self.tag |= 3 << (2 * self.physical(i));
    }

    pub(super) fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top().wrapping_add(1));
    }

    /// Pushes without a check; the caller made sure that the register is empty or may be lost.
    pub(super) fn push(&mut self, value: F80) {
        self.set_top(self.top().wrapping_sub(1));
        self.set_st(0, value);
    }

    pub(super) fn set_conditions(&mut self, mask: u16, value: u16) {
        self.status = self.status & !mask | value & mask;
    }

    /// Makes the summary and busy bits agree with the pending and the masked exceptions.
    pub(super) fn update_summary(&mut self) {
        self.status &= !(SUMMARY | BUSY);
        if self.status & !self.control & MASKABLE != 0 {
            self.status |= SUMMARY | BUSY;
        }
    }

    /// Loads a control word; bit 6 always reads as one, the other reserved bits as zero.
    pub(super) fn load_control(&mut self, value: u16) {
        self.control = value & 0x1f7f | 0x40;
        self.update_summary();
    }

    /// Loads a status word; the summary follows from the rest.
    pub(super) fn load_status(&mut self, value: u16) {
        self.status = value;
        self.update_summary();
    }

    /// Recomputes the tags of the registers that `full` (one bit per physical register) names; the
    /// others become empty.
    pub(super) fn load_tags(&mut self, full: u8) {
        self.tag = (0..8).fold(0, |tags, register| {
            let tag = if full >> register & 1 != 0 {
                tag_of(self.regs[register])
            } else {
                3
            };
            tags | tag << (2 * register)
        });
    }

    /// One bit per physical register that is not empty: the abridged tag word of FXSAVE.
    pub(super) fn full_registers(&self) -> u8 {
        (0..8).fold(0, |bits, register| {
            bits | u8::from(self.tag >> (2 * register) & 3 != 3) << register
        })
    }

    /// Records exceptions of a computation and sets C1 from `up`. True if the operation may write
    /// its result (Intel SDM vol. 1, 8.5, and vol. 1, 4.9.2 for the priorities).
    pub(super) fn raise(&mut self, flags: u16, up: bool, destination: Destination) -> bool {
        let unmasked = !self.control & MASKABLE;
        self.status &= !C1;
        let before = flags & (flag::INVALID | flag::ZERO_DIVIDE | flag::STACK_FAULT);
        let (mut recorded, completes) = if before != 0 {
            (before, before & unmasked == 0)
        } else if flags & flag::DENORMAL & unmasked != 0 {
            (flag::DENORMAL, false)
        } else {
            let lost = flags & unmasked & (flag::OVERFLOW | flag::UNDERFLOW) != 0;
            (flags, !(lost && destination == Destination::Memory))
        };
        if !completes {
            recorded &= !flag::PRECISION;
        }
        if recorded & flag::PRECISION != 0 && up {
            self.status |= C1;
        }
        self.status |= recorded;
        if recorded & unmasked != 0 {
            self.status |= SUMMARY | BUSY;
        }
        completes
    }

    /// [`Self::raise`] for a result that goes to a register.
    pub(super) fn raise_out(&mut self, out: &Out) -> bool {
        self.raise(out.flags, out.up, Destination::Register)
    }

    /// A stack fault; C1 tells overflow from underflow. True if the response of the masked
    /// exception is to be carried out.
    pub(super) fn stack_fault(&mut self, overflow: bool) -> bool {
        let completes = self.raise(
            flag::INVALID | flag::STACK_FAULT,
            false,
            Destination::Register,
        );
        self.set_conditions(C1, if overflow { C1 } else { 0 });
        completes
    }

    /// An underflow whose masked response is a NaN in ST(i).
    pub(super) fn underflow_to(&mut self, i: u8) -> bool {
        let completes = self.stack_fault(false);
        if completes {
            self.set_st(i, INDEFINITE);
        }
        completes
    }
}

/// The tag of a register with this content that is not empty.
fn tag_of(value: F80) -> u16 {
    match class(value) {
        Class::Normal => 0,
        Class::Zero => 1,
        _ => 2,
    }
}
