//! The stack, for instructions that are executed from their decoded form: among them all outside of 64-bit
//! mode.

use iced_x86::{Instruction, Mnemonic};

use super::operand::mask;
use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, slot};
use crate::flags;
use crate::mmu::Res;

/// The size of what a PUSH or POP moves.
pub(super) fn stack_size(ins: &Instruction) -> u64 {
    ins.stack_pointer_increment().unsigned_abs().into()
}

/// PUSH and POP of general registers, memory and immediates.
pub(crate) fn push_pop(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = stack_size(ins);
    if ins.mnemonic() == Mnemonic::Push {
        let value = cpu.read_operand(ins, 0)?;
        cpu.push(value, size)?;
        return Ok(Done::Next);
    }
    let before = cpu.regs[gpr::RSP];
    let value = cpu.pop(size)?;
    // An address that uses the stack pointer sees it already popped.
    if let Err(raised) = cpu.write_operand(ins, 0, value) {
        cpu.regs[gpr::RSP] = before;
        return Err(raised);
    }
    Ok(Done::Next)
}

/// PUSHA and PUSHAD.
pub(crate) fn push_all(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = if ins.mnemonic() == Mnemonic::Pusha {
        2
    } else {
        4
    };
    let before = cpu.regs[gpr::RSP];
    for index in 0..8 {
        let value = if index == gpr::RSP {
            before
        } else {
            cpu.regs[index]
        };
        if let Err(raised) = cpu.push(value, size) {
            cpu.regs[gpr::RSP] = before;
            return Err(raised);
        }
    }
    Ok(Done::Next)
}

/// POPA and POPAD.
pub(crate) fn pop_all(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = if ins.mnemonic() == Mnemonic::Popa {
        2
    } else {
        4
    };
    let mut values = [0; 8];
    for (position, value) in values.iter_mut().enumerate() {
        *value = cpu.peek(position as u64 * size, size)?;
    }
    for (position, value) in values.into_iter().enumerate() {
        let index = 7 - position;
        if index != gpr::RSP {
            let offset = index as u8 * 8;
            if size == 2 {
                cpu.set_reg(offset, value as u16)
            } else {
                cpu.set_reg(offset, value as u32)
            }
        }
    }
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(8 * size));
    Ok(Done::Next)
}

/// PUSHF, PUSHFD and PUSHFQ.
pub(crate) fn push_flags(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let value = cpu.rflags() & !(flags::RF | flags::VM);
    cpu.push(value, stack_size(ins))?;
    Ok(Done::Next)
}

/// POPF, POPFD and POPFQ (Intel SDM vol. 2, POPF).
pub(crate) fn pop_flags(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = stack_size(ins);
    let value = cpu.pop(size)?;
    cpu.load_flags(value, size);
    Ok(Done::Sync)
}

impl Cpu {
    /// Sets the bits of RFLAGS that POPF may set at the current privilege.
    pub(crate) fn load_flags(&mut self, value: u64, size: u64) {
        let mut writable =
            flags::ARITHMETIC | flags::TF | flags::DF | flags::NT | flags::AC | flags::ID;
        if self.cpl == 0 {
            writable |= flags::IOPL;
        }
        if u64::from(self.cpl) <= (self.rflags & flags::IOPL) >> 12 {
            writable |= flags::IF;
        }
        if size == 2 {
            writable &= 0xffff;
        }
        let new = (self.rflags() & !writable | value & writable) & !flags::RF;
        self.set_rflags(new);
        self.update_tables();
    }
}

/// LEAVE outside of 64-bit mode.
pub(crate) fn leave(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = match ins.code() {
        iced_x86::Code::Leavew => 2,
        iced_x86::Code::Leaved => 4,
        _ => 8,
    };
    let before = cpu.regs[gpr::RSP];
    cpu.set_stack_pointer(cpu.regs[gpr::RBP]);
    match cpu.pop(size) {
        Ok(value) => {
            write_frame(cpu, value, size);
            Ok(Done::Next)
        }
        Err(raised) => {
            cpu.regs[gpr::RSP] = before;
            Err(raised)
        }
    }
}

fn write_frame(cpu: &mut Cpu, value: u64, size: u64) {
    let offset = gpr::RBP as u8 * 8;
    match size {
        2 => cpu.set_reg(offset, value as u16),
        4 => cpu.set_reg(offset, value as u32),
        _ => cpu.set_reg(offset, value),
    }
}

/// ENTER.
pub(crate) fn enter(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = match ins.code() {
        iced_x86::Code::Enterw_imm16_imm8 => 2,
        iced_x86::Code::Enterd_imm16_imm8 => 4,
        _ => 8,
    };
    let before = cpu.regs[gpr::RSP];
    let result = enter_frame(
        cpu,
        size,
        u64::from(ins.immediate16()),
        u64::from(ins.immediate8_2nd()) & 31,
    );
    if result.is_err() {
        cpu.regs[gpr::RSP] = before;
    }
    result
}

fn enter_frame(cpu: &mut Cpu, size: u64, space: u64, level: u64) -> Res<Done> {
    let frame = cpu.regs[gpr::RBP];
    cpu.push(frame, size)?;
    let new_frame = cpu.stack_pointer();
    for n in 1..level {
        let pointer = frame.wrapping_sub(n * size) & mask(cpu.mode.stack_bits / 8);
        let base = cpu.regs[slot::SEGMENTS + crate::cpu::seg::SS];
        let value = cpu.load_slow(cpu.wrap_linear(pointer.wrapping_add(base)), size)?;
        cpu.push(value, size)?;
    }
    if level > 0 {
        cpu.push(new_frame, size)?;
    }
    let top = cpu.stack_pointer().wrapping_sub(space);
    // The new top of the stack must be writable (Intel SDM vol. 2, ENTER).
    let base = cpu.regs[slot::SEGMENTS + crate::cpu::seg::SS];
    let linear = cpu.wrap_linear((top & mask(cpu.mode.stack_bits / 8)).wrapping_add(base));
    cpu.probe_write(linear, size)?;
    cpu.set_stack_pointer(top);
    write_frame(cpu, new_frame, size);
    Ok(Done::Next)
}
