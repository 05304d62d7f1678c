//! Segment registers and far transfers (Intel SDM vol. 3, chapters 3 and 5).

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::operand::{memory_size, operand_size};
use super::{Decoded, Done};
use crate::cpu::{Cpu, seg};
use crate::flags::{self, Lazy, ZF};
use crate::interrupt::null_stack;
use crate::mmu::{Raised, Res, vector};
use crate::mode::access;
use crate::state::Segment;

impl Cpu {
    /// Reads the descriptor of a selector: its linear address and its eight bytes. `None` if the
    /// selector is beyond its table.
    pub(crate) fn read_descriptor(&mut self, selector: u16) -> Res<Option<(u64, u64)>> {
        let (base, limit) = if selector & 4 == 0 {
            (self.system.gdtr.base, u64::from(self.system.gdtr.limit))
        } else {
            (self.system.ldtr.base, u64::from(self.system.ldtr.limit))
        };
        let offset = u64::from(selector & 0xfff8);
        if selector & 4 != 0 && self.system.ldtr.access & access::PRESENT == 0 || offset + 7 > limit
        {
            return Ok(None);
        }
        let linear = base.wrapping_add(offset);
        Ok(Some((linear, self.read_as(linear, 8, false)?)))
    }

    /// Sets the accessed bit of a descriptor.
    fn mark_accessed(&mut self, linear: u64, descriptor: u64) -> Res<()> {
        if descriptor >> 40 & 1 == 0 {
            let kind = (descriptor >> 40 | 1) & 0xff;
            self.write_as(linear.wrapping_add(5), 1, kind, false)?;
        }
        Ok(())
    }

    /// Loads a segment register other than CS.
    pub(crate) fn load_segment(&mut self, index: usize, selector: u16) -> Res<()> {
        if !self.mode.protected {
            let segment = &mut self.system.segments[index];
            segment.selector = selector;
            segment.base = u64::from(selector) << 4;
            self.update_mode();
            return Ok(());
        }
        let code = u32::from(selector & 0xfffc);
        if selector & 0xfffc == 0 {
            return self.load_null(index, selector);
        }
        let Some((linear, descriptor)) = self.read_descriptor(selector)? else {
            return Err(self.raise_error(vector::GP, code));
        };
        let mut new = Segment::described(selector, descriptor);
        let dpl = (new.access >> 5 & 3) as u8;
        let rpl = (selector & 3) as u8;
        let is_code = new.access & 8 != 0;
        let permitted = if index == seg::SS {
            new.access & 0x1a == 0x12 && rpl == self.cpl && dpl == self.cpl
        } else {
            let readable = !is_code || new.access & 2 != 0;
            let conforming = is_code && new.access & 4 != 0;
            new.access & access::SYSTEM != 0 && readable && (conforming || dpl >= self.cpl.max(rpl))
        };
        if !permitted {
            return Err(self.raise_error(vector::GP, code));
        }
        if new.access & access::PRESENT == 0 {
            let vector = if index == seg::SS {
                vector::SS
            } else {
                vector::NP
            };
            return Err(self.raise_error(vector, code));
        }
        self.mark_accessed(linear, descriptor)?;
        new.access |= 1;
        self.system.segments[index] = new;
        self.update_mode();
        Ok(())
    }

    fn load_null(&mut self, index: usize, selector: u16) -> Res<()> {
        if index == seg::SS {
            if self.mode.bits != 64 || self.cpl == 3 || selector as u8 & 3 != self.cpl {
                return Err(self.raise_gp());
            }
            self.system.segments[index] = null_stack(self.cpl);
            self.system.segments[index].selector = selector;
        } else {
            // Intel processors clear the base; the address space stays flat for the others.
            self.system.segments[index] = Segment {
                selector,
                ..Segment::default()
            };
        }
        self.update_mode();
        Ok(())
    }

    /// Checks a far transfer within the privilege level to a code segment and returns it with its
    /// descriptor's address.
    fn code_segment(&mut self, selector: u16, external: bool) -> Res<(Segment, u64, u64)> {
        let code = u32::from(selector & 0xfffc) + u32::from(external);
        if selector & 0xfffc == 0 {
            return Err(self.raise_gp());
        }
        let Some((linear, descriptor)) = self.read_descriptor(selector)? else {
            return Err(self.raise_error(vector::GP, code));
        };
        Ok((Segment::described(selector, descriptor), linear, descriptor))
    }

