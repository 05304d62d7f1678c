//! SYSCALL, SYSRET, SYSENTER and SYSEXIT (Intel SDM vol. 2): transfers that load fixed segments.

use iced_x86::Mnemonic;

use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, seg};
use crate::flags;
use crate::mmu::{Res, vector};
use crate::mode::{access, efer};
use crate::state::Segment;

/// Flat segments as SYSCALL, SYSRET, SYSENTER and SYSEXIT load them.
fn flat(selector: u16, access: u16) -> Segment {
    Segment {
        selector,
        access,
        limit: u32::MAX,
        base: 0,
    }
}

/// Access rights: present, code or data, accessed, with a privilege level.
fn rights(code: bool, long: bool, level: u16) -> u16 {
    let kind = if code { 0xb } else { 3 };
    let size = match (code, long) {
        (true, true) => access::LONG,
        _ => access::BIG,
    };
    0x8000 | size | access::PRESENT | access::SYSTEM | level << 5 | kind
}

impl Cpu {
    /// SYSCALL and SYSRET trap at once if they leave TF set, whatever it was before them, so that a
    /// system call under a debugger is one step.
    fn step_by_new_flags(&mut self) {
        self.no_step_trap = true;
        self.trap_due = self.rflags & flags::TF != 0;
    }
}

/// SYSCALL.
pub(crate) fn syscall(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if cpu.mode.bits != 64 || cpu.system.msrs.efer & efer::SCE == 0 {
        return Err(cpu.raise(vector::UD));
    }
    let behind = cpu.rip_behind(ins);
    cpu.regs[gpr::RCX] = behind;
    cpu.regs[11] = cpu.rflags() & !flags::RF;
    let masked = cpu.rflags() & !cpu.system.msrs.sfmask & !flags::RF;
    cpu.set_rflags(masked);
    let selector = (cpu.system.msrs.star >> 32) as u16 & !3;
    cpu.system.segments[seg::CS] = flat(selector, rights(true, true, 0));
    cpu.system.segments[seg::SS] = flat(selector.wrapping_add(8), rights(false, false, 0));
    cpu.update_mode();
    cpu.step_by_new_flags();
    Ok(Done::Jump(cpu.system.msrs.lstar))
}

/// SYSRET.
pub(crate) fn sysret(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if cpu.mode.bits != 64 || cpu.system.msrs.efer & efer::SCE == 0 {
        return Err(cpu.raise(vector::UD));
    }
    cpu.check_privilege()?;
    let long = ins.mnemonic() == Mnemonic::Sysretq;
    let target = cpu.regs[gpr::RCX];
    if long && !crate::mmu::is_canonical(target) {
        return Err(cpu.raise_gp());
    }
    let base = (cpu.system.msrs.star >> 48) as u16;
    let code = if long { base.wrapping_add(16) } else { base };
    cpu.system.segments[seg::CS] = flat(code | 3, rights(true, long, 3));
    cpu.system.segments[seg::SS] = flat(base.wrapping_add(8) | 3, rights(false, false, 3));
    let value = cpu.regs[11] & !(flags::RF | flags::VM);
    cpu.set_rflags(value);
    cpu.update_mode();
    cpu.step_by_new_flags();
    Ok(Done::Jump(if long { target } else { target & 0xffff_ffff }))
}

/// SYSENTER.
pub(crate) fn sysenter(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    let selector = cpu.system.msrs.sysenter_cs as u16;
    if !cpu.mode.protected || selector & 0xfffc == 0 {
        return Err(cpu.raise_gp());
    }
    let long = cpu.long_mode();
    cpu.rflags &= !(flags::IF | flags::VM);
    cpu.system.segments[seg::CS] = flat(selector & !3, rights(true, long, 0));
    cpu.system.segments[seg::SS] = flat((selector & !3).wrapping_add(8), rights(false, false, 0));
    let (rsp, rip) = (cpu.system.msrs.sysenter_esp, cpu.system.msrs.sysenter_eip);
    let narrow = if long { u64::MAX } else { 0xffff_ffff };
    cpu.regs[gpr::RSP] = rsp & narrow;
    cpu.update_mode();
    Ok(Done::Jump(rip & narrow))
}

/// SYSEXIT.
pub(crate) fn sysexit(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let selector = cpu.system.msrs.sysenter_cs as u16;
    if !cpu.mode.protected || selector & 0xfffc == 0 {
        return Err(cpu.raise_gp());
    }
    cpu.check_privilege()?;
    let long = ins.mnemonic() == Mnemonic::Sysexitq;
    let (rsp, rip) = (cpu.regs[gpr::RCX], cpu.regs[gpr::RDX]);
    if long && !(crate::mmu::is_canonical(rsp) && crate::mmu::is_canonical(rip)) {
        return Err(cpu.raise_gp());
    }
    let narrow = if long { u64::MAX } else { 0xffff_ffff };
    let offset = if long { 32 } else { 16 };
    let code = selector.wrapping_add(offset);
    cpu.system.segments[seg::CS] = flat(code | 3, rights(true, long, 3));
    cpu.system.segments[seg::SS] = flat(code.wrapping_add(8) | 3, rights(false, false, 3));
    cpu.regs[gpr::RSP] = rsp & narrow;
    cpu.update_mode();
    Ok(Done::Jump(rip & narrow))
}
