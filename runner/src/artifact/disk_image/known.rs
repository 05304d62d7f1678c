//! Hashes of files that have been hashed before.
//!
//! For each path a file in the cache's directory `known` has the hash and the file's [`Stamp`]: device,
//! inode, size and times. While they are the same, so is the content, with one exception that git calls
//! racy: a file that is written twice within the grain of its file system's clock looks the same after
//! the second time. So a hash is remembered only if the file had not been touched for a while when
//! hashing began. What writes through a map of the file (as a virtual machine may that still uses the
//! image) can change it without touching its times until the kernel writes it out; such a writer must
//! have ended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Stamp;
use super::hash::hash_content;
use crate::artifact::cache::Cache;

/// How long a file must not have been touched, in seconds. The coarsest clock, FAT's, has steps of 2 s.
const SETTLED: i64 = 3;

/// Files that are smaller are hashed in no time.
const REMEMBERED: u64 = 8 << 20;

/// With more files than these the memory is begun anew.
const MOST: usize = 4096;

/// The version of an entry's format; others count as absent.
const FORMAT: u32 = 1;

/// What is remembered of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    format: u32,
    stamp: Stamp,
    blake3: String,
}

/// The hash of a disk's content in hexadecimal digits, with its length in bytes, remembered by the
/// user's cache if there is one.
///
/// # Errors
/// The file can't be read or is no regular file.
pub(crate) fn hash_known(path: &Path) -> io::Result<(String, u64)> {
    let cache = Cache::of_user().ok();
    let known = cache.map(|cache| cache.root().join("known"));
    let (_, stamp, hash) = open(path, known.as_deref())?;
    Ok((hash, stamp.size))
}

/// Opens a disk's content and tells its hash, which the directory `known` may have.
///
/// # Errors
/// The file can't be read, is no regular file, or is being changed.
pub(super) fn open(path: &Path, known: Option<&Path>) -> io::Result<(File, Stamp, String)> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let stamp = Stamp::of(&meta);
    let place = known
        .filter(|_| stamp.size >= REMEMBERED)
        .and_then(|known| Some((known, place(known, path)?)));
    if let Some(hash) = place.as_ref().and_then(|(_, entry)| recall(entry, &stamp)) {
        return Ok((file, stamp, hash));
    }
    // Not to remember costs time only, so what goes wrong with it is of no account.
    let settled = place
        .as_ref()
        .and_then(|(known, _)| is_settled(&stamp, known).ok());
    let hash = hash_content(&file, stamp.size)?.to_hex().to_string();
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(io::Error::other("it was changed while it was being read"));
    }
    if let (Some(true), Some((known, entry))) = (settled, &place) {
        let _ = remember(known, entry, stamp, &hash);
    }
    Ok((file, stamp, hash))
}

/// Where a path's entry is.
fn place(known: &Path, path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let name = blake3::hash(path.as_os_str().as_bytes()).to_hex();
    Some(known.join(format!("{:.32}.json", name.as_str())))
}

fn recall(entry: &Path, stamp: &Stamp) -> Option<String> {
    let entry: Entry = serde_json::from_slice(&fs::read(entry).ok()?).ok()?;
    let same = entry.format == FORMAT && entry.stamp == *stamp;
    (same && blake3::Hash::from_hex(&entry.blake3).is_ok()).then_some(entry.blake3)
}

/// Whether a file has not been touched for a while. What time it is now, a new file of the cache tells.
fn is_settled(stamp: &Stamp, known: &Path) -> io::Result<bool> {
    fs::create_dir_all(known)?;
    let now = tempfile::tempfile_in(known)?.metadata()?.mtime();
    let touched = stamp.modified.0.max(stamp.changed.0);
    Ok(touched.saturating_add(SETTLED) <= now)
}

fn remember(known: &Path, path: &Path, stamp: Stamp, hash: &str) -> io::Result<()> {
    if fs::read_dir(known)?.count() > MOST {
        fs::remove_dir_all(known)?;
        fs::create_dir_all(known)?;
    }
    let entry = Entry {
        format: FORMAT,
        stamp,
        blake3: hash.to_owned(),
    };
    let mut file = tempfile::NamedTempFile::new_in(known)?;
    serde_json::to_writer(&mut file, &entry)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}
