//! Linear memory: the fast path through the TLB, and everything behind it.

use crate::cpu::{Cpu, Fault};
use crate::memory::PAGE_SIZE;
use crate::mode::{cr0, cr4, efer};
use crate::tlb::{self, Kind};
use crate::word::Word;

/// An access did not happen. In a fast body it has to be tried again in the slow body; in a slow
/// body `Cpu::fault` says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raised;

/// The result of something that can raise an exception.
pub(crate) type Res<T> = Result<T, Raised>;

/// Exception vectors (Intel SDM vol. 3, table 6-1).
pub(crate) mod vector {
    pub(crate) const DE: u8 = 0;
    pub(crate) const DB: u8 = 1;
    pub(crate) const BP: u8 = 3;
    pub(crate) const OF: u8 = 4;
    pub(crate) const BR: u8 = 5;
    pub(crate) const UD: u8 = 6;
    pub(crate) const NM: u8 = 7;
    pub(crate) const DF: u8 = 8;
    pub(crate) const TS: u8 = 10;
    pub(crate) const NP: u8 = 11;
    pub(crate) const SS: u8 = 12;
    pub(crate) const GP: u8 = 13;
    pub(crate) const PF: u8 = 14;
    pub(crate) const MF: u8 = 16;
    pub(crate) const AC: u8 = 17;
    pub(crate) const XM: u8 = 19;
}

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

/// Where a linear address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An offset in the host mapping.
    Ram(u64),
    /// A guest-physical address outside RAM.
    Device(u64),
}

impl Cpu {
    /// The host address of `T` at `linear` if the TLB entry in `table` covers all of it.
    #[inline(always)]
    fn hit<T: Word>(&self, table: *const tlb::Entry, linear: u64) -> Option<*mut T> {
        // SAFETY: the tables have `tlb::ENTRIES` entries and `index` is smaller than that.
        let entry = unsafe { &*table.add(tlb::index(linear)) };
        // An access that reaches into the next page has another page number at its end, so that the
        // comparison fails.
        if linear.wrapping_add(T::SIZE - 1) & !(PAGE_SIZE - 1) == entry.tag {
            let offset = linear.wrapping_add(entry.add);
            // SAFETY: entries translate to pages inside the mapping of guest RAM.
            Some(unsafe { self.ram.add(offset as usize).cast() })
        } else {
            None
        }
    }

    /// Reads from linear memory.
    #[inline(always)]
    pub(crate) fn load<T: Word, P: crate::op::Path>(&mut self, linear: u64) -> Res<T> {
        if P::SLOW {
            return self.load_slow(linear, T::SIZE).map(T::low);
        }
        match self.hit::<T>(self.tlb_read, linear) {
            // SAFETY: `hit` returns addresses inside guest RAM; any bytes are a valid integer.
            Some(pointer) => Ok(unsafe { pointer.read_unaligned() }),
            None => Err(Raised),
        }
    }

    /// Writes to linear memory.
    #[inline(always)]
    pub(crate) fn store<T: Word, P: crate::op::Path>(&mut self, linear: u64, value: T) -> Res<()> {
        if P::SLOW {
            return self.store_slow(linear, T::SIZE, value.wide());
        }
        match self.hit::<T>(self.tlb_write, linear) {
            Some(pointer) => {
                // SAFETY: `hit` returns addresses inside guest RAM, which nothing else refers to
                // while the CPU runs.
                unsafe { pointer.write_unaligned(value) };
                Ok(())
            }
            None => Err(Raised),
        }
    }

    /// Reads, modifies and writes linear memory. `change` runs once it is certain that the write
    /// will succeed.
    #[inline(always)]
    pub(crate) fn modify<T: Word, P: crate::op::Path>(
        &mut self,
        linear: u64,
        change: impl FnOnce(&mut Self, T) -> T,
    ) -> Res<()> {
        if P::SLOW {
            let old = self.load_to_modify(linear, T::SIZE)?;
            let new = change(self, T::low(old));
            return self.store_slow(linear, T::SIZE, new.wide());
        }
        match self.hit::<T>(self.tlb_write, linear) {
            Some(pointer) => {
                // SAFETY: as in `load` and `store`.
                let old = unsafe { pointer.read_unaligned() };
                let new = change(self, old);
                // SAFETY: as in `load` and `store`.
                unsafe { pointer.write_unaligned(new) };
                Ok(())
            }
            None => Err(Raised),
        }
    }

