//! Why a machine stopped.

use std::fmt;

use chaosrun_x86::{Activity, Unimplemented};

/// Where a vCPU is when a machine can't go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VcpuAt {
    /// The index of the vCPU.
    pub vcpu: u32,
    /// What it is doing.
    pub activity: Activity,
    /// Its instruction pointer.
    pub rip: u64,
    /// Whether it would take a maskable interrupt.
    pub interrupts: bool,
}

/// Why [`super::Machine::run_until`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The moment asked for is reached.
    Reached,
    /// The guest switched the machine off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// A vCPU could not deliver an exception (Intel SDM vol. 3, 6.15).
    TripleFault {
        /// The index of the vCPU.
        vcpu: u32,
        /// The instruction pointer.
        rip: u64,
        /// The last page-fault address.
        cr2: u64,
    },
    /// The guest executed something that the CPU does not implement.
    Unimplemented(Box<Unimplemented>),
    /// No vCPU runs, and nothing can wake one.
    HaltedForever {
        /// All vCPUs.
        vcpus: Vec<VcpuAt>,
    },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("the moment asked for is reached"),
            Self::PowerOff => f.write_str("the guest switched the machine off"),
            Self::Reset => f.write_str("the guest asked for a reset"),
            Self::TripleFault { vcpu, rip, cr2 } => {
                write!(
                    f,
                    "triple fault of vCPU {vcpu} at {rip:#x}, last page fault at {cr2:#x}"
                )
            }
            Self::Unimplemented(what) => what.fmt(f),
            Self::HaltedForever { vcpus } => {
                f.write_str("all vCPUs are halted and nothing can wake one:")?;
                for VcpuAt {
                    vcpu,
                    activity,
                    rip,
                    interrupts,
                } in vcpus
                {
                    let interrupts = if *interrupts { "on" } else { "off" };
                    write!(
                        f,
                        " vCPU {vcpu} {activity:?} at {rip:#x}, interrupts {interrupts};"
                    )?;
                }
                Ok(())
            }
        }
    }
}
