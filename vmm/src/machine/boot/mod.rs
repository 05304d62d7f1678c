//! Puts a kernel, its initrd and its boot parameters into guest RAM, by the 64-bit boot protocol of
//! Linux.
//!
//! An ELF executable is loaded as it is, so that programs without an operating system boot the same
//! way. Of a bzImage the compressed ELF kernel inside is unpacked on the host and loaded; the
//! decompressor in front of it never runs, so neither does kernel address randomisation.

pub mod bzimage;
pub mod elf;
mod entry;
mod params;
pub mod unpack;

use std::ops::Range;

use chaosrun_x86::{CpuState, PAGE_SIZE};
use linux_loader::loader::bootparam::setup_header;
use serde::{Deserialize, Serialize};
use vm_memory::ByteValued;

pub use bzimage::BzImageError;
pub use elf::ElfError;
pub use unpack::UnpackError;

use crate::ram::GuestRam;
use crate::ram::map;

/// Why a machine can't be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel is an ELF file, or contains one, that can't be loaded.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The kernel is not a usable bzImage.
    #[error(transparent)]
    BzImage(#[from] BzImageError),
    /// The compressed kernel inside a bzImage can't be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The initrd does not fit between the kernel and the end of usable RAM.
    #[error(
        "the initrd has {size} bytes, but only {room} bytes of RAM are free behind the kernel; \
         give the machine more memory"
    )]
    InitrdTooLarge {
        /// The size of the initrd in bytes.
        size: u64,
        /// The bytes that there are for it.
        room: u64,
    },
    /// The command line is longer than the kernel takes.
    #[error("the kernel command line has {size} bytes, but this kernel takes at most {max}")]
    CmdlineTooLong {
        /// The length of the command line in bytes.
        size: usize,
        /// The longest that is possible.
        max: usize,
    },
    /// The command line contains a zero byte, which would end it.
    #[error("the kernel command line contains a zero byte at position {at}")]
    CmdlineZero {
        /// The index of the zero byte.
        at: usize,
    },
    /// The machine has too little RAM even for the boot structures.
    #[error("the boot structures don't fit into {size} bytes of RAM")]
    RamTooSmall {
        /// The size of the RAM in bytes.
        size: u64,
    },
}

/// What to boot.
#[derive(Debug, Clone, Copy)]
pub struct BootSource<'a> {
    /// An ELF executable or a bzImage.
    pub kernel: &'a [u8],
    /// The initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The physical address of the RSDP.
    pub rsdp: u64,
    /// What the kernel seeds its random numbers with; without it a kernel without RDRAND gathers
    /// entropy from timing for seconds.
    pub random: [u8; 32],
}

/// Where things were put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// The physical address of the entry point.
    pub entry: u64,
    /// The physical addresses of the kernel.
    pub kernel: Range<u64>,
    /// The physical addresses of the initrd.
    pub initrd: Option<Range<u64>>,
}

impl Booted {
    /// The state in which the first vCPU starts, made of its state after power-on.
    pub fn entry_state(&self, reset: CpuState) -> CpuState {
        entry::enter(reset, self.entry)
    }
}

/// Loads `source` into `ram`.
///
/// # Errors
/// If a file is malformed or does not fit.
pub fn load(ram: &mut GuestRam, source: &BootSource<'_>) -> Result<Booted, BootError> {
    let (header, loaded) = load_kernel(ram, source.kernel)?;
    let cmdline = cmdline(source.cmdline, &header)?;
    let initrd = match source.initrd {
        Some(bytes) if !bytes.is_empty() => {
            let place = place_initrd(bytes.len() as u64, loaded.range.end, ram.low(), &header)?;
            store(ram, place.start, bytes)?;
            Some(place)
        }
        _ => None,
    };
    let e820 = params::e820(ram.low(), ram.high());
    let zero_page = params::zero_page(header, &e820, initrd.clone(), source.rsdp);
    store(ram, map::SETUP_DATA, &params::random_seed(&source.random))?;
    store(ram, map::BOOT_PARAMS, zero_page.as_slice())?;
    store(ram, map::CMDLINE, &cmdline)?;
    store(ram, map::BOOT_GDT, &entry::gdt())?;
    store(ram, map::BOOT_PAGE_TABLES, &entry::page_tables())?;
    store(ram, map::FIRMWARE_ENTRY, &entry::FIRMWARE)?;
    Ok(Booted {
        entry: loaded.entry,
        kernel: loaded.range,
        initrd,
    })
}

