//! What a file system says to programs that want more of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::{Value, json};

use crate::clock::Clock;

const BLOCK: usize = 4096;
/// The distance of two attempts in microseconds.
const PACE_US: u64 = 20_000;

/// Asks for space in the directory at `path` in every way, over and over, and tells the numbers of the
/// errors. What is there at the start of a life is tried first.
pub fn ask(path: &str) -> io::Result<()> {
    let directory = Path::new(path);
    let open = |name: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(directory.join(name))
    };
    let (old, log, space) = (open("old")?, open("log")?, open("space")?);
    if old.metadata()?.len() == 0 {
        old.write_all_at(&[1; BLOCK], 0)?;
        // SAFETY: sync takes nothing.
        unsafe { libc::sync() };
    }
    let life = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let life = life.trim();
    let clock = Clock::new();
    for number in 1u64.. {
        let end = log.metadata()?.len();
        let written = log.write_all_at(&[number as u8; BLOCK], end);
        let flushed = log.sync_data();
        let allocated = allocate(&space, space.metadata()?.len());
        let name = directory.join(format!("{life}-{number}"));
        let created = OpenOptions::new().write(true).create_new(true).open(&name);
        let made = fs::create_dir(directory.join(format!("d-{life}-{number}")));
        let rewritten = old.write_all_at(&[number as u8; BLOCK], 0);
        let rewritten = rewritten.and_then(|()| old.sync_data());
        let (available, inodes) = left(path)?;
        send_event(
            "space",
            &json!({
                "number": number, "write": code(&written), "flush": code(&flushed),
                "fallocate": code(&allocated), "creat": code(&created), "mkdir": code(&made),
                "rewrite": code(&rewritten), "available": available, "inodes": inodes,
                "entries": fs::read_dir(path)?.count(),
            }),
        );
        if number == 1 {
            setup_complete(&json!(null));
        }
        clock.sleep_to_multiple(PACE_US);
    }
    Ok(())
}

/// Zero, or the number of the error.
fn code<T>(result: &io::Result<T>) -> Value {
    let error = result.as_ref().err();
    error.map_or(json!(0), |error| json!(error.raw_os_error()))
}

/// Allocates another block of a file, at its end.
fn allocate(file: &File, end: u64) -> io::Result<()> {
    // SAFETY: fallocate takes numbers only.
    let result = unsafe {
        libc::fallocate(
            file.as_raw_fd(),
            0,
            end as libc::off_t,
            BLOCK as libc::off_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The blocks and the inodes that programs can still have.
fn left(path: &str) -> io::Result<(u64, u64)> {
    let path = std::ffi::CString::new(path)?;
    // SAFETY: all zeros are valid numbers, which the call replaces; both pointers outlive it.
    unsafe {
        let mut space: libc::statvfs = std::mem::zeroed();
        match libc::statvfs(path.as_ptr(), &raw mut space) {
            0 => Ok((space.f_bavail, space.f_favail)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