    /// The code segment that a far jump or call to `selector:target` leads to, checked.
    fn check_far(&mut self, selector: u16, target: u64) -> Res<Segment> {
        if !self.mode.protected {
            let old = self.system.segments[seg::CS];
            return Ok(Segment {
                selector,
                base: u64::from(selector) << 4,
                ..old
            });
        }
        let (mut cs, linear, descriptor) = self.code_segment(selector, false)?;
        let code = u32::from(selector & 0xfffc);
        if cs.access & access::SYSTEM == 0 {
            return Err(self.refuse_gate(cs.access & 0xf, code));
        }
        let dpl = (cs.access >> 5 & 3) as u8;
        let rpl = (selector & 3) as u8;
        let conforming = cs.access & 4 != 0;
        let permitted = if conforming {
            dpl <= self.cpl
        } else {
            rpl <= self.cpl && dpl == self.cpl
        };
        let long = cs.access & access::LONG != 0;
        let bad_size = self.long_mode() && long && cs.access & access::BIG != 0;
        if cs.access & 8 == 0 || !permitted || bad_size {
            return Err(self.raise_error(vector::GP, code));
        }
        if cs.access & access::PRESENT == 0 {
            return Err(self.raise_error(vector::NP, code));
        }
        if self.long_mode() && long && !crate::mmu::is_canonical(target) {
            return Err(self.raise_gp());
        }
        self.mark_accessed(linear, descriptor)?;
        cs.access |= 1;
        cs.selector = selector & !3 | u16::from(self.cpl);
        Ok(cs)
    }

    /// A far transfer to a system descriptor: call gates and tasks are not implemented, everything
    /// else is a #GP.
    fn refuse_gate(&mut self, kind: u16, code: u32) -> Raised {
        let transfers = if self.long_mode() {
            kind == 12
        } else {
            matches!(kind, 1 | 3 | 4 | 5 | 9 | 11 | 12)
        };
        if transfers {
            return self.raise_unimplemented("far transfer through a gate or a task");
        }
        self.raise_error(vector::GP, code)
    }

    /// A far jump or return to `selector:target`.
    fn far_transfer(&mut self, selector: u16, target: u64) -> Res<()> {
        let cs = self.check_far(selector, target)?;
        self.system.segments[seg::CS] = cs;
        self.update_mode();
        Ok(())
    }

    /// The selector and offset of a far pointer, an immediate or in memory.
    fn far_pointer(&mut self, ins: &Instruction) -> Res<(u16, u64)> {
        match ins.op0_kind() {
            OpKind::FarBranch16 => Ok((ins.far_branch_selector(), u64::from(ins.far_branch16()))),
            OpKind::FarBranch32 => Ok((ins.far_branch_selector(), u64::from(ins.far_branch32()))),
            _ => self.pointer_in_memory(ins),
        }
    }

    fn pointer_in_memory(&mut self, ins: &Instruction) -> Res<(u16, u64)> {
        let size = memory_size(ins) - 2;
        let linear = self.linear(ins);
        let offset = self.load_slow(linear, size)?;
        let selector = self.load_slow(self.wrap_linear(linear.wrapping_add(size)), 2)?;
        Ok((selector as u16, offset))
    }
}

fn register_index(register: Register) -> usize {
    register.number()
}

/// MOV to a segment register.
pub(crate) fn load_segment(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let index = register_index(ins.op0_register());
    if index == seg::CS {
        return Err(cpu.raise(vector::UD));
    }
    let selector = match ins.op1_kind() {
        OpKind::Register => cpu.read_register(ins.op1_register()),
        _ => cpu.load_slow(cpu.linear(ins), 2)?,
    };
    cpu.load_segment(index, selector as u16)?;
    if index == seg::SS {
        cpu.shadow(2);
    }
    Ok(Done::Sync)
}

/// MOV from a segment register.
pub(crate) fn store_segment(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let selector = u64::from(cpu.system.segments[register_index(ins.op1_register())].selector);
    match ins.op0_kind() {
        OpKind::Register => cpu.write_register(ins.op0_register(), selector),
        _ => cpu.store_slow(cpu.linear(ins), 2, selector)?,
    }
    Ok(Done::Next)
}

impl Cpu {
    /// Holds interrupts off for one instruction.
    pub(crate) fn shadow(&mut self, bit: u8) {
        if self.system.interrupt_shadow == 0 {
            self.system.interrupt_shadow = bit;
            self.refresh_attention();
        }
    }
}

