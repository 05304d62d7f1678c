//! Recordings as files: JSON, compressed with Zstandard, and sealed.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chaosrun_vmm::sealed::{Kind, SealError};

use super::Recording;

/// The version changes with what a [`Recording`] has.
const KIND: Kind = Kind {
    magic: *b"CRREC\r\n\0",
    version: 1,
};
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
    /// It is of another kind or version, or damaged.
    #[error(transparent)]
    Seal(#[from] SealError),
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
    file.write_all(&KIND.seal(&packed))?;
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
    let mut text = Vec::new();
    let packed = zstd::Decoder::new(KIND.open(bytes)?)?;
    packed.take(TEXT_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
