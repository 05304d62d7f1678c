//! What a CPU sees of the machine around it: memory-mapped devices, ports, and the model-specific
//! registers that live in the interrupt controller or in the machine's clock.

/// One access that leaves the CPU, with the moment at which it happens.
///
/// The moment is a count of retired instructions, the only clock a CPU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The index of the virtual CPU that makes the access.
    pub vcpu: u32,
    /// Instructions that this CPU has retired before the one that makes the access.
    pub retired: u64,
    /// Set by the bus when the CPU has to leave [`crate::Cpu::run`] after this instruction, for
    /// example because an interrupt became pending or a timer moved.
    pub stop: bool,
}

/// The machine as the CPU sees it. Sizes are in bytes (1, 2, 4 or 8); values are zero-extended.
pub trait Bus {
    /// Reads `size` bytes at guest-physical address `gpa`, which is not RAM.
    fn read_mmio(&mut self, at: &mut Access, gpa: u64, size: u8) -> u64;
    /// Writes `size` bytes at guest-physical address `gpa`, which is not RAM.
    fn write_mmio(&mut self, at: &mut Access, gpa: u64, size: u8, value: u64);
    /// Reads an I/O port (`size` 1, 2 or 4).
    fn read_port(&mut self, at: &mut Access, port: u16, size: u8) -> u32;
    /// Writes an I/O port (`size` 1, 2 or 4).
    fn write_port(&mut self, at: &mut Access, port: u16, size: u8, value: u32);
    /// Reads a model-specific register that the CPU itself does not own: IA32_APIC_BASE,
    /// IA32_TSC_DEADLINE, the x2APIC range. `None` raises #GP(0).
    fn read_msr(&mut self, at: &mut Access, index: u32) -> Option<u64>;
    /// Writes such a register. `false` raises #GP(0).
    fn write_msr(&mut self, at: &mut Access, index: u32, value: u64) -> bool;
    /// Whether the local APIC is on, which CPUID tells: IA32_APIC_BASE.EN.
    fn apic_enabled(&mut self, _: &mut Access) -> bool {
        true
    }
    /// The time stamp counter before IA32_TSC_ADJUST is added.
    fn read_tsc(&mut self, at: &mut Access) -> u64;
    /// IA32_TSC_ADJUST changed to `adjust`, so that TSC deadlines lie elsewhere in time now.
    fn tsc_adjusted(&mut self, at: &mut Access, adjust: u64);
    /// Reads CR8, the task priority of the local APIC.
    fn read_cr8(&mut self, at: &mut Access) -> u64;
    /// Writes CR8. Only the low four bits are significant.
    fn write_cr8(&mut self, at: &mut Access, value: u64);
    /// A 64-bit random number for RDRAND and RDSEED.
    fn random(&mut self, at: &mut Access) -> u64;
}
