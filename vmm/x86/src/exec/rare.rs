//! Rare instructions of the base instruction set, and the forms of common ones outside of 64-bit
//! mode.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::Done;
use super::alu::{Add, Binary, Cmp};
use super::operand::{mask, memory_size, operand_size};
use crate::code::Rare;
use crate::cpu::{Cpu, gpr, slot};
use crate::flags::{self, AF, CF, Lazy, OF, PF, SF, ZF};
use crate::mmu::{Res, vector};

/// An encoding that is undefined on this CPU.
pub(crate) fn undefined(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    Err(cpu.raise(vector::UD))
}

/// An encoding of more than 15 bytes.
pub(crate) fn too_long(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    Err(cpu.raise_gp())
}

/// A store through CS, which is never writable in protected mode outside of 64-bit mode.
pub(crate) fn store_to_code(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    Err(cpu.raise_gp())
}

/// Does nothing.
pub(crate) fn nop(_: &mut Cpu, _: &Rare) -> Res<Done> {
    Ok(Done::Next)
}

/// CLFLUSH: there is no cache, but the address is checked as that of a load.
pub(crate) fn clflush(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let linear = cpu.linear(ins);
    cpu.probe_read(linear)?;
    Ok(Done::Next)
}

/// Whether a MOV is between general registers, memory and immediates.
pub(crate) fn is_moffs_or_general(ins: &Instruction) -> bool {
    (0..2).all(|n| ins.op_kind(n) != OpKind::Register || ins.op_register(n).is_gpr())
}

/// Whether a MOV reads or writes a segment register.
pub(crate) fn is_segment_move(ins: &Instruction) -> bool {
    (0..2).any(|n| ins.op_kind(n) == OpKind::Register && ins.op_register(n).is_segment_register())
}

/// Whether a PUSH or POP is of a segment register.
pub(crate) fn is_segment_stack(ins: &Instruction) -> bool {
    ins.op0_register().is_segment_register()
}

/// MOV in forms whose address does not fit into an operation.
pub(crate) fn mov(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    cpu.write_operand(ins, 0, value)?;
    Ok(Done::Next)
}

/// A shift or rotate by an immediate of zero: no flag changes.
pub(crate) fn shift_by_zero(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.read_to_modify(ins, 0)?;
    cpu.write_operand(ins, 0, value)?;
    Ok(Done::Next)
}

/// The flags of a result with the given size.
fn result_flags(size: u64, result: u64, cf: bool, of: bool) -> Lazy {
    match size {
        1 => Lazy::with_carry(result as u8, cf, of),
        2 => Lazy::with_carry(result as u16, cf, of),
        4 => Lazy::with_carry(result as u32, cf, of),
        _ => Lazy::with_carry(result, cf, of),
    }
}

/// SHLD and SHRD.
pub(crate) fn shift_double(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let size = operand_size(ins, 0);
    let bits = 8 * size as u32;
    let count = cpu.read_operand(ins, 2)? as u32 & if size == 8 { 63 } else { 31 };
    let a = cpu.read_to_modify(ins, 0)?;
    let b = cpu.read_operand(ins, 1)?;
    if count == 0 {
        cpu.write_operand(ins, 0, a)?;
        return Ok(Done::Next);
    }
    let (result, cf) = if ins.mnemonic() == Mnemonic::Shld {
        double_left(a, b, bits, count)
    } else {
        double_right(a, b, bits, count)
    };
    let result = result & mask(size as u8);
    let top = |value: u64| value >> (bits - 1) & 1 != 0;
    cpu.write_operand(ins, 0, result)?;
    cpu.lazy = result_flags(size, result, cf, top(a) != top(result));
    Ok(Done::Next)
}

/// The result of SHLD and the last bit shifted out. For 16-bit operands and counts above 16, which
/// are undefined, the first operand follows the second, as on Intel and AMD processors.
fn double_left(a: u64, b: u64, bits: u32, count: u32) -> (u64, bool) {
    if bits == 64 {
        let wide = u128::from(a) << 64 | u128::from(b);
        return ((wide << count >> 64) as u64, wide >> (128 - count) & 1 != 0);
    }
    let wide = u128::from(a) << (2 * bits) | u128::from(b) << bits | u128::from(a);
    (
        (wide << count >> (2 * bits)) as u64,
        wide >> (3 * bits - count) & 1 != 0,
    )
}

