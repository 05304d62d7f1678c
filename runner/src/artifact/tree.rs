//! The hash of a directory tree.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};

use chaosrun_language::plan::artifacts::Problem;

use super::host_files::{hash_file, reason};
use super::initrd;

/// How many files a tree may have.
const MAX_TREE_FILES: usize = 1_000_000;

/// What of a tree makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Names, contents, symbolic links and whether files can be executed: all that a compiler sees.
    Sources,
    /// All that the file system of a guest has: permission bits, device numbers, pipes and hard links
    /// as well.
    FileSystem,
}

/// Hashes a tree in the order of the names, and tells how long its contents are together. Times and
/// owners don't count, nor names outside of the tree that a file of it has, too. Symbolic links are
/// not followed.
///
/// # Errors
/// Something can't be read, or a guest could not have it.
pub(super) fn hash_tree(
    root: &Path,
    detail: Detail,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(String, u64), Problem> {
    let mut walk = Walk {
        root,
        detail,
        hasher: Hasher::new(),
        total: 0,
        linked: BTreeMap::new(),
    };
    let mut files = 0usize;
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .and_then(Iterator::collect)
            .map_err(unread(&folder))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if !wanted(&path) {
                continue;
            }
            files += 1;
            if files > MAX_TREE_FILES {
                return Err(Problem::Wrong(format!(
                    "it has more than {MAX_TREE_FILES} files"
                )));
            }
            let meta = std::fs::symlink_metadata(&path).map_err(unread(&path))?;
            walk.entry(&path, &meta)?;
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok((walk.hasher.finalize().to_hex().to_string(), walk.total))
}

/// A tree on the way to its hash.
struct Walk<'a> {
    root: &'a Path,
    detail: Detail,
    hasher: Hasher,
    /// The sum of the lengths of all files, each counted once.
    total: u64,
    /// The first path of each file that has several.
    linked: BTreeMap<(u64, u64), PathBuf>,
}

impl Walk<'_> {
    fn entry(&mut self, path: &Path, meta: &Metadata) -> Result<(), Problem> {
        let (kind, content) = match self.first_name(path, meta) {
            Some(first) => ("h", blake3::hash(first.as_os_str().as_bytes())),
            None if meta.is_dir() => ("d", blake3::hash(b"")),
            None if meta.is_symlink() => {
                let target = std::fs::read_link(path).map_err(unread(path))?;
                ("l", blake3::hash(target.as_os_str().as_bytes()))
            }
            None if meta.is_file() => {
                let kind = if meta.mode() & 0o111 != 0 { "x" } else { "f" };
                (kind, self.file(path, meta)?)
            }
            None if self.detail == Detail::Sources => return Ok(()),
            None => special(self.relative(path), meta)?,
        };
        let name = self.relative(path).as_os_str().as_bytes();
        self.hasher.update(&(name.len() as u64).to_le_bytes());
        self.hasher.update(name);
        self.hasher.update(kind.as_bytes());
        if self.detail == Detail::FileSystem {
            self.hasher
                .update(&(meta.mode() as u16 & 0o7777).to_le_bytes());
        }
        self.hasher.update(content.as_bytes());
        Ok(())
    }

    /// The path under which the tree has had the same file before, if that makes a difference.
    fn first_name(&mut self, path: &Path, meta: &Metadata) -> Option<PathBuf> {
        if self.detail == Detail::Sources || !initrd::is_linked(meta) {
            return None;
        }
        let inode = (meta.dev(), meta.ino());
        if let Some(first) = self.linked.get(&inode) {
            return Some(first.clone());
        }
        let relative = self.relative(path).to_owned();
        self.linked.insert(inode, relative);
        None
    }

    /// The hash of a regular file, unless it is larger than all that a guest could have; sparse files
    /// are easily large.
    fn file(&mut self, path: &Path, meta: &Metadata) -> Result<Hash, Problem> {
        let most = match self.detail {
            Detail::Sources => u64::MAX,
            Detail::FileSystem => initrd::SIZE_LIMIT,
        };
        if self.total.saturating_add(meta.len()) > most {
            return Err(Problem::Wrong(format!(
                "with `{}` it has more than {most} bytes, and a guest has it in its \
                 memory; put large files on a disk",
                self.relative(path).display()
            )));
        }
        let (hash, size) = hash_file(path).map_err(unread(path))?;
        self.total += size;
        Ok(hash)
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.root).unwrap_or(path)
    }
}

