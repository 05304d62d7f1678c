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