/// The result of SHRD and the last bit shifted out.
fn double_right(a: u64, b: u64, bits: u32, count: u32) -> (u64, bool) {
    let wide = u128::from(b) << bits | u128::from(a);
    let wide = if bits == 64 {
        wide
    } else {
        wide | u128::from(a) << (2 * bits)
    };
    ((wide >> count) as u64, wide >> (count - 1) & 1 != 0)
}

/// BSF and BSR. A source of zero leaves the destination. LZCNT and TZCNT, which the CPU model does
/// not have, are these instructions with a prefix that is ignored.
pub(crate) fn bit_scan(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    let forward = matches!(ins.mnemonic(), Mnemonic::Bsf | Mnemonic::Tzcnt);
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & !ZF | if value == 0 { ZF } else { 0 });
    if value != 0 {
        let index = if forward {
            value.trailing_zeros()
        } else {
            63 - value.leading_zeros()
        };
        cpu.write_operand(ins, 0, u64::from(index))?;
    }
    Ok(Done::Next)
}

/// BT, BTS, BTR and BTC in forms that have no handler of their own.
pub(crate) fn bit_test(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let size = operand_size(ins, 0);
    let bits = 8 * size as i64;
    let unused = 64 - bits as u32;
    let index = cpu.read_operand(ins, 1)?;
    let in_memory = ins.op0_kind() == OpKind::Memory;
    let mut linear = 0;
    let value = if in_memory {
        let mut effective = cpu.effective(ins);
        if ins.op1_kind() == OpKind::Register {
            let signed = (index << unused) as i64 >> unused;
            let reach = signed.div_euclid(bits) * size as i64;
            let address = super::operand::address_size(ins, cpu.mode.bits);
            effective = effective.wrapping_add(reach as u64) & mask(address);
        }
        let base = cpu.regs[slot::SEGMENTS + ins.memory_segment().number()];
        linear = cpu.wrap_linear(effective.wrapping_add(base));
        if ins.mnemonic() == Mnemonic::Bt {
            cpu.load_slow(linear, size)?
        } else {
            cpu.load_to_modify(linear, size)?
        }
    } else {
        cpu.read_operand(ins, 0)?
    };
    let bit = 1u64 << (index & (bits as u64 - 1));
    let new = match ins.mnemonic() {
        Mnemonic::Bts => value | bit,
        Mnemonic::Btr => value & !bit,
        Mnemonic::Btc => value ^ bit,
        _ => value,
    };
    if ins.mnemonic() != Mnemonic::Bt {
        if in_memory {
            cpu.store_slow(linear, size, new)?;
        } else {
            cpu.write_operand(ins, 0, new)?;
        }
    }
    let of = cpu.lazy.of();
    cpu.lazy = cpu.lazy.replace_carry(value & bit != 0, of);
    Ok(Done::Next)
}

/// BSWAP of 16 bits, which is undefined; processors clear the register's low half.
pub(crate) fn bswap16(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    cpu.write_operand(ins, 0, 0)?;
    Ok(Done::Next)
}

/// POPCNT.
pub(crate) fn popcnt(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    cpu.write_operand(ins, 0, u64::from(value.count_ones()))?;
    cpu.lazy = Lazy::from_bits(if value == 0 { ZF } else { 0 });
    Ok(Done::Next)
}

/// CRC32 with the polynomial 11EDC6F41 (bit-reflected 82F63B78).
pub(crate) fn crc32(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    let mut crc = cpu.read_operand(ins, 0)? as u32;
    for n in 0..operand_size(ins, 1) {
        crc ^= (value >> (8 * n)) as u32 & 0xff;
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
        }
    }
    cpu.write_operand(ins, 0, u64::from(crc))?;
    Ok(Done::Next)
}

fn compare(cpu: &mut Cpu, size: u64, a: u64, b: u64) {
    match size {
        1 => drop(Cmp::apply(cpu, a as u8, b as u8)),
        2 => drop(Cmp::apply(cpu, a as u16, b as u16)),
        4 => drop(Cmp::apply(cpu, a as u32, b as u32)),
        _ => drop(Cmp::apply(cpu, a, b)),
    }
}

