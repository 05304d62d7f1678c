//! Where things are in a guest that changes its code.
//!
//! It has a few pages of code of one form. Each has functions in slots at the same positions, so that a
//! function of one page may come to be in any other. Functions only call those of a higher level, which
//! ends whatever is mapped where.

use crate::harness::layout::FREE;

/// The pages of code, mapped to themselves, and how many there are.
pub const PAGES: u64 = FREE;
pub const COUNT: u64 = 8;

/// Where the forms of the functions are kept, each in a place of [`FORM`] bytes.
pub const LIBRARY: u64 = FREE + 0x2_0000;
pub const FORM: u64 = 0x200;
/// How many forms of each function there are.
pub const FORMS: u64 = 6;

/// What the main program calls: so many functions of their own, and a table of them.
pub const ACTIONS: u64 = FREE + 0x4_0000;
pub const ACTION: u64 = 0x100;
pub const ACTION_COUNT: u64 = 64;
pub const ACTION_TABLE: u64 = 0x2_9000;
/// Code in compatibility mode.
pub const COMPATIBLE: u64 = FREE + 0x6_0000;

/// Regions in which the pages are mapped again, in any order. In all of them, and where the pages are
/// mapped to themselves, addresses at the same position have the same hash.
pub const ALIASES: u64 = 0x6000_0000_0000;
pub const REGION: u64 = 0x4_0000;
pub const REGIONS: u64 = 4;
/// How many pages are mapped in each.
pub const MAPPED: u64 = 16;

/// The page tables of the regions in the two address spaces. Behind the entries of the first is a function.
pub const TABLES: [u64; 2] = [0x8_0000, 0x8_1000];
pub const BESIDE_TABLE: u64 = TABLES[0] + 0x900;
/// The roots' entries for the regions lead there: a table of each level for each address space.
pub const UPPER: [u64; 2] = [0x8_2000, 0x8_4000];
/// The root of the second address space.
pub const SECOND_ROOT: u64 = 0x8_6000;

/// The stacks of the CPUs, and their data.
pub const STACKS: [u64; 2] = [0x9_4000, 0x9_8000];
pub const DATA_OF: [u64; 2] = [0x9_a000, 0x9_c000];
/// Counted by the interrupt handler.
pub const INTERRUPTS: u64 = 0x2_a000;
/// The vector of interrupts from outside.
pub const VECTOR: u8 = 0x40;

/// What brings a program back from the user's privilege level, and what it calls for that.
pub const BACK: u8 = 0x81;
pub const BACK_HANDLER: u64 = COMPATIBLE + 0x8000;
/// What counts single steps, and where.
pub const STEP_HANDLER: u64 = BACK_HANDLER + 0x100;
pub const STEPS: u64 = INTERRUPTS + 8;
/// The TSS of the second CPU.
pub const SECOND_TSS: u64 = 0x2_b000;
pub const SECOND_STACK0: u64 = 0x9_e000;
/// Where the data of a CPU have its stack pointers: the kernel's, which waits, and the user's.
pub const SAVED: u64 = 0x408;
pub const USERS: u64 = 0x410;

/// Data in each page of code.
pub const DATA_IN_PAGE: u64 = 0xe80;
/// The interrupt handler in one of the pages.
pub const HANDLER: u64 = PAGES + 0x3000 + 0xf00;

/// The level of the functions that end with their page, and go on in whatever is behind it.
pub const LAST: usize = 6;
/// The level of those at the start of a page.
pub const FIRST: usize = 7;
/// The level of a function that may fill memory by a repeated string instruction.
pub const FILLING: usize = 8;
/// The level of a function that does the same in compatibility mode, and calls nobody.
pub const PLAIN: usize = 9;

/// Positions and sizes of the functions in a page, by their levels.
pub const SLOTS: [(u64, u64); 10] = [
    (0x080, 0x200),
    (0x280, 0x200),
    (0x480, 0x200),
    (0x680, 0x200),
    (0x880, 0x200),
    (0xa80, 0x200),
    (0xf40, 0x0c0),
    (0x000, 0x080),
    (0xc80, 0x100),
    (0xd80, 0x100),
];

/// Where a form of the function of a level is kept.
pub fn form(level: usize, number: u64) -> u64 {
    LIBRARY + (level as u64 * FORMS + number) * FORM
}