/// Loads an ELF file, or the one inside a bzImage.
fn load_kernel(
    ram: &mut GuestRam,
    kernel: &[u8],
) -> Result<(setup_header, elf::Loaded), BootError> {
    if kernel.starts_with(b"\x7fELF") {
        return Ok((params::plain_header(), elf::load(ram, kernel)?));
    }
    let image = bzimage::parse(kernel)?;
    let unpacked = unpack::unpack_shared(image.payload)?;
    Ok((image.header, elf::load(ram, &unpacked)?))
}

/// The command line with its terminating zero.
fn cmdline(text: &str, header: &setup_header) -> Result<Vec<u8>, BootError> {
    let room = map::CMDLINE_SIZE as usize - 1;
    let max = room.min(header.cmdline_size as usize);
    if text.len() > max {
        return Err(BootError::CmdlineTooLong {
            size: text.len(),
            max,
        });
    }
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        return Err(BootError::CmdlineZero { at });
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    Ok(bytes)
}

/// Places an initrd of `size` bytes as high as the kernel permits, on a page boundary.
fn place_initrd(
    size: u64,
    kernel_end: u64,
    low: u64,
    header: &setup_header,
) -> Result<Range<u64>, BootError> {
    let limit = low.min(u64::from(header.initrd_addr_max) + 1);
    let bottom = kernel_end.next_multiple_of(PAGE_SIZE);
    let room = (limit & !(PAGE_SIZE - 1)).saturating_sub(bottom);
    if size > room {
        return Err(BootError::InitrdTooLarge { size, room });
    }
    let start = (limit - size) & !(PAGE_SIZE - 1);
    Ok(start..start + size)
}

