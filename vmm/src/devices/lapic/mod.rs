//! The local APIC of one CPU (Intel SDM vol. 3, chapter 11).
//!
//! There is one [`LapicState`] per CPU. Messages between them and from the IOAPIC are
//! [`Effect::Ipi`]; [`deliver`] takes such a message to all of them. What a CPU has to look at is
//! [`LapicState::extint_pending`] first and [`LapicState::pending`] then.

use serde::{Deserialize, Serialize};

use super::{Deadline, Destination, Effect, Ipi};
use crate::invariant::invariant;
use crate::time::{TscClock, VirtTime};

mod icr;
mod msr;
mod registers;
#[cfg(test)]
mod tests;
mod timer;
mod vectors;

pub use msr::owns_msr;
use timer::{Mode, Timer};
use vectors::VectorSet;

/// The physical address of the register page after reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;

/// The size of the register page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;

/// Vectors below this one are reserved for exceptions and illegal in a message.
const FIRST_LEGAL_VECTOR: u8 = 16;

/// Fields of the spurious-interrupt vector register.
const SVR_ENABLE: u32 = 1 << 8;
const SVR_SUPPRESS_EOI_BROADCAST: u32 = 1 << 12;

/// Fields of IA32_APIC_BASE.
const BASE_BSP: u64 = 1 << 8;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ENABLE: u64 = 1 << 11;

/// Fields of an LVT entry.
const LVT_REMOTE_IRR: u32 = 1 << 14;
const LVT_LEVEL: u32 = 1 << 15;
const LVT_MASKED: u32 = 1 << 16;

/// Indices of the local vector table.
const LVT_TIMER: usize = 0;
const LVT_LINT0: usize = 3;
const LVT_LINT1: usize = 4;
const LVT_ERROR: usize = 5;
const LVT_CMCI: usize = 6;

/// Bits of the error status register.
const ESR_SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
const ESR_RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;

/// Delivery modes of messages and LVT entries.
const MODE_FIXED: u8 = 0;
const MODE_LOWEST_PRIORITY: u8 = 1;
const MODE_SMI: u8 = 2;
const MODE_NMI: u8 = 4;
const MODE_INIT: u8 = 5;
const MODE_STARTUP: u8 = 6;
const MODE_EXTINT: u8 = 7;

/// What became of an interrupt message at one local APIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was not for this APIC, or this APIC does not take it.
    Ignored,
    /// A maskable interrupt is now requested: see [`LapicState::pending`].
    Interrupt,
    /// The CPU has to ask the PIC for a vector: see [`LapicState::extint_pending`].
    ExtInt,
    /// The CPU has to take a non-maskable interrupt.
    Nmi,
    /// The CPU has to enter system management mode.
    Smi,
    /// The CPU has to be reset. The APIC itself already is.
    Init,
    /// The CPU, if it waits for that, has to start in real mode at this page of low memory.
    Startup(u8),
}

/// The state of a local APIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LapicState {
    /// The index of the CPU, which is also the APIC ID.
    index: u32,
    /// IA32_APIC_BASE.
    base: u64,
    task_priority: u8,
    /// The upper byte of LDR in xAPIC mode.
    logical_id: u8,
    /// The upper four bits of DFR: 15 for the flat model, 0 for clusters.
    model: u8,
    spurious: u32,
    in_service: VectorSet,
    trigger_mode: VectorSet,
    requested: VectorSet,
    /// Errors that a write to ESR makes visible, and those that are.
    errors: u32,
    errors_shown: u32,
    command: u64,
    local_vectors: [u32; 7],
    timer: Timer,
    /// The levels of LINT0 and LINT1.
    lint: [bool; 2],
    /// An ExtINT message came in over the bus.
    extint: bool,
}

/// Delivers `ipi` to those of `lapics` (in CPU order) that it is for.
///
/// Returns the indices of the CPUs and what they have to do, in CPU order, without those that
/// ignore it. A lowest-priority message goes to the matching CPU with the lowest index.
pub fn deliver(lapics: &mut [LapicState], ipi: &Ipi) -> Vec<(usize, Accepted)> {
    let limit = if ipi.mode == MODE_LOWEST_PRIORITY {
        1
    } else {
        usize::MAX
    };
    lapics
        .iter_mut()
        .enumerate()
        .filter(|(_, lapic)| lapic.takes(ipi))
        .take(limit)
        .map(|(index, lapic)| (index, lapic.accept(ipi)))
        .filter(|(_, accepted)| *accepted != Accepted::Ignored)
        .collect()
}

