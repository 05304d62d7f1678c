//! Areas of memory that an instruction reads or writes as a whole.

use crate::cpu::Cpu;
use crate::memory::PAGE_SIZE;
use crate::mmu::{Place, Res, is_canonical};
use crate::tlb::Kind;

impl Cpu {
    /// Reads bytes.
    pub(super) fn load_bytes(&mut self, linear: u64, bytes: &mut [u8]) -> Res<()> {
        self.load_units(linear, bytes, 8)
    }

    /// Reads bytes in units that may each have to be aligned.
    pub(super) fn load_units(&mut self, linear: u64, bytes: &mut [u8], unit: usize) -> Res<()> {
        if let Some(offset) = self.in_one_piece(linear, bytes.len() as u64, Kind::Read)? {
            // SAFETY: the area lies in a page of the mapping, which nothing writes meanwhile.
            bytes.copy_from_slice(unsafe {
                std::slice::from_raw_parts(self.ram.add(offset as usize), bytes.len())
            });
            return Ok(());
        }
        for (position, chunk) in bytes.chunks_mut(unit).enumerate() {
            let at = self.wrap_linear(linear.wrapping_add((unit * position) as u64));
            let value = self.load_slow(at, chunk.len() as u64)?;
            chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }

    /// Writes bytes; all of them or, if that faults, none.
    pub(super) fn store_bytes(&mut self, linear: u64, bytes: &[u8]) -> Res<()> {
        self.store_units(linear, bytes, 8)
    }

    /// Writes bytes in units that may each have to be aligned; all of them or none.
    pub(super) fn store_units(&mut self, linear: u64, bytes: &[u8], unit: usize) -> Res<()> {
        if let Some(offset) = self.in_one_piece(linear, bytes.len() as u64, Kind::Write)? {
            self.write_area(linear, offset, bytes);
            return Ok(());
        }
        self.probe_units(linear, bytes.len() as u64, unit)?;
        for (position, chunk) in bytes.chunks(unit).enumerate() {
            let mut value = [0; 8];
            value[..chunk.len()].copy_from_slice(chunk);
            let at = self.wrap_linear(linear.wrapping_add((unit * position) as u64));
            self.store_slow(at, chunk.len() as u64, u64::from_le_bytes(value))?;
        }
        Ok(())
    }

    /// Checks that bytes can be written without writing them.
    pub(super) fn probe_range(&mut self, linear: u64, length: u64) -> Res<()> {
        self.probe_units(linear, length, 8)
    }

    pub(super) fn probe_units(&mut self, linear: u64, length: u64, unit: usize) -> Res<()> {
        if self.in_one_piece(linear, length, Kind::Write)?.is_some() {
            return Ok(());
        }
        for start in (0..length).step_by(unit) {
            let at = self.wrap_linear(linear.wrapping_add(start));
            self.probe_write(at, (length - start).min(unit as u64))?;
        }
        Ok(())
    }

    /// The offset of an area that lies in a page of RAM, if nobody looks at its addresses one by one. All
    /// units have the same translation then, and the first one's fault is the area's.
    fn in_one_piece(&mut self, linear: u64, length: u64, kind: Kind) -> Res<Option<u64>> {
        if linear % PAGE_SIZE + length > PAGE_SIZE
            || self.watches_data()
            || self.checks_alignment()
            || self.mode.bits == 64 && !is_canonical(linear)
        {
            return Ok(None);
        }
        let user = self.cpl == 3;
        Ok(match self.translate(linear, kind, user)? {
            Place::Ram(offset) => Some(offset),
            Place::Device(_) => None,
        })
    }
}
