//! Why a CPU stopped running.

/// The reason for which [`crate::Cpu::run`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The instruction budget is used up, to the exact instruction.
    Budget,
    /// The bus asked the CPU to stop after an instruction that accessed it.
    Stop,
    /// Interrupts became acceptable after [`crate::Cpu::request_interrupt_window`].
    InterruptWindow,
    /// HLT (or MWAIT) retired; the CPU waits for an interrupt.
    Halt,
    /// A triple fault (Intel SDM vol. 3, 6.15): the machine resets.
    TripleFault,
    /// The guest executed something that this CPU does not implement. The run cannot go on.
    Unimplemented(Box<Unimplemented>),
}

/// An instruction, or a use of one, that this CPU does not implement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "vCPU {vcpu} executed {what} ({bytes:02x?}) at {rip:#x} in {mode} mode, which is not implemented"
)]
pub struct Unimplemented {
    /// The index of the virtual CPU.
    pub vcpu: u32,
    /// The instruction in Intel syntax, or a description of what about it is missing.
    pub what: String,
    /// The bytes of the instruction.
    pub bytes: Vec<u8>,
    /// The instruction pointer.
    pub rip: u64,
    /// The processor mode: `16-bit`, `32-bit` or `64-bit`.
    pub mode: &'static str,
}
