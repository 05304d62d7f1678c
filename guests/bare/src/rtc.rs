//! The CMOS clock.

use crate::console::{check, value};
use crate::{cpu, ioapic, trap};

const VECTOR: u8 = 0x38;
const PIN: u32 = 8;
const MASKED: u32 = 1 << 16;
const PERIODIC: u8 = 1 << 6;
const UPDATE: u8 = 1 << 4;
const FULL_DAY: u8 = 1 << 1;

fn read(register: u8) -> u8 {
    cpu::out8(0x70, register);
    cpu::in8(0x71)
}

fn write(register: u8, value: u8) {
    cpu::out8(0x70, register);
    cpu::out8(0x71, value);
}

/// Waits for one more interrupt, without telling the clock that it was taken.
fn wait() {
    let before = trap::count(VECTOR);
    while trap::count(VECTOR) == before {
        cpu::wait();
    }
}

/// Date, memory, and interrupts. It ends with an interrupt that the clock is not asked about, so that
/// nothing of its state depends on when it was last read.
pub fn run() {
    for (name, register) in [
        ("year", 9),
        ("month", 8),
        ("day", 7),
        ("hours", 4),
        ("minutes", 2),
    ] {
        value(name, read(register).into());
    }
    value("control b", read(0xb).into());
    value("control d", read(0xd).into());
    write(0x40, 0x5a);
    value("cmos memory", read(0x40).into());
    ioapic::route(PIN, VECTOR.into());
    // 1024 interrupts in a second; each has to be asked about before the next one.
    write(0xb, FULL_DAY | PERIODIC);
    for _ in 0..3 {
        wait();
        check("periodic", read(0xc) & 0xc0 == 0xc0);
    }
    write(0xb, FULL_DAY | UPDATE);
    read(0xc);
    wait();
    let second = read(0);
    check("update", read(0xc) & 0x90 == 0x90);
    wait();
    ioapic::route(PIN, u32::from(VECTOR) | MASKED);
    value("interrupts of the clock", trap::count(VECTOR).into());
    value("a second", second.into());
}
