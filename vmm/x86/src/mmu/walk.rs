//! Page tables (Intel SDM vol. 3, chapter 4).

use super::is_canonical;
use super::raise::{Raised, Res, vector};
use crate::cpu::{Cpu, Fault};
use crate::mode::{cr0, cr4, efer};
use crate::tlb::{self, Kind};

/// Bits of a paging-structure entry.
mod pte {
    pub(super) const PRESENT: u64 = 1 << 0;
    pub(super) const WRITE: u64 = 1 << 1;
    pub(super) const USER: u64 = 1 << 2;
    pub(super) const ACCESSED: u64 = 1 << 5;
    pub(super) const DIRTY: u64 = 1 << 6;
    pub(super) const LARGE: u64 = 1 << 7;
    pub(super) const GLOBAL: u64 = 1 << 8;
    pub(super) const NX: u64 = 1 << 63;
    /// The physical address: bits 12 to 45, as CPUID reports 46 bits.
    pub(super) const ADDRESS: u64 = ((1 << 46) - 1) & !0xfff;
    /// Bits between the physical address and the software-available ones, which must be zero.
    pub(super) const RESERVED: u64 = 0x3f << 46;
}

/// Bits of a page fault's error code.
mod error {
    pub(super) const PRESENT: u32 = 1 << 0;
    pub(super) const WRITE: u32 = 1 << 1;
    pub(super) const USER: u32 = 1 << 2;
    pub(super) const RESERVED: u32 = 1 << 3;
    pub(super) const FETCH: u32 = 1 << 4;
}

/// A walk through the page tables.
struct Walk {
    linear: u64,
    kind: Kind,
    user: bool,
    /// The addresses and values of the entries passed.
    entries: [(u64, u64); 4],
    depth: usize,
    /// The R/W and U/S bits that all entries share.
    rights: u64,
    /// Whether any entry forbids execution.
    nx: bool,
}

impl Walk {
    fn new(linear: u64, kind: Kind, user: bool) -> Self {
        Self {
            linear,
            kind,
            user,
            entries: [(0, 0); 4],
            depth: 0,
            rights: pte::WRITE | pte::USER,
            nx: false,
        }
    }
}

impl Cpu {
    /// Translates by the page tables (Intel SDM vol. 3, chapter 4), setting accessed and dirty bits.
    /// The physical address and the binary logarithm of the page's size, with [`tlb::GLOBAL`] if that
    /// applies.
    pub(crate) fn walk(&mut self, linear: u64, kind: Kind, user: bool) -> Res<(u64, u8)> {
        if self.system.cr0 & cr0::PG == 0 {
            return Ok((linear & u64::from(u32::MAX), 12));
        }
        if self.system.cr4 & cr4::PAE == 0 {
            return self.walk_32(linear, kind, user);
        }
        let long = self.long_mode();
        if long && !is_canonical(linear) {
            self.fault = Fault::NotCanonical;
            return Err(Raised);
        }
        let mut walk = Walk::new(linear, kind, user);
        let mut table = self.system.cr3 & if long { pte::ADDRESS } else { 0xffff_ffe0 };
        let mut level = if long { 4 } else { 3 };
        loop {
            let shift = 12 + 9 * (level - 1);
            let mask = if level == 3 && !long { 3 } else { 0x1ff };
            let address = table + (linear >> shift & mask) * 8;
            let entry = self.memory().read_entry(address);
            if entry & pte::PRESENT == 0 {
                return Err(self.page_fault(&walk, 0));
            }
            let pointer = level == 3 && !long;
            let large = !pointer && (level == 2 || level == 3) && entry & pte::LARGE != 0;
            if self.has_reserved_bits(entry, level, large, long) {
                return Err(self.page_fault(&walk, error::PRESENT | error::RESERVED));
            }
            if !pointer {
                walk.rights &= entry;
                walk.nx |= entry & pte::NX != 0;
                walk.entries[walk.depth] = (address, entry);
                walk.depth += 1;
            }
            if level == 1 || large {
                let span = (1u64 << shift) - 1;
                self.finish_walk(&walk)?;
                let size = shift as u8 | self.global(entry);
                return Ok((entry & pte::ADDRESS & !span | linear & span, size));
            }
            table = entry & pte::ADDRESS;
            level -= 1;
        }
    }

    /// [`tlb::GLOBAL`] if the entry of a page says so and that counts.
    fn global(&self, entry: u64) -> u8 {
        if entry & pte::GLOBAL != 0 && self.system.cr4 & cr4::PGE != 0 {
            tlb::GLOBAL
        } else {
            0
        }
    }