fn store(ram: &mut GuestRam, at: u64, bytes: &[u8]) -> Result<(), BootError> {
    if ram.write(at, bytes) {
        Ok(())
    } else {
        Err(BootError::RamTooSmall { size: ram.size() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE_AT: u64 = 0x10_0000;

    fn kernel() -> Vec<u8> {
        elf::tests::executable(CODE_AT, b"\xf4\xeb\xfd", 0x1000)
    }

    fn source<'a>(kernel: &'a [u8], initrd: Option<&'a [u8]>) -> BootSource<'a> {
        BootSource {
            kernel,
            initrd,
            cmdline: "console=ttyS0",
            rsdp: 0xe_0000,
            random: [7; 32],
        }
    }

    fn read(ram: &GuestRam, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        assert!(ram.read(at, &mut bytes));
        bytes
    }

    #[test]
    fn elf_kernel_and_initrd_are_in_place() {
        let mut ram = GuestRam::new(8 << 20).unwrap();
        let initrd = [7; 5000];
        let booted = load(&mut ram, &source(&kernel(), Some(&initrd))).unwrap();
        assert_eq!(booted.entry, CODE_AT);
        let place = booted.initrd.unwrap();
        assert_eq!(place, (8 << 20) - 0x2000..(8 << 20) - 0x2000 + 5000);
        assert_eq!(read(&ram, place.start, 5000), initrd);
        assert_eq!(read(&ram, map::CMDLINE, 14), b"console=ttyS0\0");
        assert_eq!(
            read(&ram, map::BOOT_PARAMS + 0x1fe, 6),
            [0x55, 0xaa, 0, 0, b'H', b'd']
        );
    }

    #[test]
    fn bzimage_is_unpacked_and_its_kernel_loaded() {
        let mut ram = GuestRam::new(8 << 20).unwrap();
        let image = bzimage::tests::image(&zstd::encode_all(&kernel()[..], 1).unwrap());
        let booted = load(&mut ram, &source(&image, None)).unwrap();
        assert_eq!(booted.entry, CODE_AT);
        assert_eq!(booted.initrd, None);
        assert_eq!(read(&ram, CODE_AT, 3), b"\xf4\xeb\xfd");
    }

    #[test]
    fn initrd_larger_than_ram_is_refused_with_the_room_there_is() {
        let mut ram = GuestRam::new(4 << 20).unwrap();
        let initrd = vec![1; 4 << 20];
        let error = load(&mut ram, &source(&kernel(), Some(&initrd))).unwrap_err();
        let room = (4 << 20) - 0x10_1000;
        assert!(
            matches!(error, BootError::InitrdTooLarge { size: 0x40_0000, room: r } if r == room)
        );
        let fits = vec![1; room as usize];
        assert!(load(&mut ram, &source(&kernel(), Some(&fits))).is_ok());
    }

    #[test]
    fn initrd_stays_below_the_address_that_the_kernel_names() {
        let header = setup_header {
            initrd_addr_max: 0x2f_ffff,
            ..params::plain_header()
        };
        let place = place_initrd(0x1001, CODE_AT, 1 << 30, &header).unwrap();
        assert_eq!(place, 0x2f_e000..0x2f_f001);
        let above = place_initrd(1, 0x40_0000, 1 << 30, &header).unwrap_err();
        assert!(matches!(above, BootError::InitrdTooLarge { room: 0, .. }));
    }

    #[test]
    fn command_lines_that_do_not_fit_are_refused() {
        let header = params::plain_header();
        assert!(cmdline(&"x".repeat(2047), &header).is_ok());
        let long = cmdline(&"x".repeat(2048), &header).unwrap_err();
        assert!(matches!(
            long,
            BootError::CmdlineTooLong {
                size: 2048,
                max: 2047
            }
        ));
        assert!(matches!(
            cmdline("a\0b", &header),
            Err(BootError::CmdlineZero { at: 1 })
        ));
    }

    #[test]
    fn files_that_are_no_kernels_are_refused() {
        let mut ram = GuestRam::new(4 << 20).unwrap();
        for kernel in [&b""[..], b"#!/bin/sh", &[0; 4096], &[0xff; 4096]] {
            let error = load(&mut ram, &source(kernel, None)).unwrap_err();
            assert!(matches!(error, BootError::BzImage(_)), "{error}");
        }
    }

    #[test]
    fn bzimage_whose_payload_is_no_kernel_is_refused() {
        let mut ram = GuestRam::new(4 << 20).unwrap();
        let image = bzimage::tests::image(&zstd::encode_all(&b"text"[..], 1).unwrap());
        let error = load(&mut ram, &source(&image, None)).unwrap_err();
        assert!(
            matches!(error, BootError::Elf(ElfError::Truncated { .. })),
            "{error}"
        );
    }

    #[test]
    fn the_seed_of_the_random_numbers_is_on_the_setup_data_list() {
        let mut ram = GuestRam::new(8 << 20).unwrap();
        load(&mut ram, &source(&kernel(), None)).unwrap();
        let list = read(&ram, map::BOOT_PARAMS + 0x250, 8);
        assert_eq!(list, map::SETUP_DATA.to_le_bytes());
        let data = read(&ram, map::SETUP_DATA, 48);
        assert_eq!(data[..8], [0; 8], "it is the last element");
        assert_eq!(data[8..16], [9, 0, 0, 0, 32, 0, 0, 0]);
        assert_eq!(data[16..], [7; 32]);
    }
}
