//! Model-specific registers that the CPU owns; the rest belongs to the bus.

use crate::cpu::{Cpu, seg, slot};
use crate::cpuid::ARCH_CAPABILITIES;
use crate::mmu::Res;
use crate::mode::{cr0, efer};
use crate::{Bus, Memory};

/// Register numbers (Intel SDM vol. 4).
mod index {
    pub(super) const TSC: u32 = 0x10;
    pub(super) const PLATFORM_ID: u32 = 0x17;
    pub(super) const FEATURE_CONTROL: u32 = 0x3a;
    pub(super) const TSC_ADJUST: u32 = 0x3b;
    pub(super) const SPEC_CTRL: u32 = 0x48;
    pub(super) const PRED_CMD: u32 = 0x49;
    pub(super) const BIOS_UPDT_TRIG: u32 = 0x79;
    pub(super) const BIOS_SIGN_ID: u32 = 0x8b;
    pub(super) const PLATFORM_INFO: u32 = 0xce;
    pub(super) const MTRR_CAP: u32 = 0xfe;
    pub(super) const ARCH_CAPABILITIES: u32 = 0x10a;
    pub(super) const SYSENTER_CS: u32 = 0x174;
    pub(super) const SYSENTER_ESP: u32 = 0x175;
    pub(super) const SYSENTER_EIP: u32 = 0x176;
    pub(super) const MCG_CAP: u32 = 0x179;
    pub(super) const MCG_STATUS: u32 = 0x17a;
    pub(super) const MISC_ENABLE: u32 = 0x1a0;
    pub(super) const DEBUGCTL: u32 = 0x1d9;
    pub(super) const MTRR_VARIABLE: u32 = 0x200;
    pub(super) const MTRR_VARIABLE_LAST: u32 = 0x20f;
    pub(super) const PAT: u32 = 0x277;
    pub(super) const MTRR_DEF_TYPE: u32 = 0x2ff;
    pub(super) const EFER: u32 = 0xc000_0080;
    pub(super) const STAR: u32 = 0xc000_0081;
    pub(super) const LSTAR: u32 = 0xc000_0082;
    pub(super) const CSTAR: u32 = 0xc000_0083;
    pub(super) const FMASK: u32 = 0xc000_0084;
    pub(super) const FS_BASE: u32 = 0xc000_0100;
    pub(super) const GS_BASE: u32 = 0xc000_0101;
    pub(super) const KERNEL_GS_BASE: u32 = 0xc000_0102;
    pub(super) const TSC_AUX: u32 = 0xc000_0103;
}

/// The fixed-range MTRRs in the order in which the state keeps them.
const MTRR_FIXED: [u32; 11] = [
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
];

/// Eight variable ranges, fixed ranges, write-combining.
const MTRR_CAP: u64 = 8 | 1 << 8 | 1 << 10;

/// The bits of IA32_MISC_ENABLE that exist (Intel SDM vol. 4, table 2-2): fast strings, thermal control,
/// performance monitoring, branch traces, PEBS, SpeedStep, MONITOR, the limit of CPUID, xTPR messages, the
/// execute-disable bit and turbo mode.
const MISC_ENABLE_VALID: u64 = 1 << 0
    | 1 << 3
    | 1 << 7
    | 1 << 11
    | 1 << 12
    | 1 << 16
    | 1 << 18
    | 1 << 22
    | 1 << 23
    | 1 << 34
    | 1 << 38;

/// IA32_PRED_CMD: the barrier for indirect branches.
const PRED_CMD_VALID: u64 = 1;

/// IA32_MCG_STATUS: restart IP valid, error IP valid, machine check in progress.
const MCG_STATUS_VALID: u64 = 7;

/// The bits of a physical address that say its page.
const PAGES: u64 = (1 << crate::cpuid::PHYSICAL_BITS) - crate::memory::PAGE_SIZE;

/// Whether a memory type exists: UC, WC, WT, WP and WB (Intel SDM vol. 3, table 12-8).
fn is_memory_type(kind: u8) -> bool {
    matches!(kind, 0 | 1 | 4 | 5 | 6)
}

/// What came of a model-specific register that was accessed on behalf of another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsrAccess {
    /// The value read or written; `None` raises #GP(0).
    pub value: Option<u64>,
    /// The bus wants the CPU to stop: see [`crate::Access::stop`].
    pub stop: bool,
}

