//! The I/O APIC: identity, routing, masking, levels; and the old controllers behind it.

use crate::console::{check, value};
use crate::{cpu, pit, trap};

const SELECT: u64 = 0xfec0_0000;
const WINDOW: u64 = 0xfec0_0010;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;

/// The serial port's interrupt.
pub const SERIAL_VECTOR: u8 = 0x30;
const SERIAL_PIN: u32 = 4;
const PIT_VECTOR: u8 = 0x31;
pub const PIT_PIN: u32 = 2;

/// The vectors of the old controllers.
const PIC_BASE: u8 = 0x50;

pub fn read(register: u32) -> u32 {
    cpu::write32(SELECT, register);
    cpu::read32(WINDOW)
}

pub fn write(register: u32, value: u32) {
    cpu::write32(SELECT, register);
    cpu::write32(WINDOW, value);
}

/// Routes a pin to a vector of the first processor.
pub fn route(pin: u32, low: u32) {
    write(0x11 + 2 * pin, 0);
    write(0x10 + 2 * pin, low);
}

/// The serial port's pin, masked.
pub fn route_serial() {
    // The old controllers are silent.
    cpu::out8(0x21, 0xff);
    cpu::out8(0xa1, 0xff);
    route(SERIAL_PIN, u32::from(SERIAL_VECTOR) | MASKED);
}

/// Lets the serial port's interrupt through, or not.
pub fn unmask_serial(through: bool) {
    let masked = if through { 0 } else { MASKED };
    route(SERIAL_PIN, u32::from(SERIAL_VECTOR) | masked);
}

/// Tries the I/O APIC with the timer's interrupt, then the old controllers.
pub fn run() {
    value("ioapic version", read(1).into());
    value("ioapic id", read(0).into());
    route(PIT_PIN, u32::from(PIT_VECTOR) | MASKED | LEVEL);
    value("ioapic entry", read(0x10 + 2 * PIT_PIN).into());
    route(PIT_PIN, u32::from(PIT_VECTOR) | MASKED);
    pit::one_shot(1_000);
    let silent = pit::wait_for_output();
    check(
        "masked pin is silent",
        silent && trap::count(PIT_VECTOR) == 0,
    );
    route(PIT_PIN, PIT_VECTOR.into());
    pit::one_shot(1_000);
    while trap::count(PIT_VECTOR) == 0 {
        cpu::wait();
    }
    value("routed pin", trap::count(PIT_VECTOR).into());
    pit::stop();
    route(PIT_PIN, u32::from(PIT_VECTOR) | MASKED);
    old_controllers();
}

/// The 8259 pair, by the local APIC's first pin as external interrupts.
fn old_controllers() {
    const LINT0: u64 = 0x350;
    crate::apic::write(LINT0, 7 << 8);
    for (port, value) in [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, PIC_BASE),
        (0xa1, PIC_BASE + 8),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, 0xfe),
        (0xa1, 0xff),
    ] {
        cpu::out8(port, value);
    }
    pit::one_shot(1_000);
    while trap::count(PIC_BASE) == 0 {
        cpu::wait();
    }
    value("old controller", trap::count(PIC_BASE).into());
    cpu::out8(0x20, 0x0b);
    value("in service", cpu::in8(0x20).into());
    cpu::out8(0x20, 0x20);
    cpu::out8(0x20, 0x0b);
    value("after its end", cpu::in8(0x20).into());
    pit::stop();
    cpu::out8(0x21, 0xff);
    crate::apic::write(LINT0, 1 << 16);
}
