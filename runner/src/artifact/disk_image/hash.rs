//! The hash of a disk's content.
//!
//! It is BLAKE3 over a fixed text, the length, and the number and BLAKE3 of each block of 64 KiB that is
//! not all zeros, numbers as 8 bytes in little-endian order. So a sparse file and a full copy of it have
//! the same hash, and the holes of a file of a terabyte cost nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use blake3::{Hash, Hasher};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// What is hashed on its own.
const BLOCK: u64 = 64 << 10;

/// How much is read at once, a multiple of a block.
const READ: u64 = 1 << 20;

/// What the hash of a disk begins with, so that it is never that of something else.
const DOMAIN: &[u8] = b"chaosrun disk 1";

/// Hashes the first `size` bytes of a file.
///
/// # Errors
/// It can't be read or is shorter.
pub(super) fn hash_content(file: &File, size: u64) -> io::Result<Hash> {
    let mut hasher = Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(&size.to_le_bytes());
    let mut buffer = vec![0; READ as usize];
    let mut at = 0;
    while at < size {
        let data = zeros_until(file, at, size);
        if data >= size {
            break;
        }
        // A block that is a hole in part is read as a whole.
        at = data / BLOCK * BLOCK;
        let part = &mut buffer[..READ.min(size - at) as usize];
        file.read_exact_at(part, at)?;
        for (number, block) in (at / BLOCK..).zip(part.chunks(BLOCK as usize)) {
            if !is_zeros(block) {
                hasher.update(&number.to_le_bytes());
                hasher.update(blake3::hash(block).as_bytes());
            }
        }
        at += READ;
    }
    Ok(hasher.finalize())
}

/// The start of the first data of a sparse file at `offset` or behind it; its size if there are none.
/// Where the file system does not know, everything counts as data.
pub(super) fn zeros_until(file: &File, offset: u64, size: u64) -> u64 {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.clamp(offset, size.max(offset)),
        // There are no data behind the offset, or it is behind the end.
        Err(Errno::NXIO) => size.max(offset),
        Err(_) => offset,
    }
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}