impl Cpu {
    /// Does what RDMSR of register `number` would do now, without an instruction.
    pub fn rdmsr(&mut self, memory: &mut Memory, bus: &mut dyn Bus, number: u32) -> MsrAccess {
        self.access_msr(memory, bus, |cpu| cpu.read_msr(number))
    }

    /// Does what WRMSR of register `number` would do now, without an instruction.
    pub fn wrmsr(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        number: u32,
        value: u64,
    ) -> MsrAccess {
        self.access_msr(memory, bus, |cpu| {
            cpu.write_msr(number, value).map(|()| value)
        })
    }

    fn access_msr(
        &mut self,
        memory: &mut Memory,
        bus: &mut dyn Bus,
        access: impl FnOnce(&mut Self) -> Res<u64>,
    ) -> MsrAccess {
        self.stop = false;
        let value = self.with_attached(memory, bus, |cpu| access(cpu).ok());
        MsrAccess {
            value,
            stop: std::mem::take(&mut self.stop),
        }
    }

    pub(crate) fn read_msr(&mut self, number: u32) -> Res<u64> {
        use index::*;
        let msrs = &self.system.msrs;
        Ok(match number {
            TSC => self.read_tsc(),
            PLATFORM_ID | BIOS_SIGN_ID | MCG_CAP | MCG_STATUS | DEBUGCTL => 0,
            // Locked, with VMX off.
            FEATURE_CONTROL => 1,
            TSC_ADJUST => msrs.tsc_adjust,
            SPEC_CTRL => msrs.spec_ctrl,
            // The maximum non-turbo ratio in units of 100 MHz.
            PLATFORM_INFO => (self.model.tsc_khz / 100_000) << 8,
            MTRR_CAP => self::MTRR_CAP,
            ARCH_CAPABILITIES => self::ARCH_CAPABILITIES,
            SYSENTER_CS => msrs.sysenter_cs,
            SYSENTER_ESP => msrs.sysenter_esp,
            SYSENTER_EIP => msrs.sysenter_eip,
            MISC_ENABLE => msrs.misc_enable,
            MTRR_VARIABLE..=MTRR_VARIABLE_LAST => {
                msrs.mtrr_variable[(number - MTRR_VARIABLE) as usize]
            }
            PAT => msrs.pat,
            MTRR_DEF_TYPE => msrs.mtrr_def_type,
            EFER => msrs.efer,
            STAR => msrs.star,
            LSTAR => msrs.lstar,
            CSTAR => msrs.cstar,
            FMASK => msrs.sfmask,
            FS_BASE => self.system.segments[seg::FS].base,
            GS_BASE => self.system.segments[seg::GS].base,
            KERNEL_GS_BASE => msrs.kernel_gs_base,
            TSC_AUX => msrs.tsc_aux,
            _ => {
                if let Some(position) = MTRR_FIXED.iter().position(|&fixed| fixed == number) {
                    return Ok(msrs.mtrr_fixed[position]);
                }
                return match self.on_bus(|bus, at| bus.read_msr(at, number)) {
                    Some(value) => Ok(value),
                    None => Err(self.raise_gp()),
                };
            }
        })
    }

    pub(crate) fn write_msr(&mut self, number: u32, value: u64) -> Res<()> {
        use index::*;
        match number {
            SYSENTER_ESP | SYSENTER_EIP | LSTAR | CSTAR | FS_BASE | GS_BASE | KERNEL_GS_BASE => {
                self.write_address(number, value)
            }
            TSC => {
                // Writing the counter moves the adjustment by as much.
                let now = self.read_tsc();
                let msrs = &mut self.system.msrs;
                msrs.tsc_adjust = msrs.tsc_adjust.wrapping_add(value.wrapping_sub(now));
                self.tell_adjustment();
                Ok(())
            }
            TSC_ADJUST => {
                self.system.msrs.tsc_adjust = value;
                self.tell_adjustment();
                Ok(())
            }
            EFER => self.write_efer(value),
            PAT | MTRR_DEF_TYPE | MTRR_VARIABLE..=MTRR_VARIABLE_LAST => {
                self.write_memory_type(number, value)
            }
            _ => self.write_plain(number, value),
        }
    }

    fn tell_adjustment(&mut self) {
        let adjust = self.system.msrs.tsc_adjust;
        self.on_bus(|bus, at| bus.tsc_adjusted(at, adjust));
    }