/// CMPXCHG between registers.
pub(crate) fn cmpxchg_register(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let size = operand_size(ins, 0);
    let expected = cpu.regs[gpr::RAX] & mask(size as u8);
    let found = cpu.read_operand(ins, 0)?;
    let new = cpu.read_operand(ins, 1)?;
    compare(cpu, size, expected, found);
    if expected == found {
        cpu.write_operand(ins, 0, new)?;
    } else {
        cpu.write_register(accumulator(size), found);
    }
    Ok(Done::Next)
}

fn accumulator(size: u64) -> Register {
    match size {
        1 => Register::AL,
        2 => Register::AX,
        4 => Register::EAX,
        _ => Register::RAX,
    }
}

/// XADD between registers.
pub(crate) fn xadd_register(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let (a, b) = (cpu.read_operand(ins, 0)?, cpu.read_operand(ins, 1)?);
    let sum = match operand_size(ins, 0) {
        1 => u64::from(Add::apply(cpu, a as u8, b as u8)),
        2 => u64::from(Add::apply(cpu, a as u16, b as u16)),
        4 => u64::from(Add::apply(cpu, a as u32, b as u32)),
        _ => Add::apply(cpu, a, b),
    };
    cpu.write_operand(ins, 1, a)?;
    cpu.write_operand(ins, 0, sum)?;
    Ok(Done::Next)
}

/// CMPXCHG8B and CMPXCHG16B. The memory is written in either case.
pub(crate) fn cmpxchg_wide(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let half = memory_size(ins) / 2;
    let linear = cpu.linear(ins);
    if half == 8 && !linear.is_multiple_of(16) {
        return Err(cpu.raise_gp());
    }
    let upper = cpu.wrap_linear(linear.wrapping_add(half));
    let (low, high) = (
        cpu.load_to_modify(linear, half)?,
        cpu.load_to_modify(upper, half)?,
    );
    let part = mask(half as u8);
    let equal = low == cpu.regs[gpr::RAX] & part && high == cpu.regs[gpr::RDX] & part;
    let (new_low, new_high) = if equal {
        (cpu.regs[gpr::RBX] & part, cpu.regs[gpr::RCX] & part)
    } else {
        (low, high)
    };
    cpu.store_slow(linear, half, new_low)?;
    cpu.store_slow(upper, half, new_high)?;
    if !equal {
        let (a, d) = (gpr::RAX as u8 * 8, gpr::RDX as u8 * 8);
        if half == 4 {
            cpu.set_reg(a, low as u32);
            cpu.set_reg(d, high as u32);
        } else {
            cpu.set_reg(a, low);
            cpu.set_reg(d, high);
        }
    }
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & !ZF | if equal { ZF } else { 0 });
    Ok(Done::Next)
}

/// XLATB.
pub(crate) fn xlat(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let address = match ins.memory_base() {
        Register::BX => 2,
        Register::EBX => 4,
        _ => 8,
    };
    let effective = cpu.regs[gpr::RBX].wrapping_add(u64::from(cpu.reg::<u8>(0))) & mask(address);
    let base = cpu.regs[slot::SEGMENTS + ins.memory_segment().number()];
    let value = cpu.load_slow(cpu.wrap_linear(effective.wrapping_add(base)), 1)?;
    cpu.set_reg(0, value as u8);
    Ok(Done::Next)
}

/// LAHF.
pub(crate) fn lahf(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    let value = cpu.lazy.bits() as u8 | 2;
    cpu.set_reg(1, value);
    Ok(Done::Next)
}

/// SAHF.
pub(crate) fn sahf(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    let low = u64::from(cpu.reg::<u8>(1)) & (CF | PF | AF | ZF | SF);
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & OF | low);
    Ok(Done::Next)
}

/// CLC, STC, CMC, CLD and STD.
pub(crate) fn flag(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let of = cpu.lazy.of();
    match ins.mnemonic() {
        Mnemonic::Cld => cpu.rflags &= !flags::DF,
        Mnemonic::Std => cpu.rflags |= flags::DF,
        Mnemonic::Clc => cpu.lazy = cpu.lazy.replace_carry(false, of),
        Mnemonic::Stc => cpu.lazy = cpu.lazy.replace_carry(true, of),
        _ => cpu.lazy = cpu.lazy.replace_carry(!cpu.lazy.cf(), of),
    }
    Ok(Done::Next)
}

/// The size of what a PUSH or POP moves.
fn stack_size(ins: &Instruction) -> u64 {
    ins.stack_pointer_increment().unsigned_abs().into()
}

