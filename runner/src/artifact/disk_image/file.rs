//! A disk's content in a file of the host.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use chaosrun_vmm::disk::Content;

use super::hash::{hash_content, zeros_until};
use super::{Stamp, known};
use crate::artifact::error::ArtifactError;

/// A file that disks lie over. It is the same as another if its content is.
#[derive(Debug)]
pub struct DiskFile {
    path: PathBuf,
    file: File,
    hash: String,
    /// The file as it was when its hash was found out.
    stamp: Mutex<Stamp>,
    size: u64,
    /// The first read that failed.
    failed: OnceLock<String>,
}

impl DiskFile {
    /// Opens a file whose hash has to be `wanted`. Hashes are remembered in the directory `known`, if
    /// it can be written.
    ///
    /// # Errors
    /// The file can't be read, or its content is another.
    pub(crate) fn open(path: &Path, wanted: &str, known: &Path) -> Result<Self, ArtifactError> {
        let opened = known::open(path, Some(known));
        let (file, stamp, hash) = opened.map_err(ArtifactError::io("read", path))?;
        if hash != wanted {
            return Err(ArtifactError::Changed {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            hash,
            size: stamp.size,
            stamp: Mutex::new(stamp),
            failed: OnceLock::new(),
        })
    }

    /// Makes sure that all that was read so far is what the hash stands for.
    ///
    /// # Errors
    /// The file has changed, or a read failed.
    pub fn verify(&self) -> Result<(), ArtifactError> {
        if let Some(why) = self.failed.get() {
            let source = io::Error::other(why.clone());
            return Err(ArtifactError::io("read", &self.path)(source));
        }
        let changed = || ArtifactError::Changed {
            path: self.path.clone(),
        };
        let look = || self.file.metadata().map(|meta| Stamp::of(&meta));
        let now = look().map_err(ArtifactError::io("read", &self.path))?;
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *stamp {
            return Ok(());
        }
        if (now.size, now.modified) != (stamp.size, stamp.modified) {
            return Err(changed());
        }
        let hash =
            hash_content(&self.file, self.size).map_err(ArtifactError::io("read", &self.path))?;
        let same = look().map_err(ArtifactError::io("read", &self.path))? == now;
        if !same || hash.to_hex().as_str() != self.hash {
            return Err(changed());
        }
        *stamp = now;
        Ok(())
    }
}

impl PartialEq for DiskFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.hash, self.size) == (&other.hash, other.size)
    }
}

impl Eq for DiskFile {}

impl Content for DiskFile {
    fn len(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        let known = self.size.saturating_sub(offset).min(into.len() as u64);
        let (known, beyond) = into.split_at_mut(known as usize);
        beyond.fill(0);
        if let Err(error) = self.file.read_exact_at(known, offset) {
            known.fill(0);
            let why = format!("{} bytes at {offset}: {error}", known.len());
            let _ = self.failed.set(why);
        }
    }

    fn zeros_until(&self, offset: u64) -> u64 {
        zeros_until(&self.file, offset, self.size)
    }
}
