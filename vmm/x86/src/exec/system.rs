//! System instructions.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use super::{Decoded, Done};
use crate::cpu::{Cpu, gpr, seg};
use crate::flags;
use crate::interrupt::Source;
use crate::mmu::{Res, vector};
use crate::mode::{access, cr0, cr4, efer};
use crate::state::{Segment, TableRegister};

impl Cpu {
    /// Raises #GP(0) unless the privilege level is 0.
    pub(crate) fn check_privilege(&mut self) -> Res<()> {
        if self.cpl != 0 {
            Err(self.raise_gp())
        } else {
            Ok(())
        }
    }

    /// Raises #GP(0) unless `size` bytes of I/O ports from `port` may be accessed.
    pub(crate) fn check_port(&mut self, port: u16, size: u8) -> Res<()> {
        if !self.mode.protected || u64::from(self.cpl) <= (self.rflags & flags::IOPL) >> 12 {
            return Ok(());
        }
        let tr = self.system.tr;
        let limit = u64::from(tr.limit);
        if limit < 0x67 {
            return Err(self.raise_gp());
        }
        let map = self.read_as(tr.base.wrapping_add(0x66), 2, false)?;
        let byte = map + u64::from(port / 8);
        if byte + 1 > limit {
            return Err(self.raise_gp());
        }
        let bits = self.read_as(tr.base.wrapping_add(byte), 2, false)?;
        if bits >> (port % 8) & ((1 << size) - 1) != 0 {
            return Err(self.raise_gp());
        }
        Ok(())
    }
}

/// Whether a MOV is to or from a control or debug register.
pub(crate) fn is_control_move(ins: &Instruction) -> bool {
    (0..2).any(|n| {
        ins.op_kind(n) == OpKind::Register
            && (ins.op_register(n).is_cr() || ins.op_register(n).is_dr())
    })
}

/// MOV to and from control and debug registers.
pub(crate) fn mov_control(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let (to, from) = (ins.op0_register(), ins.op1_register());
    if to.is_cr() {
        let value = cpu.read_register(from);
        cpu.write_control(to.number(), value)?;
    } else if from.is_cr() {
        let value = cpu.read_control(from.number())?;
        cpu.write_register(to, value);
    } else if to.is_dr() {
        let value = cpu.read_register(from);
        cpu.write_debug(to.number(), value)?;
    } else {
        let value = cpu.read_debug(from.number())?;
        cpu.write_register(to, value);
    }
    Ok(Done::Sync)
}

impl Cpu {
    fn read_control(&mut self, number: usize) -> Res<u64> {
        match number {
            0 => Ok(self.system.cr0),
            2 => Ok(self.system.cr2),
            3 => Ok(self.system.cr3),
            4 => Ok(self.system.cr4),
            8 => Ok(self.on_bus(|bus, at| bus.read_cr8(at))),
            _ => Err(self.raise(vector::UD)),
        }
    }

    fn write_control(&mut self, number: usize, value: u64) -> Res<()> {
        match number {
            0 => self.write_cr0(value)?,
            2 => self.system.cr2 = value,
            3 => {
                if self.long_mode() && value >> 46 != 0 {
                    return Err(self.raise_gp());
                }
                self.system.cr3 = value;
                self.flush_address_space();
            }
            4 => self.write_cr4(value)?,
            8 => {
                if value >> 4 != 0 {
                    return Err(self.raise_gp());
                }
                self.on_bus(|bus, at| bus.write_cr8(at, value));
            }
            _ => return Err(self.raise(vector::UD)),
        }
        Ok(())
    }