impl LapicState {
    /// A local APIC after power-up, in xAPIC mode and software-disabled.
    ///
    /// `index` is the index of its CPU and its APIC ID; CPU 0 is the bootstrap processor.
    /// `crystal_hz` drives its timer.
    pub fn new(index: u32, crystal_hz: u32, tsc: TscClock) -> Self {
        let bsp = if index == 0 { BASE_BSP } else { 0 };
        Self {
            index,
            base: DEFAULT_BASE | BASE_ENABLE | bsp,
            task_priority: 0,
            logical_id: 0,
            model: 15,
            spurious: 0xff,
            in_service: VectorSet::default(),
            trigger_mode: VectorSet::default(),
            requested: VectorSet::default(),
            errors: 0,
            errors_shown: 0,
            command: 0,
            local_vectors: [LVT_MASKED; 7],
            timer: Timer::new(crystal_hz, tsc),
            lint: [false; 2],
            extint: false,
        }
    }

    /// Puts LINT0 into ExtINT and LINT1 into NMI mode and enables the APIC, as firmware leaves the
    /// bootstrap processor (virtual wire mode).
    pub fn wire_virtual(&mut self) {
        self.spurious |= SVR_ENABLE;
        self.local_vectors[LVT_LINT0] = u32::from(MODE_EXTINT) << 8;
        self.local_vectors[LVT_LINT1] = u32::from(MODE_NMI) << 8;
    }

    /// INIT: resets everything but the ID and IA32_APIC_BASE (SDM vol. 3, 11.4.7.3).
    pub fn init(&mut self) {
        self.timer.reset();
        *self = Self {
            base: self.base,
            timer: self.timer.clone(),
            lint: self.lint,
            ..Self::new(self.index, 1, TscClock::new(0))
        };
    }

    /// The physical address of the register page, if the APIC is in xAPIC mode.
    pub fn mmio_base(&self) -> Option<u64> {
        let mode = self.base & (BASE_ENABLE | BASE_X2APIC);
        (mode == BASE_ENABLE).then_some(self.base & !(PAGE_SIZE - 1))
    }

    /// CR8: bits 7 to 4 of the task priority.
    pub fn cr8(&self) -> u64 {
        u64::from(self.task_priority >> 4)
    }

    /// Writes CR8, of which only the low four bits count.
    pub fn set_cr8(&mut self, value: u64) {
        self.task_priority = ((value & 15) as u8) << 4;
    }

    /// Tells the timer that the CPU's time stamp counter now follows another clock.
    pub fn set_tsc(&mut self, tsc: TscClock, now: VirtTime) {
        self.expire(now);
        self.timer.set_tsc(tsc, now);
    }

    /// The moment at which [`Self::expire`] wants to be called. There is none while the timer's
    /// interrupt is masked, because then it makes no difference whether it has expired.
    pub fn deadline(&self) -> Deadline {
        let entry = self.local_vectors[LVT_TIMER];
        if entry & LVT_MASKED != 0 {
            return None;
        }
        self.timer.deadline(Mode::of_lvt(entry))
    }

    /// Lets the timer expire if it has to at `now`; calling it early or late is harmless.
    pub fn expire(&mut self, now: VirtTime) {
        let entry = self.local_vectors[LVT_TIMER];
        if self.timer.advance(Mode::of_lvt(entry), now) && entry & LVT_MASKED == 0 {
            self.request(entry as u8, false);
        }
        // Else the machine would step it again and again and never come to execute anything.
        invariant!(
            now.0 == u64::MAX || self.deadline().is_none_or(|due| due > now),
            "the timer has expired and is still due"
        );
    }

    /// Requests the timer's interrupt although the timer has not expired, unless it is masked.
    pub fn fire_timer(&mut self) {
        let entry = self.local_vectors[LVT_TIMER];
        if entry & LVT_MASKED == 0 {
            self.request(entry as u8, false);
        }
    }

