//! The local APIC of one CPU (Intel SDM vol. 3, chapter 11).
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use super::{Deadline, Effect, Ipi};
use crate::time::{TscClock, VirtTime};

/// The physical address of the register page after reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;

/// The size of the register page in bytes.
pub const PAGE_SIZE: u64 = 0x1000;

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
    /// The CPU, if it waits for that, has to start at page `0` of low memory given by the vector.
    Startup(u8),
}

/// The state of a local APIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LapicState {
    index: u32,
}

/// Delivers `ipi` to those of `lapics` (in CPU order) that it is for. Returns the CPU indices and
/// what they have to do, in CPU order, without those that ignore it. A lowest-priority message goes to
/// the matching CPU with the lowest index.
pub fn deliver(lapics: &mut [LapicState], ipi: &Ipi) -> Vec<(usize, Accepted)> {
    todo!()
}

/// Whether the model-specific register `index` belongs to the local APIC: IA32_APIC_BASE,
/// IA32_TSC_DEADLINE and the x2APIC range.
pub fn owns_msr(index: u32) -> bool {
    todo!()
}

impl LapicState {
    /// A local APIC after power-up, in xAPIC mode and software-disabled. `index` is the index of its
    /// CPU and its APIC ID; CPU 0 is the bootstrap processor. `crystal_hz` drives its timer.
    pub fn new(index: u32, crystal_hz: u32, tsc: TscClock) -> Self {
        todo!()
    }

    /// Puts LINT0 into ExtINT and LINT1 into NMI mode and enables the APIC, as firmware leaves the
    /// bootstrap processor (virtual wire mode).
    pub fn wire_virtual(&mut self) {
        todo!()
    }

    /// INIT: resets everything but the ID and IA32_APIC_BASE (SDM vol. 3, 11.4.7.3).
    pub fn init(&mut self) {
        todo!()
    }

    /// The physical address of the register page, if the APIC is in xAPIC mode.
    pub fn mmio_base(&self) -> Option<u64> {
        todo!()
    }

    /// Reads the 32-bit register at `offset` of the register page. For a smaller access, shift.
    pub fn read(&mut self, offset: u32, now: VirtTime) -> u32 {
        todo!()
    }

    /// Writes the 32-bit register at `offset` of the register page.
    pub fn write(&mut self, offset: u32, value: u32, now: VirtTime, effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Reads a register of [`owns_msr`]. `None` raises #GP(0).
    pub fn read_msr(&mut self, index: u32, now: VirtTime) -> Option<u64> {
        todo!()
    }

    /// Writes a register of [`owns_msr`]. `false` raises #GP(0).
    pub fn write_msr(
        &mut self,
        index: u32,
        value: u64,
        now: VirtTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        todo!()
    }

    /// CR8: bits 7 to 4 of the task priority.
    pub fn cr8(&self) -> u64 {
        todo!()
    }

    /// Writes CR8, of which only the low four bits count.
    pub fn set_cr8(&mut self, value: u64) {
        todo!()
    }

    /// Tells the timer that the CPU's time stamp counter now follows another clock.
    pub fn set_tsc(&mut self, tsc: TscClock, now: VirtTime) {
        todo!()
    }

    /// The moment at which [`Self::expire`] wants to be called.
    pub fn deadline(&self) -> Deadline {
        todo!()
    }

    /// Lets the timer expire if it has to at `now`; calling it early or late is harmless.
    pub fn expire(&mut self, now: VirtTime) {
        todo!()
    }

    /// Whether `ipi` is for this APIC.
    pub fn matches(&self, ipi: &Ipi) -> bool {
        todo!()
    }

    /// Takes `ipi` if it is for this APIC. Use [`deliver`], which arbitrates lowest-priority messages.
    pub fn accept(&mut self, ipi: &Ipi) -> Accepted {
        todo!()
    }

    /// Sets the level of the local interrupt pin LINT0 or LINT1 (`pin` 0 or 1).
    pub fn set_lint(&mut self, pin: u8, asserted: bool) -> Accepted {
        todo!()
    }

    /// Whether the CPU has to ask the PIC for a vector as soon as interrupts are enabled. It goes before
    /// [`Self::pending`].
    pub fn extint_pending(&self) -> bool {
        todo!()
    }

    /// Tells that the CPU has asked the PIC for a vector.
    pub fn acknowledge_extint(&mut self) {
        todo!()
    }

    /// The highest requested vector whose priority is above the processor's.
    pub fn pending(&self) -> Option<u8> {
        todo!()
    }

    /// The CPU takes the interrupt of [`Self::pending`], which is in service from now on. Without
    /// one, the result is the spurious vector.
    pub fn acknowledge(&mut self) -> u8 {
        todo!()
    }
}
