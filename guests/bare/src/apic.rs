//! The local APIC through memory: its registers, its timer, and interrupts to oneself.

use crate::console::{check, value};
use crate::{cpu, trap, x2apic};

const BASE: u64 = 0xfee0_0000;
pub const ID: u64 = 0x20;
const VERSION: u64 = 0x30;
const TASK_PRIORITY: u64 = 0x80;
pub const END_OF_INTERRUPT: u64 = 0xb0;
const DESTINATION_FORMAT: u64 = 0xe0;
const LOGICAL_DESTINATION: u64 = 0xd0;
pub const SPURIOUS: u64 = 0xf0;
const ERROR_STATUS: u64 = 0x280;
const COMMAND_LOW: u64 = 0x300;
const COMMAND_HIGH: u64 = 0x310;
pub const TIMER: u64 = 0x320;
const ERROR: u64 = 0x370;
pub const TIMER_INITIAL: u64 = 0x380;
pub const TIMER_CURRENT: u64 = 0x390;
pub const TIMER_DIVIDE: u64 = 0x3e0;

pub const SPURIOUS_VECTOR: u8 = 0xff;
pub const TIMER_VECTOR: u8 = 0x40;
pub const SELF_VECTOR: u8 = 0x41;
const HIGH_VECTOR: u8 = 0x91;
const ERROR_VECTOR: u8 = 0x42;
const MASKED: u32 = 1 << 16;
const PERIODIC: u32 = 1 << 17;
/// To oneself, fixed.
const TO_SELF: u32 = 1 << 18;
const NMI: u32 = 4 << 8;

fn read(register: u64) -> u32 {
    cpu::read32(BASE + register)
}

pub fn write(register: u64, value: u32) {
    cpu::write32(BASE + register, value);
}

/// Sends an interrupt message.
pub fn command(destination: u32, low: u32) {
    write(COMMAND_HIGH, destination << 24);
    write(COMMAND_LOW, low);
}

/// Ends the interrupt in service, by whatever way the local APIC is accessed.
pub fn end_of_interrupt() {
    if x2apic::is_on() {
        x2apic::write(END_OF_INTERRUPT, 0);
    } else {
        write(END_OF_INTERRUPT, 0);
    }
}

/// Switches the local APIC of this processor on.
pub fn enable() {
    value("apic id", read(ID).into());
    value("apic version", read(VERSION).into());
    value("apic spurious before", read(SPURIOUS).into());
    value("apic format", read(DESTINATION_FORMAT).into());
    write(SPURIOUS, 0x100 | u32::from(SPURIOUS_VECTOR));
    write(LOGICAL_DESTINATION, 1 << 24);
    write(TASK_PRIORITY, 0);
}

/// Waits until `vector` came `times` more often than `before`.
pub fn wait_for(vector: u8, before: u32, times: u32) {
    while trap::count(vector) - before < times {
        cpu::wait();
    }
}

/// The timer: one shot, periodic, masked, divided, and read while it counts.
pub fn timer() {
    write(TIMER_DIVIDE, 0xb);
    value("timer divide", read(TIMER_DIVIDE).into());
    let before = trap::count(TIMER_VECTOR);
    write(TIMER, TIMER_VECTOR.into());
    write(TIMER_INITIAL, 25_000);
    wait_for(TIMER_VECTOR, before, 1);
    check("one shot", trap::count(TIMER_VECTOR) == before + 1);
    value("one shot is over", read(TIMER_CURRENT).into());
    // With one shot there is no second interrupt: halting now would never end.
    write(TIMER, u32::from(TIMER_VECTOR) | PERIODIC);
    write(TIMER_DIVIDE, 3);
    write(TIMER_INITIAL, 1_000);
    wait_for(TIMER_VECTOR, before + 1, 10);
    write(TIMER_INITIAL, 0);
    check("periodic", trap::count(TIMER_VECTOR) >= before + 11);
    // Masked: it counts down and stays silent.
    let before = trap::count(TIMER_VECTOR);
    write(TIMER, u32::from(TIMER_VECTOR) | MASKED);
    write(TIMER_DIVIDE, 0xb);
    write(TIMER_INITIAL, 1_000_000);
    let first = read(TIMER_CURRENT);
    check("current count", first <= 1_000_000 && first > 0);
    let goes_on = (0..10_000).any(|_| read(TIMER_CURRENT) < first);
    check("it counts down", goes_on);
    write(TIMER_INITIAL, 1);
    let silent = (0..100).all(|_| {
        cpu::take_pending();
        trap::count(TIMER_VECTOR) == before
    });
    check("masked timer is silent", silent);
    write(TIMER_INITIAL, 0);
}

/// Interrupts to oneself: fixed, by priority, held off, NMI, and an illegal one.
pub fn interrupts() {
    let before = trap::count(SELF_VECTOR);
    write(COMMAND_LOW, TO_SELF | u32::from(SELF_VECTOR));
    cpu::take_pending();
    value("self interrupt", (trap::count(SELF_VECTOR) - before).into());
    // The higher class first, whichever was sent first.
    write(COMMAND_LOW, TO_SELF | u32::from(SELF_VECTOR));
    write(COMMAND_LOW, TO_SELF | u32::from(HIGH_VECTOR));
    value("requested low", read(0x200 + 0x20).into());
    value("requested high", read(0x200 + 0x40).into());
    cpu::wait();
    let both = trap::count(HIGH_VECTOR) == 1;
    cpu::take_pending();
    check("higher class came", both);
    value("both came", (trap::count(SELF_VECTOR) - before).into());
    // The task priority, in memory and in CR8, holds off what is not above it.
    write(TASK_PRIORITY, 0x50);
    let priority: u64;
    // SAFETY: reading CR8 has no effect.
    unsafe { core::arch::asm!("mov {}, cr8", out(reg) priority) };
    value("priority in cr8", priority);
    write(COMMAND_LOW, TO_SELF | u32::from(SELF_VECTOR));
    cpu::take_pending();
    value("held off", (trap::count(SELF_VECTOR) - before).into());
    // SAFETY: lowers the priority.
    unsafe { core::arch::asm!("mov cr8, {}", in(reg) 0u64) };
    cpu::take_pending();
    value("let through", (trap::count(SELF_VECTOR) - before).into());
    value("priority in memory", read(TASK_PRIORITY).into());
    let nmis = trap::count(2);
    command(read(ID) >> 24, NMI);
    cpu::relax();
    value("nmi", (trap::count(2) - nmis).into());
    // A vector below 16 is illegal: an error interrupt.
    write(ERROR, ERROR_VECTOR.into());
    write(ERROR_STATUS, 0);
    write(COMMAND_LOW, TO_SELF | 3);
    write(ERROR_STATUS, 0);
    value("error status", read(ERROR_STATUS).into());
    cpu::take_pending();
    value("error interrupt", trap::count(ERROR_VECTOR).into());
    write(ERROR, MASKED);
}
