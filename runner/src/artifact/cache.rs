//! The cache on disk.
//!
//! ```text
//! <cache>/objects/<blake3>     files by the hash of their content, read-only
//! <cache>/trees/<blake3>/      what belongs to such a file, for instance its modules
//! <cache>/index/<name>.json    which object a name stands for, and where it came from
//! <cache>/known/               hashes of the files of disks, by their paths
//! <cache>/boots/               boots that were executed, see `boots`
//! <cache>/logs/<name>.log      what the last build said
//! <cache>/apt/                 package lists, if the system has none
//! <cache>/build/               sources and intermediate results of cargo
//! <cache>/locks/, <cache>/tmp/
//! ```
//! Everything arrives by rename, so that a reader never sees half a file, and under a lock, so that
//! two chaosruns do the work once.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::error::ArtifactError;
use super::progress::Progress;

/// The largest kernel or initial RAM disk that is read, in bytes.
pub(super) const SIZE_LIMIT: u64 = 4 << 30;

/// The version of the index's format; entries of other versions count as absent.
const INDEX_FORMAT: u32 = 1;

/// What a name in the cache stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    format: u32,
    /// The name.
    pub name: String,
    /// The version of its origin, for people.
    pub version: String,
    /// The hash of how it is made; an entry of another recipe is stale.
    pub recipe: String,
    /// The content's BLAKE3 hash in hexadecimal digits.
    pub hash: String,
    /// The content's length.
    pub bytes: u64,
    /// Whether the object has a tree of files beside it.
    pub tree: bool,
}

