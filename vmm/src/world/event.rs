//! What a world tells of what happens in it.

use crate::machine::Stop;
use crate::time::VirtTime;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldEvent {
    /// When, in world time.
    pub time: VirtTime,
    /// The index of the node.
    pub node: Option<usize>,
    /// What.
    pub kind: WorldEventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorldEventKind {
    /// Bytes on the serial port.
    Console(Vec<u8>),
    /// The payload of an SDK message.
    Sdk(Vec<u8>),
    /// Bytes that the guest wrote to its control console.
    Control(Vec<u8>),
    /// A call to the SDK port that was refused, and why.
    BadSdkCall(&'static str),
    /// A processor has executed with interrupts off for [`crate::machine::PATIENCE_NS`] of the machine's
    /// time and longer.
    IgnoresInterrupts {
        /// The index of the vCPU.
        vcpu: u32,
        /// Its instruction pointer.
        rip: u64,
    },
    /// A processor that ignored interrupts would take one.
    TakesInterrupts {
        /// The index of the vCPU.
        vcpu: u32,
    },
    /// The machine ended by itself. It is down until it is started again.
    Stopped(Stop),
    /// The machine was switched on, for the first time or again.
    Started,
}
