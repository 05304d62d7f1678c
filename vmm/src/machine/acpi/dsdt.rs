//! The DSDT: the devices that a guest can't find by itself, as AML (ACPI 6.5, chapters 6 and 20).

use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use serde::{Deserialize, Serialize};

use super::{OEM_ID, OEM_REVISION, OEM_TABLE, bytes_of};
use crate::devices::{reset, serial};
use crate::ram::map;

/// The length of a table header.
const HEADER: u32 = 36;
const REVISION: u8 = 6;
/// The interrupts that virtio devices share.
const VIRTIO_GSIS: u32 = 8;
/// The first of the two ports of the CMOS clock.
const RTC_PORT: u16 = 0x70;

/// A virtio-mmio device that the firmware announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioSlot {
    /// Its index, from zero, which decides its address and interrupt.
    pub index: u32,
}

impl VirtioSlot {
    /// The physical address of its registers.
    pub fn address(self) -> u64 {
        map::VIRTIO_MMIO + u64::from(self.index) * map::VIRTIO_MMIO_STRIDE
    }

    /// Its global system interrupt: level-triggered, active high, and shared with other slots.
    pub fn gsi(self) -> u32 {
        map::VIRTIO_GSI + self.index % VIRTIO_GSIS
    }
}

/// The differentiated system description table.
pub(super) fn dsdt(virtio: &[VirtioSlot]) -> Vec<u8> {
    let mut aml = power_off();
    aml.extend(serial_port());
    aml.extend(clock());
    for slot in virtio {
        aml.extend(virtio_device(*slot));
    }
    let mut dsdt = Sdt::new(*b"DSDT", HEADER, REVISION, OEM_ID, OEM_TABLE, OEM_REVISION);
    dsdt.append_slice(&aml);
    bytes_of(&dsdt)
}

/// `\_S5`: the sleep type that switches the machine off.
fn power_off() -> Vec<u8> {
    bytes_of(&Name::new(
        "_S5_".into(),
        &Package::new(vec![&reset::SLEEP_TYPE_S5]),
    ))
}

fn serial_port() -> Vec<u8> {
    bytes_of(&Scope::new(
        "_SB_".into(),
        vec![&Device::new(
            "COM1".into(),
            vec![
                &Name::new("_HID".into(), &EISAName::new("PNP0501")),
                &Name::new("_UID".into(), &0u8),
                &Name::new(
                    "_CRS".into(),
                    &ResourceTemplate::new(vec![
                        &IO::new(serial::PORT, serial::PORT, 1, 8),
                        &Interrupt::new(true, true, false, false, serial::IRQ),
                    ]),
                ),
            ],
        )],
    ))
}

fn clock() -> Vec<u8> {
    bytes_of(&Scope::new(
        "_SB_".into(),
        vec![&Device::new(
            "RTC_".into(),
            vec![
                &Name::new("_HID".into(), &EISAName::new("PNP0B00")),
                &Name::new(
                    "_CRS".into(),
                    &ResourceTemplate::new(vec![
                        &IO::new(RTC_PORT, RTC_PORT, 1, 2),
                        &Interrupt::new(true, true, false, false, map::RTC_IRQ),
                    ]),
                ),
            ],
        )],
    ))
}

fn virtio_device(slot: VirtioSlot) -> Vec<u8> {
    // `map` keeps these below 4 GiB.
    let (base, size) = (slot.address() as u32, map::VIRTIO_MMIO_STRIDE as u32);
    bytes_of(&Scope::new(
        "_SB_".into(),
        vec![&Device::new(
            format!("VR{:02X}", slot.index).as_str().into(),
            vec![
                &Name::new("_HID".into(), &"LNRO0005"),
                &Name::new("_UID".into(), &slot.index),
                &Name::new("_CCA".into(), &1u8),
                &Name::new(
                    "_CRS".into(),
                    &ResourceTemplate::new(vec![
                        &Memory32Fixed::new(true, base, size),
                        &Interrupt::new(true, false, false, true, slot.gsi()),
                    ]),
                ),
            ],
        )],
    ))
}
