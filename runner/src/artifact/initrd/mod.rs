//! Initial RAM disks: the archive that Linux unpacks as its first root file system.
//!
//! The same entries give the same bytes, whoever builds them and whenever: times are zero, owners
//! are root, inode numbers count up, and entries are sorted by path. Several names of one file, which
//! are hard links, stay that: the content is in the archive and in the guest's memory once.

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
pub(crate) use tree::is_linked;

/// The largest archive that is built, in bytes before compression.
pub(crate) const SIZE_LIMIT: u64 = 2 << 30;

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

/// A node with its permission bits (the low 12 bits of a mode), and how many paths it is at.
#[derive(Debug, Clone)]
struct Inode {
    mode: u32,
    node: Node,
    names: u32,
}

/// Which inode is at a path.
type Number = u32;

/// An initial RAM disk under construction.
#[derive(Debug, Clone, Default)]
pub struct Initrd {
    /// By path without a leading slash, as bytes; so a directory comes before what is in it.
    entries: BTreeMap<CleanPath, Number>,
    inodes: BTreeMap<Number, Inode>,
    /// The number of the next inode; archives have numbers of their own.
    next: Number,
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
        self.put_new(path, mode & 0o7777, node)
    }

    /// Adds another name, `path`, for what is at `target`: a hard link. Replacing what is at one of
    /// the names later does not change what is at the others.
    ///
    /// # Errors
    /// Those of [`add`](Self::add); nothing is at `target`, or a directory or a symbolic link is, of
    /// which the format knows no second name.
    pub fn link(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> Result<(), InitrdError> {
        let path = CleanPath::new(path.as_ref())?;
        let target = CleanPath::new(target.as_ref())?;
        let number = self.entries.get(&target).copied();
        let linkable = |inode: &Inode| !matches!(inode.node, Node::Directory | Node::Symlink(_));
        let Some(number) = number.filter(|number| self.inodes.get(number).is_some_and(linkable))
        else {
            return Err(InitrdError::BadLink {
                path: path.to_string(),
                target: target.to_string(),
            });
        };
        for parent in path.parents() {
            self.require_directory(parent)?;
        }
        if self.entries.get(&path) == Some(&number) {
            return Ok(());
        }
        self.put(path, number, 0)
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
        let entries = self
            .entries
            .iter()
            .filter_map(|(path, number)| Some((path.as_ref(), *number, self.inodes.get(number)?)));
        compression.apply(cpio::write(entries))
    }

    /// What is at a path.
    fn at(&self, path: &CleanPath) -> Option<&Inode> {
        self.inodes.get(self.entries.get(path)?)
    }

    /// Makes sure that there is a directory at `path`.
    fn require_directory(&mut self, path: CleanPath) -> Result<(), InitrdError> {
        match self.at(&path) {
            None => self.put_new(path, 0o755, Node::Directory),
            Some(inode) if inode.node == Node::Directory => Ok(()),
            Some(_) => Err(InitrdError::Conflict {
                path: path.to_string(),
            }),
        }
    }

    /// Puts an inode that nothing else has at `path`.
    fn put_new(&mut self, path: CleanPath, mode: u32, node: Node) -> Result<(), InitrdError> {
        let number = self.next;
        self.next += 1;
        let inode = Inode {
            mode,
            node,
            names: 0,
        };
        let length = inode.length();
        self.inodes.insert(number, inode);
        self.put(path, number, length)
            .inspect_err(|_| drop(self.inodes.remove(&number)))
    }

    /// Gives an inode the name `path`, in place of what is there; `length` is that of content which
    /// the archive does not have yet.
    fn put(&mut self, path: CleanPath, number: Number, length: u64) -> Result<(), InitrdError> {
        let is_directory = |inode: &Inode| inode.node == Node::Directory;
        let new = self.inodes.get(&number).is_some_and(is_directory);
        let own = path.as_ref().len() as u64 + cpio::OVERHEAD;
        let before = match self.at(&path) {
            Some(old) if is_directory(old) != new => {
                return Err(InitrdError::Conflict {
                    path: path.to_string(),
                });
            }
            // The content stays as long as it has another name.
            Some(old) if old.names > 1 => own,
            Some(old) => own + old.length(),
            None => 0,
        };
        let size = (self.size - before).saturating_add(own + length);
        if size > SIZE_LIMIT {
            return Err(InitrdError::TooLarge {
                path: path.to_string(),
                limit: SIZE_LIMIT,
            });
        }
        self.size = size;
        if let Some(old) = self.entries.insert(path, number) {
            self.forget(old);
        }
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.names += 1;
        }
        Ok(())
    }

    /// Takes one of its names from an inode, and drops it if that was the last.
    fn forget(&mut self, number: Number) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.names -= 1;
            if inode.names == 0 {
                self.inodes.remove(&number);
            }
        }
    }
}

impl Inode {
    /// The bytes of the content in the archive.
    fn length(&self) -> u64 {
        match &self.node {
            Node::File(content) | Node::Symlink(content) => content.len() as u64,
            _ => 0,
        }
    }
}
