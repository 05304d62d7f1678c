//! The model-specific registers of the local APIC: IA32_APIC_BASE, IA32_TSC_DEADLINE and the
//! x2APIC registers (Intel SDM vol. 3, 11.4.4, 11.5.4.1 and 11.12).

use chaosrun_x86::PHYSICAL_BITS;

use super::registers::*;
use super::*;

const IA32_APIC_BASE: u32 = 0x1b;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
const X2APIC_FIRST: u32 = 0x800;
const X2APIC_LAST: u32 = 0x8ff;

/// Registers that exist only in x2APIC mode, by the offset that they would have in the page.
const SELF_IPI: u32 = 0x3f0;

/// The bits of IA32_APIC_BASE that are not reserved: flags and a page that the processor can address.
const BASE_VALID: u64 = ((1 << PHYSICAL_BITS) - PAGE_SIZE) | BASE_ENABLE | BASE_X2APIC | BASE_BSP;

/// The reserved bits of ICR in x2APIC mode. The delivery status, bit 12, no longer exists but is
/// not refused.
const COMMAND_RESERVED: u64 = 0xfff3_2000;

/// The bits of each LVT entry that are not reserved in x2APIC mode, read-only ones included.
const LVT_VALID: [u32; 7] = [
    0x7_10ff, 0x1_17ff, 0x1_17ff, 0x1_f7ff, 0x1_f7ff, 0x1_10ff, 0x1_17ff,
];

/// Whether the model-specific register `index` belongs to the local APIC: IA32_APIC_BASE,
/// IA32_TSC_DEADLINE and the x2APIC range.
pub fn owns_msr(index: u32) -> bool {
    matches!(
        index,
        IA32_APIC_BASE | IA32_TSC_DEADLINE | X2APIC_FIRST..=X2APIC_LAST
    )
}

impl LapicState {
    /// Reads a register of [`owns_msr`]. `None` raises #GP(0).
    pub fn read_msr(&mut self, index: u32, now: VirtTime) -> Option<u64> {
        self.expire(now);
        match index {
            IA32_APIC_BASE => Some(self.base),
            IA32_TSC_DEADLINE => Some(self.timer.tsc_deadline()),
            X2APIC_FIRST..=X2APIC_LAST if self.is_x2apic() => {
                let offset = (index - X2APIC_FIRST) << 4;
                match offset {
                    ID => Some(self.index.into()),
                    LDR => Some(self.x2apic_logical_id().into()),
                    ICR_LOW => Some(self.command),
                    _ => self.read_common(offset, now).map(u64::from),
                }
            }
            _ => None,
        }
    }

    /// Writes a register of [`owns_msr`]. `false` raises #GP(0).
    pub fn write_msr(
        &mut self,
        index: u32,
        value: u64,
        now: VirtTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.expire(now);
        match index {
            IA32_APIC_BASE => self.write_base(value),
            IA32_TSC_DEADLINE => {
                if Mode::of_lvt(self.local_vectors[LVT_TIMER]) == Mode::TscDeadline {
                    self.timer.arm_tsc(value, now);
                    // A deadline of the past expires at once.
                    self.expire(now);
                }
                true
            }
            X2APIC_FIRST..=X2APIC_LAST if self.is_x2apic() => {
                self.write_x2apic((index - X2APIC_FIRST) << 4, value, now, effects)
            }
            _ => false,
        }
    }

    /// Moves between the modes, of which only some follow others (SDM vol. 3, figure 11-27).
    fn write_base(&mut self, value: u64) -> bool {
        const MODES: u64 = BASE_ENABLE | BASE_X2APIC;
        const DISABLED: u64 = 0;
        const XAPIC: u64 = BASE_ENABLE;
        const X2APIC: u64 = BASE_ENABLE | BASE_X2APIC;
        if value & !BASE_VALID != 0 {
            return false;
        }
        match (self.base & MODES, value & MODES) {
            (DISABLED, X2APIC) | (X2APIC, XAPIC) | (_, BASE_X2APIC) => return false,
            // What was in the APIC is lost when it goes off.
            (_, DISABLED) => self.init(),
            (XAPIC, X2APIC) => self.command &= 0xffff_ffff,
            _ => {}
        }
        self.base = value;
        true
    }

    /// Writes a register in x2APIC mode, where reserved bits and registers raise #GP(0).
    fn write_x2apic(
        &mut self,
        offset: u32,
        value: u64,
        now: VirtTime,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let reserved = match offset {
            TPR | SELF_IPI => !0xff,
            EOI | ESR => !0,
            SVR => !u64::from(SVR_SUPPRESS_EOI_BROADCAST | SVR_ENABLE | 0xff),
            ICR_LOW => COMMAND_RESERVED,
            INITIAL_COUNT => !0xffff_ffff,
            DIVIDE => !0b1011,
            _ => match lvt_index(offset) {
                Some(index) => !u64::from(LVT_VALID[index]),
                None => return false,
            },
        };
        if value & reserved != 0 {
            return false;
        }
        match offset {
            ICR_LOW => {
                self.command = value & !(1 << 12);
                self.send(self.command, effects);
                true
            }
            SELF_IPI => {
                self.send(1 << 18 | value, effects);
                true
            }
            _ => self.write_common(offset, value as u32, now, effects),
        }
    }
}