/// PUSH and POP of segment registers.
pub(crate) fn push_pop_segment(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = u64::from(ins.stack_pointer_increment().unsigned_abs());
    let index = register_index(ins.op0_register());
    if ins.mnemonic() == Mnemonic::Push {
        let selector = cpu.system.segments[index].selector;
        cpu.push_selector(selector, size)?;
        return Ok(Done::Sync);
    }
    // Whatever the operand size is, no more than the selector is read.
    let selector = cpu.peek(0, 2)? as u16;
    cpu.load_segment(index, selector)?;
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(size));
    if index == seg::SS {
        cpu.shadow(2);
    }
    Ok(Done::Sync)
}

/// LDS, LES, LSS, LFS and LGS.
pub(crate) fn load_pointer(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let index = match ins.mnemonic() {
        Mnemonic::Lds => seg::DS,
        Mnemonic::Les => seg::ES,
        Mnemonic::Lss => seg::SS,
        Mnemonic::Lfs => seg::FS,
        _ => seg::GS,
    };
    let (selector, offset) = cpu.pointer_in_memory(ins)?;
    cpu.load_segment(index, selector)?;
    cpu.write_register(ins.op0_register(), offset);
    Ok(Done::Sync)
}

/// Far JMP.
pub(crate) fn jmp(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let (selector, target) = cpu.far_pointer(ins)?;
    cpu.far_transfer(selector, target)?;
    Ok(Done::Jump(target))
}

/// Far CALL.
pub(crate) fn call(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let (selector, target) = cpu.far_pointer(ins)?;
    let size = match ins.code() {
        Code::Call_ptr1616 | Code::Call_m1616 => 2,
        Code::Call_ptr1632 | Code::Call_m1632 => 4,
        _ => 8,
    };
    let back = cpu.rip_behind(ins);
    let old = cpu.system.segments[seg::CS].selector;
    let cs = cpu.check_far(selector, target)?;
    let before = cpu.regs[crate::cpu::gpr::RSP];
    cpu.push(u64::from(old), size)?;
    if let Err(raised) = cpu.push(back, size) {
        cpu.regs[crate::cpu::gpr::RSP] = before;
        return Err(raised);
    }
    cpu.system.segments[seg::CS] = cs;
    cpu.update_mode();
    Ok(Done::Jump(target))
}

/// Far RET.
pub(crate) fn ret(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = match ins.code() {
        Code::Retfw | Code::Retfw_imm16 => 2,
        Code::Retfd | Code::Retfd_imm16 => 4,
        _ => 8,
    };
    let extra = if ins.op_count() == 1 {
        u64::from(ins.immediate16())
    } else {
        0
    };
    let target = cpu.peek(0, size)?;
    let selector = cpu.peek(size, size)? as u16;
    if !cpu.mode.protected {
        cpu.far_transfer(selector, target)?;
        cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(2 * size + extra));
        return Ok(Done::Jump(target));
    }
    let outward = selector as u8 & 3 > cpu.cpl;
    let stack = cpu.return_to(selector, target, |cpu| {
        if !outward {
            return Ok(None);
        }
        let pointer = cpu.peek(2 * size + extra, size)?;
        let ss = cpu.peek(3 * size + extra, size)? as u16;
        Ok(Some((ss, pointer)))
    })?;
    match stack {
        Some(pointer) => cpu.set_stack_pointer(pointer.wrapping_add(extra)),
        None => cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(2 * size + extra)),
    }
    Ok(Done::Jump(target))
}

