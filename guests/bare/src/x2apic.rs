//! The local APIC through model-specific registers.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::apic::{
    self, ID, SELF_VECTOR, SPURIOUS, TIMER, TIMER_DIVIDE, TIMER_INITIAL, TIMER_VECTOR,
};
use crate::console::value;
use crate::{cpu, faults, trap};

const APIC_BASE: u32 = 0x1b;
const SELF_INTERRUPT: u32 = 0x83f;
const ENABLED: u64 = 1 << 10;

static ON: AtomicBool = AtomicBool::new(false);

/// Whether the first processor's local APIC is in this mode.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

fn register(offset: u64) -> u32 {
    0x800 + (offset >> 4) as u32
}

/// Writes the register that memory has at `offset`.
pub fn write(offset: u64, value: u64) {
    // SAFETY: only called with registers of the local APIC, as which this program knows them.
    unsafe { cpu::wrmsr(register(offset), value) };
}

/// Switches over and tries the registers.
pub fn run() {
    faults!("x2apic register too early", "mov ecx, 0x802", "rdmsr");
    // SAFETY: from here on only this module's way is used.
    unsafe { cpu::wrmsr(APIC_BASE, cpu::rdmsr(APIC_BASE) | ENABLED) };
    ON.store(true, Ordering::Relaxed);
    value("x2apic base", cpu::rdmsr(APIC_BASE));
    value("x2apic id", cpu::rdmsr(register(ID)));
    value("x2apic logical id", cpu::rdmsr(register(0xd0)));
    value("x2apic spurious", cpu::rdmsr(register(SPURIOUS)));
    let before = trap::count(SELF_VECTOR);
    // SAFETY: an interrupt that this program has a handler for.
    unsafe { cpu::wrmsr(SELF_INTERRUPT, SELF_VECTOR.into()) };
    cpu::take_pending();
    value(
        "x2apic self interrupt",
        (trap::count(SELF_VECTOR) - before).into(),
    );
    let before = trap::count(TIMER_VECTOR);
    write(TIMER_DIVIDE, 0xb);
    write(TIMER, TIMER_VECTOR.into());
    write(TIMER_INITIAL, 25_000);
    apic::wait_for(TIMER_VECTOR, before, 1);
    value("x2apic timer", (trap::count(TIMER_VECTOR) - before).into());
    write(TIMER_INITIAL, 0);
    faults!("x2apic reserved register", "mov ecx, 0x80e", "rdmsr");
    faults!(
        "x2apic identity is for reading",
        "mov ecx, 0x802",
        "xor eax, eax",
        "xor edx, edx",
        "wrmsr"
    );
}
