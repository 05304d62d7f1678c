//! A deterministic software x86-64 CPU.
//!
//! A [`Cpu`] executes instructions out of a [`Memory`] and reaches everything else through a
//! [`Bus`]. Nothing but its arguments decides what it does: it has no clock, no host identity and
//! no randomness of its own. Several CPUs may share one `Memory`; they run one at a time.

mod bus;
mod exit;
mod memory;
mod model;
mod state;

pub use bus::{Access, Bus};
pub use exit::{Exit, Unimplemented};
pub use memory::{Memory, PAGE_SIZE};
pub use model::CpuModel;
pub use state::{Activity, CpuState, F80, Msrs, Segment, TableRegister, X87};

mod cpu;
pub use cpu::Cpu;
