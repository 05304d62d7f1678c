//! The tables of fixed layout: FADT (ACPI 6.5, 5.2.9) and MADT (5.2.12).

use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::sdt::Sdt;

use super::{OEM_ID, OEM_REVISION, OEM_TABLE, bytes_of};
use crate::devices::{ioapic, lapic, reset, rtc};
use crate::ram::map;

/// The ID of the I/O APIC, which no local APIC has.
pub(in crate::machine) const IOAPIC_ID: u8 = 8;

/// IAPC_BOOT_ARCH: there is no VGA to probe for, and no PCIe power management to control. The bit
/// for a keyboard controller is not set, so that guests don't wait for one.
const BOOT_ARCH: u16 = 1 << 2 | 1 << 4;

/// Sizes and numbers of the MADT: its length without entries and the kinds of entries.
const MADT_HEADER: u32 = 44;
const MADT_REVISION: u8 = 5;
const ENTRY_LAPIC: u8 = 0;
const ENTRY_IOAPIC: u8 = 1;
const ENTRY_OVERRIDE: u8 = 2;
const ENTRY_LAPIC_NMI: u8 = 4;
/// The machine also has a pair of 8259 controllers.
const PCAT_COMPATIBLE: u32 = 1;
/// The vCPU can be used.
const ENABLED: u32 = 1;
/// All processors, where a processor's UID is asked for.
const EVERY_PROCESSOR: u8 = 0xff;

/// One byte of I/O space.
fn port(port: u16) -> GAS {
    GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        port.into(),
    )
}

/// The fixed description table, which points at the DSDT.
pub(super) fn fadt(dsdt: u64) -> Vec<u8> {
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE, OEM_REVISION)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Wbinvd)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    fadt.reset_reg = port(reset::RESET_PORT);
    fadt.reset_value = reset::RESET_VALUE;
    fadt.sleep_control_reg = port(reset::SLEEP_CONTROL_PORT);
    fadt.sleep_status_reg = port(reset::SLEEP_STATUS_PORT);
    fadt.century = rtc::CENTURY;
    fadt.iapc_boot_arch = BOOT_ARCH.into();
    bytes_of(&fadt.finalize())
}

/// The interrupt controllers: a local APIC per vCPU, the I/O APIC, and how ISA interrupt 0 and the
/// NMI are wired.
pub(super) fn madt(vcpus: u32) -> Vec<u8> {
    let mut madt = Sdt::new(
        *b"APIC",
        MADT_HEADER,
        MADT_REVISION,
        OEM_ID,
        OEM_TABLE,
        OEM_REVISION,
    );
    madt.write_u32(36, lapic::DEFAULT_BASE as u32);
    madt.write_u32(40, PCAT_COMPATIBLE);
    for vcpu in 0..vcpus as u8 {
        let enabled = ENABLED.to_le_bytes();
        madt.append_slice(&entry(ENTRY_LAPIC, &[&[vcpu, vcpu], &enabled]));
    }
    let base = (ioapic::BASE as u32).to_le_bytes();
    madt.append_slice(&entry(ENTRY_IOAPIC, &[&[IOAPIC_ID, 0], &base, &[0; 4]]));
    let (isa_bus, timer, conforming) = (0, 0, [0; 2]);
    let gsi = map::PIT_GSI.to_le_bytes();
    madt.append_slice(&entry(
        ENTRY_OVERRIDE,
        &[&[isa_bus, timer], &gsi, &conforming],
    ));
    let lint = 1;
    madt.append_slice(&entry(
        ENTRY_LAPIC_NMI,
        &[&[EVERY_PROCESSOR], &conforming, &[lint]],
    ));
    bytes_of(&madt)
}

/// An entry of the MADT: its kind, its length and its fields.
fn entry(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let mut entry = vec![kind, fields.len() as u8 + 2];
    entry.extend(fields);
    entry
}
