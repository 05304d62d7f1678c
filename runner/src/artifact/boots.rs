//! Boots that were executed, in the cache: what machines with an image do until their guests ask who they
//! are.
//!
//! Each is a file that is named by its image and by the version of the machines that executed it. Files come
//! by rename, so that no reader sees half of one, and what can't be read is executed again. All together take
//! a bounded part of the disk; those that were not used for the longest time go first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chaosrun_vmm::world::BootFiles;

use super::{ArtifactError, Store};

/// The folder in the cache.
pub(super) const FOLDER: &str = "boots";
/// How the names of files end.
const ENDING: &str = "boot";
/// How many bytes all of them take at most.
const BYTES_MAX: u64 = 2 << 30;

/// The folder of boots.
#[derive(Debug)]
pub struct StoredBoots {
    folder: PathBuf,
    most: u64,
    /// Shows people a line.
    say: fn(&str),
}

/// How many boots there are, and how many bytes they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootsListed {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl StoredBoots {
    /// The boots in the cache. What people have to know is told by `say`.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn of(store: &Store, say: fn(&str)) -> Result<Self, ArtifactError> {
        Ok(Self {
            folder: store.directory(FOLDER)?,
            most: BYTES_MAX,
            say,
        })
    }

    /// What there is.
    #[must_use]
    pub fn listed(&self) -> BootsListed {
        let files = files(&self.folder);
        BootsListed {
            count: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(ENDING)
    }

    /// Writes a file, and removes those that are too many then.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.most {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.path(name))?;
        let mut files = files(&self.folder);
        files.sort_by_key(|file| std::cmp::Reverse(file.used));
        let mut sum = 0;
        for file in files {
            sum += file.bytes;
            // Another process may have removed it.
            if sum > self.most {
                let _ = fs::remove_file(file.path);
            }
        }
        Ok(())
    }
}

/// A stored boot.
struct StoredFile {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn files(folder: &Path) -> Vec<StoredFile> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        let path = entry.path();
        let metadata = entry.metadata().ok()?;
        let is_one = metadata.is_file() && path.extension().is_some_and(|e| e == ENDING);
        is_one.then(|| StoredFile {
            path,
            bytes: metadata.len(),
            used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        })
    };
    entries.filter_map(file).collect()
}

impl BootFiles for StoredBoots {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let bytes = fs::read(&path).ok()?;
        // So that it is not the first to go. What the cache's disk refuses makes no difference.
        #[allow(
            clippy::disallowed_methods,
            reason = "the host's time decides only what is removed from the cache"
        )]
        let now = SystemTime::now();
        let _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(now));
        Some(bytes)
    }

    fn begin(&self, _name: &str) {
        (self.say)("chaosrun: booting a new image, once for this and later runs");
    }

    fn store(&self, name: &str, bytes: &[u8]) {
        if let Err(error) = self.write(name, bytes) {
            let path = self.path(name);
            let path = path.display();
            (self.say)(&format!("chaosrun: a boot was not kept as {path}: {error}"));
        }
    }

    fn refuse(&self, name: &str, why: &str) {
        let path = self.path(name);
        let shown = path.display();
        (self.say)(&format!(
            "chaosrun: {shown} is not used, and executed again: {why}"
        ));
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(most: u64) -> (tempfile::TempDir, StoredBoots) {
        let folder = tempfile::tempdir().expect("there is room");
        let boots = StoredBoots {
            folder: folder.path().to_owned(),
            most,
            say: |_| {},
        };
        (folder, boots)
    }

    #[test]
    fn what_was_used_last_stays_when_there_are_too_many() {
        let (_folder, boots) = boots(25);
        let old = SystemTime::UNIX_EPOCH;
        for (name, age) in [("a", 1), ("b", 2)] {
            boots.store(name, &[0; 10]);
            let file = File::options().append(true).open(boots.path(name)).unwrap();
            file.set_modified(old + std::time::Duration::from_secs(age))
                .unwrap();
        }
        assert_eq!(boots.load("a"), Some(vec![0; 10]));
        boots.store("c", &[1; 10]);
        assert_eq!(boots.load("b"), None);
        assert_eq!(boots.load("a"), Some(vec![0; 10]));
        assert_eq!(boots.load("c"), Some(vec![1; 10]));
        let listed = BootsListed {
            count: 2,
            bytes: 20,
        };
        assert_eq!(boots.listed(), listed);
    }

    #[test]
    fn what_is_too_large_or_refused_is_not_there() {
        let (folder, boots) = boots(25);
        boots.store("large", &[0; 26]);
        assert_eq!(boots.load("large"), None);
        boots.store("bad", &[0; 5]);
        boots.refuse("bad", "for a test");
        assert_eq!(boots.load("bad"), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