    /// Registers that take what they are given, within their writable bits.
    fn write_plain(&mut self, number: u32, value: u64) -> Res<()> {
        use index::*;
        let msrs = &mut self.system.msrs;
        let (register, writable) = match number {
            SPEC_CTRL => (&mut msrs.spec_ctrl, 7),
            SYSENTER_CS => (&mut msrs.sysenter_cs, 0xffff_ffff),
            // Fast strings and the processor's other switches change nothing here.
            MISC_ENABLE => (&mut msrs.misc_enable, MISC_ENABLE_VALID),
            STAR => (&mut msrs.star, u64::MAX),
            FMASK => (&mut msrs.sfmask, 0xffff_ffff),
            TSC_AUX => (&mut msrs.tsc_aux, 0xffff_ffff),
            // Barriers, machine checks and microcode updates have nothing to act on.
            PRED_CMD if value & !PRED_CMD_VALID == 0 => return Ok(()),
            MCG_STATUS if value & !MCG_STATUS_VALID == 0 => return Ok(()),
            PRED_CMD | MCG_STATUS => return Err(self.raise_gp()),
            BIOS_UPDT_TRIG | BIOS_SIGN_ID => return Ok(()),
            // There are no branch traces and no stepping by branches to switch on.
            DEBUGCTL if value == 0 => return Ok(()),
            DEBUGCTL => return Err(self.raise_gp()),
            _ => {
                if let Some(position) = MTRR_FIXED.iter().position(|&fixed| fixed == number) {
                    if !value.to_le_bytes().into_iter().all(is_memory_type) {
                        return Err(self.raise_gp());
                    }
                    msrs.mtrr_fixed[position] = value;
                    return Ok(());
                }
                return match self.on_bus(|bus, at| bus.write_msr(at, number, value)) {
                    true => Ok(()),
                    false => Err(self.raise_gp()),
                };
            }
        };
        if value & !writable != 0 {
            return Err(self.raise_gp());
        }
        *register = value;
        Ok(())
    }

    /// Registers that hold linear addresses, which have to be canonical.
    fn write_address(&mut self, number: u32, value: u64) -> Res<()> {
        use index::*;
        if !crate::mmu::is_canonical(value) {
            return Err(self.raise_gp());
        }
        let system = &mut self.system;
        match number {
            SYSENTER_ESP => system.msrs.sysenter_esp = value,
            SYSENTER_EIP => system.msrs.sysenter_eip = value,
            LSTAR => system.msrs.lstar = value,
            CSTAR => system.msrs.cstar = value,
            KERNEL_GS_BASE => system.msrs.kernel_gs_base = value,
            _ => {
                let register = if number == FS_BASE { seg::FS } else { seg::GS };
                system.segments[register].base = value;
                self.regs[slot::SEGMENTS + register] = value;
            }
        }
        Ok(())
    }

    fn write_efer(&mut self, value: u64) -> Res<()> {
        let known = efer::SCE | efer::LME | efer::LMA | efer::NXE;
        let old = self.system.msrs.efer;
        let changes_lme = (value ^ old) & efer::LME != 0;
        if value & !known != 0 || changes_lme && self.system.cr0 & cr0::PG != 0 {
            return Err(self.raise_gp());
        }
        // LMA is read-only.
        self.system.msrs.efer = value & !efer::LMA | old & efer::LMA;
        self.flush_tlb();
        self.update_mode();
        Ok(())
    }

    /// Memory types change nothing on a machine without caches, but are checked and kept.
    fn write_memory_type(&mut self, number: u32, value: u64) -> Res<()> {
        use index::*;
        let valid = match number {
            PAT => value
                .to_le_bytes()
                .into_iter()
                .all(|kind| is_memory_type(kind) || kind == 7),
            MTRR_DEF_TYPE => value & !0xcff == 0 && is_memory_type(value as u8),
            // The bases have even numbers, the masks odd ones.
            _ if number & 1 == 0 => value & !(PAGES | 0xff) == 0 && is_memory_type(value as u8),
            _ => value & !(PAGES | 1 << 11) == 0,
        };
        if !valid {
            return Err(self.raise_gp());
        }
        let msrs = &mut self.system.msrs;
        match number {
            PAT => msrs.pat = value,
            MTRR_DEF_TYPE => msrs.mtrr_def_type = value,
            _ => msrs.mtrr_variable[(number - MTRR_VARIABLE) as usize] = value,
        }
        Ok(())
    }
}
