//! Initial RAM disks: the archive that Linux unpacks as its first root file system.
//!
//! The same entries give the same bytes, whoever builds them and whenever: times are zero, owners
//! are root, inode numbers count up, and entries are sorted by path.

use std::collections::BTreeMap;

mod compress;
mod cpio;
mod error;
mod path;
mod tree;

#[cfg(test)]
mod tests;

pub use compress::Compression;
pub use error::InitrdError;

use path::CleanPath;

/// The largest archive that is built, in bytes before compression.
const SIZE_LIMIT: u64 = 2 << 30;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with its content.
    File(Vec<u8>),
    /// A symbolic link with its target, which need not exist.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A node with its permission bits (the low 12 bits of a mode).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    node: Node,
}

/// An initial RAM disk under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initrd {
    /// By path without a leading slash, as bytes; so a directory comes before what is in it.
    entries: BTreeMap<CleanPath, Entry>,
    /// The sum of the lengths of all contents and paths.
    size: u64,
}

impl Initrd {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `node` at `path`, and the directories above it (with mode 0755) as far as they are
    /// missing. A leading slash makes no difference. `mode` counts as far as its low 12 bits. What
    /// was at the path before is replaced.
    ///
    /// # Errors
    /// The path is malformed, leads through something that is not a directory, or would replace
    /// a directory by something else or the reverse; or the archive gets too large.
    pub fn add(
        &mut self,
        path: impl AsRef<[u8]>,
        mode: u32,
        node: Node,
    ) -> Result<(), InitrdError> {
        let path = CleanPath::new(path.as_ref())?;
        if let Node::Symlink(target) = &node {
            path::check_target(&path, target)?;
        }
        for parent in path.parents() {
            self.require_directory(parent)?;
        }
        self.put(
            path,
            Entry {
                mode: mode & 0o7777,
                node,
            },
        )
    }

    /// Whether something is at this very path; links are not followed.
    pub fn contains(&self, path: impl AsRef<[u8]>) -> bool {
        CleanPath::new(path.as_ref()).is_ok_and(|path| self.entries.contains_key(&path))
    }

    /// Adds a regular file. See [`add`](Self::add).
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub fn file(
        &mut self,
        path: impl AsRef<[u8]>,
        mode: u32,
        content: impl Into<Vec<u8>>,
    ) -> Result<(), InitrdError> {
        self.add(path, mode, Node::File(content.into()))
    }

    /// Adds a symbolic link. See [`add`](Self::add).
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub fn symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl Into<Vec<u8>>,
    ) -> Result<(), InitrdError> {
        self.add(path, 0o777, Node::Symlink(target.into()))
    }

    /// Adds `/dev/console`, which Linux opens for the first process; without it the process has no
    /// standard output until it mounts devtmpfs.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub fn console(&mut self) -> Result<(), InitrdError> {
        self.add(
            "dev/console",
            0o600,
            Node::CharDevice { major: 5, minor: 1 },
        )
    }

    /// The archive, compressed.
    ///
    /// # Errors
    /// A compressor fails.
    pub fn build(&self, compression: Compression) -> Result<Vec<u8>, InitrdError> {
        let archive = cpio::write(
            self.entries
                .iter()
                .map(|(path, entry)| (path.as_ref(), entry)),
        );
        compression.apply(archive)
    }

    /// Makes sure that there is a directory at `path`.
    fn require_directory(&mut self, path: CleanPath) -> Result<(), InitrdError> {
        match self.entries.get(&path) {
            None => self.put(
                path,
                Entry {
                    mode: 0o755,
                    node: Node::Directory,
                },
            ),
            Some(Entry {
                node: Node::Directory,
                ..
            }) => Ok(()),
            Some(_) => Err(InitrdError::Conflict {
                path: path.to_string(),
            }),
        }
    }

    fn put(&mut self, path: CleanPath, entry: Entry) -> Result<(), InitrdError> {
        let before = match self.entries.get(&path) {
            Some(old) if old.is_directory() != entry.is_directory() => {
                return Err(InitrdError::Conflict {
                    path: path.to_string(),
                });
            }
            Some(old) => old.size(&path),
            None => 0,
        };
        let size = (self.size - before).saturating_add(entry.size(&path));
        if size > SIZE_LIMIT {
            return Err(InitrdError::TooLarge {
                path: path.to_string(),
                limit: SIZE_LIMIT,
            });
        }
        self.size = size;
        self.entries.insert(path, entry);
        Ok(())
    }
}

impl Entry {
    fn is_directory(&self) -> bool {
        self.node == Node::Directory
    }

    /// An upper bound of the bytes that the entry takes in the archive.
    fn size(&self, path: &CleanPath) -> u64 {
        let content = match &self.node {
            Node::File(content) | Node::Symlink(content) => content.len(),
            _ => 0,
        };
        content as u64 + path.as_ref().len() as u64 + cpio::OVERHEAD
    }
}
