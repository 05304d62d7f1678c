//! The fixed map of a machine's physical addresses and ports.
//!
//! Nothing here depends on the host or on a machine's configuration, so that a snapshot means the
//! same on every engine.

/// RAM below this address is the *low* range; the rest of the RAM starts at [`HIGH_RAM_START`].
pub const LOW_RAM_MAX: u64 = 0xc000_0000;
/// The first address above the 32-bit device hole.
pub const HIGH_RAM_START: u64 = 1 << 32;

/// The global descriptor table that the boot code leaves to the kernel.
pub const BOOT_GDT: u64 = 0x500;
/// The zero page (`boot_params`) of the Linux boot protocol.
pub const BOOT_PARAMS: u64 = 0x7000;
/// The identity page tables: one PML4, one PDPT and four page directories of 2 MiB pages.
pub const BOOT_PAGE_TABLES: u64 = 0x9000;
/// Bytes that the identity page tables take.
pub const BOOT_PAGE_TABLES_SIZE: u64 = 0x6000;
/// The `setup_data` with which the kernel seeds its random numbers.
pub const SETUP_DATA: u64 = 0x1_0000;
/// The kernel's command line.
pub const CMDLINE: u64 = 0x2_0000;
/// Room for the command line with its terminating zero.
pub const CMDLINE_SIZE: u64 = 0x1_0000;
/// The end of conventional memory; what follows up to 1 MiB is reserved.
pub const CONVENTIONAL_END: u64 = 0x9_fc00;
/// The ACPI tables, in the area in which firmware keeps them; the RSDP comes first.
pub const ACPI_TABLES: u64 = 0xe_0000;
/// The end of the area for ACPI tables.
pub const ACPI_TABLES_END: u64 = 0xf_0000;
/// F000:FFF0, where software in real mode enters the firmware to have the machine restarted.
pub const FIRMWARE_ENTRY: u64 = 0xf_fff0;
/// Where RAM starts that belongs to the kernel alone.
pub const HIGH_MEMORY: u64 = 0x10_0000;

// What the machine puts into the first mebibyte lies apart: the table of descriptors, the zero page, a page
// of stack, the page tables, the seed, the command line, and the firmware's area.
const _: () = {
    assert!(BOOT_GDT < BOOT_PARAMS);
    assert!(BOOT_PARAMS + 0x2000 <= BOOT_PAGE_TABLES);
    assert!(BOOT_PAGE_TABLES + BOOT_PAGE_TABLES_SIZE <= SETUP_DATA);
    assert!(SETUP_DATA < CMDLINE && CMDLINE + CMDLINE_SIZE <= CONVENTIONAL_END);
    assert!(CONVENTIONAL_END <= ACPI_TABLES && ACPI_TABLES_END <= FIRMWARE_ENTRY);
    assert!(FIRMWARE_ENTRY < HIGH_MEMORY && HIGH_MEMORY < LOW_RAM_MAX);
    assert!(LOW_RAM_MAX <= VIRTIO_MMIO);
    assert!(VIRTIO_MMIO + VIRTIO_MMIO_MAX as u64 * VIRTIO_MMIO_STRIDE <= HIGH_RAM_START);
};

/// The first virtio-mmio device; device `n` lies at `VIRTIO_MMIO + n * VIRTIO_MMIO_STRIDE`.
pub const VIRTIO_MMIO: u64 = 0xd000_0000;
/// The distance between virtio-mmio devices, which is also the size of each.
pub const VIRTIO_MMIO_STRIDE: u64 = 0x1000;
/// The most virtio-mmio devices that one machine has.
pub const VIRTIO_MMIO_MAX: u32 = 64;

/// The interrupt line of the CMOS clock.
pub const RTC_IRQ: u32 = 8;
/// The global system interrupt that the timer's ISA interrupt 0 is wired to.
pub const PIT_GSI: u32 = 2;
/// The first of the eight global system interrupts that virtio-mmio devices share.
pub const VIRTIO_GSI: u32 = 16;