    /// Whether `ipi` is for this APIC (SDM vol. 3, 11.6.2 and 11.12.10).
    pub fn matches(&self, ipi: &Ipi) -> bool {
        match ipi.destination {
            Destination::All => true,
            Destination::Oneself(sender) => sender == self.index,
            Destination::Others(sender) => sender != self.index,
            Destination::Field { logical: false, id } => id == self.index,
            Destination::Field { logical: true, id } => self.matches_logical(id),
        }
    }

    fn matches_logical(&self, id: u32) -> bool {
        if self.is_x2apic() {
            let own = self.x2apic_logical_id();
            return id >> 16 == own >> 16 && id & own & 0xffff != 0;
        }
        let own = u32::from(self.logical_id);
        match self.model {
            15 => id & own & 0xff != 0,
            _ => (id >> 4 & 15 == own >> 4 || id >> 4 & 15 == 15) && id & own & 15 != 0,
        }
    }

    /// The logical ID in x2APIC mode, which hardware derives from the ID (SDM vol. 3, 11.12.10.2).
    fn x2apic_logical_id(&self) -> u32 {
        self.index >> 4 << 16 | 1 << (self.index & 15)
    }

    /// Whether `ipi` is for this APIC and the APIC is enabled as far as the message needs it. A
    /// software-disabled APIC still takes NMI, SMI, INIT and start-up (SDM vol. 3, 11.4.7.2).
    fn takes(&self, ipi: &Ipi) -> bool {
        let maskable = matches!(ipi.mode, MODE_FIXED | MODE_LOWEST_PRIORITY | MODE_EXTINT);
        self.is_enabled() && (self.spurious & SVR_ENABLE != 0 || !maskable) && self.matches(ipi)
    }

    /// Takes `ipi` if it is for this APIC. Use [`deliver`], which arbitrates lowest-priority
    /// messages.
    pub fn accept(&mut self, ipi: &Ipi) -> Accepted {
        if !self.takes(ipi) {
            return Accepted::Ignored;
        }
        match ipi.mode {
            MODE_FIXED | MODE_LOWEST_PRIORITY => self.request(ipi.vector, ipi.level),
            MODE_SMI => Accepted::Smi,
            MODE_NMI => Accepted::Nmi,
            MODE_INIT if ipi.deassert => Accepted::Ignored,
            MODE_INIT => {
                self.init();
                Accepted::Init
            }
            MODE_STARTUP => Accepted::Startup(ipi.vector),
            MODE_EXTINT => {
                self.extint = true;
                Accepted::ExtInt
            }
            _ => Accepted::Ignored,
        }
    }

    /// Sets the level of the local interrupt pin LINT0 or LINT1 (`pin` 0 or 1).
    pub fn set_lint(&mut self, pin: u8, asserted: bool) -> Accepted {
        let pin = usize::from(pin & 1);
        let rising = asserted && !self.lint[pin];
        self.lint[pin] = asserted;
        let entry = if self.is_enabled() {
            self.local_vectors[LVT_LINT0 + pin]
        } else {
            // Without the APIC the pins are the processor's INTR and NMI (SDM vol. 3, 11.4.3).
            u32::from([MODE_EXTINT, MODE_NMI][pin]) << 8
        };
        if !rising || entry & LVT_MASKED != 0 {
            return Accepted::Ignored;
        }
        match lvt_mode(entry) {
            MODE_FIXED if entry & LVT_LEVEL != 0 => self.request_level_lint(pin),
            MODE_FIXED => self.request(entry as u8, false),
            MODE_SMI => Accepted::Smi,
            MODE_NMI => Accepted::Nmi,
            MODE_INIT => {
                self.init();
                Accepted::Init
            }
            MODE_EXTINT => Accepted::ExtInt,
            _ => Accepted::Ignored,
        }
    }

    /// Requests the interrupt of a level-triggered pin in fixed mode while the pin is asserted,
    /// once per EOI. The other pins and modes are left alone.
    fn request_level_lint(&mut self, pin: usize) -> Accepted {
        let entry = self.local_vectors[LVT_LINT0 + pin];
        let waiting = entry & (LVT_MASKED | LVT_REMOTE_IRR | LVT_LEVEL) == LVT_LEVEL;
        if !waiting || !self.lint[pin] || lvt_mode(entry) != MODE_FIXED {
            return Accepted::Ignored;
        }
        self.local_vectors[LVT_LINT0 + pin] |= LVT_REMOTE_IRR;
        self.request(entry as u8, true)
    }