    /// Reads `size` bytes (1 to 8) at `linear`, whatever is there.
    #[inline(never)]
    pub(crate) fn load_slow(&mut self, linear: u64, size: u64) -> Res<u64> {
        self.check_data(linear, size, Kind::Read)?;
        let user = self.cpl == 3;
        self.read_as(linear, size, user)
    }

    /// Reads with an explicit privilege, for descriptor tables and the like.
    pub(crate) fn read_as(&mut self, linear: u64, size: u64, user: bool) -> Res<u64> {
        let first = self.translate(linear, Kind::Read, user)?;
        let in_page = PAGE_SIZE - linear % PAGE_SIZE;
        if in_page >= size {
            return Ok(self.read_place(first, size));
        }
        let second = self.translate(
            self.wrap_linear(linear.wrapping_add(in_page)),
            Kind::Read,
            user,
        )?;
        let low = self.read_place(first, in_page);
        let high = self.read_place(second, size - in_page);
        Ok(low | high << (8 * in_page))
    }

    /// Reads `size` bytes that are going to be written.
    pub(crate) fn load_to_modify(&mut self, linear: u64, size: u64) -> Res<u64> {
        self.check_data(linear, size, Kind::Write)?;
        let user = self.cpl == 3;
        let (first, second) = self.translate_write(linear, size, user)?;
        let Some((second, in_page)) = second else {
            return Ok(self.read_place(first, size));
        };
        let low = self.read_place(first, in_page);
        let high = self.read_place(second, size - in_page);
        Ok(low | high << (8 * in_page))
    }

    /// Writes `size` bytes (1 to 8) at `linear`, whatever is there.
    #[inline(never)]
    pub(crate) fn store_slow(&mut self, linear: u64, size: u64, value: u64) -> Res<()> {
        self.check_data(linear, size, Kind::Write)?;
        let user = self.cpl == 3;
        self.write_as(linear, size, value, user)
    }

    /// Writes with an explicit privilege.
    pub(crate) fn write_as(&mut self, linear: u64, size: u64, value: u64, user: bool) -> Res<()> {
        let (first, second) = self.translate_write(linear, size, user)?;
        let Some((second, in_page)) = second else {
            self.write_place(first, size, value);
            self.speed_up(linear, user, first);
            return Ok(());
        };
        self.write_place(first, in_page, value);
        self.write_place(second, size - in_page, value >> (8 * in_page));
        Ok(())
    }

    /// Checks that a byte can be read without reading it.
    pub(crate) fn probe_read(&mut self, linear: u64) -> Res<()> {
        self.check_data(linear, 1, Kind::Read)?;
        let user = self.cpl == 3;
        self.translate(linear, Kind::Read, user).map(drop)
    }

    /// Checks that `size` bytes at `linear` can be written without writing them.
    pub(crate) fn probe_write(&mut self, linear: u64, size: u64) -> Res<()> {
        self.check_data(linear, size, Kind::Write)?;
        let user = self.cpl == 3;
        self.translate_write(linear, size, user).map(drop)
    }

    /// Translates a write; the second place and the bytes before it if the write spans two pages.
    fn translate_write(
        &mut self,
        linear: u64,
        size: u64,
        user: bool,
    ) -> Res<(Place, Option<(Place, u64)>)> {
        let first = self.translate(linear, Kind::Write, user)?;
        let in_page = PAGE_SIZE - linear % PAGE_SIZE;
        if in_page >= size {
            return Ok((first, None));
        }
        let second = self.translate(
            self.wrap_linear(linear.wrapping_add(in_page)),
            Kind::Write,
            user,
        )?;
        Ok((first, Some((second, in_page))))
    }

    /// Cuts a linear address to the width that the mode has.
    #[inline(always)]
    pub(crate) fn wrap_linear(&self, linear: u64) -> u64 {
        linear & self.linear_mask
    }

    fn read_place(&mut self, place: Place, size: u64) -> u64 {
        match place {
            Place::Ram(offset) => {
                // SAFETY: `translate` returns offsets inside the mapping, and callers stay in the
                // page.
                let place = unsafe { self.ram.add(offset as usize) };
                if size == 8 {
                    // Most are, and a length that is known needs no call.
                    // SAFETY: as above; any bytes are an integer.
                    return unsafe { place.cast::<u64>().read_unaligned() };
                }
                let mut bytes = [0; 8];
                // SAFETY: as above.
                unsafe {
                    std::ptr::copy_nonoverlapping(place, bytes.as_mut_ptr(), size as usize);
                }
                u64::from_le_bytes(bytes)
            }
            Place::Device(gpa) => self.read_device(gpa, size),
        }
    }

