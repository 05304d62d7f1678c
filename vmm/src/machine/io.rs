//! What a machine gives to the world around it and takes from it.

use serde::{Deserialize, Serialize};

use crate::invariant::invariant;
use crate::time::VirtTime;

/// Outputs that are kept until somebody takes them.
const OUTPUTS_MAX: usize = 1 << 16;
/// Bytes in them.
const BYTES_MAX: usize = 64 << 20;
/// Console output that is kept, in bytes.
const CONSOLE_MAX: usize = 16 << 20;
/// The longest piece of console output.
const LINE_MAX: usize = 4096;

/// Something that a machine gave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// When, in the machine's own time; the moment of the first byte for the console.
    pub time: VirtTime,
    /// What.
    pub kind: OutputKind,
}

/// What a machine gives out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputKind {
    /// An Ethernet frame without its check sequence.
    Frame {
        /// The index of the network interface.
        nic: usize,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Everything else, which no machine takes.
    Event(MachineEvent),
}

/// What a machine reports to those who watch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineEvent {
    /// The payload of an SDK message.
    Sdk(Vec<u8>),
    /// Bytes that the guest wrote to its control console.
    Control(Vec<u8>),
    /// Bytes on the serial port, split at line ends and where something else came between.
    Console(Vec<u8>),
    /// A call to the SDK port that was refused, and why.
    BadSdkCall(String),
    /// A vCPU has executed with interrupts off for [`super::PATIENCE_NS`] of the machine's time and longer.
    IgnoresInterrupts {
        /// The index of the vCPU.
        vcpu: u32,
        /// Its instruction pointer.
        rip: u64,
    },
    /// A vCPU that ignored interrupts would take one.
    TakesInterrupts {
        /// The index of the vCPU.
        vcpu: u32,
    },
}

/// Something that a machine takes at the present moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// An Ethernet frame without its check sequence arrives. It is dropped and counted if the guest
    /// has no buffer for it.
    Frame {
        /// The index of the network interface.
        nic: usize,
        /// The frame.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Bytes for the control console, which wait until the guest reads them.
    Control(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A pulse on an interrupt line: below 16 an ISA interrupt, from there on a global system
    /// interrupt. It changes nothing while a device asserts the line.
    Irq {
        /// The line.
        line: u32,
    },
    /// A non-maskable interrupt.
    Nmi {
        /// The index of the vCPU.
        vcpu: u32,
    },
    /// An interrupt of the local APIC's timer although the timer has not expired.
    TimerNow {
        /// The index of the vCPU.
        vcpu: u32,
    },
}

impl Input {
    /// Whether it is an interrupt, which no device of the guest has asked for.
    pub fn is_interrupt(&self) -> bool {
        match self {
            Self::Irq { .. } | Self::Nmi { .. } | Self::TimerNow { .. } => true,
            Self::Frame { .. } | Self::Control(_) => false,
        }
    }
}

/// Outputs that nobody has taken yet. Too many are dropped and counted, which the guest can't see.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs {
    waiting: Vec<Output>,
    bytes: usize,
    console_bytes: usize,
    dropped: u64,
    console_lost: u64,
    /// Whether each piece of console output stays by itself.
    apart: bool,
}

impl Outputs {
    /// From now on each piece of console output stays by itself, with its moment.
    pub fn keep_bytes_apart(&mut self) {
        self.apart = true;
    }

    /// Adds an output.
    pub fn push(&mut self, time: VirtTime, kind: OutputKind) {
        let len = kind.bytes().len();
        if self.waiting.len() >= OUTPUTS_MAX || self.bytes + len > BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes += len;
        self.add(Output { time, kind });
    }

    /// Adds an output behind the others, which are in the order of their times.
    fn add(&mut self, output: Output) {
        invariant!(
            self.waiting
                .last()
                .is_none_or(|last| last.time <= output.time),
            "an output came before the last one"
        );
        self.waiting.push(output);
        // One more is a piece of console output, to which the rest of the console is added.
        invariant!(
            self.waiting.len() <= OUTPUTS_MAX + 1,
            "too many outputs are kept"
        );
    }

    /// Adds console output, to the line that is there already if nothing came between.
    pub fn print(&mut self, time: VirtTime, bytes: &[u8]) {
        let room = CONSOLE_MAX.saturating_sub(self.console_bytes);
        let (kept, lost) = bytes.split_at(bytes.len().min(room));
        self.console_lost += lost.len() as u64;
        if kept.is_empty() {
            return;
        }
        self.console_bytes += kept.len();
        // Lines are no longer told apart once there are too many.
        let full = self.waiting.len() >= OUTPUTS_MAX;
        match self.waiting.last_mut().map(|output| &mut output.kind) {
            Some(OutputKind::Event(MachineEvent::Console(line)))
                if full || !self.apart && goes_on(line, kept) =>
            {
                line.extend_from_slice(kept);
            }
            _ => {
                let kind = OutputKind::Event(MachineEvent::Console(kept.to_vec()));
                self.add(Output { time, kind });
            }
        }
    }

    /// Takes all outputs in the order of their times.
    pub fn take(&mut self) -> Vec<Output> {
        (self.bytes, self.console_bytes) = (0, 0);
        std::mem::take(&mut self.waiting)
    }

    /// Takes the console output only.
    pub fn take_console(&mut self) -> Vec<u8> {
        self.console_bytes = 0;
        let mut console = Vec::new();
        self.waiting.retain(|output| match &output.kind {
            OutputKind::Event(MachineEvent::Console(bytes)) => {
                console.extend_from_slice(bytes);
                false
            }
            _ => true,
        });
        console
    }

    /// Outputs that were dropped, without those of the console.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes of console output that were dropped.
    pub fn console_lost(&self) -> u64 {
        self.console_lost
    }
}

/// Whether `bytes` belong to the same piece of console output as `line`.
fn goes_on(line: &[u8], bytes: &[u8]) -> bool {
    line.len() + bytes.len() <= LINE_MAX && line.last() != Some(&b'\n')
}

impl OutputKind {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame { bytes, .. } => bytes,
            Self::Event(event) => event.bytes(),
        }
    }
}

impl MachineEvent {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sdk(bytes) | Self::Control(bytes) | Self::Console(bytes) => bytes,
            Self::BadSdkCall(_) | Self::IgnoresInterrupts { .. } | Self::TakesInterrupts { .. } => {
                &[]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "came before the last one")]
    fn outputs_never_come_out_of_order() {
        let mut outputs = Outputs::default();
        let kind = || OutputKind::Event(MachineEvent::Sdk(Vec::new()));
        outputs.push(VirtTime(2), kind());
        outputs.push(VirtTime(2), kind());
        outputs.push(VirtTime(1), kind());
    }

    #[test]
    fn a_flood_of_outputs_between_console_output_stays_bounded() {
        let mut outputs = Outputs::default();
        for time in 0..OUTPUTS_MAX as u64 {
            let kind = OutputKind::Event(MachineEvent::Sdk(Vec::new()));
            outputs.push(VirtTime(time), kind);
        }
        for time in (0..OUTPUTS_MAX as u64).map(|more| OUTPUTS_MAX as u64 + more) {
            let kind = OutputKind::Event(MachineEvent::Sdk(Vec::new()));
            outputs.print(VirtTime(time), b"x\n");
            outputs.push(VirtTime(time), kind);
        }
        assert_eq!(outputs.dropped(), OUTPUTS_MAX as u64);
        assert_eq!(outputs.take().len(), OUTPUTS_MAX + 1);
    }
}
