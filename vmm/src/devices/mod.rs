//! The devices of a machine, one folder each.
//!
//! A device is a plain state struct plus pure steps. A step takes an access or the arrival of a
//! moment and returns effects as data; the machine applies them. A device has no thread, no clock
//! and no input or output of its own, so that saving, restoring, logging and testing it are the
//! same for all of them.

use crate::time::VirtTime;

pub mod ioapic;
pub mod lapic;
pub mod pic;
pub mod pit;
pub mod reset;
pub mod rtc;
pub mod sdk;
pub mod serial;
pub mod virtio;

/// What a device's step does to the rest of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The level of an interrupt line into the IOAPIC and the PIC changed.
    Irq {
        /// Below 16 an ISA interrupt, which reaches the PIC's input of that number and the IOAPIC's
        /// pin [`ioapic::pin_of_line`]; from 16 on a global system interrupt, which only the IOAPIC
        /// sees.
        line: u32,
        /// Whether the line is now asserted.
        asserted: bool,
    },
    /// A processor's local APIC has to be told something.
    Ipi(Ipi),
    /// The PIC pair's output changed. It is wired to LINT0 of the local APICs: see
    /// [`lapic::LapicState::set_lint`].
    Intr {
        /// Whether the PIC now requests an interrupt.
        asserted: bool,
    },
    /// A local APIC finished a level-triggered interrupt: see [`ioapic::IoapicState::eoi`].
    Eoi {
        /// The vector of the interrupt.
        vector: u8,
    },
    /// Bytes went out on the serial line.
    Console(Vec<u8>),
    /// A frame left a network interface.
    Frame {
        /// The index of the network interface.
        nic: usize,
        /// The frame, without its check sequence.
        bytes: Vec<u8>,
    },
    /// Bytes went out on the control console.
    Control(Vec<u8>),
    /// A program sent an SDK message.
    Sdk(Vec<u8>),
    /// A program called the SDK port in a way that can't be served, for this reason.
    BadSdkCall(&'static str),
    /// The guest asked for power-off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
}

/// A message on the interrupt bus between local APICs and the IOAPIC (Intel SDM vol. 3, 11.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipi {
    /// Delivery mode: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 6 start-up, 7 ExtINT.
    pub mode: u8,
    /// The vector; for a start-up IPI the page number of the entry point.
    pub vector: u8,
    /// Whether the trigger mode is level.
    pub level: bool,
    /// Whether this is an INIT de-assert, which modern processors ignore.
    pub deassert: bool,
    /// Whom it is for.
    pub destination: Destination,
}

/// The destination of an interrupt message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Physical or logical destination field, to be matched by each local APIC.
    Field {
        /// Whether the field is a logical destination.
        logical: bool,
        /// The destination field, 8 bits in xAPIC mode, 32 in x2APIC mode.
        id: u32,
    },
    /// The sender itself, as a CPU index.
    Oneself(u32),
    /// All CPUs.
    All,
    /// All CPUs but the sender.
    Others(u32),
}

/// The next moment at which a device wants to be stepped, if any. The machine asks after each step.
pub type Deadline = Option<VirtTime>;
