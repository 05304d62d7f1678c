//! A program with descendants that have left its session, its process group, and their parents.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::watch::watch;

/// Watches as `NAME`, in a child of a session of its own as `NAME child`, and in a daemon, whose parent has
/// ended, as `NAME daemon`.
pub fn family(name: &str) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(&program);
    child.args(["watch", &format!("{name} child")]);
    // SAFETY: the function makes system calls only, which is allowed between fork and exec.
    unsafe { child.pre_exec(leave) };
    child.spawn()?;
    let mut daemon = Command::new(&program);
    daemon.args(["watch", &format!("{name} daemon")]);
    // SAFETY: as above.
    unsafe { daemon.pre_exec(become_orphan) };
    daemon.spawn()?.wait()?;
    watch(name)
}

fn leave() -> io::Result<()> {
    // SAFETY: setsid takes nothing.
    if unsafe { libc::setsid() } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn become_orphan() -> io::Result<()> {
    leave()?;
    // SAFETY: this process has one thread, and neither half does more than end or execute a program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(()),
        // SAFETY: _exit takes a number and does not return.
        _ => unsafe { libc::_exit(0) },
    }
}
