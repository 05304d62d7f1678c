//! Operands, read from the decoded form of an instruction.

use iced_x86::{ConditionCode, Instruction, MemorySize, OpKind, Register};

use crate::cpu::{Cpu, gpr, slot};
use crate::mmu::Res;
use crate::word::Word;

/// The byte offset of a general register in `Cpu::regs`.
pub(crate) fn offset(register: Register) -> u8 {
    let full = register.full_register().number() as u8 * 8;
    let high = matches!(
        register,
        Register::AH | Register::CH | Register::DH | Register::BH
    );
    full + u8::from(high)
}

impl Cpu {
    /// Reads a general register of any width, zero-extended.
    pub(crate) fn read_register(&self, register: Register) -> u64 {
        let offset = offset(register);
        match register.size() {
            1 => self.reg::<u8>(offset).wide(),
            2 => self.reg::<u16>(offset).wide(),
            4 => self.reg::<u32>(offset).wide(),
            _ => self.reg::<u64>(offset),
        }
    }

    /// Writes a general register of any width.
    pub(crate) fn write_register(&mut self, register: Register, value: u64) {
        self.write_sized(offset(register), register.size() as u64, value);
    }

    fn write_sized(&mut self, offset: u8, size: u64, value: u64) {
        match size {
            1 => self.set_reg(offset, value as u8),
            2 => self.set_reg(offset, value as u16),
            4 => self.set_reg(offset, value as u32),
            _ => self.set_reg(offset, value),
        }
    }

    /// The effective address of the memory operand.
    pub(crate) fn effective(&self, ins: &Instruction) -> u64 {
        let address_size = address_size(ins, self.mode.bits);
        let mut address = ins.memory_displacement64();
        if ins.is_ip_rel_memory_operand() {
            // Blocks are decoded at IP 0, so that the displacement is relative to the block.
            return self.regs[slot::RIP].wrapping_add(address) & mask(address_size);
        }
        if ins.memory_base() != Register::None {
            address = address.wrapping_add(self.read_register(ins.memory_base()));
        }
        if ins.memory_index() != Register::None {
            let index = self.read_register(ins.memory_index());
            address = address.wrapping_add(index.wrapping_mul(u64::from(ins.memory_index_scale())));
        }
        address & mask(address_size)
    }

    /// The linear address of the memory operand.
    pub(crate) fn linear(&self, ins: &Instruction) -> u64 {
        let segment = self.regs[slot::SEGMENTS + ins.memory_segment().number()];
        self.wrap_linear(self.effective(ins).wrapping_add(segment))
    }

    /// Reads operand `n`, zero-extended: a general register, memory of up to 8 bytes, or an
    /// immediate, sign-extended as the encoding says.
    pub(crate) fn read_operand(&mut self, ins: &Instruction, n: u32) -> Res<u64> {
        match ins.op_kind(n) {
            OpKind::Register => Ok(self.read_register(ins.op_register(n))),
            OpKind::Memory => {
                let linear = self.linear(ins);
                self.load_slow(linear, memory_size(ins))
            }
            _ => Ok(ins.immediate(n)),
        }
    }

    /// Reads operand `n`, which is going to be written: memory that is not writable faults as a write.
    pub(crate) fn read_to_modify(&mut self, ins: &Instruction, n: u32) -> Res<u64> {
        if ins.op_kind(n) != OpKind::Memory {
            return self.read_operand(ins, n);
        }
        let linear = self.linear(ins);
        self.load_to_modify(linear, memory_size(ins))
    }

    /// Writes operand `n`: a general register or memory of up to 8 bytes.
    pub(crate) fn write_operand(&mut self, ins: &Instruction, n: u32, value: u64) -> Res<()> {
        match ins.op_kind(n) {
            OpKind::Register => {
                self.write_register(ins.op_register(n), value);
                Ok(())
            }
            _ => {
                let linear = self.linear(ins);
                self.store_slow(linear, memory_size(ins), value)
            }
        }
    }

    /// The stack pointer, cut to the stack's width.
    pub(crate) fn stack_pointer(&self) -> u64 {
        self.regs[gpr::RSP] & mask(self.mode.stack_bits / 8)
    }

    /// Moves the stack pointer, leaving the bits beyond the stack's width.
    pub(crate) fn set_stack_pointer(&mut self, value: u64) {
        let offset = gpr::RSP as u8 * 8;
        match self.mode.stack_bits {
            16 => self.set_reg(offset, value as u16),
            32 => self.set_reg(offset, value as u32),
            _ => self.set_reg(offset, value),
        }
    }

