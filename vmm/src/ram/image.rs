//! What RAM held, in a file of memory: machines that begin with it map the file and get a page of their own
//! where they write. So beginning costs neither the size of RAM nor what it holds.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use chaosrun_x86::PAGE_SIZE;
use vm_memory::{FileOffset, MmapRegion};

use super::hashes::PageHashes;
use super::pages::Pages;

/// The content of a RAM, which never changes.
pub(super) struct RamImage {
    file: Arc<File>,
    /// The same content.
    pub pages: Pages,
    pub hashes: PageHashes,
}

impl fmt::Debug for RamImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RamImage").finish_non_exhaustive()
    }
}

impl RamImage {
    /// Copies what RAM held into a file of memory.
    ///
    /// # Errors
    /// If the host has no room for it.
    pub fn new(pages: Pages) -> io::Result<Self> {
        let file = memory_file()?;
        file.set_len(pages.count() as u64 * PAGE_SIZE)?;
        let mut hashes = PageHashes::new(pages.count() as u64);
        let mut written = Ok(());
        pages.each(&mut |index, bytes| {
            hashes.update(index.into(), bytes);
            if written.is_ok() {
                written = file.write_all_at(bytes, u64::from(index) * PAGE_SIZE);
            }
        });
        written?;
        seal(&file)?;
        Ok(Self {
            file: Arc::new(file),
            pages,
            hashes,
        })
    }

    /// Maps it. What is written to the mapping is not written to the image.
    ///
    /// # Errors
    /// If the host refuses the mapping.
    pub fn map(&self) -> Result<MmapRegion<()>, vm_memory::mmap::MmapRegionError> {
        let size = self.pages.count() * PAGE_SIZE as usize;
        let file = FileOffset::from_arc(Arc::clone(&self.file), 0);
        MmapRegion::build(
            Some(file),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_NORESERVE | libc::MAP_PRIVATE,
        )
    }
}

/// A file that has no name and is not on any disk.
fn memory_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create("chaosrun-ram", flags)?.into())
}

/// From now on nobody can change the file, whose mappings would change as well.
fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(fcntl_add_seals(file, seals)?)
}