/// A device or a pipe.
fn special(name: &Path, meta: &Metadata) -> Result<(&'static str, Hash), Problem> {
    let kind = meta.file_type();
    let number = blake3::hash(&meta.rdev().to_le_bytes());
    if kind.is_char_device() {
        Ok(("c", number))
    } else if kind.is_block_device() {
        Ok(("b", number))
    } else if kind.is_fifo() {
        Ok(("p", blake3::hash(b"")))
    } else {
        Err(Problem::Wrong(format!(
            "`{}` in it is a socket, which no file system can begin with",
            name.display()
        )))
    }
}

fn unread(path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let path = path.display().to_string();
    move |e| Problem::Missing(format!("`{path}` in it: {}", reason(&e)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A tree of two files with these names, and what to do to it.
    fn hash(change: impl Fn(&Path)) -> Result<(String, u64), Problem> {
        hash_with(Detail::FileSystem, change)
    }

    fn hash_with(detail: Detail, change: impl Fn(&Path)) -> Result<(String, u64), Problem> {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [("a", 0o755), ("b", 0o644)] {
            let path = root.path().join(name);
            fs::write(&path, "content").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        change(root.path());
        hash_tree(root.path(), detail, &|_| true)
    }

    fn link(root: &Path, from: &str, to: &str) {
        fs::hard_link(root.join(from), root.join(to)).unwrap();
    }

    fn copy(root: &Path, from: &str, to: &str) {
        fs::copy(root.join(from), root.join(to)).unwrap();
    }

    #[test]
    fn a_hard_link_is_something_else_than_a_copy() {
        let linked = hash(|root| link(root, "a", "c")).unwrap();
        let copied = hash(|root| copy(root, "a", "c")).unwrap();
        assert_ne!(linked.0, copied.0);
        assert_eq!((linked.1, copied.1), (14, 21), "contents count once");
    }

    #[test]
    fn which_of_a_files_names_came_first_makes_no_difference() {
        let names = |first: &'static str, second: &'static str| {
            hash(move |root| {
                fs::rename(root.join("a"), root.join(first)).unwrap();
                link(root, first, second);
            })
            .unwrap()
        };
        assert_eq!(names("x", "y"), names("y", "x"));
    }

    #[test]
    fn which_files_are_linked_makes_a_difference() {
        let of_a = hash(|root| {
            fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o755)).unwrap();
            link(root, "a", "c");
        });
        let of_b = hash(|root| {
            fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o755)).unwrap();
            link(root, "b", "c");
        });
        assert_ne!(of_a.unwrap().0, of_b.unwrap().0);
    }

    #[test]
    fn a_name_outside_of_the_tree_makes_no_difference() {
        let outside = tempfile::tempdir().unwrap();
        let linked = hash(|root| {
            fs::hard_link(root.join("a"), outside.path().join("other")).unwrap();
        });
        assert_eq!(linked, hash(|_| ()));
    }

    #[test]
    fn all_permission_bits_count_for_a_guest_and_one_for_a_compiler() {
        let private = |root: &Path| {
            fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o600)).unwrap();
        };
        assert_ne!(hash(private), hash(|_| ()));
        let sources = hash_with(Detail::Sources, |_| ());
        assert_eq!(hash_with(Detail::Sources, private), sources);
        let linked = hash_with(Detail::Sources, |root| {
            link(root, "a", "c");
        });
        let copied = hash_with(Detail::Sources, |root| {
            copy(root, "a", "c");
        });
        assert_eq!(linked, copied);
    }

    #[test]
    fn the_target_of_a_symbolic_link_counts() {
        let to = |target: &'static str| hash(move |root| symlink(target, root.join("l")).unwrap());
        assert_ne!(to("a"), to("b"));
    }

    #[test]
    fn what_no_guest_can_have_is_refused_by_name_without_reading_it() {
        let huge = hash(|root| {
            let file = fs::File::create(root.join("huge")).unwrap();
            file.set_len(1 << 40).unwrap();
        });
        assert!(matches!(&huge, Err(Problem::Wrong(why)) if why.contains("`huge`")));
        let socket = hash(|root| drop(UnixListener::bind(root.join("socket")).unwrap()));
        assert!(matches!(&socket, Err(Problem::Wrong(why)) if why.contains("`socket`")));
    }
}