/// PUSH and POP of general registers, memory and immediates.
pub(crate) fn push_pop(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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
pub(crate) fn push_all(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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
pub(crate) fn pop_all(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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
pub(crate) fn push_flags(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let value = cpu.rflags() & !(flags::RF | flags::VM);
    cpu.push(value, stack_size(ins))?;
    Ok(Done::Next)
}

/// POPF, POPFD and POPFQ (Intel SDM vol. 2, POPF).
pub(crate) fn pop_flags(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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
pub(crate) fn leave(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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
pub(crate) fn enter(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
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

/// AAA, AAS, AAM, AAD, DAA and DAS.
pub(crate) fn decimal(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let ax = cpu.reg::<u16>(0);
    let al = ax as u8;
    let (af, cf) = (cpu.lazy.af(), cpu.lazy.cf());
    let carry = |set: bool| if set { AF | CF } else { 0 };
    match ins.mnemonic() {
        Mnemonic::Aaa | Mnemonic::Aas => {
            let adjust = al & 15 > 9 || af;
            let new = match (adjust, ins.mnemonic()) {
                (true, Mnemonic::Aaa) => ax.wrapping_add(0x106),
                (true, _) => ax.wrapping_sub(0x106),
                _ => ax,
            } & 0xff0f;
            cpu.set_reg(0, new);
            let base = result_flags(1, u64::from(new & 0xff), false, false).bits();
            cpu.lazy = Lazy::from_bits(base | carry(adjust));
        }
        Mnemonic::Aam => {
            let base = ins.immediate8();
            if base == 0 {
                return Err(cpu.raise(vector::DE));
            }
            cpu.set_reg(0, u16::from(al / base) << 8 | u16::from(al % base));
            cpu.lazy = result_flags(1, u64::from(al % base), false, false);
        }
        Mnemonic::Aad => {
            let new = ((ax >> 8) as u8)
                .wrapping_mul(ins.immediate8())
                .wrapping_add(al);
            cpu.set_reg(0, u16::from(new));
            cpu.lazy = result_flags(1, u64::from(new), false, false);
        }
        mnemonic => {
            let add = mnemonic == Mnemonic::Daa;
            let step = |value: u8, by: u8| {
                if add {
                    value.wrapping_add(by)
                } else {
                    value.wrapping_sub(by)
                }
            };
            let low = al & 15 > 9 || af;
            let high = al > 0x99 || cf;
            let mut new = al;
            let mut out = high;
            if low {
                let borrow = if add {
                    new.checked_add(6).is_none()
                } else {
                    new < 6
                };
                out |= borrow && !add;
                new = step(new, 6);
            }
            if high {
                new = step(new, 0x60);
            }
            cpu.set_reg(0, new);
            let base = result_flags(1, u64::from(new), out, false).bits() & !(OF | AF);
            cpu.lazy = Lazy::from_bits(base | if low { AF } else { 0 });
        }
    }
    Ok(Done::Next)
}

/// SALC.
pub(crate) fn salc(cpu: &mut Cpu, _: &Rare) -> Res<Done> {
    let value = if cpu.lazy.cf() { 0xffu8 } else { 0 };
    cpu.set_reg(0, value);
    Ok(Done::Next)
}

/// BOUND.
pub(crate) fn bound(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let size = operand_size(ins, 0);
    let linear = cpu.linear(ins);
    let sign = |value: u64| {
        if size == 2 {
            i64::from(value as i16)
        } else {
            i64::from(value as i32)
        }
    };
    let low = sign(cpu.load_slow(linear, size)?);
    let high = sign(cpu.load_slow(cpu.wrap_linear(linear.wrapping_add(size)), size)?);
    let index = sign(cpu.read_operand(ins, 0)?);
    if index < low || index > high {
        Err(cpu.raise(vector::BR))
    } else {
        Ok(Done::Next)
    }
}

/// ARPL.
pub(crate) fn arpl(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    if !cpu.mode.protected {
        return Err(cpu.raise(vector::UD));
    }
    let (a, b) = (cpu.read_operand(ins, 0)?, cpu.read_operand(ins, 1)?);
    let lower = a & 3 < b & 3;
    if lower {
        if ins.op0_kind() == OpKind::Memory && ins.memory_segment() == Register::CS {
            return Err(cpu.raise_gp());
        }
        cpu.write_operand(ins, 0, a & !3 | b & 3)?;
    }
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & !ZF | if lower { ZF } else { 0 });
    Ok(Done::Next)
}

impl Cpu {
    /// The target of a direct near branch.
    fn branch_target(&self, ins: &Instruction) -> u64 {
        let target = self.regs[slot::RIP].wrapping_add(ins.near_branch_target());
        match ins.op0_kind() {
            OpKind::NearBranch16 => target & 0xffff,
            OpKind::NearBranch32 => target & 0xffff_ffff,
            _ => target,
        }
    }

    /// The instruction pointer behind a rare instruction.
    pub(crate) fn rip_behind(&self, ins: &Instruction) -> u64 {
        self.mode
            .wrap(self.regs[slot::RIP].wrapping_add(ins.next_ip()))
    }

    /// The target of an indirect near branch, checked.
    fn indirect_target(&mut self, ins: &Instruction) -> Res<u64> {
        let target = self.read_operand(ins, 0)?;
        self.check_near(target)
    }

    fn check_near(&mut self, target: u64) -> Res<u64> {
        if self.mode.bits == 64 && !crate::mmu::is_canonical(target) {
            return Err(self.raise_gp());
        }
        Ok(target)
    }
}

/// Jcc outside of 64-bit mode.
pub(crate) fn jcc(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    if cpu
        .lazy
        .condition(crate::lower::condition(ins.condition_code()))
    {
        return Ok(Done::Jump(cpu.branch_target(ins)));
    }
    Ok(Done::Sync)
}

/// Near JMP outside of 64-bit mode.
pub(crate) fn jmp(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    if ins.is_jmp_short_or_near() {
        return Ok(Done::Jump(cpu.branch_target(ins)));
    }
    Ok(Done::Jump(cpu.indirect_target(ins)?))
}

/// Near CALL outside of 64-bit mode.
pub(crate) fn call(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let target = if ins.is_call_near() {
        cpu.branch_target(ins)
    } else {
        cpu.indirect_target(ins)?
    };
    let back = cpu.rip_behind(ins);
    cpu.push(back, stack_size(ins))?;
    Ok(Done::Jump(target))
}

/// Near RET outside of 64-bit mode, or with an operand size of 16 bits.
pub(crate) fn ret(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    let size = match ins.code() {
        iced_x86::Code::Retnw | iced_x86::Code::Retnw_imm16 => 2,
        iced_x86::Code::Retnd | iced_x86::Code::Retnd_imm16 => 4,
        _ => 8,
    };
    let target = cpu.peek(0, size)?;
    let target = cpu.check_near(target)?;
    let extra = if ins.op_count() == 1 {
        u64::from(ins.immediate16())
    } else {
        0
    };
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(size + extra));
    Ok(Done::Jump(target))
}

/// LOOP, LOOPE, LOOPNE, JCXZ, JECXZ and JRCXZ.
pub(crate) fn loop_(cpu: &mut Cpu, ins: &Rare) -> Res<Done> {
    use iced_x86::Code::*;
    let width = match ins.code() {
        Jcxz_rel8_16 | Jcxz_rel8_32 | Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX
        | Loope_rel8_32_CX | Loopne_rel8_16_CX | Loopne_rel8_32_CX => 2,
        Jecxz_rel8_16 | Jecxz_rel8_32 | Jecxz_rel8_64 | Loop_rel8_16_ECX | Loop_rel8_32_ECX
        | Loop_rel8_64_ECX | Loope_rel8_16_ECX | Loope_rel8_32_ECX | Loope_rel8_64_ECX
        | Loopne_rel8_16_ECX | Loopne_rel8_32_ECX | Loopne_rel8_64_ECX => 4,
        _ => 8,
    };
    let offset = gpr::RCX as u8 * 8;
    let mut count = cpu.regs[gpr::RCX] & mask(width);
    let taken = match ins.mnemonic() {
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => count == 0,
        mnemonic => {
            count = count.wrapping_sub(1) & mask(width);
            match width {
                2 => cpu.set_reg(offset, count as u16),
                4 => cpu.set_reg(offset, count as u32),
                _ => cpu.set_reg(offset, count),
            }
            count != 0
                && match mnemonic {
                    Mnemonic::Loope => cpu.lazy.zf(),
                    Mnemonic::Loopne => !cpu.lazy.zf(),
                    _ => true,
                }
        }
    };
    Ok(if taken {
        Done::Jump(cpu.branch_target(ins))
    } else {
        Done::Sync
    })
}
