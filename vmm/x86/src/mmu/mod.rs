//! Linear memory: the fast path through the TLB, and everything behind it.

mod raise;
mod walk;

use crate::cpu::{Cpu, Fault};
use crate::memory::PAGE_SIZE;
use crate::tlb::{self, Kind};
use crate::word::Word;

pub(crate) use raise::{Raised, Res, vector};

/// Where a linear address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// An offset in the host mapping.
    Ram(u64),
    /// A guest-physical address outside RAM.
    Device(u64),
}

/// Whether a handler may only use the translations at hand, or does everything.
///
/// The fast body gives up on the first access that it cannot do through the TLB and starts the
/// operation over in the slow body, so it must not have changed anything before its last access.
pub(crate) trait Path {
    /// The slow body: walks page tables, talks to devices, splits accesses.
    const SLOW: bool;
}

/// See [`Path`].
pub(crate) struct Fast;
/// See [`Path`].
pub(crate) struct Slow;

impl Path for Fast {
    const SLOW: bool = false;
}
impl Path for Slow {
    const SLOW: bool = true;
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
            debug_assert!(
                self.is_ram(offset, T::SIZE),
                "{linear:#x} is translated to {offset:#x}, which is not RAM"
            );
            // SAFETY: entries translate to pages inside the mapping of guest RAM.
            Some(unsafe { self.ram.add(offset as usize).cast() })
        } else {
            None
        }
    }

    /// The key of the block at `rip`, if the TLB has its page.
    #[inline(always)]
    pub(crate) fn locate(&mut self, rip: u64) -> Option<u64> {
        let page = rip & !(PAGE_SIZE - 1);
        if page != self.code_page {
            // SAFETY: the tables have `tlb::ENTRIES` entries and `index` is smaller than that.
            let entry = unsafe { *self.tlb_execute.add(tlb::index(rip)) };
            if entry.tag != page {
                return None;
            }
            self.code_page = page;
            self.code_add = entry.add;
            self.find_place();
        }
        Some(rip.wrapping_add(self.code_add) << 4 | self.mode_key)
    }

    /// Reads from linear memory.
    #[inline(always)]
    pub(crate) fn load<T: Word, P: Path>(&mut self, linear: u64) -> Res<T> {
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
    pub(crate) fn store<T: Word, P: Path>(&mut self, linear: u64, value: T) -> Res<()> {
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
    pub(crate) fn modify<T: Word, P: Path>(
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
        debug_assert!(
            offset % PAGE_SIZE + bytes.len() as u64 <= PAGE_SIZE,
            "the next page may be elsewhere"
        );
        if self.memory().note_write(offset, bytes.len() as u64) {
            self.code_overwritten();
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

    /// The host address of `size` bytes at `linear` if there is nothing to it but to translate the
    /// address and to note that the page is written.
    pub(crate) fn reach(&mut self, linear: u64, size: u64, write: bool) -> Option<*mut u8> {
        let spans = linear % PAGE_SIZE + size > PAGE_SIZE;
        if spans || !is_canonical(linear) || self.checks_alignment() || self.watches_data() {
            return None;
        }
        let user = self.cpl == 3;
        let kind = if write { Kind::Write } else { Kind::Read };
        // Page tables may lie beside instructions, so that to note the access changes code, perhaps
        // that of the page which is executed, and the machine may not have decoded this block. So the
        // handler does it: before that, its block is looked for, while the page is still what it was.
        self.spares_code = true;
        let place = self.translate(linear, kind, user);
        self.spares_code = false;
        let Ok(Place::Ram(offset)) = place else {
            return None;
        };
        assert!(
            !self.leave,
            "compiled code is left when code was overwritten"
        );
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
        debug_assert_eq!(
            offset % PAGE_SIZE,
            linear % PAGE_SIZE,
            "a page is translated as a whole"
        );
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
    pub(crate) fn store_stack<P: Path>(&mut self, linear: u64, value: u64) -> Res<()> {
        let result = self.store::<u64, P>(linear, value);
        if P::SLOW && result.is_err() {
            self.blame_stack();
        }
        result
    }

    /// Reads from the stack: a non-canonical address is a #SS.
    #[inline(always)]
    pub(crate) fn load_stack<P: Path>(&mut self, linear: u64) -> Res<u64> {
        let result = self.load::<u64, P>(linear);
        if P::SLOW && result.is_err() {
            self.blame_stack();
        }
        result
    }
}

/// Whether bits 47 to 63 are equal.
#[inline(always)]
pub(crate) fn is_canonical(linear: u64) -> bool {
    (linear as i64) << 16 >> 16 == linear as i64
}