/// A directory with artifacts.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// The user's cache: `$XDG_CACHE_HOME/chaosrun`, or `~/.cache/chaosrun`. As the XDG base
    /// directory specification says, a path that is not absolute counts as unset.
    pub(super) fn of_user() -> Result<Self, ArtifactError> {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|base| Self::at(&base.join("chaosrun")))
            .ok_or(ArtifactError::NoCacheHome)
    }

    /// A cache at `root`, which need not exist yet.
    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The cache's own directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// One of the cache's directories, created if it does not exist.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, ArtifactError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(ArtifactError::io("create", &path))?;
        Ok(path)
    }

    /// The path of the object with this hash, whether or not it exists.
    pub(super) fn object(&self, hash: &str) -> PathBuf {
        self.root.join("objects").join(hash)
    }

    /// The path of the tree beside the object with this hash.
    pub(super) fn tree(&self, hash: &str) -> PathBuf {
        self.root.join("trees").join(hash)
    }

    /// A scratch directory in the same file system, removed when dropped.
    pub(super) fn scratch(&self, name: &str) -> Result<TempDir, ArtifactError> {
        let parent = self.directory("tmp")?;
        tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(&parent)
            .map_err(ArtifactError::io("create a directory in", &parent))
    }

    /// Waits for the exclusive right to make the artifact `name`.
    pub(super) fn lock(&self, name: &str, progress: Progress) -> Result<Lock, ArtifactError> {
        let path = self.directory("locks")?.join(name);
        let failed = |action| ArtifactError::io(action, &path);
        let file = File::create(&path).map_err(failed("create"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let _waiting = progress.spinner(&format!("waiting for another chaosrun ({name})"));
                file.lock().map_err(failed("lock"))?;
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        Ok(Lock { _file: file })
    }

    /// The entry of a name. A damaged entry, one of another format, or one whose object is gone or
    /// not what it was, counts as absent: it is made again.
    pub(super) fn entry(&self, name: &str) -> Result<Option<Entry>, ArtifactError> {
        let path = self.root.join("index").join(format!("{name}.json"));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ArtifactError::io("read", &path)(error)),
        };
        let Ok(entry) = serde_json::from_slice::<Entry>(&text) else {
            return Ok(None);
        };
        let plausible = entry.format == INDEX_FORMAT
            && entry.name == name
            && blake3::Hash::from_hex(&entry.hash).is_ok();
        let object = self.object(&entry.hash);
        if !plausible || !object.is_file() || (entry.tree && !self.tree(&entry.hash).is_dir()) {
            return Ok(None);
        }
        let intact = hash_file(&object)? == (entry.hash.clone(), entry.bytes);
        Ok(intact.then_some(entry))
    }

    /// The names that there are entries of, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.root.join("index")) else {
            return Vec::new();
        };
        let name = |file: fs::DirEntry| {
            let file = file.file_name().into_string().ok()?;
            Some(file.strip_suffix(".json")?.to_owned())
        };
        let mut names: Vec<String> = files.flatten().filter_map(name).collect();
        names.sort();
        names
    }

    /// Puts a file, and the tree beside it, in the cache under `name`. Both must be in
    /// a [scratch directory](Self::scratch) of this cache; they are moved.
    pub(super) fn insert(
        &self,
        name: &str,
        recipe: &str,
        product: &super::Product,
    ) -> Result<Entry, ArtifactError> {
        let (hash, bytes) = hash_file(&product.file)?;
        self.directory("objects")?;
        if let Some(tree) = &product.tree {
            self.directory("trees")?;
            let target = self.tree(&hash);
            if !target.is_dir() {
                fs::rename(tree, &target).map_err(ArtifactError::io("create", &target))?;
            }
        }
        let object = self.object(&hash);
        fs::set_permissions(&product.file, Permissions::from_mode(0o444))
            .map_err(ArtifactError::io("change", &product.file))?;
        fs::rename(&product.file, &object).map_err(ArtifactError::io("create", &object))?;
        let entry = Entry {
            format: INDEX_FORMAT,
            name: name.to_owned(),
            version: product.version.clone(),
            recipe: recipe.to_owned(),
            hash,
            bytes,
            tree: product.tree.is_some(),
        };
        self.write_entry(&entry)?;
        Ok(entry)
    }

    fn write_entry(&self, entry: &Entry) -> Result<(), ArtifactError> {
        let index = self.directory("index")?;
        let path = index.join(format!("{}.json", entry.name));
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&index)?;
            serde_json::to_writer_pretty(&mut file, entry)?;
            file.write_all(b"\n")?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(ArtifactError::io("write", &path))
    }

    /// Removes everything, and tells how many bytes that freed. The locks stay, since another
    /// process may wait for one; the caller holds those of all names.
    pub(super) fn clean(&self) -> Result<u64, ArtifactError> {
        let (mut freed, mut seen) = (0, BTreeSet::new());
        // The index goes first: without it, what is left is only unused.
        for part in [
            "index", "known", "objects", "trees", "boots", "tmp", "apt", "build", "logs",
        ] {
            let path = self.root.join(part);
            freed += size_of(&path, &mut seen);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ArtifactError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(freed)
    }
}

/// The BLAKE3 hash of a file's content in hexadecimal digits, and its length in bytes.
///
/// # Errors
/// The file cannot be read or has more than [`SIZE_LIMIT`] bytes.
pub(super) fn hash_file(path: &Path) -> Result<(String, u64), ArtifactError> {
    let file = File::open(path).map_err(ArtifactError::io("read", path))?;
    let size = file
        .metadata()
        .map_err(ArtifactError::io("read", path))?
        .len();
    if size > SIZE_LIMIT {
        return Err(ArtifactError::TooLarge {
            path: path.to_owned(),
            size,
            limit: SIZE_LIMIT,
        });
    }
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(file.take(SIZE_LIMIT))
        .map_err(ArtifactError::io("read", path))?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}

/// The bytes of all files below `path`, each file counted once however many names it has, without
/// following links; what cannot be read counts as 0.
fn size_of(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !metadata.is_dir() {
        let counts = metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino()));
        return if counts { metadata.len() } else { 0 };
    }
    let Ok(children) = fs::read_dir(path) else {
        return 0;
    };
    children
        .flatten()
        .map(|child| size_of(&child.path(), seen))
        .sum()
}
