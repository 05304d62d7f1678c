//! Shifts, products, bits and conditions. Their flags take more than a few instructions, which are called
//! (see [`super::flagging`]).

use dynasmrt::{DynasmApi, DynasmLabelApi};

use super::binary::top;
use super::emit::{Emitter, RDX, asm};
use super::field;

/// A shift by a constant.
#[derive(Clone, Copy)]
pub(super) enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// What is done to a bit that is tested.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bit {
    Test,
    Set,
    Reset,
    Complement,
}

fn log(size: u64) -> usize {
    size.trailing_zeros() as usize
}

impl Emitter<'_> {
    /// RDX = RAX + 1 or RAX - 1; CF stays. Leaves RAX and R11 as they are.
    pub(super) fn step(&mut self, up: bool, size: u64, flags: bool) {
        asm!(self, mov rdx, rax);
        match (up, size) {
            (true, 1) => asm!(self, inc dl),
            (true, 2) => asm!(self, inc dx),
            (true, 4) => asm!(self, inc edx),
            (true, _) => asm!(self, inc rdx),
            (false, 1) => asm!(self, dec dl),
            (false, 2) => asm!(self, dec dx),
            (false, 4) => asm!(self, dec edx),
            (false, _) => asm!(self, dec rdx),
        }
        if flags {
            self.call(self.stubs.flagging.step[log(size)]);
        }
    }

    /// RDX = RAX shifted by `count`, which is not zero and less than the operand is wide.
    pub(super) fn shift(&mut self, shift: Shift, count: u8, size: u64, flags: bool) {
        let count = count as i8;
        asm!(self, mov rdx, rax);
        match (shift, size) {
            (Shift::Left, 1) => asm!(self, shl dl, BYTE count),
            (Shift::Left, 2) => asm!(self, shl dx, BYTE count),
            (Shift::Left, 4) => asm!(self, shl edx, BYTE count),
            (Shift::Left, _) => asm!(self, shl rdx, BYTE count),
            (Shift::Right, 1) => asm!(self, shr dl, BYTE count),
            (Shift::Right, 2) => asm!(self, shr dx, BYTE count),
            (Shift::Right, 4) => asm!(self, shr edx, BYTE count),
            (Shift::Right, _) => asm!(self, shr rdx, BYTE count),
            (Shift::Arithmetic, 1) => asm!(self, sar dl, BYTE count),
            (Shift::Arithmetic, 2) => asm!(self, sar dx, BYTE count),
            (Shift::Arithmetic, 4) => asm!(self, sar edx, BYTE count),
            (Shift::Arithmetic, _) => asm!(self, sar rdx, BYTE count),
        }
        if flags {
            self.shift_flags(shift, size);
        }
    }

    /// RDX = RAX shifted by the low bits of CL; 4 or 8 bytes. A count of zero leaves the flags alone.
    pub(super) fn shift_by_cl(&mut self, shift: Shift, size: u64) {
        let done = self.asm.new_dynamic_label();
        asm!(self, mov rdx, rax; test cl, BYTE top(size) as i8; jz =>done);
        match (shift, size) {
            (Shift::Left, 4) => asm!(self, shl edx, cl),
            (Shift::Left, _) => asm!(self, shl rdx, cl),
            (Shift::Right, 4) => asm!(self, shr edx, cl),
            (Shift::Right, _) => asm!(self, shr rdx, cl),
            (Shift::Arithmetic, 4) => asm!(self, sar edx, cl),
            (Shift::Arithmetic, _) => asm!(self, sar rdx, cl),
        }
        self.shift_flags(shift, size);
        asm!(self, =>done);
    }

    /// The flags of a shift from RAX to RDX; the host's CF is CF.
    fn shift_flags(&mut self, shift: Shift, size: u64) {
        self.call(self.stubs.flagging.shift[shift as usize][log(size)]);
    }

    /// R11 = R11 rotated by a constant; only CF and OF change.
    pub(super) fn rotate(&mut self, left: bool, count: u8, size: u64) {
        let count = count as i8;
        match (left, size) {
            (true, 2) => asm!(self, rol r11w, BYTE count),
            (true, 4) => asm!(self, rol r11d, BYTE count),
            (true, _) => asm!(self, rol r11, BYTE count),
            (false, 2) => asm!(self, ror r11w, BYTE count),
            (false, 4) => asm!(self, ror r11d, BYTE count),
            (false, _) => asm!(self, ror r11, BYTE count),
        }
        self.call(self.stubs.flagging.rotate[usize::from(left)][log(size)]);
    }

    /// RDX = RAX + RCX + CF, or RAX - RCX - CF.
    pub(super) fn with_carry(&mut self, add: bool, size: u64) {
        self.call(self.stubs.flagging.with_carry[usize::from(add)][log(size)]);
    }

    /// RDX:RAX = RAX * RCX; 4 or 8 bytes.
    pub(super) fn multiply_pair(&mut self, signed: bool, size: u64, flags: bool) {
        match (signed, size) {
            (false, 4) => asm!(self, mul ecx),
            (false, _) => asm!(self, mul rcx),
            (true, 4) => asm!(self, imul ecx),
            (true, _) => asm!(self, imul rcx),
        }
        self.product_flags(size, flags);
    }

    /// RAX = RAX * RCX, signed; 4 or 8 bytes.
    pub(super) fn multiply(&mut self, size: u64, flags: bool) {
        match size {
            4 => asm!(self, imul eax, ecx),
            _ => asm!(self, imul rax, rcx),
        }
        self.product_flags(size, flags);
    }

    fn product_flags(&mut self, size: u64, flags: bool) {
        if flags {
            self.call(self.stubs.flagging.product[log(size)]);
        }
    }

    /// CF becomes the bit of RAX that the low bits of RCX say; the other flags stay.
    pub(super) fn bit_test(&mut self, size: u64) {
        match size {
            2 => asm!(self, bt ax, cx),
            4 => asm!(self, bt eax, ecx),
            _ => asm!(self, bt rax, rcx),
        }
        self.call(self.stubs.flagging.bit_test);
    }

    /// RDX = RAX with the bit changed that the low bits of RCX say. Keeps RAX and RCX.
    pub(super) fn change_bit(&mut self, change: Bit, size: u64) {
        asm!(self, mov rdx, rax);
        match (change, size) {
            (Bit::Test, _) => {}
            (Bit::Set, 2) => asm!(self, bts dx, cx),
            (Bit::Set, 4) => asm!(self, bts edx, ecx),
            (Bit::Set, _) => asm!(self, bts rdx, rcx),
            (Bit::Reset, 2) => asm!(self, btr dx, cx),
            (Bit::Reset, 4) => asm!(self, btr edx, ecx),
            (Bit::Reset, _) => asm!(self, btr rdx, rcx),
            (Bit::Complement, 2) => asm!(self, btc dx, cx),
            (Bit::Complement, 4) => asm!(self, btc edx, ecx),
            (Bit::Complement, _) => asm!(self, btc rdx, rcx),
        }
    }

    /// RDX = RAX shifted by `count`, with bits of R11 shifted in; 4 or 8 bytes.
    pub(super) fn shift_double(&mut self, left: bool, count: u8, size: u64, flags: bool) {
        let count = count as i8;
        asm!(self, mov rdx, rax);
        match (left, size) {
            (true, 4) => asm!(self, shld edx, r11d, BYTE count),
            (true, _) => asm!(self, shld rdx, r11, BYTE count),
            (false, 4) => asm!(self, shrd edx, r11d, BYTE count),
            (false, _) => asm!(self, shrd rdx, r11, BYTE count),
        }
        if flags {
            self.shift_double_flags(size);
        }
    }

    /// The same by the low bits of CL. A count of zero leaves the flags alone.
    pub(super) fn shift_double_by_cl(&mut self, left: bool, size: u64) {
        let done = self.asm.new_dynamic_label();
        asm!(self, mov rdx, rax; test cl, BYTE top(size) as i8; jz =>done);
        match (left, size) {
            (true, 4) => asm!(self, shld edx, r11d, cl),
            (true, _) => asm!(self, shld rdx, r11, cl),
            (false, 4) => asm!(self, shrd edx, r11d, cl),
            (false, _) => asm!(self, shrd rdx, r11, cl),
        }
        self.shift_double_flags(size);
        asm!(self, =>done);
    }

    fn shift_double_flags(&mut self, size: u64) {
        self.call(self.stubs.flagging.shift_double[log(size)]);
    }

    /// Calls what always comes back.
    pub(super) fn call(&mut self, stub: usize) {
        asm!(self, call extern stub);
    }

    /// Evaluates condition `code`, as in the opcodes of Jcc; the condition of the host to go by. `None` if
    /// that is not worth it. Leaves RAX and R11 as they are.
    pub(super) fn condition(&mut self, code: u8) -> Option<u8> {
        const CARRY: u8 = 2;
        const ZERO: u8 = 4;
        const NOT_ZERO: u8 = 5;
        if self.flags_at_hand {
            return Some(code);
        }
        let flagging = &self.stubs.flagging;
        let (base, stub) = match code >> 1 {
            0 => (CARRY, flagging.overflow),
            1 => (CARRY, flagging.carry),
            2 => {
                // CMP with a constant of 8 bits, which the assembler has no form of.
                self.asm.extend(&[0x48, 0x83, 0x7f, field::RESULT as u8, 0]);
                return Some(ZERO ^ code & 1);
            }
            3 => (NOT_ZERO, flagging.below_or_equal),
            4 => (NOT_ZERO, flagging.sign),
            5 => return None,
            6 => (NOT_ZERO, flagging.less),
            _ => (NOT_ZERO, flagging.less_or_equal),
        };
        self.call(stub);
        Some(base ^ code & 1)
    }

    /// Puts the result away.
    pub(super) fn finish(&mut self, dst: u8, size: u64) {
        self.put(dst, RDX, size);
    }
}
