//! Tries every device and interrupt path of a machine and prints what it finds on the serial line.
//!
//! What it prints must not depend on how fast instructions are, so that two engines whose virtual time
//! differs print the same. Between its parts it stops at a *mark*: every timer is off, and it waits for
//! a byte on the serial line, so that whoever runs it can look at the devices' states.

#![no_std]
#![no_main]

mod apic;
mod console;
mod cpu;
mod entry;
mod ioapic;
mod memory;
mod part;
mod pit;
mod rtc;
mod smp;
mod trap;
mod user;
mod x2apic;

use console::{line, mark};

/// Switches the machine off, as ACPI with hardware-reduced registers does: sleep type 5.
fn power_off() -> ! {
    cpu::out8(0x600, 5 << 2 | 1 << 5);
    loop {
        cpu::halt_forever();
    }
}

/// Entered in 64-bit mode with a stack and interrupts off.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    line("chaosrun bare conformance");
    trap::install();
    console::try_port();
    apic::enable();
    ioapic::route_serial();
    mark("start");
    part::exceptions();
    mark("exceptions");
    part::identity();
    part::registers();
    mark("identity");
    memory::paging();
    mark("paging");
    user::user_mode();
    mark("user");
    apic::timer();
    mark("apic timer");
    apic::interrupts();
    mark("ipi");
    pit::run();
    mark("pit");
    ioapic::run();
    mark("ioapic");
    rtc::run();
    mark("rtc");
    smp::run();
    mark("smp");
    x2apic::run();
    mark("x2apic");
    line("done");
    power_off()
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    line("PANIC");
    power_off()
}
