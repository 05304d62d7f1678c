//! Integer instructions that the interpreter executes from their decoded form: products and quotients of the
//! accumulator pair, scans for bits, CMPXCHG16B, segment registers.

use dynasmrt::{DynasmApi, DynasmLabelApi};

use super::decoded::Place;
use super::emit::{Access, Emitter, JAE, JBE, JNE, RAX, RCX, RDX, Tail, asm};
use super::field;
use crate::cpu::gpr;
use crate::op::Op;

/// The accumulator pair.
const LOW: u8 = gpr::RAX as u8 * 8;
const HIGH: u8 = gpr::RDX as u8 * 8;

impl Emitter<'_> {
    /// Reads an operand into a register of the host, zero-extended. Changes RAX, RCX and RDX.
    pub(super) fn fetch(&mut self, index: usize, host: u8, from: Place, size: u64) {
        match from {
            Place::Register(register) => self.get(host, register, size),
            Place::Memory(op) => {
                self.address(&op, true);
                self.translate(index, Access::Read, size);
                self.read(host, size);
            }
        }
    }

    pub(super) fn product(
        &mut self,
        index: usize,
        signed: bool,
        by: Place,
        size: u64,
        flags: bool,
    ) {
        self.fetch(index, RCX, by, size);
        self.get(RAX, LOW, size);
        self.multiply_pair(signed, size, flags);
        self.put(LOW, RAX, size);
        self.put(HIGH, RDX, size);
    }

    /// Divides, unless the quotient may not fit, which the handler finds out. The flags stay.
    pub(super) fn quotient(&mut self, index: usize, signed: bool, by: Place, size: u64) {
        self.fetch(index, RCX, by, size);
        self.get(RAX, LOW, size);
        if signed {
            self.divide_signed(index, size);
        } else {
            self.get(RDX, HIGH, size);
            match size {
                4 => asm!(self, cmp edx, ecx),
                _ => asm!(self, cmp rdx, rcx),
            }
            // That includes divisors of zero.
            self.jump(JAE, Tail::Handler(index));
            match size {
                4 => asm!(self, div ecx),
                _ => asm!(self, div rcx),
            }
        }
        self.put(LOW, RAX, size);
        self.put(HIGH, RDX, size);
    }

    /// RAX, RDX = the pair of RAX and the guest's register divided by RCX. The quotient fits if the upper
    /// half is the lower one's sign, as compilers have it, and the divisor is neither 0 nor -1.
    fn divide_signed(&mut self, index: usize, size: u64) {
        let high = field::register(HIGH);
        match size {
            4 => asm!(self, cdq; cmp edx, DWORD [BYTE rdi + high]),
            _ => asm!(self, cqo; cmp rdx, QWORD [BYTE rdi + high]),
        }
        self.jump(JNE, Tail::Handler(index));
        match size {
            4 => asm!(self, lea r8d, [rcx + 1]; cmp r8d, BYTE 1),
            _ => asm!(self, lea r8, [rcx + 1]; cmp r8, BYTE 1),
        }
        self.jump(JBE, Tail::Handler(index));
        match size {
            4 => asm!(self, idiv ecx),
            _ => asm!(self, idiv rcx),
        }
    }

    /// A source of zero leaves the destination, even the upper half of 64 bits.
    pub(super) fn scan(
        &mut self,
        index: usize,
        forward: bool,
        (dst, from): (u8, Place),
        size: u64,
        flags: bool,
    ) {
        self.fetch(index, RAX, from, size);
        let zero = self.asm.new_dynamic_label();
        if forward {
            asm!(self, bsf rdx, rax);
        } else {
            asm!(self, bsr rdx, rax);
        }
        asm!(self, jz =>zero);
        self.put(dst, RDX, size);
        if flags {
            self.constant(RAX, 1);
        }
        asm!(self, =>zero);
        if flags {
            self.replace_zero();
        }
    }

    /// ZF becomes whether EAX, which is 0 or 1, is 0; the other flags stay. Changes RCX, RDX and R8 to R10.
    fn replace_zero(&mut self) {
        self.call(self.stubs.flagging.zero);
    }

    pub(super) fn compare_exchange_pair(&mut self, index: usize, operand: &Op, flags: bool) {
        const B: i8 = field::register(gpr::RBX as u8 * 8);
        const C: i8 = field::register(gpr::RCX as u8 * 8);
        self.address(operand, true);
        self.call_or_hand_over(index, self.stubs.write_pair);
        let (differ, done) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        asm!(self, mov r11, rax; mov rcx, QWORD [r11]; mov rdx, QWORD [r11 + 8]);
        let (low, high) = (field::register(LOW), field::register(HIGH));
        asm!(self, cmp rcx, QWORD [BYTE rdi + low]; jne =>differ);
        asm!(self, cmp rdx, QWORD [BYTE rdi + high]; jne =>differ);
        asm!(self, mov rax, QWORD [BYTE rdi + B]; mov QWORD [r11], rax);
        asm!(self, mov rax, QWORD [BYTE rdi + C]; mov QWORD [r11 + 8], rax);
        asm!(self, xor eax, eax; jmp =>done; =>differ);
        self.put(LOW, RCX, 8);
        self.put(HIGH, RDX, 8);
        asm!(self, mov eax, 1; =>done);
        if flags {
            self.replace_zero();
        }
    }

    pub(super) fn read_segment(&mut self, dst: u8, segment: usize, size: u64) {
        let selector = field::selector(segment);
        asm!(self, movzx eax, WORD [rdi + selector]);
        self.put(dst, RAX, size);
    }
}
