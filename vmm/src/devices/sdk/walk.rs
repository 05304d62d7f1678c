//! Guest-virtual memory as a vCPU sees it in long mode (Intel SDM vol. 3, 4.5).

use chaosrun_x86::{CpuState, Memory};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const CR0_PAGING: u64 = 1 << 31;
const CR4_FIVE_LEVELS: u64 = 1 << 12;
const EFER_LONG_MODE_ACTIVE: u64 = 1 << 10;
/// The index of CS.
const CS: usize = 1;

/// The page tables of a vCPU and its right to use them.
pub(super) struct View {
    root: u64,
    levels: u32,
    /// Whether the vCPU may only touch pages of programs.
    user: bool,
}

/// A page that is not there, or not for this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotMapped;

impl View {
    /// The view of a vCPU, unless it is not in long mode.
    pub fn of(state: &CpuState) -> Option<Self> {
        let long = state.cr0 & CR0_PAGING != 0 && state.msrs.efer & EFER_LONG_MODE_ACTIVE != 0;
        long.then_some(Self {
            root: state.cr3 & ADDRESS,
            levels: if state.cr4 & CR4_FIVE_LEVELS != 0 {
                5
            } else {
                4
            },
            user: state.segments[CS].selector & 3 == 3,
        })
    }

    /// Copies bytes at a virtual address into `into`.
    pub fn read(&self, memory: &Memory, address: u64, into: &mut [u8]) -> Result<(), NotMapped> {
        let mut done = 0;
        while done < into.len() {
            let at = address.checked_add(done as u64).ok_or(NotMapped)?;
            let count = in_page(at).min(into.len() - done);
            let gpa = self.translate(memory, at, false)?;
            if !memory.read(gpa, &mut into[done..done + count]) {
                return Err(NotMapped);
            }
            done += count;
        }
        Ok(())
    }

    /// Writes bytes to a virtual address, all of them or none.
    pub fn write_all(
        &self,
        memory: &mut Memory,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), NotMapped> {
        for write in [false, true] {
            let mut done = 0;
            while done < bytes.len() {
                let at = address.checked_add(done as u64).ok_or(NotMapped)?;
                let count = in_page(at).min(bytes.len() - done);
                if write {
                    self.write(memory, at, &bytes[done..done + count])?;
                } else {
                    self.translate(memory, at, true)?;
                }
                done += count;
            }
        }
        Ok(())
    }

    /// Writes bytes within one page to a virtual address.
    pub fn write(&self, memory: &mut Memory, address: u64, bytes: &[u8]) -> Result<(), NotMapped> {
        let gpa = self.translate(memory, address, true)?;
        if bytes.len() <= in_page(address) && memory.write(gpa, bytes) {
            Ok(())
        } else {
            Err(NotMapped)
        }
    }

    /// The physical address of a virtual one.
    pub fn translate(&self, memory: &Memory, address: u64, write: bool) -> Result<u64, NotMapped> {
        let unused = 64 - (12 + 9 * self.levels);
        if (address << unused) as i64 >> unused != address as i64 {
            return Err(NotMapped);
        }
        let mut table = self.root;
        let needed = PRESENT | if write { WRITABLE } else { 0 } | if self.user { USER } else { 0 };
        for level in (0..self.levels).rev() {
            let shift = 12 + 9 * level;
            let mut entry = [0; 8];
            if !memory.read(table + (address >> shift & 511) * 8, &mut entry) {
                return Err(NotMapped);
            }
            let entry = u64::from_le_bytes(entry);
            if entry & needed != needed {
                return Err(NotMapped);
            }
            let leaf = level == 0 || (level <= 2 && entry & LARGE != 0);
            if leaf {
                let offset = (1 << shift) - 1;
                return Ok(entry & ADDRESS & !offset | address & offset);
            }
            table = entry & ADDRESS;
        }
        Err(NotMapped)
    }
}

/// The bytes from an address to the end of its page.
fn in_page(address: u64) -> usize {
    4096 - (address % 4096) as usize
}