    fn stack_linear(&self, pointer: u64) -> u64 {
        let pointer = pointer & mask(self.mode.stack_bits / 8);
        self.wrap_linear(pointer.wrapping_add(self.regs[slot::SEGMENTS + crate::cpu::seg::SS]))
    }

    /// Pushes `size` bytes; nothing changes on failure.
    pub(crate) fn push(&mut self, value: u64, size: u64) -> Res<()> {
        let pointer = self.stack_pointer().wrapping_sub(size);
        let linear = self.stack_linear(pointer);
        if let Err(raised) = self.store_slow(linear, size, value) {
            self.blame_stack();
            return Err(raised);
        }
        self.set_stack_pointer(pointer);
        Ok(())
    }

    /// Pushes a selector as `size` bytes. Of 32 bits the upper half stays as it is in memory, since all
    /// processors of the last years write 16 bits only (Intel SDM vol. 2, PUSH); of 64 bits it is written.
    pub(crate) fn push_selector(&mut self, selector: u16, size: u64) -> Res<()> {
        let pointer = self.stack_pointer().wrapping_sub(size);
        let linear = self.stack_linear(pointer);
        let written = if size == 4 { 2 } else { size };
        if let Err(raised) = self.store_slow(linear, written, selector.into()) {
            self.blame_stack();
            return Err(raised);
        }
        self.set_stack_pointer(pointer);
        Ok(())
    }

    /// Reads `size` bytes `above` the top of the stack without popping them.
    pub(crate) fn peek(&mut self, above: u64, size: u64) -> Res<u64> {
        let linear = self.stack_linear(self.stack_pointer().wrapping_add(above));
        let result = self.load_slow(linear, size);
        if result.is_err() {
            self.blame_stack();
        }
        result
    }

    /// Pops `size` bytes; nothing changes on failure.
    pub(crate) fn pop(&mut self, size: u64) -> Res<u64> {
        let value = self.peek(0, size)?;
        self.set_stack_pointer(self.stack_pointer().wrapping_add(size));
        Ok(value)
    }
}

/// All ones in the low `size` bytes.
pub(crate) fn mask(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size))
}

/// The size of the memory operand in bytes.
pub(crate) fn memory_size(ins: &Instruction) -> u64 {
    match ins.memory_size() {
        MemorySize::Unknown => 0,
        size => size.size() as u64,
    }
}

/// The size of operand `n`, a register or memory, in bytes.
pub(crate) fn operand_size(ins: &Instruction, n: u32) -> u64 {
    match ins.op_kind(n) {
        OpKind::Register => ins.op_register(n).size() as u64,
        _ => memory_size(ins),
    }
}

/// The address size of the memory operand in bytes; `bits` is the mode's.
pub(crate) fn address_size(ins: &Instruction, bits: u8) -> u8 {
    let register = match (ins.memory_base(), ins.memory_index()) {
        (Register::None, index) => index,
        (base, _) => base,
    };
    match register {
        Register::None => match ins.memory_displ_size() {
            0 => bits / 8,
            2 => 2,
            8 => 8,
            _ => 4,
        },
        Register::EIP => 4,
        Register::RIP => 8,
        other => other.size() as u8,
    }
}

/// Whether a non-canonical address of the memory operand is a #SS rather than a #GP. In 64-bit mode
/// only FS and GS override the segment that the base register implies.
pub(crate) fn in_stack_segment(ins: &Instruction, bits: u8) -> bool {
    if bits != 64 {
        return ins.memory_segment() == Register::SS;
    }
    let stack_base = matches!(
        ins.memory_base(),
        Register::RSP | Register::RBP | Register::ESP | Register::EBP
    );
    stack_base && !matches!(ins.memory_segment(), Register::FS | Register::GS)
}

/// The condition's number in opcodes.
pub(crate) fn condition(code: ConditionCode) -> u8 {
    match code {
        ConditionCode::None | ConditionCode::o => 0,
        ConditionCode::no => 1,
        ConditionCode::b => 2,
        ConditionCode::ae => 3,
        ConditionCode::e => 4,
        ConditionCode::ne => 5,
        ConditionCode::be => 6,
        ConditionCode::a => 7,
        ConditionCode::s => 8,
        ConditionCode::ns => 9,
        ConditionCode::p => 10,
        ConditionCode::np => 11,
        ConditionCode::l => 12,
        ConditionCode::ge => 13,
        ConditionCode::le => 14,
        ConditionCode::g => 15,
    }
}
