//! Near branches outside of 64-bit mode, and those of all modes that are executed from their decoded form.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::operand::mask;
use super::stack::stack_size;
use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, slot};
use crate::mmu::Res;

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

    /// The instruction pointer behind an instruction that is executed from its decoded form.
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
pub(crate) fn jcc(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if cpu
        .lazy
        .condition(super::operand::condition(ins.condition_code()))
    {
        return Ok(Done::Jump(cpu.branch_target(ins)));
    }
    Ok(Done::Sync)
}

/// Near JMP outside of 64-bit mode.
pub(crate) fn jmp(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if ins.is_jmp_short_or_near() {
        return Ok(Done::Jump(cpu.branch_target(ins)));
    }
    Ok(Done::Jump(cpu.indirect_target(ins)?))
}

/// Near CALL outside of 64-bit mode.
pub(crate) fn call(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn ret(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
pub(crate) fn loop_(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
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
