//! Taking a directory of the host into an initial RAM disk.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Initrd, InitrdError, Node, SIZE_LIMIT};

impl Initrd {
    /// Adds everything below the host's directory `root`. Links are taken as links and never
    /// followed, except that `root` itself may be one. Permission bits, device numbers and hard links
    /// among the tree's files are kept; owners, times and extended attributes are not, and the holes
    /// of sparse files become zeros.
    ///
    /// # Errors
    /// Something cannot be read, is a socket, does not fit beside what is there already, or makes
    /// the archive too large.
    pub fn tree(&mut self, root: &Path) -> Result<(), InitrdError> {
        // A list of what is still to be read, rather than recursion, so that no depth of nesting
        // can exhaust the stack.
        let mut pending = vec![(root.to_owned(), Vec::new())];
        let mut linked: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
        while let Some((directory, inside)) = pending.pop() {
            for name in sorted_names(&directory)? {
                let path = directory.join(&name);
                let mut inside = inside.clone();
                if !inside.is_empty() {
                    inside.push(b'/');
                }
                inside.extend(name.as_bytes());
                let metadata = fs::symlink_metadata(&path).map_err(io_error(&path))?;
                let shared = is_linked(&metadata).then(|| (metadata.dev(), metadata.ino()));
                if let Some(first) = shared.and_then(|inode| linked.get(&inode)) {
                    self.link(&inside, first)?;
                    continue;
                }
                self.add(&inside, metadata.mode(), node(&path, &metadata)?)?;
                if let Some(inode) = shared {
                    linked.insert(inode, inside);
                } else if metadata.is_dir() {
                    pending.push((path, inside));
                }
            }
        }
        Ok(())
    }
}

/// Whether what is at a path has further names that an archive can have, too. Linux links neither
/// directories nor, when it unpacks, symbolic links.
pub(crate) fn is_linked(metadata: &Metadata) -> bool {
    !metadata.is_dir() && !metadata.is_symlink() && metadata.nlink() > 1
}

/// The names in a directory in order of their bytes, so that errors are the same each time, too.
fn sorted_names(directory: &Path) -> Result<Vec<OsString>, InitrdError> {
    let names = || -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    };
    let mut names = names().map_err(io_error(directory))?;
    names.sort();
    Ok(names)
}

fn node(path: &Path, metadata: &Metadata) -> Result<Node, InitrdError> {
    let kind: FileType = metadata.file_type();
    // Linux's encoding of device numbers in `st_rdev`.
    let number = metadata.rdev();
    let major = (((number >> 8) & 0xfff) | ((number >> 32) & !0xfff)) as u32;
    let minor = ((number & 0xff) | ((number >> 12) & !0xff)) as u32;
    if kind.is_dir() {
        Ok(Node::Directory)
    } else if kind.is_file() {
        read(path).map(Node::File)
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(io_error(path))?;
        Ok(Node::Symlink(target.into_os_string().into_vec()))
    } else if kind.is_char_device() {
        Ok(Node::CharDevice { major, minor })
    } else if kind.is_block_device() {
        Ok(Node::BlockDevice { major, minor })
    } else if kind.is_fifo() {
        Ok(Node::Fifo)
    } else {
        Err(InitrdError::BadKind {
            path: path.to_owned(),
        })
    }
}

/// Reads a file, but never more than could be archived: it may be huge and sparse, or grow.
fn read(path: &Path) -> Result<Vec<u8>, InitrdError> {
    let too_large = || InitrdError::TooLarge {
        path: path.display().to_string(),
        limit: SIZE_LIMIT,
    };
    let file = File::open(path).map_err(io_error(path))?;
    if file.metadata().map_err(io_error(path))?.len() > SIZE_LIMIT {
        return Err(too_large());
    }
    let mut content = Vec::new();
    file.take(SIZE_LIMIT + 1)
        .read_to_end(&mut content)
        .map_err(io_error(path))?;
    if content.len() as u64 > SIZE_LIMIT {
        Err(too_large())
    } else {
        Ok(content)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> InitrdError {
    let path: PathBuf = path.to_owned();
    move |source| InitrdError::Io { path, source }
}
