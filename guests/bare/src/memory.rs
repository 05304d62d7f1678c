//! Page tables: permissions, and the bits that the processor sets.

use core::ptr::{addr_of, addr_of_mut};

use crate::console::value;
use crate::{cpu, faults};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
pub const USER: u64 = 4;
const ACCESSED_DIRTY: u64 = 0x60;
const NO_EXECUTE: u64 = 1 << 63;
/// A slot of the page map that nothing else uses.
const SLOT: usize = 2;
/// The address that it begins at.
pub const BASE: u64 = (SLOT as u64) << 39;

#[repr(C, align(4096))]
struct Table([u64; 512]);

static mut POINTERS: Table = Table([0; 512]);
static mut DIRECTORY: Table = Table([0; 512]);
static mut ENTRIES: Table = Table([0; 512]);
static mut PAGE: Table = Table([0; 512]);

/// Maps page `index` of the slot to `frame` with `flags`.
pub fn map(index: usize, frame: u64, flags: u64) {
    let mut root: u64;
    let all = PRESENT | WRITABLE | USER;
    // SAFETY: the tables are static and this program is their only user; physical and virtual addresses
    // are the same below 4 GiB.
    unsafe {
        core::arch::asm!("mov {}, cr3", out(reg) root);
        let root = (root & !0xfff) as *mut u64;
        root.add(SLOT)
            .write_volatile(addr_of!(POINTERS) as u64 | all);
        (*addr_of_mut!(POINTERS)).0[0] = addr_of!(DIRECTORY) as u64 | all;
        (*addr_of_mut!(DIRECTORY)).0[0] = addr_of!(ENTRIES) as u64 | all;
        let entries = addr_of_mut!(ENTRIES).cast::<u64>();
        entries.add(index).write_volatile(frame | flags);
        let address = BASE + 4096 * index as u64;
        core::arch::asm!("invlpg [{}]", in(reg) address);
    }
}

fn entry(index: usize) -> u64 {
    // SAFETY: as in `map`.
    unsafe { addr_of!(ENTRIES).cast::<u64>().add(index).read_volatile() }
}

/// Permissions and flags.
pub fn paging() {
    // SAFETY: NX and write protection for the kernel as well; this program's own pages are writable.
    unsafe {
        cpu::wrmsr(0xc000_0080, cpu::rdmsr(0xc000_0080) | 1 << 11 | 1);
        core::arch::asm!("mov rax, cr0", "bts rax, 16", "mov cr0, rax", out("rax") _);
    }
    let frame = addr_of!(PAGE) as u64;
    let page = BASE as *mut u64;
    map(0, frame, PRESENT | WRITABLE);
    value("bits before", entry(0) & ACCESSED_DIRTY);
    // SAFETY: the page was just mapped.
    let read = unsafe { page.read_volatile() };
    value("read", read);
    value("bits after reading", entry(0) & ACCESSED_DIRTY);
    // SAFETY: as above.
    unsafe { page.write_volatile(0x55aa) };
    value("bits after writing", entry(0) & ACCESSED_DIRTY);
    // SAFETY: the same page by its physical address.
    value("written", unsafe {
        addr_of!(PAGE).cast::<u64>().read_volatile()
    });
    map(0, frame, PRESENT);
    faults!("write to a page for reading", "mov [{a}], rax", a = BASE);
    map(0, frame, PRESENT | WRITABLE | NO_EXECUTE);
    faults!("execution of data", "jmp {a}", a = BASE);
    map(0, frame, 0);
    faults!("page that is not present", "mov rax, [{a}]", a = BASE + 8);
    map(0, frame, PRESENT | 1 << 51);
    faults!("reserved bit", "mov rax, [{a}]", a = BASE);
    map(0, 0, 0);
}
