//! The processor mode, as far as decoding and address generation depend on it.

use crate::cpu::{Cpu, seg, slot};
use crate::flags;
use crate::state::Segment;
use crate::tlb::{ALWAYS_MISS, Kind};

/// CR0 bits.
pub(crate) mod cr0 {
    pub(crate) const PE: u64 = 1 << 0;
    pub(crate) const MP: u64 = 1 << 1;
    pub(crate) const EM: u64 = 1 << 2;
    pub(crate) const TS: u64 = 1 << 3;
    pub(crate) const ET: u64 = 1 << 4;
    pub(crate) const NE: u64 = 1 << 5;
    pub(crate) const WP: u64 = 1 << 16;
    pub(crate) const AM: u64 = 1 << 18;
    pub(crate) const NW: u64 = 1 << 29;
    pub(crate) const CD: u64 = 1 << 30;
    pub(crate) const PG: u64 = 1 << 31;
}

/// CR4 bits.
pub(crate) mod cr4 {
    pub(crate) const TSD: u64 = 1 << 2;
    pub(crate) const DE: u64 = 1 << 3;
    pub(crate) const PSE: u64 = 1 << 4;
    pub(crate) const PAE: u64 = 1 << 5;
    pub(crate) const MCE: u64 = 1 << 6;
    pub(crate) const PGE: u64 = 1 << 7;
    pub(crate) const PCE: u64 = 1 << 8;
    pub(crate) const OSFXSR: u64 = 1 << 9;
    pub(crate) const OSXMMEXCPT: u64 = 1 << 10;
    pub(crate) const OSXSAVE: u64 = 1 << 18;
    /// The bits that the CPU model has.
    pub(crate) const ALLOWED: u64 =
        TSD | DE | PSE | PAE | MCE | PGE | PCE | OSFXSR | OSXMMEXCPT | OSXSAVE;
}

/// EFER bits.
pub(crate) mod efer {
    pub(crate) const SCE: u64 = 1 << 0;
    pub(crate) const LME: u64 = 1 << 8;
    pub(crate) const LMA: u64 = 1 << 10;
    pub(crate) const NXE: u64 = 1 << 11;
}

/// Bits of a segment's access rights.
pub(crate) mod access {
    pub(crate) const SYSTEM: u16 = 1 << 4;
    pub(crate) const PRESENT: u16 = 1 << 7;
    pub(crate) const LONG: u16 = 1 << 13;
    pub(crate) const BIG: u16 = 1 << 14;
}

/// How code is decoded and how wide the stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Default operand and address size: 16, 32 or 64.
    pub bits: u8,
    /// Width of the stack pointer: 16, 32 or 64.
    pub stack_bits: u8,
    /// CR0.PE.
    pub protected: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self {
            bits: 16,
            stack_bits: 16,
            protected: false,
        }
    }
}

/// The type of a descriptor: code, expand-down (or conforming code), and writable data or readable code.
pub(crate) const CODE: u16 = 8;
pub(crate) const DOWNWARDS: u16 = 4;
pub(crate) const WRITABLE: u16 = 2;

impl Mode {
    /// The part of a block's key that the mode makes up, four bits.
    pub(crate) const fn key(self) -> u64 {
        self.bits as u64 >> 5 | ((self.stack_bits == 32) as u64) << 2 | (self.protected as u64) << 3
    }

    /// 64-bit mode.
    pub(crate) const LONG: Self = Self {
        bits: 64,
        stack_bits: 64,
        protected: true,
    };

    /// Cuts an instruction pointer to the width that the mode has.
    #[inline(always)]
    pub(crate) fn wrap(self, rip: u64) -> u64 {
        if self.bits == 64 {
            rip
        } else {
            rip & u64::from(u32::MAX)
        }
    }

    /// The mode's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self.bits {
            16 => "16-bit",
            32 => "32-bit",
            _ => "64-bit",
        }
    }
}

impl Cpu {
    /// Whether EFER.LMA is set.
    pub(crate) fn long_mode(&self) -> bool {
        self.system.msrs.efer & efer::LMA != 0
    }

