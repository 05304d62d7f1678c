//! The ACPI tables that tell a guest what the machine has: RSDP, XSDT, FADT, MADT and DSDT.
//!
//! The machine is *hardware-reduced* (ACPI 6.5, 4.1): it has no ACPI hardware registers but the sleep
//! and reset registers, so that power-off and reset are single port writes.

mod dsdt;
mod fixed;

pub use dsdt::VirtioSlot;
pub(super) use fixed::IOAPIC_ID;

use acpi_tables::Aml;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;

use crate::ram::GuestRam;
use crate::ram::map;

/// Who made the tables.
const OEM_ID: [u8; 6] = *b"CHAOSR";
const OEM_TABLE: [u8; 8] = *b"CHAOSRUN";
const OEM_REVISION: u32 = 1;
/// Tables start at a multiple of this many bytes; the RSDP has to (ACPI 6.5, 5.2.5.1).
const ALIGNMENT: usize = 16;

/// Why the tables could not be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcpiError {
    /// They do not fit where firmware keeps them.
    #[error("the ACPI tables take {size} bytes, but there is room for {room} only")]
    TooLarge {
        /// Their size in bytes.
        size: usize,
        /// The room in bytes.
        room: usize,
    },
    /// A virtio device has no place in the memory map.
    #[error(
        "a machine has at most {} virtio devices, so there is no device number {index}",
        map::VIRTIO_MMIO_MAX
    )]
    VirtioIndex {
        /// The index of the device.
        index: u32,
    },
}

/// Writes the tables to RAM and returns the physical address of the RSDP.
///
/// # Errors
/// If they do not fit or a virtio device has no place.
pub(super) fn install(
    ram: &mut GuestRam,
    vcpus: u32,
    virtio: &[VirtioSlot],
) -> Result<u64, AcpiError> {
    if let Some(slot) = virtio
        .iter()
        .find(|slot| slot.index >= map::VIRTIO_MMIO_MAX)
    {
        return Err(AcpiError::VirtioIndex { index: slot.index });
    }
    let bytes = tables(vcpus, virtio);
    let room = (map::ACPI_TABLES_END - map::ACPI_TABLES) as usize;
    if bytes.len() > room || !ram.write(map::ACPI_TABLES, &bytes) {
        return Err(AcpiError::TooLarge {
            size: bytes.len(),
            room,
        });
    }
    Ok(map::ACPI_TABLES)
}

/// All tables as they lie at [`map::ACPI_TABLES`].
fn tables(vcpus: u32, virtio: &[VirtioSlot]) -> Vec<u8> {
    let mut area = vec![0; Rsdp::len()];
    let dsdt = append(&mut area, &dsdt::dsdt(virtio));
    let fadt = append(&mut area, &fixed::fadt(dsdt));
    let madt = append(&mut area, &fixed::madt(vcpus));
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE, OEM_REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = append(&mut area, &bytes_of(&xsdt));
    let rsdp = bytes_of(&Rsdp::new(OEM_ID, xsdt));
    area[..rsdp.len()].copy_from_slice(&rsdp);
    area
}

/// Appends a table to the area and returns its physical address.
fn append(area: &mut Vec<u8>, table: &[u8]) -> u64 {
    area.resize(area.len().next_multiple_of(ALIGNMENT), 0);
    let address = map::ACPI_TABLES + area.len() as u64;
    area.extend_from_slice(table);
    address
}

