//! The files that disks begin with. They may be larger than the host's memory, so that they are neither
//! read as a whole nor hashed more often than needed.
//!
//! A guest's read fetches its bytes from the file, by position. The file is not mapped: the host would
//! end chaosrun if somebody truncated it meanwhile, and a map fetches no faster from the page cache than
//! a disk's operations need. The holes of a sparse file are neither read nor stored.
//!
//! The content must stay what the plan's hash says for as long as a run lasts. That cannot be enforced,
//! so it is checked: before and after each run the file must have the same length and times as when it
//! was hashed. If only the time of its last change of status is another (somebody gave it another name,
//! or other permissions), it is hashed again. What came of a run during which it changed is not
//! believed. A file that is replaced by renaming another one over it has not changed: the one that is
//! open is still there.

mod file;
mod hash;
mod known;

#[cfg(test)]
mod tests;

pub use file::DiskFile;
pub(crate) use known::hash_known;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What tells whether a file is the one that was hashed, and still as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When the content was written last, in seconds and nanoseconds of Unix time.
    modified: (i64, i64),
    /// When the content or what is known about the file was changed last, likewise.
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
