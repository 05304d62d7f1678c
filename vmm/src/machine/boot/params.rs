//! The zero page of the Linux boot protocol (Linux, Documentation/arch/x86/zero-page.rst).

use std::ops::Range;

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};

use super::bzimage::{BOOT_FLAG, HEADER_MAGIC, LOADED_HIGH};
use crate::ram::map;

/// E820 type of usable RAM.
const E820_RAM: u32 = 1;
/// E820 type of memory that the kernel must leave alone.
const E820_RESERVED: u32 = 2;
/// The protocol version claimed for a kernel without a setup header of its own.
const PROTOCOL: u16 = 0x020f;
/// A boot loader without an assigned number.
const LOADER_OTHER: u8 = 0xff;
/// The alignment of x86-64 kernels.
const KERNEL_ALIGNMENT: u32 = 0x20_0000;
/// The longest command line of an x86 kernel, without the terminating zero.
const CMDLINE_SIZE: u32 = 2047;
/// The highest address of an initrd that a kernel accepts unless its header tells otherwise.
const INITRD_ADDRESS_MAX: u32 = 0x7fff_ffff;

/// The setup header for a kernel that comes as a plain ELF file.
pub(super) fn plain_header() -> setup_header {
    setup_header {
        boot_flag: BOOT_FLAG,
        header: HEADER_MAGIC,
        version: PROTOCOL,
        loadflags: LOADED_HIGH,
        kernel_alignment: KERNEL_ALIGNMENT,
        cmdline_size: CMDLINE_SIZE,
        initrd_addr_max: INITRD_ADDRESS_MAX,
        ..setup_header::default()
    }
}

/// The memory map that the guest is given: RAM and what is reserved in the first mebibyte.
pub(super) fn e820(low: u64, high: u64) -> Vec<boot_e820_entry> {
    let entry = |range: Range<u64>, kind| boot_e820_entry {
        addr: range.start,
        size: range.end - range.start,
        r#type: kind,
    };
    let mut entries = vec![
        entry(0..map::CONVENTIONAL_END, E820_RAM),
        entry(map::CONVENTIONAL_END..map::HIGH_MEMORY, E820_RESERVED),
        entry(map::HIGH_MEMORY..low, E820_RAM),
    ];
    if high > 0 {
        entries.push(entry(
            map::HIGH_RAM_START..map::HIGH_RAM_START + high,
            E820_RAM,
        ));
    }
    entries
}

/// `SETUP_RNG_SEED` (Linux, `asm/setup_data.h`).
const RNG_SEED: u32 = 9;

/// The only `setup_data` of the boot protocol's list: a seed.
pub(super) fn random_seed(seed: &[u8; 32]) -> Vec<u8> {
    let mut data = Vec::with_capacity(16 + seed.len());
    data.extend(0u64.to_le_bytes());
    data.extend(RNG_SEED.to_le_bytes());
    data.extend((seed.len() as u32).to_le_bytes());
    data.extend(seed);
    data
}

/// The zero page.
pub(super) fn zero_page(
    header: setup_header,
    e820: &[boot_e820_entry],
    initrd: Option<Range<u64>>,
    rsdp: u64,
) -> boot_params {
    let mut params = boot_params {
        hdr: header,
        acpi_rsdp_addr: rsdp,
        ..boot_params::default()
    };
    params.hdr.type_of_loader = LOADER_OTHER;
    params.hdr.cmd_line_ptr = map::CMDLINE as u32;
    params.hdr.setup_data = map::SETUP_DATA;
    if let Some(initrd) = initrd {
        // `place_initrd` keeps it below 4 GiB.
        params.hdr.ramdisk_image = initrd.start as u32;
        params.hdr.ramdisk_size = (initrd.end - initrd.start) as u32;
    }
    let mut table = params.e820_table;
    table[..e820.len()].copy_from_slice(e820);
    params.e820_table = table;
    params.e820_entries = e820.len() as u8;
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(low: u64, high: u64) -> Vec<(u64, u64, u32)> {
        e820(low, high)
            .iter()
            .map(|entry| (entry.addr, entry.addr + entry.size, entry.r#type))
            .collect()
    }

    #[test]
    fn memory_map_covers_ram_and_leaves_the_hole() {
        assert_eq!(
            ranges(0xc000_0000, 0x8000_0000),
            [
                (0, 0x9_fc00, E820_RAM),
                (0x9_fc00, 0x10_0000, E820_RESERVED),
                (0x10_0000, 0xc000_0000, E820_RAM),
                (0x1_0000_0000, 0x1_8000_0000, E820_RAM),
            ]
        );
        assert_eq!(ranges(64 << 20, 0).len(), 3);
    }

    #[test]
    fn zero_page_tells_command_line_initrd_and_acpi() {
        let page = zero_page(
            plain_header(),
            &e820(1 << 26, 0),
            Some(0x300_0000..0x300_1234),
            0xe_0000,
        );
        let header = page.hdr;
        assert_eq!({ header.cmd_line_ptr }, 0x2_0000);
        assert_eq!(
            ({ header.ramdisk_image }, { header.ramdisk_size }),
            (0x300_0000, 0x1234)
        );
        assert_eq!(({ page.acpi_rsdp_addr }, page.e820_entries), (0xe_0000, 3));
        assert_eq!(
            ({ header.boot_flag }, { header.header }),
            (0xaa55, 0x5372_6448)
        );
        assert_eq!(header.type_of_loader, 0xff);
    }
}
