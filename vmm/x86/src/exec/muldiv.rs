//! One-operand multiplication and division.

use super::operand::operand_size;
use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr};
use crate::flags::Lazy;
use crate::mmu::{Res, vector};
use crate::word::Word;

fn sign_extend(value: u64, size: u64) -> i64 {
    let unused = 64 - 8 * size as u32;
    (value << unused) as i64 >> unused
}

/// Writes a double-width result to AX or to the accumulator pair.
fn write_pair(cpu: &mut Cpu, size: u64, low: u64, high: u64) {
    let rdx = gpr::RDX as u8 * 8;
    match size {
        1 => cpu.set_reg(0, (low & 0xff | high << 8) as u16),
        2 => {
            cpu.set_reg(0, low as u16);
            cpu.set_reg(rdx, high as u16);
        }
        4 => {
            cpu.set_reg(0, low as u32);
            cpu.set_reg(rdx, high as u32);
        }
        _ => {
            cpu.set_reg(0, low);
            cpu.set_reg(rdx, high);
        }
    }
}

/// The dividend: AX or the accumulator pair.
fn read_pair(cpu: &Cpu, size: u64) -> u128 {
    let (rax, rdx) = (cpu.regs[gpr::RAX], cpu.regs[gpr::RDX]);
    match size {
        1 => u128::from(rax as u16),
        2 => u128::from(rax as u16) | u128::from(rdx as u16) << 16,
        4 => u128::from(rax as u32) | u128::from(rdx as u32) << 32,
        _ => u128::from(rax) | u128::from(rdx) << 64,
    }
}

fn set_flags(cpu: &mut Cpu, size: u64, low: u64, lost: bool) {
    cpu.lazy = match size {
        1 => Lazy::with_carry(u8::low(low), lost, lost),
        2 => Lazy::with_carry(u16::low(low), lost, lost),
        4 => Lazy::with_carry(u32::low(low), lost, lost),
        _ => Lazy::with_carry(low, lost, lost),
    };
}

/// MUL.
pub(crate) fn mul(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = operand_size(ins, 0);
    let b = cpu.read_operand(ins, 0)?;
    let a = cpu.regs[gpr::RAX] & super::operand::mask(size as u8);
    let wide = u128::from(a) * u128::from(b);
    let high = (wide >> (8 * size)) as u64;
    write_pair(cpu, size, wide as u64, high);
    set_flags(cpu, size, wide as u64, high != 0);
    Ok(Done::Next)
}

/// IMUL with one operand.
pub(crate) fn imul(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = operand_size(ins, 0);
    let b = sign_extend(cpu.read_operand(ins, 0)?, size);
    let a = sign_extend(cpu.regs[gpr::RAX], size);
    let wide = i128::from(a) * i128::from(b);
    write_pair(cpu, size, wide as u64, (wide >> (8 * size)) as u64);
    set_flags(
        cpu,
        size,
        wide as u64,
        i128::from(sign_extend(wide as u64, size)) != wide,
    );
    Ok(Done::Next)
}

/// DIV. The flags, which are undefined, stay.
pub(crate) fn div(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = operand_size(ins, 0);
    let b = u128::from(cpu.read_operand(ins, 0)?);
    let a = read_pair(cpu, size);
    let limit = u128::from(super::operand::mask(size as u8));
    if b == 0 || a / b > limit {
        return Err(cpu.raise(vector::DE));
    }
    write_pair(cpu, size, (a / b) as u64, (a % b) as u64);
    Ok(Done::Next)
}

/// IDIV. The flags, which are undefined, stay.
pub(crate) fn idiv(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = operand_size(ins, 0);
    let b = i128::from(sign_extend(cpu.read_operand(ins, 0)?, size));
    let unused = 128 - 16 * size as u32;
    let a = (read_pair(cpu, size) << unused) as i128 >> unused;
    let quotient = if b == 0 { None } else { a.checked_div(b) };
    match quotient {
        Some(q) if i128::from(sign_extend(q as u64, size)) == q => {
            write_pair(cpu, size, q as u64, (a % b) as u64);
            Ok(Done::Next)
        }
        _ => Err(cpu.raise(vector::DE)),
    }
}