    /// Derives everything that follows from CS, SS, CR0, EFER and the privilege level. To be called
    /// after any of them changed.
    pub(crate) fn update_mode(&mut self) {
        let cs = self.system.segments[seg::CS];
        let ss = self.system.segments[seg::SS];
        let protected = self.system.cr0 & cr0::PE != 0;
        let bits = if self.long_mode() && cs.access & access::LONG != 0 {
            64
        } else if protected && cs.access & access::BIG != 0 {
            32
        } else {
            16
        };
        let stack_bits = match bits {
            64 => 64,
            _ if protected && ss.access & access::BIG != 0 => 32,
            _ => 16,
        };
        self.mode = Mode {
            bits,
            stack_bits,
            protected,
        };
        self.mode_key = self.mode.key();
        self.linear_mask = if bits == 64 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        self.cpl = if protected {
            (ss.access >> 5 & 3) as u8
        } else {
            0
        };
        for (index, segment) in self.system.segments.iter().enumerate() {
            let ignored = bits == 64 && index < seg::FS;
            self.regs[slot::SEGMENTS + index] = if ignored { 0 } else { segment.base };
        }
        self.rough_segments = rough_segments(self.mode, &self.system.segments);
        self.code_page = u64::MAX;
        self.update_tables();
        self.refresh_attention();
    }

    /// Chooses the translation tables for the privilege level. If every access has to be looked at
    /// (alignment checks, data breakpoints), they are tables in which nothing is found.
    pub(crate) fn update_tables(&mut self) {
        let user = self.cpl == 3;
        self.tlb_execute = self.tlb.table(Kind::Execute, user);
        if self.watches_data() || self.checks_alignment() {
            self.tlb_read = ALWAYS_MISS.as_ptr();
            self.tlb_write = ALWAYS_MISS.as_ptr();
        } else {
            self.tlb_read = self.tlb.table(Kind::Read, user);
            self.tlb_write = self.tlb.table(Kind::Write, user);
        }
    }

    /// Whether a data breakpoint is enabled in DR7.
    pub(crate) fn watches_data(&self) -> bool {
        let dr7 = self.system.dr[7];
        (0..4).any(|n| dr7 >> (2 * n) & 3 != 0 && dr7 >> (16 + 4 * n) & 3 != 0)
    }

    /// Whether unaligned accesses raise #AC (Intel SDM vol. 3, 6.15, interrupt 17).
    pub(crate) fn checks_alignment(&self) -> bool {
        self.cpl == 3 && self.system.cr0 & cr0::AM != 0 && self.rflags & flags::AC != 0
    }

    /// Forgets all translations.
    pub(crate) fn flush_tlb(&mut self) {
        self.tlb.flush();
        self.code_page = u64::MAX;
    }

    /// Forgets the translations that are not the same in all address spaces.
    pub(crate) fn flush_address_space(&mut self) {
        self.tlb.flush_address_space();
        self.code_page = u64::MAX;
    }
}

/// Access rights of a data segment that can be read and written upwards.
const FLAT: u16 = access::PRESENT | access::SYSTEM | WRITABLE;

/// Whether nothing within reach of 32 bits is refused by a segment.
fn is_flat(index: usize, segment: &Segment) -> bool {
    let kind = segment.access & (FLAT | CODE | DOWNWARDS);
    // What is read through CS is data of a readable code segment, conforming or not.
    let permits = match index {
        seg::CS => kind & !DOWNWARDS == FLAT | CODE,
        _ => kind == FLAT,
    };
    permits && segment.limit == u32::MAX
}

/// The segments that are not flat, a bit for each; none where segments are not checked.
fn rough_segments(mode: Mode, segments: &[Segment; 6]) -> u8 {
    if mode.bits == 64 || !mode.protected {
        return 0;
    }
    let rough = segments.iter().enumerate();
    rough
        .filter(|(index, segment)| !is_flat(*index, segment))
        .fold(0, |bits, (index, _)| bits | 1 << index)
}