    fn write_cr0(&mut self, value: u64) -> Res<()> {
        let known = cr0::PE
            | cr0::MP
            | cr0::EM
            | cr0::TS
            | cr0::ET
            | cr0::NE
            | cr0::WP
            | cr0::AM
            | cr0::NW
            | cr0::CD
            | cr0::PG;
        let paging = value & cr0::PG != 0;
        let bad = value >> 32 != 0
            || paging && value & cr0::PE == 0
            || value & cr0::NW != 0 && value & cr0::CD == 0;
        if bad {
            return Err(self.raise_gp());
        }
        let was = self.system.cr0;
        if paging && was & cr0::PG == 0 {
            if self.system.msrs.efer & efer::LME != 0 {
                let cs_long = self.system.segments[seg::CS].access & access::LONG != 0;
                if self.system.cr4 & cr4::PAE == 0 || cs_long {
                    return Err(self.raise_gp());
                }
                self.system.msrs.efer |= efer::LMA;
            }
        } else if !paging && was & cr0::PG != 0 {
            if self.mode.bits == 64 {
                return Err(self.raise_gp());
            }
            self.system.msrs.efer &= !efer::LMA;
        }
        self.system.cr0 = value & known | cr0::ET;
        self.flush_tlb();
        self.update_mode();
        Ok(())
    }

    fn write_cr4(&mut self, value: u64) -> Res<()> {
        let leaves_pae = self.long_mode() && value & cr4::PAE == 0;
        if value & !cr4::ALLOWED != 0 || leaves_pae {
            return Err(self.raise_gp());
        }
        self.system.cr4 = value;
        self.flush_tlb();
        Ok(())
    }

    /// DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them undefined.
    fn debug_number(&mut self, number: usize) -> Res<usize> {
        if !matches!(number, 4 | 5) {
            return if number < 8 {
                Ok(number)
            } else {
                Err(self.raise(vector::UD))
            };
        }
        if self.system.cr4 & cr4::DE != 0 {
            Err(self.raise(vector::UD))
        } else {
            Ok(number + 2)
        }
    }

    /// With DR7.GD set an access raises #DB and says so in DR6.BD.
    fn check_debug_access(&mut self) -> Res<()> {
        if self.system.dr[7] & 1 << 13 == 0 {
            return Ok(());
        }
        self.system.dr[7] &= !(1 << 13);
        self.system.dr[6] |= 1 << 13;
        Err(self.raise(vector::DB))
    }

    fn read_debug(&mut self, number: usize) -> Res<u64> {
        let number = self.debug_number(number)?;
        self.check_debug_access()?;
        Ok(match number {
            6 => self.system.dr[6] & 0xe00f | 0xffff_0ff0,
            7 => self.system.dr[7] | 0x400,
            _ => self.system.dr[number],
        })
    }

    fn write_debug(&mut self, number: usize, value: u64) -> Res<()> {
        let number = self.debug_number(number)?;
        self.check_debug_access()?;
        if number >= 6 && value >> 32 != 0 {
            return Err(self.raise_gp());
        }
        self.system.dr[number] = match number {
            6 => value & 0xe00f | 0xffff_0ff0,
            7 => value & 0xffff_2bff | 0x400,
            _ => value,
        };
        self.update_tables();
        self.refresh_attention();
        Ok(())
    }
}

/// SLDT, STR and SMSW.
pub(crate) fn store_system(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if !cpu.mode.protected && ins.mnemonic() != Mnemonic::Smsw {
        return Err(cpu.raise(vector::UD));
    }
    let value = match ins.mnemonic() {
        Mnemonic::Sldt => u64::from(cpu.system.ldtr.selector),
        Mnemonic::Str => u64::from(cpu.system.tr.selector),
        _ => cpu.system.cr0,
    };
    match ins.op0_kind() {
        OpKind::Register => cpu.write_register(ins.op0_register(), value),
        _ => cpu.store_slow(cpu.linear(ins), 2, value)?,
    }
    Ok(Done::Next)
}

/// SGDT and SIDT.
pub(crate) fn store_table(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let table = if ins.mnemonic() == Mnemonic::Sgdt {
        cpu.system.gdtr
    } else {
        cpu.system.idtr
    };
    let linear = cpu.linear(ins);
    cpu.store_slow(linear, 2, u64::from(table.limit))?;
    let size = if cpu.mode.bits == 64 { 8 } else { 4 };
    cpu.store_slow(cpu.wrap_linear(linear.wrapping_add(2)), size, table.base)?;
    Ok(Done::Next)
}

