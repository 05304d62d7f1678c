//! Single instructions.

use core::arch::asm;

/// Writes a byte to a port.
pub fn out8(port: u16, value: u8) {
    // SAFETY: the machine has no port that changes this program's memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

/// Reads a byte from a port.
pub fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as for `out8`.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags));
    }
    value
}

/// Lets the other processors run: an access that leaves the guest and changes nothing.
pub fn relax() {
    in8(0x21);
}

/// Waits for one interrupt with interrupts on, and switches them off again.
pub fn wait() {
    // SAFETY: the handlers keep all registers. This program counts in memory what they do.
    unsafe { asm!("sti", "hlt", "cli") };
}

/// Takes interrupts that wait already, without waiting for another one. Both accesses leave the guest,
/// since an engine may deliver interrupts only there.
pub fn take_pending() {
    // SAFETY: as for `wait`; the port has the interrupt mask, which is only read.
    unsafe { asm!("sti", "nop", "in al, 0x21", "in al, 0x21", "cli", out("al") _) };
}

/// Halts with interrupts off, which only an NMI ends.
pub fn halt_forever() {
    // SAFETY: nothing happens.
    unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
}

/// Reads a model-specific register that is known to exist.
pub fn rdmsr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect on this program.
    unsafe {
        asm!("rdmsr", in("ecx") index, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The value must be one that this program can go on with.
pub unsafe fn wrmsr(index: u32, value: u64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("wrmsr", in("ecx") index, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack));
    }
}

/// EAX, EBX, ECX and EDX of a CPUID leaf.
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let result = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    [result.eax, result.ebx, result.ecx, result.edx]
}

/// Reads a 32-bit register of a device in memory.
pub fn read32(address: u64) -> u32 {
    // SAFETY: only called with the addresses of the interrupt controllers.
    unsafe { (address as *const u32).read_volatile() }
}

/// Writes a 32-bit register of a device in memory.
pub fn write32(address: u64, value: u32) {
    // SAFETY: as for `read32`.
    unsafe { (address as *mut u32).write_volatile(value) };
}
