//! Delivery of interrupts and exceptions through the IDT (Intel SDM vol. 3, 6.10 to 6.14).

use crate::cpu::{Cpu, Fault, gpr, seg};
use crate::flags;
use crate::mmu::{Raised, Res, vector};
use crate::mode::{access, cr0};
use crate::state::{Activity, Segment};
use crate::{Bus, Exit, Memory};

/// What is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A fault, trap or abort with its error code.
    Exception(Option<u32>),
    /// INT n, INT3 or INTO: the gate's DPL is checked.
    Software,
    /// INT1: an exception whose gate is reached without a check.
    External,
}

impl Cpu {
    /// Delivers the maskable interrupt `vector` and wakes the CPU if it was halted. Call it only if
    /// [`Self::interruptible`]. An exception during the delivery is delivered in turn; the result
    /// is `Some` only if that ends in a triple fault or in something unimplemented.
    pub fn inject_interrupt(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        vector: u8,
    ) -> Option<Exit> {
        // Otherwise the guest would be interrupted where it has forbidden that.
        assert!(self.interruptible(), "the CPU takes interrupts");
        self.with_attached(memory, bus, |cpu| {
            cpu.wake();
            cpu.deliver_or_fault(vector, Source::External).err()
        })
    }

    /// Delivers a non-maskable interrupt, as [`Self::inject_interrupt`] does.
    pub fn inject_nmi(&mut self, memory: &mut Memory, bus: &mut dyn Bus) -> Option<Exit> {
        self.with_attached(memory, bus, |cpu| {
            cpu.wake();
            cpu.system.nmi_blocked = true;
            cpu.deliver_or_fault(2, Source::External).err()
        })
    }

    fn wake(&mut self) {
        if self.system.activity == Activity::Halted {
            self.system.activity = Activity::Running;
        }
    }

    fn deliver_or_fault(&mut self, vector: u8, source: Source) -> Result<(), Exit> {
        match self.deliver(vector, source) {
            Ok(()) => Ok(()),
            Err(Raised) => self.deliver_fault(),
        }
    }

    /// Delivers the exception in `Cpu::fault`, and those that this leads to.
    pub(crate) fn deliver_fault(&mut self) -> Result<(), Exit> {
        let mut first: Option<u8> = None;
        loop {
            let (vector, error) = match std::mem::replace(&mut self.fault, Fault::NotCanonical) {
                Fault::Exception { vector, error } => (vector, error),
                Fault::NotCanonical if self.fault_is_stack => (vector::SS, Some(0)),
                Fault::NotCanonical => (vector::GP, Some(0)),
                Fault::Unimplemented(what) => return Err(self.unimplemented(what)),
            };
            let (vector, error) = match first {
                None => (vector, error),
                Some(vector::DF) => {
                    self.system.activity = Activity::Shutdown;
                    return Err(Exit::TripleFault);
                }
                Some(previous) if makes_double_fault(previous, vector) => (vector::DF, Some(0)),
                Some(_) => (vector, error),
            };
            first = Some(vector);
            let trap = vector == vector::DB && self.debug_trap;
            self.debug_trap = trap;
            self.fault_is_stack = false;
            if self.deliver(vector, Source::Exception(error)).is_ok() {
                return Ok(());
            }
        }
    }

    /// Enters the handler of `vector`. Nothing has changed if that raises an exception.
    pub(crate) fn deliver(&mut self, vector: u8, source: Source) -> Res<()> {
        self.link = None;
        if !self.mode.protected {
            return self.deliver_real(vector);
        }
        if !self.long_mode() {
            return Err(self.raise_unimplemented(format!(
                "delivery of interrupt or exception {vector} in protected mode without long mode"
            )));
        }
        // Bit 1 of an error code says that the IDT is meant, bit 0 that the event was external.
        let code = u32::from(vector) * 8 + 2 + u32::from(source != Source::Software);
        let idtr = self.system.idtr;
        if u64::from(vector) * 16 + 15 > u64::from(idtr.limit) {
            return Err(self.raise_error(vector::GP, code));
        }
        let gate = idtr.base.wrapping_add(u64::from(vector) * 16);
        let low = self.read_as(gate, 8, false)?;
        let high = self.read_as(gate.wrapping_add(8), 8, false)?;
        let kind = low >> 40 & 0x1f;
        if kind != 14 && kind != 15 {
            return Err(self.raise_error(vector::GP, code));
        }
        if source == Source::Software && (low >> 45 & 3) < u64::from(self.cpl) {
            return Err(self.raise_error(vector::GP, code));
        }
        if low >> 47 & 1 == 0 {
            return Err(self.raise_error(vector::NP, code));
        }
        let target = low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
        let external = u32::from(source != Source::Software);
        let cs = self.interrupt_code_segment((low >> 16) as u16, external)?;
        let ist = (low >> 32 & 7) as u8;
        self.enter_handler(source, cs, target, ist, kind == 14)
    }

    /// Checks and returns the code segment of a gate.
    fn interrupt_code_segment(&mut self, selector: u16, external: u32) -> Res<Segment> {
        let code = u32::from(selector & 0xfffc) + external;
        if selector & 0xfffc == 0 {
            return Err(self.raise_error(vector::GP, external));
        }
        let Some((_, descriptor)) = self.read_descriptor(selector)? else {
            return Err(self.raise_error(vector::GP, code));
        };
        let mut cs = Segment::described(selector, descriptor);
        let dpl = (cs.access >> 5 & 3) as u8;
        let is_code = cs.access & access::SYSTEM != 0 && cs.access & 8 != 0;
        let long = cs.access & access::LONG != 0 && cs.access & access::BIG == 0;
        if !is_code || dpl > self.cpl || !long {
            return Err(self.raise_error(vector::GP, code));
        }
        if cs.access & access::PRESENT == 0 {
            return Err(self.raise_error(vector::NP, code));
        }
        let level = if cs.access & 4 != 0 { self.cpl } else { dpl };
        cs.selector = selector & !3 | u16::from(level);
        Ok(cs)
    }