    fn read_device(&mut self, gpa: u64, size: u64) -> u64 {
        if size.is_power_of_two() {
            return self.on_bus(|bus, at| bus.read_mmio(at, gpa, size as u8));
        }
        (0..size).fold(0, |value, n| {
            value | self.on_bus(|bus, at| bus.read_mmio(at, gpa + n, 1)) << (8 * n)
        })
    }

    /// Writes bytes to an offset that `translate` returned, within the page.
    fn write_ram(&mut self, offset: u64, bytes: &[u8]) {
        if self.memory().note_write(offset, bytes.len() as u64) {
            // The code that was just overwritten may be this very block.
            self.leave = true;
            self.code_changed();
        }
        // SAFETY: `translate` returns offsets inside the mapping, and callers stay in the page.
        unsafe {
            let place = self.ram.add(offset as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        }
    }

    /// Writes bytes at `linear`, which `translate` found at `offset`, within the page.
    pub(crate) fn write_area(&mut self, linear: u64, offset: u64, bytes: &[u8]) {
        self.write_ram(offset, bytes);
        self.speed_up(linear, self.cpl == 3, Place::Ram(offset));
    }

    fn write_place(&mut self, place: Place, size: u64, value: u64) {
        match place {
            Place::Ram(offset) => self.write_ram(offset, &value.to_le_bytes()[..size as usize]),
            Place::Device(gpa) if size.is_power_of_two() => {
                self.on_bus(|bus, at| {
                    bus.write_mmio(at, gpa, size as u8, value & (u64::MAX >> (64 - 8 * size)))
                });
            }
            Place::Device(gpa) => {
                for n in 0..size {
                    self.on_bus(|bus, at| bus.write_mmio(at, gpa + n, 1, value >> (8 * n) & 0xff));
                }
            }
        }
    }

    /// The host address of `size` bytes at `linear` if there is nothing to it but to translate the address and
    /// to note that the page is written.
    pub(crate) fn reach(&mut self, linear: u64, size: u64, write: bool) -> Option<*mut u8> {
        let spans = linear % PAGE_SIZE + size > PAGE_SIZE;
        if spans || !is_canonical(linear) || self.checks_alignment() || self.watches_data() {
            return None;
        }
        let user = self.cpl == 3;
        let kind = if write { Kind::Write } else { Kind::Read };
        let Ok(Place::Ram(offset)) = self.translate(linear, kind, user) else {
            return None;
        };
        if self.leave {
            // Page tables may lie beside instructions, so that to note the access has changed code. The handler
            // leaves the block then, if it has to translate the address itself.
            self.tlb.take_back(kind, user, linear);
            return None;
        }
        if write {
            if self.memory().has_code(offset) {
                return None;
            }
            self.memory().note_write(offset, size);
            self.speed_up(linear, user, Place::Ram(offset));
        }
        // SAFETY: `translate` returns offsets inside the mapping.
        Some(unsafe { self.ram.add(offset as usize) })
    }

    /// Lets later stores to the page take the fast path if nothing speaks against it.
    fn speed_up(&mut self, linear: u64, user: bool, place: Place) {
        if let Place::Ram(offset) = place
            && self.memory().is_dirty_data(offset)
        {
            self.tlb.unprotect(user, linear);
        }
    }

    /// Translates a linear address for an access, through the TLB or the page tables.
    pub(crate) fn translate(&mut self, linear: u64, kind: Kind, user: bool) -> Res<Place> {
        if let Some(add) = self.tlb.find(kind, user, linear) {
            return Ok(Place::Ram(linear.wrapping_add(add)));
        }
        let (gpa, span) = self.walk(linear, kind, user)?;
        let Some(offset) = self.memory().offset(gpa) else {
            return Ok(Place::Device(gpa));
        };
        let fast = kind != Kind::Write || self.memory().is_dirty_data(offset);
        self.tlb.insert(kind, user, linear, offset, span, fast);
        Ok(Place::Ram(offset))
    }

    /// Raises the exceptions that depend on the address of a data access alone.
    fn check_data(&mut self, linear: u64, size: u64, kind: Kind) -> Res<()> {
        if self.mode.bits == 64 {
            let last = linear.wrapping_add(size - 1);
            if !is_canonical(linear) || !is_canonical(last) {
                self.fault = Fault::NotCanonical;
                return Err(Raised);
            }
        }
        if self.checks_alignment() && !linear.is_multiple_of(size) {
            return Err(self.raise_error(vector::AC, 0));
        }
        if self.watches_data() {
            self.note_watched(linear, size, kind == Kind::Write);
        }
        Ok(())
    }

    /// Writes to the stack: a non-canonical address is a #SS.
    #[inline(always)]
    pub(crate) fn store_stack<P: crate::op::Path>(&mut self, linear: u64, value: u64) -> Res<()> {
        let result = self.store::<u64, P>(linear, value);
        if P::SLOW && result.is_err() {
            self.blame_stack();
        }
        result
    }

    /// Reads from the stack: a non-canonical address is a #SS.
    #[inline(always)]
    pub(crate) fn load_stack<P: crate::op::Path>(&mut self, linear: u64) -> Res<u64> {
        let result = self.load::<u64, P>(linear);
        if P::SLOW && result.is_err() {
            self.blame_stack();
        }
        result
    }

    /// Says that a non-canonical address was the stack's.
    #[cold]
    pub(crate) fn blame_stack(&mut self) {
        if self.fault == Fault::NotCanonical {
            self.fault = Fault::Exception {
                vector: vector::SS,
                error: Some(0),
            };
        }
    }

    /// Raises an exception without an error code.
    #[cold]
    pub(crate) fn raise(&mut self, vector: u8) -> Raised {
        self.fault = Fault::Exception {
            vector,
            error: None,
        };
        Raised
    }

    /// Raises an exception with an error code.
    #[cold]
    pub(crate) fn raise_error(&mut self, vector: u8, error: u32) -> Raised {
        self.fault = Fault::Exception {
            vector,
            error: Some(error),
        };
        Raised
    }

    /// Raises #GP(0).
    #[cold]
    pub(crate) fn raise_gp(&mut self) -> Raised {
        self.raise_error(vector::GP, 0)
    }

    /// Ends the run because the CPU lacks something that the guest needs.
    #[cold]
    pub(crate) fn raise_unimplemented(&mut self, what: impl Into<String>) -> Raised {
        self.fault = Fault::Unimplemented(what.into());
        Raised
    }

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
        let mut walk = Walk {
            linear,
            kind,
            user,
            entries: [(0, 0); 4],
            depth: 0,
            rights: pte::WRITE | pte::USER,
            nx: false,
        };
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
        let write = walk.kind == Kind::Write;
        let denied = walk.user && walk.rights & pte::USER == 0
            || write
                && walk.rights & pte::WRITE == 0
                && (walk.user || self.system.cr0 & cr0::WP != 0)
            || walk.kind == Kind::Execute && walk.nx;
        if denied {
            return Err(self.page_fault(walk, error::PRESENT));
        }
        for (position, &(address, entry)) in walk.entries[..walk.depth].iter().enumerate() {
            let last = position + 1 == walk.depth;
            let wanted = entry | pte::ACCESSED | if write && last { pte::DIRTY } else { 0 };
            if wanted != entry {
                self.write_entry(address, &wanted.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Writes an entry of a page table, which may be where code is.
    fn write_entry(&mut self, address: u64, bytes: &[u8]) {
        let before = self.memory().overwritten();
        self.memory().write(address, bytes);
        if self.memory().overwritten() != before {
            // As in `write_ram`: what the entry was may be the rest of this very block.
            self.leave = true;
            self.code_changed();
        }
    }

    /// 32-bit paging with 4 KiB and 4 MiB pages (Intel SDM vol. 3, 4.3).
    fn walk_32(&mut self, linear: u64, kind: Kind, user: bool) -> Res<(u64, u8)> {
        let mut walk = Walk {
            linear,
            kind,
            user,
            entries: [(0, 0); 4],
            depth: 0,
            rights: pte::WRITE | pte::USER,
            nx: false,
        };
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

/// Whether bits 47 to 63 are equal.
#[inline(always)]
pub(crate) fn is_canonical(linear: u64) -> bool {
    (linear as i64) << 16 >> 16 == linear as i64
}
