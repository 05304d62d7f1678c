//! The registers of the local APIC by their offset in the register page (SDM vol. 3, table 11-1).

use super::*;

pub(super) const ID: u32 = 0x020;
pub(super) const VERSION: u32 = 0x030;
pub(super) const TPR: u32 = 0x080;
pub(super) const APR: u32 = 0x090;
pub(super) const PPR: u32 = 0x0a0;
pub(super) const EOI: u32 = 0x0b0;
pub(super) const RRD: u32 = 0x0c0;
pub(super) const LDR: u32 = 0x0d0;
pub(super) const DFR: u32 = 0x0e0;
pub(super) const SVR: u32 = 0x0f0;
pub(super) const ISR: u32 = 0x100;
pub(super) const TMR: u32 = 0x180;
pub(super) const IRR: u32 = 0x200;
pub(super) const ESR: u32 = 0x280;
pub(super) const CMCI: u32 = 0x2f0;
pub(super) const ICR_LOW: u32 = 0x300;
pub(super) const ICR_HIGH: u32 = 0x310;
pub(super) const LVT: u32 = 0x320;
pub(super) const LVT_LAST: u32 = 0x370;
pub(super) const INITIAL_COUNT: u32 = 0x380;
pub(super) const CURRENT_COUNT: u32 = 0x390;
pub(super) const DIVIDE: u32 = 0x3e0;

/// Version 0x14, seven LVT entries, EOI broadcasts can be suppressed.
const VERSION_VALUE: u32 = 0x0106_0014;

/// The writable bits of ICR's low half.
const COMMAND_WRITABLE: u32 = 0x000c_cfff;

/// The bits of each LVT entry that software can write.
const LVT_WRITABLE: [u32; 7] = [
    0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff, 0x1_07ff,
];

impl LapicState {
    /// Reads the 32-bit register at `offset` of the register page. For a smaller access, shift.
    /// What is not a register reads as zero, which is an error for the error status register.
    pub fn read(&mut self, offset: u32, now: VirtTime) -> u32 {
        self.expire(now);
        match offset {
            ID => self.index << 24,
            LDR => u32::from(self.logical_id) << 24,
            DFR => u32::from(self.model) << 28 | 0x0fff_ffff,
            ICR_LOW => self.command as u32,
            ICR_HIGH => (self.command >> 32) as u32,
            // Processors of this version have no arbitration and no remote read.
            APR | RRD => 0,
            EOI => 0,
            _ => self.read_common(offset, now).unwrap_or_else(|| {
                // Only the first four bytes of each sixteen belong to a register.
                if offset & 0xf == 0 {
                    self.fail(ESR_ILLEGAL_REGISTER);
                }
                0
            }),
        }
    }

    /// Writes the 32-bit register at `offset` of the register page.
    pub fn write(&mut self, offset: u32, value: u32, now: VirtTime, effects: &mut Vec<Effect>) {
        self.expire(now);
        match offset {
            // The ID is the one that the MADT tells; like on recent processors it can't be changed.
            ID => {}
            LDR => self.logical_id = (value >> 24) as u8,
            DFR => self.model = (value >> 28) as u8,
            ICR_LOW => {
                let low = value & COMMAND_WRITABLE;
                self.command = self.command & !0xffff_ffff | u64::from(low);
                self.send(self.command, effects);
            }
            ICR_HIGH => {
                self.command = self.command & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32;
            }
            VERSION | APR | PPR | RRD | CURRENT_COUNT | ISR..ESR => {}
            _ => {
                if !self.write_common(offset, value, now, effects) && offset & 0xf == 0 {
                    self.fail(ESR_ILLEGAL_REGISTER);
                }
            }
        }
    }

    /// Reads a register that is the same in both modes, or `None` if `offset` is none of them. The
    /// timer is at `now`.
    pub(super) fn read_common(&self, offset: u32, now: VirtTime) -> Option<u32> {
        if offset & 0xf != 0 {
            return None;
        }
        Some(match offset {
            VERSION => VERSION_VALUE,
            TPR => self.task_priority.into(),
            PPR => self.processor_priority().into(),
            SVR => self.spurious,
            ISR..TMR => self.in_service.word((offset - ISR) >> 4),
            TMR..IRR => self.trigger_mode.word((offset - TMR) >> 4),
            IRR..ESR => self.requested.word((offset - IRR) >> 4),
            ESR => self.errors_shown,
            INITIAL_COUNT => self.timer.initial(),
            CURRENT_COUNT => self
                .timer
                .current(Mode::of_lvt(self.local_vectors[LVT_TIMER]), now),
            DIVIDE => self.timer.divide(),
            _ => self.local_vectors[lvt_index(offset)?],
        })
    }

    /// Writes a register that is the same in both modes. Returns `false` if `offset` is none of
    /// them. The timer is at `now`.
    pub(super) fn write_common(
        &mut self,
        offset: u32,
        value: u32,
        now: VirtTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mode = Mode::of_lvt(self.local_vectors[LVT_TIMER]);
        match offset {
            TPR => self.task_priority = value as u8,
            EOI => self.end_of_interrupt(effects),
            SVR => self.write_spurious(value),
            ESR => self.errors_shown = std::mem::take(&mut self.errors),
            INITIAL_COUNT => self.timer.start(mode, value, now),
            DIVIDE => self.timer.set_divide(mode, value, now),
            _ => match lvt_index(offset) {
                Some(index) => self.write_lvt(index, value),
                None => return false,
            },
        }
        true
    }

    /// Software-disabling the APIC masks all of the LVT (SDM vol. 3, 11.4.7.2).
    fn write_spurious(&mut self, value: u32) {
        self.spurious = value & (SVR_SUPPRESS_EOI_BROADCAST | SVR_ENABLE | 0xff);
        if value & SVR_ENABLE == 0 {
            for entry in &mut self.local_vectors {
                *entry |= LVT_MASKED;
            }
        }
    }

    fn write_lvt(&mut self, index: usize, value: u32) {
        let old = self.local_vectors[index];
        let mut entry = value & LVT_WRITABLE[index];
        if self.spurious & SVR_ENABLE == 0 {
            entry |= LVT_MASKED;
        }
        if index == LVT_TIMER {
            self.timer
                .change_mode(Mode::of_lvt(old), Mode::of_lvt(entry));
        }
        // Making a pin edge-triggered ends the wait for an EOI.
        if entry & LVT_LEVEL != 0 {
            entry |= old & LVT_REMOTE_IRR;
        }
        self.local_vectors[index] = entry;
        if let LVT_LINT0 | LVT_LINT1 = index {
            self.request_level_lint(index - LVT_LINT0);
        }
    }
}

/// The index in the local vector table of the register at `offset`.
pub(super) fn lvt_index(offset: u32) -> Option<usize> {
    match offset {
        CMCI => Some(LVT_CMCI),
        LVT..=LVT_LAST if offset & 0xf == 0 => Some((offset - LVT) as usize >> 4),
        _ => None,
    }
}
