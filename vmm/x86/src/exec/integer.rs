//! Instructions of the base instruction set that are executed from their decoded form, as are those outside
//! of 64-bit mode, and encodings that are refused.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::alu::{Add, Binary, Cmp};
use super::operand::{mask, memory_size, operand_size};
use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, slot};
use crate::flags::{self, AF, CF, Lazy, OF, PF, SF, ZF};
use crate::mmu::{Res, vector};

/// An encoding that is undefined on this CPU.
pub(crate) fn undefined(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    Err(cpu.raise(vector::UD))
}

/// An encoding of more than 15 bytes.
pub(crate) fn too_long(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    Err(cpu.raise_gp())
}

/// A store through CS, which is never writable in protected mode outside of 64-bit mode.
pub(crate) fn store_to_code(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    Err(cpu.raise_gp())
}

/// Does nothing.
pub(crate) fn nop(_: &mut Cpu, _: &Decoded) -> Res<Done> {
    Ok(Done::Next)
}

/// CLFLUSH: there is no cache, but the address is checked as that of a load.
pub(crate) fn clflush(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let linear = cpu.linear(ins);
    cpu.probe_read(linear)?;
    Ok(Done::Next)
}

/// Whether a MOV is between general registers, memory and immediates.
pub(crate) fn is_moffs_or_general(ins: &Instruction) -> bool {
    (0..2).all(|n| ins.op_kind(n) != OpKind::Register || ins.op_register(n).is_gpr())
}

/// Whether a MOV loads a segment register.
pub(crate) fn loads_segment(ins: &Instruction) -> bool {
    ins.op0_kind() == OpKind::Register && ins.op0_register().is_segment_register()
}

/// Whether a MOV stores a segment register's selector.
pub(crate) fn stores_segment(ins: &Instruction) -> bool {
    ins.op1_kind() == OpKind::Register && ins.op1_register().is_segment_register()
}

/// Whether a PUSH or POP is of a segment register.
pub(crate) fn is_segment_stack(ins: &Instruction) -> bool {
    ins.op0_register().is_segment_register()
}

/// MOV in forms whose address does not fit into an operation.
pub(crate) fn mov(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    cpu.write_operand(ins, 0, value)?;
    Ok(Done::Next)
}

/// A shift or rotate by an immediate of zero: no flag changes.
pub(crate) fn shift_by_zero(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn shift_double(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn bit_scan(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    let forward = matches!(ins.mnemonic(), Mnemonic::Bsf | Mnemonic::Tzcnt);
    cpu.lazy = cpu.lazy.replace_zero(value == 0);
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
pub(crate) fn bit_test(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn bswap16(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.write_operand(ins, 0, 0)?;
    Ok(Done::Next)
}

/// POPCNT.
pub(crate) fn popcnt(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let value = cpu.read_operand(ins, 1)?;
    cpu.write_operand(ins, 0, u64::from(value.count_ones()))?;
    cpu.lazy = Lazy::from_bits(if value == 0 { ZF } else { 0 });
    Ok(Done::Next)
}

/// CRC32 with the polynomial 11EDC6F41 (bit-reflected 82F63B78).
pub(crate) fn crc32(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn cmpxchg_register(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn xadd_register(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn cmpxchg_wide(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let half = memory_size(ins) / 2;
    let linear = cpu.linear(ins);
    if half == 8 && !linear.is_multiple_of(16) {
        return Err(cpu.raise_gp());
    }
    if cpu.checks_alignment() && !linear.is_multiple_of(2 * half) {
        // The operand is one of eight bytes, though its halves are accessed here.
        cpu.probe_write(linear, 2 * half)?;
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
    cpu.lazy = cpu.lazy.replace_zero(equal);
    Ok(Done::Next)
}

/// XLATB.
pub(crate) fn xlat(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn lahf(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    let value = cpu.lazy.bits() as u8 | 2;
    cpu.set_reg(1, value);
    Ok(Done::Next)
}

/// SAHF.
pub(crate) fn sahf(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    let low = u64::from(cpu.reg::<u8>(1)) & (CF | PF | AF | ZF | SF);
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & OF | low);
    Ok(Done::Next)
}

/// CLC, STC, CMC, CLD and STD.
pub(crate) fn flag(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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

/// AAA, AAS, AAM, AAD, DAA and DAS.
pub(crate) fn decimal(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn salc(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    let value = if cpu.lazy.cf() { 0xffu8 } else { 0 };
    cpu.set_reg(0, value);
    Ok(Done::Next)
}

/// BOUND.
pub(crate) fn bound(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
    let index = sign(cpu.read_operand(ins, 0)?);
    // An index below the lower bound is out of range whatever the other bound is, which is not read then.
    if index < low {
        return Err(cpu.raise(vector::BR));
    }
    let high = sign(cpu.load_slow(cpu.wrap_linear(linear.wrapping_add(size)), size)?);
    if index > high {
        return Err(cpu.raise(vector::BR));
    }
    Ok(Done::Next)
}

/// ARPL.
pub(crate) fn arpl(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
