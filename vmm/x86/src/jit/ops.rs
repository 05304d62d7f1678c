//! The code of operations that do not branch.

use dynasmrt::{DynasmApi, DynasmLabelApi};

use super::arith::Bit;
use super::binary::{Binary, Second};
use super::emit::{Access, Emitter, R11, RAX, RCX, RDX, asm};
use super::field;
use super::select::Act;
use crate::cpu::gpr;
use crate::flags;
use crate::lower::Form;

const RBP: u8 = gpr::RBP as u8 * 8;
const RSP: u8 = gpr::RSP as u8 * 8;

impl Emitter<'_> {
    /// Emits the code of operation `index`, which does not end the block; `flags` is whether somebody may
    /// see the flags that it sets.
    pub(super) fn operation(&mut self, index: usize, act: Act, flags: bool) {
        match act {
            Act::Nop => {}
            _ => self.moves(index, act, flags),
        }
    }

    /// Moves, extensions, addresses.
    fn moves(&mut self, index: usize, act: Act, flags: bool) {
        let op = self.ops[index];
        match act {
            Act::Move(form, size) => self.r#move(index, form, size),
            Act::Extend {
                signed,
                memory,
                to,
                from,
            } => self.extend(index, signed, memory, to, from),
            Act::Address(size) => {
                self.address(&op, false);
                if size == 4 {
                    asm!(self, mov eax, eax);
                }
                self.put(op.dst, RAX, size);
            }
            Act::Exchange(size) => {
                self.get(RAX, op.dst, size);
                self.get(RCX, op.src, size);
                self.put(op.dst, RCX, size);
                self.put(op.src, RAX, size);
            }
            Act::Choose { memory, size } => self.choose(index, memory, size),
            Act::Set => {
                let code = self.condition(op.aux).expect("parity is not selected");
                self.set(code);
                self.put(op.dst, RAX, 1);
            }
            Act::SetMemory => {
                self.locate(index, Access::Write, 1);
                asm!(self, mov r11, rax);
                let code = self.condition(op.aux).expect("parity is not selected");
                self.set(code);
                asm!(self, mov BYTE [r11], al);
            }
            Act::WidenA { to } => {
                self.get_signed(RAX, 0, to / 2);
                if to == 4 {
                    asm!(self, mov eax, eax);
                }
                self.put(0, RAX, to);
            }
            Act::WidenD(size) => {
                self.get_signed(RDX, 0, size);
                asm!(self, sar rdx, BYTE 63);
                if size == 4 {
                    asm!(self, mov edx, edx);
                }
                self.put(gpr::RDX as u8 * 8, RDX, size);
            }
            Act::Swap(size) => {
                self.get(RAX, op.dst, size);
                match size {
                    4 => asm!(self, bswap eax),
                    _ => asm!(self, bswap rax),
                }
                self.put(op.dst, RAX, size);
            }
            Act::XmmMove => self.xmm_move(index),
            Act::XmmLoad => self.xmm_load(index),
            Act::XmmStore => self.xmm_store(index),
            Act::Xmm(kind, dst, src) => self.xmm(index, kind, dst, src),
            Act::XmmMemory(kind, dst, operand) => self.xmm_memory(index, kind, dst, &operand),
            Act::XmmMask { dst, src } => self.xmm_mask(index, dst, src),
            _ => self.arithmetic(index, act, flags),
        }
    }

    /// Arithmetic and logic.
    fn arithmetic(&mut self, index: usize, act: Act, flags: bool) {
        let op = self.ops[index];
        match act {
            Act::Binary(kind, form, size) => self.two_operands(index, kind, form, size, flags),
            Act::Zero => {
                self.constant(RDX, 0);
                self.put(op.dst, RDX, 8);
                if flags {
                    self.zero_flags();
                }
            }
            Act::Step { up, memory, size } => self.step_one(index, up, memory, size, flags),
            Act::Negate(size) => {
                self.constant(RDX, 0);
                self.combine(Binary::Sub, size, Second::Register(op.dst), flags);
                self.finish(op.dst, size);
            }
            Act::Not(size) => {
                self.get(RAX, op.dst, size);
                match size {
                    4 => asm!(self, not eax),
                    _ => asm!(self, not rax),
                }
                self.put(op.dst, RAX, size);
            }
            Act::WithCarry { add, form, size } => self.add_with_carry(index, add, form, size),
            Act::Multiply(form, size) => {
                if form == Form::RM {
                    self.locate(index, Access::Read, size);
                    self.read(RCX, size);
                } else {
                    self.get(RCX, op.src, size);
                }
                self.get(RAX, op.dst, size);
                self.multiply(size, flags);
                self.put(op.dst, RAX, size);
            }
            Act::MultiplyBy { memory, size } => {
                if memory {
                    self.locate(index, Access::Read, size);
                    self.read(RAX, size);
                } else {
                    self.get(RAX, op.src, size);
                }
                self.constant(RCX, op.imm);
                self.multiply(size, flags);
                self.put(op.dst, RAX, size);
            }
            _ => self.shifts(index, act, flags),
        }
    }

    /// Shifts and rotations.
    fn shifts(&mut self, index: usize, act: Act, flags: bool) {
        let op = self.ops[index];
        match act {
            Act::Shift(kind, size) => {
                self.get(RAX, op.dst, size);
                self.shift(kind, op.aux, size, flags);
                self.finish(op.dst, size);
            }
            Act::ShiftByCl(kind, size) => {
                self.get(RAX, op.dst, size);
                self.get(RCX, gpr::RCX as u8 * 8, 1);
                self.shift_by_cl(kind, size);
                self.finish(op.dst, size);
            }
            Act::ShiftDouble {
                left,
                dst,
                src,
                count,
                size,
            } => {
                self.get(RAX, dst, size);
                self.get(R11, src, size);
                match count {
                    Some(count) => self.shift_double(left, count, size, flags),
                    None => {
                        self.get(RCX, gpr::RCX as u8 * 8, 1);
                        self.shift_double_by_cl(left, size);
                    }
                }
                self.finish(dst, size);
            }
            Act::Rotate { left, size } => {
                self.get(R11, op.dst, size);
                self.rotate(left, op.aux, size);
                self.put(op.dst, R11, size);
            }
            _ => self.decoded_form(index, act, flags),
        }
    }

    /// What the interpreter executes from its decoded form.
    fn decoded_form(&mut self, index: usize, act: Act, flags: bool) {
        match act {
            Act::MultiplyPair { signed, by, size } => self.product(index, signed, by, size, flags),
            Act::Divide { signed, by, size } => self.quotient(index, signed, by, size),
            Act::Scan {
                forward,
                dst,
                from,
                size,
            } => self.scan(index, forward, (dst, from), size, flags),
            Act::CompareExchangePair(op) => self.compare_exchange_pair(index, &op, flags),
            Act::ReadSegment { dst, segment, size } => self.read_segment(dst, segment, size),
            Act::SwapGs => self.call_or_hand_over(index, self.stubs.swapgs),
            Act::ClearDirection => asm!(self, and DWORD [rdi + field::RFLAGS], !flags::DF as i32),
            Act::XmmSet { dst, from, size } => self.xmm_set(index, dst, from, size),
            Act::XmmInsert {
                dst,
                at,
                from,
                size,
            } => self.xmm_insert(index, (dst, at), from, size),
            Act::XmmGet { to, src, at, size } => self.xmm_get(index, to, (src, at), size),
            _ => self.stack(index, act),
        }
    }

    /// The stack.
    fn stack(&mut self, index: usize, act: Act) {
        let op = self.ops[index];
        match act {
            Act::PushRegister => self.push(index, None),
            Act::PushConstant => self.push(index, Some(op.imm)),
            Act::PushMemory => {
                self.locate(index, Access::Read, 8);
                self.read(RCX, 8);
                let push = self.stubs.push;
                self.call_or_hand_over(index, push);
            }
            Act::PushFlags => {
                let (flags, push) = (self.stubs.flags, self.stubs.push);
                asm!(self, call extern flags);
                self.call_or_hand_over(index, push);
            }
            Act::Pop => {
                let pop = self.stubs.pop;
                self.call_or_hand_over(index, pop);
                self.put(op.dst, RCX, 8);
            }
            Act::Leave => {
                self.get(RAX, RBP, 8);
                self.translate(index, Access::Read, 8);
                self.read(RCX, 8);
                self.get(RDX, RBP, 8);
                asm!(self, add rdx, BYTE 8);
                self.put(RSP, RDX, 8);
                self.put(RBP, RCX, 8);
            }
            _ => self.special(index, act),
        }
    }

    /// Bits, atomic operations, the interrupt flag.
    fn special(&mut self, index: usize, act: Act) {
        let op = self.ops[index];
        match act {
            Act::BitTest(size) => {
                self.get(RAX, op.dst, size);
                self.bit_index(index, op.aux == 255, size);
                self.bit_test(size);
            }
            Act::BitRegister(change, size) => {
                self.get(RAX, op.dst, size);
                self.bit_index(index, op.aux == 255, size);
                self.change_bit(change, size);
                self.put(op.dst, RDX, size);
                self.bit_test(size);
            }
            Act::BitMemory {
                change,
                by_register,
                size,
            } => self.bit_in_memory(index, change, by_register, size),
            Act::CompareExchange(size) => self.compare_exchange(index, size),
            Act::ExchangeAdd(size) => {
                self.locate(index, Access::Write, size);
                self.read(RDX, size);
                self.get(RCX, op.src, size);
                self.put(op.src, RDX, size);
                self.combine(Binary::Add, size, Second::Rcx, true);
                self.write(RDX, size);
            }
            Act::ExchangeMemory(size) => {
                self.locate(index, Access::Write, size);
                self.read(RCX, size);
                self.get(RDX, op.src, size);
                self.write(RDX, size);
                self.put(op.src, RCX, size);
            }
            Act::ClearInterrupts => {
                let stub = self.stubs.cli;
                self.call_or_hand_over(index, stub);
            }
            Act::SetInterrupts => {
                if self.ops[index + 1].is_plain() {
                    let stub = self.stubs.sti;
                    self.call_or_hand_over(index, stub);
                } else {
                    self.leave_to_handler(index);
                }
            }
            _ => self.leave_to_handler(index),
        }
    }

    fn add_with_carry(&mut self, index: usize, add: bool, form: Form, size: u64) {
        let op = self.ops[index];
        match form {
            Form::RM => {
                self.locate(index, Access::Read, size);
                self.read(RCX, size);
            }
            Form::RI => self.immediate(RCX, op.imm, size),
            _ => self.get(RCX, op.src, size),
        }
        self.get(RAX, op.dst, size);
        self.with_carry(add, size);
        self.finish(op.dst, size);
    }

    /// RCX becomes the index of a bit.
    fn bit_index(&mut self, index: usize, by_register: bool, size: u64) {
        let op = self.ops[index];
        if by_register {
            self.get_signed(RCX, op.src, size);
        } else {
            self.constant(RCX, op.aux.into());
        }
    }

    fn bit_in_memory(&mut self, index: usize, change: Bit, by_register: bool, size: u64) {
        let op = self.ops[index];
        let access = if change == Bit::Test {
            Access::Read
        } else {
            Access::Write
        };
        self.address(&op, true);
        if by_register {
            // The index reaches beyond the operand: so many operands, of so many bytes.
            let (bits, bytes) = (size.trailing_zeros() + 3, size.trailing_zeros());
            self.bit_index(index, true, size);
            asm!(self, sar rcx, BYTE bits as i8; shl rcx, BYTE bytes as i8; add rax, rcx);
        }
        self.translate(index, access, size);
        asm!(self, mov r11, rax);
        self.read(RAX, size);
        self.bit_index(index, by_register, size);
        if change != Bit::Test {
            self.change_bit(change, size);
            match size {
                2 => asm!(self, mov WORD [r11], dx),
                4 => asm!(self, mov DWORD [r11], edx),
                _ => asm!(self, mov QWORD [r11], rdx),
            }
        }
        self.bit_test(size);
    }

    fn compare_exchange(&mut self, index: usize, size: u64) {
        let op = self.ops[index];
        self.locate(index, Access::Write, size);
        self.read(RCX, size);
        self.get(RDX, 0, size);
        self.combine(Binary::Cmp, size, Second::Rcx, true);
        let (differ, done) = (self.asm.new_dynamic_label(), self.asm.new_dynamic_label());
        asm!(self, jne =>differ);
        self.get(RCX, op.src, size);
        self.write(RCX, size);
        asm!(self, jmp =>done; =>differ);
        self.put(0, RCX, size);
        asm!(self, =>done);
    }

    fn r#move(&mut self, index: usize, form: Form, size: u64) {
        let op = self.ops[index];
        match form {
            Form::RR => {
                self.get(RAX, op.src, size);
                self.put(op.dst, RAX, size);
            }
            Form::RI => {
                self.immediate(RAX, op.imm, size);
                self.put(op.dst, RAX, size);
            }
            Form::RM => {
                self.locate(index, Access::Read, size);
                self.read(RAX, size);
                self.put(op.dst, RAX, size);
            }
            Form::MR => {
                self.locate(index, Access::Write, size);
                self.get(RCX, op.src, size);
                self.write(RCX, size);
            }
            _ => {
                self.locate(index, Access::Write, size);
                self.immediate(RCX, op.imm, size);
                self.write(RCX, size);
            }
        }
    }

    /// A constant of the operand's size, zero-extended.
    pub(super) fn immediate(&mut self, host: u8, value: u64, size: u64) {
        self.constant(host, value & u64::MAX >> (64 - 8 * size));
    }

    fn extend(&mut self, index: usize, signed: bool, memory: bool, to: u64, from: u64) {
        let op = self.ops[index];
        if memory {
            self.locate(index, Access::Read, from);
        }
        match (memory, signed) {
            (true, true) => self.read_signed(RCX, from),
            (true, false) => self.read(RCX, from),
            (false, true) => self.get_signed(RCX, op.src, from),
            (false, false) => self.get(RCX, op.src, from),
        }
        if to == 4 && signed {
            asm!(self, mov ecx, ecx);
        }
        self.put(op.dst, RCX, to);
    }

    fn step_one(&mut self, index: usize, up: bool, memory: bool, size: u64, flags: bool) {
        let op = self.ops[index];
        if memory {
            self.locate(index, Access::Write, size);
            asm!(self, mov r11, rax);
            self.read(RAX, size);
        } else {
            self.get(RAX, op.dst, size);
        }
        self.step(up, size, flags);
        if memory {
            asm!(self, mov rax, r11);
            self.write(RDX, size);
        } else {
            self.finish(op.dst, size);
        }
    }

    fn push(&mut self, index: usize, constant: Option<u64>) {
        match constant {
            Some(value) => self.constant(RCX, value),
            None => self.get(RCX, self.ops[index].src, 8),
        }
        let push = self.stubs.push;
        self.call_or_hand_over(index, push);
    }

    fn choose(&mut self, index: usize, memory: bool, size: u64) {
        let op = self.ops[index];
        if memory {
            self.locate(index, Access::Read, size);
            self.read(RAX, size);
        } else {
            self.get(RAX, op.src, size);
        }
        let code = self.condition(op.aux).expect("parity is not selected");
        self.get(RCX, op.dst, size);
        self.take_if(code);
        self.put(op.dst, RCX, size);
    }

    /// AL becomes whether the host's condition `code` holds: SETcc.
    fn set(&mut self, code: u8) {
        self.asm.extend(&[0x0f, 0x90 | code, 0xc0]);
    }

    /// RCX becomes RAX if the host's condition `code` holds: CMOVcc.
    fn take_if(&mut self, code: u8) {
        self.asm.extend(&[0x48, 0x0f, 0x40 | code, 0xc8]);
    }
}