fn bytes_of(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    /// The table at physical address `at`, whose length and checksum are right.
    fn table(area: &[u8], at: u64) -> &[u8] {
        let from = (at - map::ACPI_TABLES) as usize;
        let table = &area[from..from + u32_at(area, from + 4) as usize];
        assert_eq!(
            sum(table),
            0,
            "checksum of {}",
            String::from_utf8_lossy(&table[..4])
        );
        table
    }

    /// Finds FADT and MADT from the RSDP on, as a guest does.
    fn walk(area: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        assert_eq!(&area[..8], b"RSD PTR ");
        assert_eq!((sum(&area[..20]), sum(&area[..36])), (0, 0));
        let xsdt = table(area, u64_at(area, 24));
        assert_eq!(&xsdt[..4], b"XSDT");
        let tables: Vec<&[u8]> = xsdt[36..]
            .chunks(8)
            .map(|entry| table(area, u64_at(entry, 0)))
            .collect();
        assert_eq!(
            (&tables[0][..4], &tables[1][..4]),
            (&b"FACP"[..], &b"APIC"[..])
        );
        let dsdt = table(area, u64_at(tables[0], 140));
        assert_eq!(&dsdt[..4], b"DSDT");
        (tables[0].to_vec(), tables[1].to_vec(), dsdt.to_vec())
    }

    #[test]
    fn checksums_and_pointers_are_right_for_every_machine() {
        for vcpus in 1..=8 {
            let slots: Vec<_> = (0..vcpus).map(|index| VirtioSlot { index }).collect();
            walk(&tables(vcpus, &slots));
        }
    }

    #[test]
    fn fadt_is_hardware_reduced_with_reset_and_sleep_registers() {
        let (fadt, ..) = walk(&tables(1, &[]));
        let flags = u32_at(&fadt, 112);
        assert_eq!(flags & (1 << 20 | 1 << 10), 1 << 20 | 1 << 10);
        // Address space 1 is I/O; the address follows four bytes into the structure.
        assert_eq!((fadt[116], u64_at(&fadt, 120), fadt[128]), (1, 0x602, 1));
        assert_eq!((fadt[244], u64_at(&fadt, 248)), (1, 0x600));
        assert_eq!((fadt[256], u64_at(&fadt, 260)), (1, 0x601));
        assert_eq!(fadt[108], 0x32);
    }

    #[test]
    fn madt_lists_every_vcpu_the_ioapic_and_the_timer_override() {
        let (_, madt, _) = walk(&tables(3, &[]));
        assert_eq!(u32_at(&madt, 36), 0xfee0_0000);
        let mut entries = Vec::new();
        let mut at = 44;
        while at < madt.len() {
            let length = usize::from(madt[at + 1]);
            entries.push(&madt[at..at + length]);
            at += length;
        }
        let cpus: Vec<u8> = entries.iter().filter(|e| e[0] == 0).map(|e| e[3]).collect();
        assert_eq!(cpus, [0, 1, 2]);
        let ioapic = entries.iter().find(|e| e[0] == 1).unwrap();
        assert_eq!((u32_at(ioapic, 4), u32_at(ioapic, 8)), (0xfec0_0000, 0));
        let timer = entries.iter().find(|e| e[0] == 2 && e[3] == 0).unwrap();
        assert_eq!(u32_at(timer, 4), 2);
    }

    #[test]
    fn dsdt_has_power_off_serial_clock_and_the_virtio_devices_asked_for() {
        let contains = |dsdt: &[u8], text: &[u8]| dsdt.windows(text.len()).any(|w| w == text);
        let (.., plain) = walk(&tables(1, &[]));
        assert!(
            contains(&plain, b"_S5_") && contains(&plain, b"COM1") && contains(&plain, b"RTC_")
        );
        assert!(!contains(&plain, b"LNRO0005"));
        let (.., dsdt) = walk(&tables(1, &[VirtioSlot { index: 2 }]));
        assert!(contains(&dsdt, b"LNRO0005"));
        assert!(contains(&dsdt, &0xd000_2000u32.to_le_bytes()));
    }

    #[test]
    fn most_virtio_devices_fit_and_one_more_is_refused() {
        let mut ram = GuestRam::new(4 << 20).unwrap();
        let mut slots: Vec<_> = (0..64).map(|index| VirtioSlot { index }).collect();
        assert_eq!(install(&mut ram, 8, &slots), Ok(map::ACPI_TABLES));
        slots.push(VirtioSlot { index: 64 });
        assert_eq!(
            install(&mut ram, 8, &slots),
            Err(AcpiError::VirtioIndex { index: 64 })
        );
    }
}
