//! Compression of an initial RAM disk.

use std::io::Write;

use flate2::GzBuilder;

use super::InitrdError;

/// How an archive is compressed. The guest has to decompress it, at the price of about a hundred
/// instructions per byte; so an uncompressed one boots fastest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952), without name and time.
    Gzip,
    /// Zstandard (RFC 8878), in one frame whose window every kernel accepts.
    Zstd,
}

impl Compression {
    /// Compresses.
    pub(super) fn apply(self, archive: Vec<u8>) -> Result<Vec<u8>, InitrdError> {
        let compressed = match self {
            Self::None => Ok(archive),
            Self::Gzip => gzip(&archive),
            // Level 9 has a window of 4 MiB; the kernel's limit is 128 MiB.
            Self::Zstd => zstd::bulk::compress(&archive, 9),
        };
        compressed.map_err(|source| InitrdError::Compress { source })
    }
}

fn gzip(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    // "Unknown" as operating system, so that the bytes do not tell where they were made.
    let builder = GzBuilder::new().mtime(0).operating_system(255);
    let mut writer = builder.write(Vec::new(), flate2::Compression::new(6));
    writer.write_all(archive)?;
    writer.finish()
}
