//! File systems that are full, as far as programs can tell.
//!
//! Nothing is written for that. All free space is made the reserve that ext4 keeps for itself, from which
//! it finishes what it has promised to programs and gives nothing to new files, not even root's. That
//! knob is in memory, so that a crash leaves nothing behind and no program can remove what fills its disk.
//! A new file needs no space at first, but an inode. Those are taken by a process that holds files without
//! names, which are gone with it, or with the machine, since a journal knows of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::path::{Path, PathBuf};

use chaosrun_protocol::node::Mount;

use crate::{disks, sys};

/// Inodes are taken if they are no more than this part of the files that the kernel would have open, which
/// is a measure of its memory: each open file takes about 2 KiB of it.
const OPEN_FILES_PART: u64 = 2;
/// By how many powers of two a cluster may be larger than a block.
const CLUSTER_BITS_MAX: u32 = 16;

/// The file systems of a node.
#[derive(Debug)]
pub struct Disks {
    mounts: Vec<Mount>,
    full: BTreeMap<String, Full>,
}

/// A file system that is full.
#[derive(Debug)]
struct Full {
    /// Where the size of its reserve is read and written.
    reserve: PathBuf,
    /// What was there.
    before: String,
    inodes: Option<Inodes>,
}

impl Disks {
    /// What is mounted, none of it full.
    pub fn new(mounts: Vec<Mount>) -> Self {
        let full = BTreeMap::new();
        Self { mounts, full }
    }

    /// Whether there is any that can be written to.
    pub fn can_be_full(&self) -> bool {
        self.mounts.iter().any(|mount| !mount.read_only)
    }

    /// From now on these disks are full, and no others.
    ///
    /// # Errors
    /// What could not be done to which disk; the rest is done.
    pub fn fill(&mut self, wanted: &[String]) -> Result<(), String> {
        let mut failures = Vec::new();
        let over: Vec<String> = self.full.keys().cloned().collect();
        for disk in over.iter().filter(|disk| !wanted.contains(disk)) {
            let full = self.full.remove(disk);
            let emptied = full.map_or(Ok(()), Full::empty);
            failures.extend(emptied.err().map(|error| format!("empty {disk}: {error}")));
        }
        for disk in wanted {
            if self.full.contains_key(disk) {
                continue;
            }
            match self.fill_one(disk) {
                Ok(full) => drop(self.full.insert(disk.clone(), full)),
                Err(error) => failures.push(format!("fill {disk}: {error}")),
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(format!("can't {}", failures.join("; "))),
        }
    }

    fn fill_one(&self, disk: &str) -> io::Result<Full> {
        let mount = self.mounts.iter().find(|mount| mount.disk == disk);
        let mount = mount.ok_or_else(|| io::Error::other("it is not mounted"))?;
        let device = disks::device(disk).ok_or(ErrorKind::InvalidInput)?;
        let device = fs::canonicalize(device)?;
        let name = device.file_name().ok_or(ErrorKind::InvalidInput)?;
        let knobs = Path::new("/sys/fs/ext4").join(name);
        let reserve = knobs.join("reserved_clusters");
        let before = fs::read_to_string(&reserve)?.trim().to_owned();
        let space = sys::space(&mount.path)?;
        reserve_all(&reserve, space.blocks)?;
        let inodes = (has_journal(&knobs) && space.free_inodes <= inodes_max())
            .then(|| Inodes::take(&mount.path, space.free_inodes))
            .transpose()?;
        Ok(Full {
            reserve,
            before,
            inodes,
        })
    }
}

impl Full {
    fn empty(self) -> io::Result<()> {
        let freed = self.inodes.map_or(Ok(()), Inodes::free);
        fs::write(self.reserve, self.before).and(freed)
    }
}

/// Makes all space of a file system of so many blocks its reserve. The kernel counts that in clusters and
/// takes no more than there are.
fn reserve_all(reserve: &Path, blocks: u64) -> io::Result<()> {
    let mut result = Err(ErrorKind::InvalidInput.into());
    for bits in 0..=CLUSTER_BITS_MAX {
        let clusters = blocks.saturating_sub(1) >> bits;
        result = fs::write(reserve, clusters.to_string());
        match &result {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            _ => break,
        }
    }
    result
}

/// Whether a crash frees the inodes of files without names.
fn has_journal(knobs: &Path) -> bool {
    let task = fs::read_to_string(knobs.join("journal_task")).unwrap_or_default();
    task.trim().parse::<u32>().is_ok()
}

/// How many inodes can be held without want of memory.
fn inodes_max() -> u64 {
    let max = fs::read_to_string("/proc/sys/fs/file-max").unwrap_or_default();
    max.trim().parse::<u64>().unwrap_or(0) / OPEN_FILES_PART
}

/// A process that holds all inodes that were free.
#[derive(Debug)]
struct Inodes {
    pid: libc::pid_t,
}

impl Inodes {
    /// Takes so many inodes of the file system at `path`, and returns when they are taken.
    fn take(path: &str, count: u64) -> io::Result<Self> {
        let (mut answers, mut answer) = io::pipe()?;
        let pid = sys::fork(|| {
            // The kernel must end others for want of memory, and not this one.
            let _ = fs::write("/proc/self/oom_score_adj", "-1000");
            let limit = count.saturating_add(64);
            let _ = sys::allow_open_files(limit, limit);
            let mut held = Vec::new();
            while let Ok(file) = sys::nameless_file(path) {
                held.push(file);
            }
            let _ = answer.write_all(b"!");
            loop {
                sys::pause();
            }
        })?;
        drop(answer);
        wait(&mut answers);
        Ok(Self { pid })
    }

    /// Gives the inodes back, and returns when they are free.
    fn free(self) -> io::Result<()> {
        sys::kill_and_wait(self.pid)
    }
}

/// Waits for an answer, or for the end of who would give it.
fn wait(answers: &mut PipeReader) {
    while matches!(answers.read(&mut [0]), Err(error) if error.kind() == ErrorKind::Interrupted) {}
}