/// LGDT and LIDT.
pub(crate) fn load_table(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let linear = cpu.linear(ins);
    let limit = cpu.load_slow(linear, 2)? as u16;
    let size = if cpu.mode.bits == 64 { 8 } else { 4 };
    let mut base = cpu.load_slow(cpu.wrap_linear(linear.wrapping_add(2)), size)?;
    if matches!(ins.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16) {
        base &= 0xff_ffff;
    }
    if cpu.mode.bits == 64 && !crate::mmu::is_canonical(base) {
        return Err(cpu.raise_gp());
    }
    let table = TableRegister { base, limit };
    if ins.mnemonic() == Mnemonic::Lgdt {
        cpu.system.gdtr = table
    } else {
        cpu.system.idtr = table
    }
    Ok(Done::Next)
}

/// LLDT and LTR.
pub(crate) fn load_system(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if !cpu.mode.protected {
        return Err(cpu.raise(vector::UD));
    }
    cpu.check_privilege()?;
    let selector = match ins.op0_kind() {
        OpKind::Register => cpu.read_register(ins.op0_register()),
        _ => cpu.load_slow(cpu.linear(ins), 2)?,
    } as u16;
    let code = u32::from(selector & 0xfffc);
    let is_task = ins.mnemonic() == Mnemonic::Ltr;
    if selector & 0xfffc == 0 {
        if is_task {
            return Err(cpu.raise_gp());
        }
        cpu.system.ldtr = Segment {
            selector,
            ..Segment::default()
        };
        return Ok(Done::Next);
    }
    let descriptor = if selector & 4 == 0 {
        cpu.read_descriptor(selector)?
    } else {
        None
    };
    let Some((linear, descriptor)) = descriptor else {
        return Err(cpu.raise_error(vector::GP, code));
    };
    let mut found = Segment::described(selector, descriptor);
    let kind = found.access & 0x1f;
    // An available TSS, 32- or 64-bit; an LDT.
    if kind != if is_task { 9 } else { 2 } {
        return Err(cpu.raise_error(vector::GP, code));
    }
    if found.access & access::PRESENT == 0 {
        return Err(cpu.raise_error(vector::NP, code));
    }
    if cpu.long_mode() {
        found.base |= cpu.upper_base(selector, linear)?;
        if !crate::mmu::is_canonical(found.base) {
            return Err(cpu.raise_error(vector::GP, code));
        }
    }
    if is_task {
        // The descriptor becomes busy.
        cpu.write_as(
            linear.wrapping_add(5),
            1,
            descriptor >> 40 & 0xff | 2,
            false,
        )?;
        found.access |= 2;
        cpu.system.tr = found;
    } else {
        cpu.system.ldtr = found;
    }
    Ok(Done::Next)
}

impl Cpu {
    /// The upper half of the base in a system descriptor of long mode, which has sixteen bytes: all of them
    /// have to be in the table, and the type of the second eight is zero (Intel SDM vol. 3, 9.2.3).
    fn upper_base(&mut self, selector: u16, linear: u64) -> Res<u64> {
        let code = u32::from(selector & 0xfffc);
        if u64::from(selector & 0xfff8) + 15 > u64::from(self.system.gdtr.limit) {
            return Err(self.raise_error(vector::GP, code));
        }
        let upper = self.read_as(linear.wrapping_add(8), 8, false)?;
        if upper >> 40 & 0x1f != 0 {
            return Err(self.raise_error(vector::GP, code));
        }
        Ok(upper << 32)
    }
}

/// LMSW: sets the low four bits of CR0 but cannot clear PE.
pub(crate) fn lmsw(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let value = match ins.op0_kind() {
        OpKind::Register => cpu.read_register(ins.op0_register()),
        _ => cpu.load_slow(cpu.linear(ins), 2)?,
    };
    let old = cpu.system.cr0;
    cpu.write_cr0(old & !0xe | value & 0xf)?;
    Ok(Done::Sync)
}

