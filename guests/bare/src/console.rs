//! The serial line, and the marks on it.

use crate::{cpu, ioapic, trap};

const PORT: u16 = 0x3f8;
const INTERRUPT_ENABLE: u16 = PORT + 1;
const IDENTIFICATION: u16 = PORT + 2;
const LINE_CONTROL: u16 = PORT + 3;
const LINE_STATUS: u16 = PORT + 5;
const SCRATCH: u16 = PORT + 7;
const RECEIVED: u8 = 1;

/// Prints a text.
pub fn text(text: &str) {
    for byte in text.bytes() {
        cpu::out8(PORT, byte);
    }
}

/// Prints a text and ends the line.
pub fn line(words: &str) {
    text(words);
    text("\n");
}

/// Prints a number in hexadecimal, without leading zeros.
pub fn hex(value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let nibble = (value >> (4 * digit) & 15) as u8;
        cpu::out8(
            PORT,
            if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            },
        );
    }
}

/// Prints `name: value`.
pub fn value(name: &str, value: u64) {
    text(name);
    text(": ");
    hex(value);
    text("\n");
}

/// Prints `name: ok` or `name: FAILED`.
pub fn check(name: &str, holds: bool) {
    text(name);
    line(if holds { ": ok" } else { ": FAILED" });
}

/// The registers of the serial port by themselves.
pub fn try_port() {
    cpu::out8(SCRATCH, 0xa5);
    value("serial scratch", cpu::in8(SCRATCH).into());
    cpu::out8(LINE_CONTROL, 0x83);
    cpu::out8(PORT, 1);
    value("serial divisor", cpu::in8(PORT).into());
    cpu::out8(LINE_CONTROL, 0x03);
    value("serial line status", cpu::in8(LINE_STATUS).into());
    value("serial identification", cpu::in8(IDENTIFICATION).into());
}

/// Ends a part: prints its name behind a `#` and waits for a byte. The devices' states are the same on
/// every engine while it waits.
pub fn mark(name: &str) {
    text("# ");
    line(name);
    ioapic::unmask_serial(true);
    cpu::out8(INTERRUPT_ENABLE, RECEIVED);
    let before = trap::count(ioapic::SERIAL_VECTOR);
    while trap::count(ioapic::SERIAL_VECTOR) == before {
        cpu::wait();
    }
    while cpu::in8(LINE_STATUS) & 1 != 0 {
        cpu::in8(PORT);
    }
    cpu::out8(INTERRUPT_ENABLE, 0);
    ioapic::unmask_serial(false);
}
