//! What ends or stops a machine.

use std::fs;
use std::io;

use crate::begin;
use crate::flood;

/// A loop that yields to nobody.
pub fn spin() -> io::Result<()> {
    begin();
    loop {
        std::hint::spin_loop();
    }
}

/// Panics the kernel: by the key for it, or, if the kernel has none, by the lack of memory.
pub fn panic() -> io::Result<()> {
    begin();
    // A kernel without the key has no such file, and then the next way is tried.
    let _ = fs::write("/proc/sysrq-trigger", "c");
    fs::write("/proc/sys/vm/panic_on_oom", "2")?;
    flood::memory()
}

/// Switches the machine off without a word to init.
pub fn power_off() -> io::Result<()> {
    begin();
    // SAFETY: the call takes no pointers.
    let failed = unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_POWER_OFF) };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the processor deaf and computes for ever. Only `iopl(3)` lets a program do that.
pub fn interrupts_off() -> io::Result<()> {
    begin();
    // SAFETY: the call takes no pointers; it only gives this process the right to what follows.
    if unsafe { libc::iopl(3) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: nothing is accessed; that nothing else runs any more is what is wanted.
    unsafe { std::arch::asm!("cli", "2: jmp 2b", options(noreturn)) }
}