    fn has_reserved_bits(&self, entry: u64, level: u32, large: bool, long: bool) -> bool {
        let mut reserved = pte::RESERVED;
        if self.system.msrs.efer & efer::NXE == 0 || level == 3 && !long {
            reserved |= pte::NX;
        }
        if level == 4 {
            reserved |= pte::LARGE;
        }
        if large {
            // Bit 12 of a large page's entry is PAT; the bits from 13 to its size must be zero.
            reserved |= ((1u64 << (12 + 9 * (level - 1))) - 1) & !0x1fff;
        }
        if !long {
            reserved |= 0x7ff << 52;
            if level == 3 {
                reserved |= 0x1e6;
            }
        }
        entry & reserved != 0
    }

    /// Checks the rights that a walk has collected and sets accessed and dirty bits.
    fn finish_walk(&mut self, walk: &Walk) -> Res<()> {
        debug_assert!(
            walk.entries[..walk.depth]
                .iter()
                .all(|(_, entry)| entry & pte::PRESENT != 0),
            "a walk goes by way of entries that are there"
        );
        let write = walk.kind == Kind::Write;
        let denied = walk.user && walk.rights & pte::USER == 0
            || write
                && walk.rights & pte::WRITE == 0
                && (walk.user || self.system.cr0 & cr0::WP != 0)
            || walk.kind == Kind::Execute && walk.nx;
        if denied {
            return Err(self.page_fault(walk, error::PRESENT));
        }
        let entries = walk.entries[..walk.depth].iter().enumerate();
        let changes = entries.filter_map(|(position, &(address, entry))| {
            let dirty = write && position + 1 == walk.depth;
            let wanted = entry | pte::ACCESSED | if dirty { pte::DIRTY } else { 0 };
            (wanted != entry).then_some((address, wanted))
        });
        if self.spares_code && changes.clone().any(|(address, _)| self.is_code(address)) {
            return Err(Raised);
        }
        for (address, wanted) in changes {
            self.write_entry(address, &wanted.to_le_bytes());
        }
        Ok(())
    }

    /// Whether instructions that were decoded lie beside an entry of a page table.
    fn is_code(&mut self, address: u64) -> bool {
        let offset = self.memory().offset(address);
        offset.is_some_and(|offset| self.memory().has_code(offset))
    }

    /// Writes an entry of a page table, which may be where code is.
    fn write_entry(&mut self, address: u64, bytes: &[u8]) {
        self.memory().write(address, bytes);
        if self.memory().has_overwritten() {
            // What the entry was may be the rest of this very block.
            self.code_overwritten();
        }
    }

    /// 32-bit paging with 4 KiB and 4 MiB pages (Intel SDM vol. 3, 4.3).
    fn walk_32(&mut self, linear: u64, kind: Kind, user: bool) -> Res<(u64, u8)> {
        let mut walk = Walk::new(linear, kind, user);
        let read = |cpu: &mut Self, address: u64| {
            let mut bytes = [0xff; 4];
            cpu.memory().read(address, &mut bytes);
            u64::from(u32::from_le_bytes(bytes))
        };
        let directory = (self.system.cr3 & 0xffff_f000) + (linear >> 22 & 0x3ff) * 4;
        let entry = read(self, directory);
        if entry & pte::PRESENT == 0 {
            return Err(self.page_fault(&walk, 0));
        }
        let large = entry & pte::LARGE != 0 && self.system.cr4 & cr4::PSE != 0;
        if large && entry & 1 << 21 != 0 {
            return Err(self.page_fault(&walk, error::PRESENT | error::RESERVED));
        }
        let (address, last) = if large {
            (directory, entry)
        } else {
            let address = (entry & 0xffff_f000) + (linear >> 12 & 0x3ff) * 4;
            let last = read(self, address);
            if last & pte::PRESENT == 0 {
                return Err(self.page_fault(&walk, 0));
            }
            (address, last)
        };
        walk.rights &= entry & last;
        self.finish_walk(&walk)?;
        let dirty = if kind == Kind::Write { pte::DIRTY } else { 0 };
        if !large && entry & pte::ACCESSED == 0 {
            let entry = (entry | pte::ACCESSED) as u32;
            self.write_entry(directory, &entry.to_le_bytes());
        }
        let wanted = last | pte::ACCESSED | dirty;
        if wanted != last {
            self.write_entry(address, &(wanted as u32).to_le_bytes());
        }
        Ok(if large {
            let address = entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32;
            (address | linear & 0x3f_ffff, 22 | self.global(last))
        } else {
            (last & 0xffff_f000 | linear & 0xfff, 12 | self.global(last))
        })
    }

    #[cold]
    fn page_fault(&mut self, walk: &Walk, cause: u32) -> Raised {
        let mut code = cause;
        if walk.kind == Kind::Write {
            code |= error::WRITE;
        }
        if walk.user {
            code |= error::USER;
        }
        // The fetch bit is reported only where fetches can be told apart from reads.
        let nx = self.system.msrs.efer & efer::NXE != 0 && self.system.cr4 & cr4::PAE != 0;
        if walk.kind == Kind::Execute && nx {
            code |= error::FETCH;
        }
        self.system.cr2 = walk.linear;
        self.raise_error(vector::PF, code)
    }
}