/// CLTS.
pub(crate) fn clts(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    cpu.system.cr0 &= !cr0::TS;
    Ok(Done::Next)
}

/// INVLPG.
pub(crate) fn invlpg(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let linear = cpu.linear(ins);
    cpu.tlb.flush_page(linear);
    cpu.code_page = u64::MAX;
    Ok(Done::Sync)
}

/// INVD and WBINVD: there are no caches that a guest could see.
pub(crate) fn cache_control(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    Ok(Done::Next)
}

/// SWAPGS.
pub(crate) fn swapgs(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let system = &mut cpu.system;
    std::mem::swap(
        &mut system.segments[seg::GS].base,
        &mut system.msrs.kernel_gs_base,
    );
    cpu.regs[crate::cpu::slot::SEGMENTS + seg::GS] = cpu.system.segments[seg::GS].base;
    Ok(Done::Next)
}

/// XGETBV.
pub(crate) fn xgetbv(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    if cpu.system.cr4 & cr4::OSXSAVE == 0 {
        return Err(cpu.raise(vector::UD));
    }
    if cpu.reg::<u32>(gpr::RCX as u8 * 8) != 0 {
        return Err(cpu.raise_gp());
    }
    let value = cpu.system.xcr0;
    cpu.write_edx_eax(value);
    Ok(Done::Next)
}

/// XSETBV: x87 always, SSE if wanted; there is nothing else.
pub(crate) fn xsetbv(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    if cpu.system.cr4 & cr4::OSXSAVE == 0 {
        return Err(cpu.raise(vector::UD));
    }
    cpu.check_privilege()?;
    let value = cpu.read_edx_eax();
    if cpu.reg::<u32>(gpr::RCX as u8 * 8) != 0 || value & 1 == 0 || value & !3 != 0 {
        return Err(cpu.raise_gp());
    }
    cpu.system.xcr0 = value;
    Ok(Done::Next)
}

impl Cpu {
    pub(crate) fn read_edx_eax(&self) -> u64 {
        self.regs[gpr::RAX] & 0xffff_ffff | self.regs[gpr::RDX] << 32
    }

    pub(crate) fn write_edx_eax(&mut self, value: u64) {
        self.set_reg(gpr::RAX as u8 * 8, value as u32);
        self.set_reg(gpr::RDX as u8 * 8, (value >> 32) as u32);
    }
}

/// CLI. That interrupts are off now is nothing that the run loop has to look at.
pub(crate) fn clear_interrupt_flag(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_interrupt_flag()?;
    cpu.rflags &= !flags::IF;
    Ok(Done::Next)
}

/// STI. Interrupts are held off for one more instruction. If no interrupt waits and that instruction is
/// executed for certain before anybody looks, nobody can tell, and nothing has to be done about it.
pub(crate) fn set_interrupt_flag(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_interrupt_flag()?;
    if cpu.rflags & flags::IF != 0 {
        return Ok(Done::Next);
    }
    cpu.rflags |= flags::IF;
    if cpu.next_is_plain && !cpu.window_wanted {
        return Ok(Done::Next);
    }
    cpu.shadow(1);
    Ok(Done::Sync)
}

impl Cpu {
    /// Raises #GP(0) if the interrupt flag must not be changed.
    fn check_interrupt_flag(&mut self) -> Res<()> {
        if self.mode.protected && u64::from(self.cpl) > (self.rflags & flags::IOPL) >> 12 {
            return Err(self.raise_gp());
        }
        Ok(())
    }
}

/// HLT.
pub(crate) fn hlt(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    Ok(Done::Halt)
}

/// IN and OUT.
pub(crate) fn port(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let input = ins.mnemonic() == Mnemonic::In;
    let (data, port) = if input { (0, 1) } else { (1, 0) };
    let port = cpu.read_operand(ins, port)? as u16;
    let register = ins.op_register(data);
    let size = register.size() as u8;
    cpu.check_port(port, size)?;
    cpu.note_port(port, size);
    if input {
        let value = cpu.on_bus(|bus, at| bus.read_port(at, port, size));
        cpu.write_register(register, u64::from(value));
    } else {
        let value = cpu.read_register(register) as u32;
        cpu.on_bus(|bus, at| bus.write_port(at, port, size, value));
    }
    Ok(Done::Sync)
}

