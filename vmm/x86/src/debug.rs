//! Breakpoints and single-stepping (Intel SDM vol. 3, chapter 18).

use crate::cpu::Cpu;
use crate::flags;
use crate::mode::cr4;

/// DR6 bits that always read as one.
const DR6_ONES: u64 = 0xffff_0ff0;
/// A single-step trap.
const DR6_BS: u64 = 1 << 14;

impl Cpu {
    fn breakpoint_enabled(&self, n: usize) -> bool {
        self.system.dr[7] >> (2 * n) & 3 != 0
    }

    /// The condition of breakpoint `n`: 0 execution, 1 write, 2 I/O, 3 read or write.
    fn breakpoint_kind(&self, n: usize) -> u64 {
        self.system.dr[7] >> (16 + 4 * n) & 3
    }

    fn breakpoint_size(&self, n: usize) -> u64 {
        match self.system.dr[7] >> (18 + 4 * n) & 3 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        }
    }

    /// Whether an execution breakpoint is at `rip`; sets DR6.
    pub(crate) fn hits_code_breakpoint(&mut self) -> bool {
        let held_off = self.rflags & flags::RF != 0 || self.system.interrupt_shadow & 2 != 0;
        if self.system.dr[7] & 0xff == 0 || held_off {
            return false;
        }
        let linear = self.code_linear(self.rip);
        let hits = (0..4)
            .filter(|&n| {
                self.breakpoint_enabled(n)
                    && self.breakpoint_kind(n) == 0
                    && self.system.dr[n] == linear
            })
            .fold(0, |bits, n| bits | 1 << n);
        if hits == 0 {
            return false;
        }
        self.system.dr[6] = self.system.dr[6] & !0xf | DR6_ONES | hits;
        self.debug_trap = true;
        true
    }

    /// Notes which I/O breakpoints an access to `size` ports from `port` hits. Without CR4.DE there
    /// are none.
    pub(crate) fn note_port(&mut self, port: u16, size: u8) {
        if self.system.cr4 & cr4::DE == 0 {
            return;
        }
        for n in 0..4 {
            if self.breakpoint_enabled(n) && self.breakpoint_kind(n) == 2 {
                self.note_overlap(n, u64::from(port), u64::from(size));
            }
        }
    }

    /// Notes that breakpoint `n` is hit if it overlaps with an access.
    fn note_overlap(&mut self, n: usize, address: u64, size: u64) {
        let length = self.breakpoint_size(n);
        let start = self.system.dr[n] & !(length - 1);
        if address < start.wrapping_add(length) && start < address.wrapping_add(size) {
            self.watch_hits |= 1 << n;
        }
    }

    /// Notes which data breakpoints an access hits; the trap comes behind the instruction.
    pub(crate) fn note_watched(&mut self, linear: u64, size: u64, write: bool) {
        for n in 0..4 {
            let kind = self.breakpoint_kind(n);
            let wanted = kind == 3 || kind == 1 && write;
            if !self.breakpoint_enabled(n) || !wanted {
                continue;
            }
            self.note_overlap(n, linear, size);
        }
    }

    /// The #DB of INT1 is delivered: data breakpoints whose traps a MOV SS in front of it held off are
    /// told by the same exception.
    pub(crate) fn merge_held_traps(&mut self) {
        let hits = std::mem::take(&mut self.watch_hits);
        if hits != 0 {
            self.system.dr[6] = self.system.dr[6] & !0xf | DR6_ONES | u64::from(hits);
        }
    }

    /// Whether a trap is due behind an instruction; sets DR6. `stepping` is whether TF was set
    /// before the instruction.
    pub(crate) fn take_debug_traps(&mut self, stepping: bool) -> bool {
        let hits = std::mem::take(&mut self.watch_hits);
        let due = std::mem::take(&mut self.trap_due);
        let swallowed = std::mem::take(&mut self.no_step_trap);
        let stepping = stepping && !swallowed || due;
        if hits == 0 && !stepping {
            return false;
        }
        let step = if stepping { DR6_BS } else { 0 };
        self.system.dr[6] = self.system.dr[6] & !0xf | DR6_ONES | u64::from(hits) | step;
        self.debug_trap = true;
        true
    }
}
