//! Where things are in the test machine. The first 2 MiB are mapped to themselves by 4 KiB pages.

/// Bytes of RAM.
pub const RAM: u64 = 4 << 20;

pub const GDT: u64 = 0x1000;
pub const IDT: u64 = 0x2000;
pub const TSS: u64 = 0x3000;
/// Room for an I/O permission bitmap behind the 104 bytes of the TSS.
pub const TSS_LIMIT: u32 = 0x67;
pub const PML4: u64 = 0x4000;
/// Further page tables are handed out from here.
pub const TABLES: u64 = 0x5000;
pub const TABLES_END: u64 = 0x1_0000;

/// One exception handler every [`HANDLER_STEP`] bytes.
pub const HANDLERS: u64 = 0x1_0000;
pub const HANDLER_STEP: u64 = 16;

/// The top of the stack that supervisor code starts with.
pub const STACK: u64 = 0x1_8000;
/// The stack of the TSS for entries from outer privilege levels.
pub const STACK0: u64 = 0x1_a000;
/// The stacks of the interrupt stack table: `IST + 0x1000 * n` is the top of number `n`.
pub const IST: u64 = 0x1_a000;

/// Code of the supervisor.
pub const CODE: u64 = 0x2_0000;
/// Data of the supervisor.
pub const DATA: u64 = 0x2_8000;
/// Code that the user may execute (and the supervisor too).
pub const USER_CODE: u64 = 0x3_0000;
/// Data that the user may access.
pub const USER_DATA: u64 = 0x3_8000;
/// The top of the user's stack.
pub const USER_STACK: u64 = 0x4_0000;
/// Pages that are mapped and not used for anything.
pub const FREE: u64 = 0x10_0000;

/// Selectors in the order that SYSCALL and SYSRET want.
pub mod selector {
    pub const CODE64: u16 = 0x08;
    pub const DATA: u16 = 0x10;
    pub const CODE32: u16 = 0x18;
    pub const USER_CODE32: u16 = 0x23;
    pub const USER_DATA: u16 = 0x2b;
    pub const USER_CODE64: u16 = 0x33;
    pub const TSS: u16 = 0x38;
    /// Sixteen bytes for a test's own descriptor, and more behind them.
    pub const SPARE: u16 = 0x50;
    /// The last descriptor of the table.
    pub const LAST: u16 = 0x1f8;
    /// Beyond the table.
    pub const BEYOND: u16 = 0x200;
}

/// The descriptors behind the selectors.
pub mod descriptor {
    pub const CODE64: u64 = 0x00af_9b00_0000_ffff;
    pub const DATA: u64 = 0x00cf_9300_0000_ffff;
    pub const CODE32: u64 = 0x00cf_9b00_0000_ffff;
    pub const USER_CODE32: u64 = 0x00cf_fb00_0000_ffff;
    pub const USER_DATA: u64 = 0x00cf_f300_0000_ffff;
    pub const USER_CODE64: u64 = 0x00af_fb00_0000_ffff;
    /// The present bit.
    pub const PRESENT: u64 = 1 << 47;
}

/// Bits of page-table entries.
pub mod page {
    pub const P: u64 = 1;
    pub const W: u64 = 2;
    pub const U: u64 = 4;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const G: u64 = 1 << 8;
    pub const NX: u64 = 1 << 63;
}

/// Bits of RFLAGS.
pub mod flag {
    pub const CF: u64 = 1;
    pub const ZF: u64 = 1 << 6;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const AC: u64 = 1 << 18;
    pub const ID: u64 = 1 << 21;
}

/// Bits of control registers and of EFER.
pub mod control {
    pub const CR0_PE: u64 = 1;
    pub const CR0_MP: u64 = 1 << 1;
    pub const CR0_EM: u64 = 1 << 2;
    pub const CR0_TS: u64 = 1 << 3;
    pub const CR0_ET: u64 = 1 << 4;
    pub const CR0_NE: u64 = 1 << 5;
    pub const CR0_WP: u64 = 1 << 16;
    pub const CR0_AM: u64 = 1 << 18;
    pub const CR0_NW: u64 = 1 << 29;
    pub const CR0_CD: u64 = 1 << 30;
    pub const CR0_PG: u64 = 1 << 31;
    pub const CR4_TSD: u64 = 1 << 2;
    pub const CR4_DE: u64 = 1 << 3;
    pub const CR4_PSE: u64 = 1 << 4;
    pub const CR4_PAE: u64 = 1 << 5;
    pub const CR4_OSFXSR: u64 = 1 << 9;
    pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
    pub const CR4_OSXSAVE: u64 = 1 << 18;
    pub const EFER_SCE: u64 = 1;
    pub const EFER_LME: u64 = 1 << 8;
    pub const EFER_LMA: u64 = 1 << 10;
    pub const EFER_NXE: u64 = 1 << 11;
}

/// Exception vectors.
pub mod vector {
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const XM: u8 = 19;
}