/// CPUID.
pub(crate) fn cpuid(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    let leaf = cpu.reg::<u32>(gpr::RAX as u8 * 8);
    let subleaf = cpu.reg::<u32>(gpr::RCX as u8 * 8);
    let osxsave = cpu.system.cr4 & cr4::OSXSAVE != 0;
    let mut values = crate::cpuid::cpuid(&cpu.model, cpu.id, leaf, subleaf, osxsave);
    if leaf == 1 && !cpu.on_bus(|bus, at| bus.apic_enabled(at)) {
        // A processor whose local APIC is off looks like one without (Intel SDM vol. 3, 11.4.3).
        values[3] &= !crate::cpuid::APIC;
    }
    for (index, value) in [gpr::RAX, gpr::RBX, gpr::RCX, gpr::RDX]
        .into_iter()
        .zip(values)
    {
        cpu.set_reg(index as u8 * 8, value);
    }
    Ok(Done::Next)
}

/// RDTSC and RDTSCP.
pub(crate) fn rdtsc(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if cpu.system.cr4 & cr4::TSD != 0 && cpu.cpl != 0 {
        return Err(cpu.raise_gp());
    }
    let value = cpu.read_tsc();
    cpu.write_edx_eax(value);
    if ins.mnemonic() == Mnemonic::Rdtscp {
        let aux = cpu.system.msrs.tsc_aux as u32;
        cpu.set_reg(gpr::RCX as u8 * 8, aux);
    }
    Ok(Done::Next)
}

impl Cpu {
    /// The time stamp counter as this CPU sees it.
    pub(crate) fn read_tsc(&mut self) -> u64 {
        let tsc = self.on_bus(|bus, at| bus.read_tsc(at));
        tsc.wrapping_add(self.system.msrs.tsc_adjust)
    }
}

/// RDPMC: the CPU model has no performance counters.
pub(crate) fn rdpmc(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    Err(cpu.raise_gp())
}

/// RDMSR.
pub(crate) fn rdmsr(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let index = cpu.reg::<u32>(gpr::RCX as u8 * 8);
    let value = cpu.read_msr(index)?;
    cpu.write_edx_eax(value);
    Ok(Done::Next)
}

/// WRMSR.
pub(crate) fn wrmsr(cpu: &mut Cpu, _: &Decoded) -> Res<Done> {
    cpu.check_privilege()?;
    let index = cpu.reg::<u32>(gpr::RCX as u8 * 8);
    let value = cpu.read_edx_eax();
    cpu.write_msr(index, value)?;
    Ok(Done::Sync)
}

/// RDRAND and RDSEED, which CPUID does not report: answered from the tape all the same, always
/// successfully.
pub(crate) fn random(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let value = cpu.on_bus(|bus, at| bus.random(at));
    cpu.write_operand(ins, 0, value)?;
    cpu.lazy = flags::Lazy::from_bits(flags::CF);
    Ok(Done::Next)
}

/// INT n, INT3, INTO and INT1.
pub(crate) fn software_interrupt(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let (vector, source) = match ins.mnemonic() {
        Mnemonic::Int3 => (vector::BP, Source::Software),
        Mnemonic::Int1 => (vector::DB, Source::External),
        Mnemonic::Into if !cpu.lazy.of() => return Ok(Done::Sync),
        Mnemonic::Into => (vector::OF, Source::Software),
        _ => (ins.immediate8(), Source::Software),
    };
    let at = cpu.rip;
    cpu.rip = cpu.rip_behind(ins);
    if let Err(raised) = cpu.deliver(vector, source) {
        cpu.rip = at;
        return Err(raised);
    }
    if ins.mnemonic() == Mnemonic::Int1 {
        cpu.merge_held_traps();
    }
    cpu.no_step_trap = true;
    Ok(Done::Jump(cpu.rip))
}
