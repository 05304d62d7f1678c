//! Recordings as files: magic bytes, the version of the format, the BLAKE3 hash of what follows, and that,
//! which is JSON compressed with Zstandard.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Recording;

const MAGIC: &[u8; 8] = b"CRREC\r\n\0";
const VERSION: u32 = 1;
/// Magic, version, hash.
const FRONT: usize = 8 + 4 + 32;
/// The largest file, in bytes.
const FILE_MAX: u64 = 1 << 30;
/// The longest text in it, in bytes.
const TEXT_MAX: u64 = 4 << 30;
const LEVEL: i32 = 9;

/// Why a file is no recording that this chaosrun can use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no recording")]
    Magic,
    /// It is of another version.
    #[error("it has version {found} of the format, and this chaosrun knows version {VERSION}")]
    Version {
        /// The version that it has.
        found: u32,
    },
    /// It ends too soon, or bytes of it have changed.
    #[error("it is damaged: its content does not have the hash that it had when it was written")]
    Damaged,
    /// It is larger than any recording.
    #[error("it is larger than {FILE_MAX} bytes")]
    TooLarge,
    /// It is intact and says something that this chaosrun does not understand.
    #[error("it is not understood: {0}")]
    Text(#[from] serde_json::Error),
}

/// Writes a recording to a file, which is there as a whole or not at all.
///
/// # Errors
/// It can't be written.
pub fn write(path: &Path, recording: &Recording) -> Result<(), FileError> {
    let text = serde_json::to_vec(recording)?;
    let packed = zstd::encode_all(&text[..], LEVEL)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    // Readable for whoever may read the other reports.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(MAGIC)?;
    file.write_all(&VERSION.to_le_bytes())?;
    file.write_all(blake3::hash(&packed).as_bytes())?;
    file.write_all(&packed)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads a recording.
///
/// # Errors
/// It can't be read, or is not one.
pub fn read(path: &Path) -> Result<Recording, FileError> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FileError::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Recording, FileError> {
    if !bytes.starts_with(MAGIC) {
        return Err(FileError::Magic);
    }
    let front = bytes.first_chunk::<FRONT>().ok_or(FileError::Damaged)?;
    let found = u32::from_le_bytes([front[8], front[9], front[10], front[11]]);
    if found != VERSION {
        return Err(FileError::Version { found });
    }
    if blake3::hash(&bytes[FRONT..]).as_bytes() != &front[12..] {
        return Err(FileError::Damaged);
    }
    let mut text = Vec::new();
    let packed = zstd::Decoder::new(&bytes[FRONT..])?;
    packed.take(TEXT_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