impl Cpu {
    /// Returns to `selector:target`. `stack` reads the selector and the pointer of the new stack, if there is
    /// one, once the code segment is known to be good (Intel SDM vol. 2, IRET); the pointer is given back.
    fn return_to(
        &mut self,
        selector: u16,
        target: u64,
        stack: impl FnOnce(&mut Self) -> Res<Option<(u16, u64)>>,
    ) -> Res<Option<u64>> {
        let (mut cs, linear, descriptor) = self.code_segment(selector, false)?;
        let code = u32::from(selector & 0xfffc);
        let rpl = (selector & 3) as u8;
        let dpl = (cs.access >> 5 & 3) as u8;
        let conforming = cs.access & 4 != 0;
        let is_code = cs.access & 0x18 == 0x18;
        let permitted = rpl >= self.cpl && if conforming { dpl <= rpl } else { dpl == rpl };
        let bad_size =
            self.long_mode() && cs.access & access::LONG != 0 && cs.access & access::BIG != 0;
        if !is_code || !permitted || bad_size {
            return Err(self.raise_error(vector::GP, code));
        }
        if cs.access & access::PRESENT == 0 {
            return Err(self.raise_error(vector::NP, code));
        }
        let to_long = self.long_mode() && cs.access & access::LONG != 0;
        let stack = stack(self)?;
        if to_long && !crate::mmu::is_canonical(target) {
            return Err(self.raise_gp());
        }
        let ss = match stack {
            Some((selector, _)) => Some(self.stack_segment(selector, rpl, to_long)?),
            None => None,
        };
        self.mark_accessed(linear, descriptor)?;
        cs.access |= 1;
        self.system.segments[seg::CS] = cs;
        if let Some(ss) = ss {
            self.system.segments[seg::SS] = ss;
        }
        if rpl > self.cpl {
            self.drop_privileged_segments(rpl);
        }
        self.update_mode();
        Ok(stack.map(|(_, pointer)| pointer))
    }

    /// The stack segment for a privilege level that is being returned to.
    fn stack_segment(&mut self, selector: u16, level: u8, to_long: bool) -> Res<Segment> {
        let code = u32::from(selector & 0xfffc);
        if selector & 0xfffc == 0 {
            if !to_long || level == 3 {
                return Err(self.raise_gp());
            }
            return Ok(Segment {
                selector,
                ..null_stack(level)
            });
        }
        let Some((linear, descriptor)) = self.read_descriptor(selector)? else {
            return Err(self.raise_error(vector::GP, code));
        };
        let mut ss = Segment::described(selector, descriptor);
        let dpl = (ss.access >> 5 & 3) as u8;
        if selector as u8 & 3 != level || ss.access & 0x1a != 0x12 || dpl != level {
            return Err(self.raise_error(vector::GP, code));
        }
        if ss.access & access::PRESENT == 0 {
            return Err(self.raise_error(vector::SS, code));
        }
        self.mark_accessed(linear, descriptor)?;
        ss.access |= 1;
        Ok(ss)
    }

    /// Data segments that the new privilege level may not use become null.
    fn drop_privileged_segments(&mut self, level: u8) {
        for index in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let segment = &mut self.system.segments[index];
            let conforming_code = segment.access & 0xc == 0xc;
            if ((segment.access >> 5 & 3) as u8) < level && !conforming_code {
                let base = segment.base;
                *segment = Segment::default();
                // The bases of FS and GS belong to the MSRs in 64-bit mode.
                if index >= seg::FS {
                    segment.base = base;
                }
            }
        }
    }
}

/// IRET, IRETD and IRETQ (Intel SDM vol. 2, IRET). Task returns and virtual-8086 mode are not
/// implemented.
pub(crate) fn iret(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    let size = match ins.code() {
        Code::Iretw => 2,
        Code::Iretd => 4,
        _ => 8,
    };
    if !cpu.mode.protected {
        let (target, selector, flags) = (
            cpu.peek(0, size)?,
            cpu.peek(size, size)?,
            cpu.peek(2 * size, size)?,
        );
        cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(3 * size));
        cpu.far_transfer(selector as u16, target)?;
        cpu.load_flags(flags, size);
        cpu.system.nmi_blocked = false;
        return Ok(Done::Jump(target));
    }
    // An IRET that faults unblocks NMIs as well (Intel SDM vol. 3, 6.7.1).
    cpu.system.nmi_blocked = false;
    if cpu.rflags & flags::NT != 0 {
        if cpu.long_mode() {
            return Err(cpu.raise_gp());
        }
        return Err(cpu.raise_unimplemented("return from a task"));
    }
    let (target, selector, new_flags) = (
        cpu.peek(0, size)?,
        cpu.peek(size, size)? as u16,
        cpu.peek(2 * size, size)?,
    );
    if new_flags & flags::VM != 0 && size >= 4 && cpu.cpl == 0 && !cpu.long_mode() {
        return Err(cpu.raise_unimplemented("return to virtual-8086 mode"));
    }
    let level = cpu.cpl;
    let outward = selector as u8 & 3 > level;
    let with_stack = outward || cpu.mode.bits == 64;
    let stack = cpu.return_to(selector, target, |cpu| {
        with_stack
            .then(|| cpu.returned_stack(size, new_flags))
            .transpose()
    })?;
    match stack {
        Some(pointer) => {
            // The width is that of the new stack, or of the operand where it is wider.
            if size == 8 {
                cpu.regs[crate::cpu::gpr::RSP] = pointer
            } else {
                cpu.set_stack_pointer(pointer)
            }
        }
        None => cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(3 * size)),
    }
    cpu.load_return_flags(new_flags, size, level);
    Ok(Done::Jump(target))
}

