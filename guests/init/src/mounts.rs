//! The file systems that programs expect.

use std::fs;
use std::path::Path;

use crate::sys;

struct Mount {
    kind: &'static str,
    at: &'static str,
    data: &'static str,
    /// Without it nothing works that follows.
    needed: bool,
}

const MOUNTS: [Mount; 7] = [
    mount("devtmpfs", "/dev", "mode=755", true),
    mount("proc", "/proc", "", true),
    mount("sysfs", "/sys", "", true),
    mount("tmpfs", "/run", "mode=755", true),
    mount("tmpfs", "/tmp", "mode=1777", true),
    mount("devpts", "/dev/pts", "mode=620,ptmxmode=666", false),
    mount("tmpfs", "/dev/shm", "mode=1777", false),
];

/// What devtmpfs does not make by itself.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/mounts", "/etc/mtab"),
];

const fn mount(kind: &'static str, at: &'static str, data: &'static str, needed: bool) -> Mount {
    Mount {
        kind,
        at,
        data,
        needed,
    }
}

/// Mounts them, and takes the console for what this process and its children say.
pub fn mount_all() {
    for mount in &MOUNTS {
        let _ = fs::create_dir_all(mount.at);
        // A kernel may have mounted it already.
        let result = sys::mount(mount.kind, mount.at, mount.data);
        if let Err(error) = result
            && error.raw_os_error() != Some(libc::EBUSY)
            && mount.needed
        {
            eprintln!("init: can't mount {} at {}: {error}", mount.kind, mount.at);
        }
    }
    for (target, link) in LINKS {
        if !Path::new(link).exists() {
            let _ = std::os::unix::fs::symlink(target, link);
        }
    }
    if let Err(error) = sys::take_console() {
        eprintln!("init: can't open the console: {error}");
    }
    let _ = sys::allow_open_files(65_536, 524_288);
}
