//! What a determinism log records.

use std::fmt;

use chaosrun_x86::CpuState;
use serde::{Deserialize, Serialize};

use crate::time::VirtTime;

/// One entry of a log: something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The virtual time.
    pub time: VirtTime,
    /// Instructions that the machine's vCPUs together had retired.
    pub retired: u64,
    /// What happened.
    pub event: Event,
}

/// A read or a write that left a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The index of the vCPU.
    pub vcpu: u32,
    /// Whether it was a write.
    pub write: bool,
    /// The physical address, port or register index.
    pub address: u64,
    /// The size in bytes.
    pub size: u8,
    /// What was read or written.
    pub value: u64,
}

/// Something that happened in a machine.
///
/// The order of the variants is part of the file format; new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A maskable interrupt was delivered.
    Interrupt {
        /// The index of the vCPU.
        vcpu: u32,
        /// The vector.
        vector: u8,
    },
    /// A non-maskable interrupt was delivered.
    Nmi {
        /// The index of the vCPU.
        vcpu: u32,
    },
    /// A vCPU was reset by INIT.
    Init {
        /// The index of the vCPU.
        vcpu: u32,
    },
    /// A vCPU received a start-up IPI.
    Startup {
        /// The index of the vCPU.
        vcpu: u32,
        /// The page of its entry point.
        page: u8,
    },
    /// A device was accessed in memory.
    Mmio(Transfer),
    /// A port was accessed.
    Port(Transfer),
    /// A model-specific register of the machine was accessed.
    Msr(Transfer),
    /// Another vCPU got its turn.
    Slice {
        /// The index of the vCPU.
        vcpu: u32,
        /// The most instructions that it may run; `u64::MAX` if it is alone.
        budget: u64,
    },
    /// The timers of the devices that were due expired.
    Timer {
        /// The deadline of the earliest.
        due: VirtTime,
    },
    /// Bytes went out on the console.
    Console(#[serde(with = "serde_bytes")] Vec<u8>),
    /// All vCPUs were idle, and time jumped.
    Idle {
        /// The moment jumped to.
        until: VirtTime,
    },
    /// The registers of a vCPU.
    Registers {
        /// The index of the vCPU.
        vcpu: u32,
        /// All of its architectural state.
        state: Box<CpuState>,
    },
    /// Hashes of RAM pages that changed since they were last written: page index and hash.
    Pages(Vec<(u64, u128)>),
    /// A state hash was taken.
    Hash {
        /// The chained hash.
        chain: u128,
    },
    /// The machine stopped for good.
    End {
        /// Why.
        why: String,
    },
}

impl Event {
    /// The kind of the event in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Interrupt { .. } => "interrupt",
            Self::Nmi { .. } => "nmi",
            Self::Init { .. } => "init",
            Self::Startup { .. } => "startup",
            Self::Mmio(_) => "mmio",
            Self::Port(_) => "port",
            Self::Msr(_) => "msr",
            Self::Slice { .. } => "slice",
            Self::Timer { .. } => "timer",
            Self::Console(_) => "console",
            Self::Idle { .. } => "idle",
            Self::Registers { .. } => "registers",
            Self::Pages(_) => "pages",
            Self::Hash { .. } => "hash",
            Self::End { .. } => "end",
        }
    }

    /// Whether two events are the same but for what they carry: values, bytes, registers, hashes.
    pub fn same_shape(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mmio(a), Self::Mmio(b))
            | (Self::Port(a), Self::Port(b))
            | (Self::Msr(a), Self::Msr(b)) => {
                Transfer {
                    value: b.value,
                    ..*a
                } == *b
            }
            (Self::Registers { vcpu: a, .. }, Self::Registers { vcpu: b, .. }) => a == b,
            (Self::Console(_), Self::Console(_))
            | (Self::Pages(_), Self::Pages(_))
            | (Self::Hash { .. }, Self::Hash { .. }) => true,
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.write { "<-" } else { "->" };
        let Self {
            vcpu,
            address,
            size,
            value,
            ..
        } = self;
        write!(f, "vcpu {vcpu} {address:#x}/{size} {arrow} {value:#x}")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} ", self.kind())?;
        match self {
            Self::Interrupt { vcpu, vector } => write!(f, "vcpu {vcpu} vector {vector:#04x}"),
            Self::Nmi { vcpu } | Self::Init { vcpu } => write!(f, "vcpu {vcpu}"),
            Self::Startup { vcpu, page } => {
                write!(f, "vcpu {vcpu} at {:#x}", u64::from(*page) << 12)
            }
            Self::Mmio(transfer) | Self::Port(transfer) | Self::Msr(transfer) => transfer.fmt(f),
            Self::Slice {
                vcpu,
                budget: u64::MAX,
            } => write!(f, "vcpu {vcpu} alone"),
            Self::Slice { vcpu, budget } => write!(f, "vcpu {vcpu} for {budget}"),
            Self::Timer { due } => write!(f, "due {} ns", due.0),
            Self::Console(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Idle { until } => write!(f, "until {} ns", until.0),
            Self::Registers { vcpu, state } => write!(
                f,
                "vcpu {vcpu} rip {:#x} rsp {:#x} rax {:#x} rflags {:#x} cr2 {:#x} cr3 {:#x}",
                state.rip, state.gpr[4], state.gpr[0], state.rflags, state.cr2, state.cr3
            ),
            Self::Pages(pages) => write!(f, "{} pages", pages.len()),
            Self::Hash { chain } => write!(f, "{chain:032x}"),
            Self::End { why } => f.write_str(why),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.time.0 / 1_000_000_000, self.time.0 % 1_000_000_000);
        write!(
            f,
            "{seconds:>4}.{nanos:09} {:>14} {}",
            self.retired, self.event
        )
    }
}