    /// Switches the stack, pushes the frame and goes to the handler.
    fn enter_handler(
        &mut self,
        source: Source,
        cs: Segment,
        target: u64,
        ist: u8,
        masks: bool,
    ) -> Res<()> {
        let level = (cs.selector & 3) as u8;
        let changes = level < self.cpl;
        let external = u32::from(source != Source::Software);
        let rsp = if ist != 0 {
            self.read_tss_stack(0x1c + 8 * u64::from(ist), external)?
        } else if changes {
            self.read_tss_stack(4 + 8 * u64::from(level), external)?
        } else {
            self.regs[gpr::RSP]
        };
        let mut top = rsp & !15;
        let error = match source {
            Source::Exception(error) => error,
            _ => None,
        };
        let ss = self.system.segments[seg::SS].selector;
        let mut pushed = self.rflags();
        if matches!(source, Source::Exception(_)) && !self.is_trap() {
            pushed |= flags::RF;
        }
        if source == Source::Software {
            // The instruction has completed, which ends the effect of RF.
            pushed &= !flags::RF;
        }
        let old_cs = self.system.segments[seg::CS].selector;
        let frame = [
            u64::from(ss),
            self.regs[gpr::RSP],
            pushed,
            u64::from(old_cs),
            self.rip,
        ];
        for value in frame.into_iter().chain(error.map(u64::from)) {
            top = top.wrapping_sub(8);
            if !crate::mmu::is_canonical(top) {
                return Err(self.raise_error(vector::SS, external));
            }
            self.write_as(top, 8, value, level == 3)?;
        }
        if !crate::mmu::is_canonical(target) {
            return Err(self.raise_error(vector::GP, external));
        }
        if changes {
            // In 64-bit mode SS becomes a null selector with the new privilege level.
            self.system.segments[seg::SS] = null_stack(level);
        }
        self.regs[gpr::RSP] = top;
        self.system.segments[seg::CS] = cs;
        let mut cleared = flags::TF | flags::NT | flags::RF | flags::VM;
        if masks {
            cleared |= flags::IF;
        }
        self.rflags &= !cleared;
        self.rip = target;
        self.debug_trap = false;
        self.system.interrupt_shadow = 0;
        self.update_mode();
        Ok(())
    }

    /// Whether the exception that is delivered is one that does not set RF in its frame: a #DB that
    /// is a trap or that an instruction breakpoint caused (Intel SDM vol. 3, 17.3.1.1).
    fn is_trap(&self) -> bool {
        self.debug_trap
    }

    fn read_tss_stack(&mut self, offset: u64, external: u32) -> Res<u64> {
        let tr = self.system.tr;
        if offset + 7 > u64::from(tr.limit) {
            let code = u32::from(tr.selector & 0xfffc) + external;
            return Err(self.raise_error(vector::TS, code));
        }
        self.read_as(tr.base.wrapping_add(offset), 8, false)
    }

    /// Real-address mode: the interrupt vector table at the IDTR's base (Intel SDM vol. 3, 21.1.4).
    fn deliver_real(&mut self, vector: u8) -> Res<()> {
        let idtr = self.system.idtr;
        if u32::from(vector) * 4 + 3 > u32::from(idtr.limit) {
            return Err(self.raise_error(vector::GP, 0));
        }
        let entry = self.wrap_linear(idtr.base.wrapping_add(u64::from(vector) * 4));
        let entry = self.read_as(entry, 4, false)?;
        let flags = self.rflags();
        let cs = self.system.segments[seg::CS].selector;
        let rip = self.rip;
        self.push(flags & 0xffff, 2)?;
        self.push(u64::from(cs), 2)?;
        self.push(rip & 0xffff, 2)?;
        self.rflags &= !(flags::IF | flags::TF | flags::AC | flags::RF);
        let selector = (entry >> 16) as u16;
        self.system.segments[seg::CS].selector = selector;
        self.system.segments[seg::CS].base = u64::from(selector) << 4;
        self.rip = entry & 0xffff;
        self.system.interrupt_shadow = 0;
        self.update_mode();
        Ok(())
    }

    /// Raises #NM or #UD if the x87 or SSE unit is switched off.
    pub(crate) fn check_fpu(&mut self) -> Res<()> {
        if self.system.cr0 & (cr0::EM | cr0::TS) != 0 {
            return Err(self.raise(vector::NM));
        }
        Ok(())
    }

    /// As [`Self::check_fpu`], for SSE.
    pub(crate) fn check_sse(&mut self) -> Res<()> {
        if self.system.cr0 & cr0::EM != 0 || self.system.cr4 & crate::mode::cr4::OSFXSR == 0 {
            return Err(self.raise(vector::UD));
        }
        if self.system.cr0 & cr0::TS != 0 {
            return Err(self.raise(vector::NM));
        }
        Ok(())
    }
}

/// The null SS of 64-bit mode at a privilege level.
pub(crate) fn null_stack(level: u8) -> Segment {
    Segment {
        selector: u16::from(level),
        access: u16::from(level) << 5,
        limit: 0,
        base: 0,
    }
}

/// Intel SDM vol. 3, table 6-5.
fn makes_double_fault(first: u8, second: u8) -> bool {
    let contributory = |vector: u8| matches!(vector, 0 | 10..=13);
    match first {
        vector::PF => second == vector::PF || contributory(second),
        first if contributory(first) => contributory(second),
        _ => false,
    }
}
