//! What the storage needs of a disk, and real disks.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The smallest piece that is written, and the alignment of all accesses, in bytes.
pub const SECTOR: usize = 512;

/// A disk. All offsets and lengths are multiples of [`SECTOR`].
pub trait Device {
    /// The disk's size in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// If the disk says so; the buffer's content is then undefined.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` at `offset`. They may be lost until the next flush.
    ///
    /// # Errors
    /// If the disk says so; any part may then have been written.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// If the disk says so; any part may then be lost.
    fn flush(&mut self) -> io::Result<()>;

    /// Waits before an operation is tried for the `attempt`th time again.
    fn pause(&mut self, attempt: u32);
}

/// A block device of the machine, or a file in its place. It is used without the kernel's page cache
/// where that is possible, so that a failed write is known as such and can be repeated.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    size: u64,
    /// Longer than the longest access by what it takes to align it.
    buffer: Vec<u8>,
}

/// The longest access at once, in bytes.
const CHUNK: usize = 128 * 1024;

impl FileDevice {
    /// Opens the disk at `path`.
    ///
    /// # Errors
    /// If it can't be opened for reading and writing.
    pub fn open(path: &Path) -> io::Result<FileDevice> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        // Some file systems have no direct access; a file is then written through the page cache.
        let mut file = match options.clone().custom_flags(libc::O_DIRECT).open(path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => options.open(path)?,
            other => other?,
        };
        let size = file.seek(SeekFrom::End(0))? / SECTOR as u64 * SECTOR as u64;
        Ok(FileDevice {
            file,
            size,
            buffer: vec![0; CHUNK + 4096],
        })
    }

    /// The part of the buffer that begins at a page's boundary and is `length` bytes long.
    fn aligned(buffer: &mut [u8], length: usize) -> &mut [u8] {
        let start = buffer.as_ptr().align_offset(4096).min(buffer.len() - CHUNK);
        &mut buffer[start..start + length]
    }
}

impl Device for FileDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, mut offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        for chunk in buffer.chunks_mut(CHUNK) {
            let aligned = Self::aligned(&mut self.buffer, chunk.len());
            self.file.read_exact_at(aligned, offset)?;
            chunk.copy_from_slice(aligned);
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    fn write(&mut self, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(CHUNK) {
            let aligned = Self::aligned(&mut self.buffer, chunk.len());
            aligned.copy_from_slice(chunk);
            self.file.write_all_at(aligned, offset)?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn pause(&mut self, attempt: u32) {
        thread::sleep(Duration::from_millis(10 << attempt.min(5)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_serves_as_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::write(&path, vec![0; 300 * 1024 + 100]).unwrap();
        let mut device = FileDevice::open(&path).unwrap();
        assert_eq!(device.size(), 300 * 1024);
        let bytes: Vec<u8> = (0..200 * 1024u32).map(|i| (i / 7) as u8).collect();
        device.write(512, &bytes).unwrap();
        device.flush().unwrap();
        let mut back = vec![0; bytes.len()];
        device.read(512, &mut back).unwrap();
        assert!(back == bytes);
        assert!(device.read(300 * 1024 - 512, &mut back).is_err());
    }
}