    /// Whether the CPU has to ask the PIC for a vector as soon as interrupts are enabled. It goes
    /// before [`Self::pending`].
    pub fn extint_pending(&self) -> bool {
        if !self.is_enabled() {
            return self.lint[0];
        }
        let passes = |pin: usize| {
            let entry = self.local_vectors[LVT_LINT0 + pin];
            self.lint[pin] && entry & LVT_MASKED == 0 && lvt_mode(entry) == MODE_EXTINT
        };
        self.extint || passes(0) || passes(1)
    }

    /// Tells that the CPU has asked the PIC for a vector.
    pub fn acknowledge_extint(&mut self) {
        self.extint = false;
    }

    /// The highest requested vector whose priority is above the processor's (SDM vol. 3, 11.8.3).
    pub fn pending(&self) -> Option<u8> {
        let vector = self.requested.highest()?;
        (vector >> 4 > self.processor_priority() >> 4).then_some(vector)
    }

    /// The CPU takes the interrupt of [`Self::pending`], which is in service from now on. Without
    /// one, the result is the spurious vector (SDM vol. 3, 11.9).
    pub fn acknowledge(&mut self) -> u8 {
        let Some(vector) = self.pending() else {
            return self.spurious as u8;
        };
        self.requested.remove(vector);
        self.in_service.insert(vector);
        invariant!(
            vector >= FIRST_LEGAL_VECTOR && self.pending().is_none(),
            "vector {vector} is in service, and yet another may be taken"
        );
        vector
    }

    /// PPR: the task priority or the priority class in service, whichever is higher.
    fn processor_priority(&self) -> u8 {
        let serving = self.in_service.highest().unwrap_or(0);
        if self.task_priority >> 4 >= serving >> 4 {
            self.task_priority
        } else {
            serving & 0xf0
        }
    }

    /// Whether IA32_APIC_BASE has the APIC on, in whichever mode.
    pub fn is_enabled(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }

    fn is_x2apic(&self) -> bool {
        self.base & BASE_X2APIC != 0
    }

    /// Requests a maskable interrupt.
    fn request(&mut self, vector: u8, level: bool) -> Accepted {
        if vector < FIRST_LEGAL_VECTOR {
            return self.fail(ESR_RECEIVE_ILLEGAL_VECTOR);
        }
        self.requested.insert(vector);
        if level {
            self.trigger_mode.insert(vector);
        } else {
            self.trigger_mode.remove(vector);
        }
        Accepted::Interrupt
    }

    /// Notes an error and requests the error interrupt (SDM vol. 3, 11.5.3).
    fn fail(&mut self, error: u32) -> Accepted {
        self.errors |= error;
        let entry = self.local_vectors[LVT_ERROR];
        if entry & LVT_MASKED != 0 {
            return Accepted::Ignored;
        }
        // An illegal vector of the error interrupt itself must not report itself for ever.
        if (entry as u8) < FIRST_LEGAL_VECTOR {
            self.errors |= ESR_RECEIVE_ILLEGAL_VECTOR;
            return Accepted::Ignored;
        }
        self.request(entry as u8, false)
    }

    /// The end of the highest interrupt in service (SDM vol. 3, 11.8.5).
    fn end_of_interrupt(&mut self, effects: &mut Vec<Effect>) {
        let Some(vector) = self.in_service.highest() else {
            return;
        };
        self.in_service.remove(vector);
        if !self.trigger_mode.contains(vector) {
            return;
        }
        for pin in 0..2 {
            let entry = &mut self.local_vectors[LVT_LINT0 + pin];
            if *entry as u8 == vector && *entry & LVT_REMOTE_IRR != 0 {
                *entry &= !LVT_REMOTE_IRR;
                self.request_level_lint(pin);
            }
        }
        if self.spurious & SVR_SUPPRESS_EOI_BROADCAST == 0 {
            effects.push(Effect::Eoi { vector });
        }
    }
}

/// The delivery mode of an LVT entry.
fn lvt_mode(entry: u32) -> u8 {
    (entry >> 8 & 7) as u8
}