impl Cpu {
    /// Reads the selector and the pointer of the stack that IRET returns to. AC is in force by then as IRET
    /// has popped it, so that a misaligned frame in user mode raises #AC, with the old flags.
    fn returned_stack(&mut self, size: u64, new_flags: u64) -> Res<(u16, u64)> {
        let old = self.rflags & flags::AC;
        if size > 2 {
            self.rflags |= new_flags & flags::AC;
        }
        let pointer = self.peek(3 * size, size);
        let selector = self.peek(4 * size, size);
        self.rflags = self.rflags & !flags::AC | old;
        Ok((selector? as u16, pointer?))
    }

    /// Sets the flags that IRET may set when it was executed at privilege level `level`.
    fn load_return_flags(&mut self, value: u64, size: u64, level: u8) {
        let mut writable = flags::ARITHMETIC | flags::TF | flags::DF | flags::NT;
        if size > 2 {
            writable |= flags::RF | flags::AC | flags::ID;
        }
        if u64::from(level) <= (self.rflags & flags::IOPL) >> 12 {
            writable |= flags::IF;
        }
        if level == 0 {
            writable |= flags::IOPL;
            if size > 2 {
                writable |= flags::VIF | flags::VIP;
            }
        }
        let new = self.rflags() & !writable | value & writable;
        self.set_rflags(new);
        self.update_tables();
    }
}

/// LAR, LSL, VERR and VERW.
pub(crate) fn probe(cpu: &mut Cpu, ins: &Decoded) -> Res<Done> {
    if !cpu.mode.protected {
        return Err(cpu.raise(vector::UD));
    }
    let checks = matches!(ins.mnemonic(), Mnemonic::Verr | Mnemonic::Verw);
    let n = u32::from(!checks);
    let selector = match ins.op_kind(n) {
        OpKind::Register => cpu.read_register(ins.op_register(n)),
        _ => cpu.load_slow(cpu.linear(ins), 2)?,
    } as u16;
    let result = cpu.probe_selector(ins.mnemonic(), selector)?;
    if let (Some(value), false) = (result, checks) {
        let value = value & super::operand::mask(operand_size(ins, 0) as u8);
        cpu.write_register(ins.op0_register(), value);
    }
    cpu.lazy = Lazy::from_bits(cpu.lazy.bits() & !ZF | if result.is_some() { ZF } else { 0 });
    Ok(Done::Next)
}

impl Cpu {
    /// What LAR or LSL load, or some value if VERR or VERW succeed.
    fn probe_selector(&mut self, mnemonic: Mnemonic, selector: u16) -> Res<Option<u64>> {
        if selector & 0xfffc == 0 {
            return Ok(None);
        }
        let Some((_, descriptor)) = self.read_descriptor(selector)? else {
            return Ok(None);
        };
        let found = Segment::described(selector, descriptor);
        let kind = found.access & 0x1f;
        let is_segment = kind & access::SYSTEM != 0;
        let is_code = is_segment && kind & 8 != 0;
        let conforming = is_code && kind & 4 != 0;
        let dpl = (found.access >> 5 & 3) as u8;
        let visible = conforming || dpl >= self.cpl.max(selector as u8 & 3);
        let valid = match mnemonic {
            Mnemonic::Verr => is_segment && (!is_code || kind & 2 != 0),
            Mnemonic::Verw => is_segment && !is_code && kind & 2 != 0,
            _ if is_segment => true,
            // LDT and TSS; gates only for LAR.
            Mnemonic::Lsl => {
                matches!(kind, 2 | 9 | 11) || !self.long_mode() && matches!(kind, 1 | 3)
            }
            _ => {
                matches!(kind, 2 | 9 | 11 | 12)
                    || !self.long_mode() && matches!(kind, 1 | 3 | 4 | 5)
            }
        };
        if !valid || !visible {
            return Ok(None);
        }
        Ok(Some(if mnemonic == Mnemonic::Lsl {
            u64::from(found.limit)
        } else {
            descriptor >> 32 & 0x00ff_ff00
        }))
    }
}
