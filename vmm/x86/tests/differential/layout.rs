//! Where a case finds its code and its data: the same linear addresses on the processor and in the
//! emulated machine.

/// The size of a page in bytes.
pub const PAGE: u64 = 4096;

/// The first address that the native side keeps free of anything else, so that an access a little
/// outside the window can only fault.
pub const RESERVE_START: u64 = 0x0ff0_0000;
/// The end of that range.
pub const RESERVE_END: u64 = 0x1020_0000;

/// The data window: two pages that are readable, writable and not executable. The pages before and
/// after it are not mapped.
pub const WINDOW: u64 = 0x1000_0000;
/// The size of the data window in bytes.
pub const WINDOW_SIZE: u64 = 2 * PAGE;

/// One page that can only be read, between two that are not mapped.
pub const READ_ONLY: u64 = 0x1000_4000;

/// Two pages of code, full of INT3 but for the case's instruction; the next page is not mapped.
pub const CODE: u64 = 0x1010_0000;
/// The size of the code in bytes.
pub const CODE_SIZE: u64 = 2 * PAGE;

/// The selectors that Linux gives to a 64-bit process.
pub const USER_CS: u16 = 0x33;
/// The 32-bit code segment of compatibility mode.
pub const USER_CS32: u16 = 0x23;
/// The stack segment, which is also the only data segment of user mode.
pub const USER_SS: u16 = 0x2b;
