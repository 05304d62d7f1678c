//! A deterministic software x86-64 CPU.
//!
//! A [`Cpu`] executes instructions out of a [`Memory`], keeps what it makes of them in a [`CodeCache`], and
//! reaches everything else through a [`Bus`]. Nothing but its arguments decides what it does: it has no clock, no host identity and
//! no randomness of its own. Several CPUs may share one `Memory`; they run one at a time.

mod bus;
mod code;
mod cpu;
mod cpuid;
mod debug;
mod exec;
mod exit;
mod flags;
mod fpu;
mod interrupt;
mod jit;
mod lower;
#[cfg(test)]
mod make;
mod memory;
mod mmu;
mod mode;
mod model;
mod msr;
mod op;
mod reset;
mod run;
mod simd;
mod state;
mod tlb;
mod word;

pub use bus::{Access, Bus};
pub use cpu::Cpu;
pub use cpuid::PHYSICAL_BITS;
pub use exit::{Exit, Unimplemented};
pub use fpu::forms as x87_forms;
pub use jit::{CodeCache, CodeCounts, CodeStore};
pub use lower::is_implemented;
pub use memory::{Memory, PAGE_SIZE};
pub use model::CpuModel;
pub use msr::MsrAccess;
pub use simd::forms as simd_forms;
pub use state::{Activity, CpuState, F80, Msrs, Segment, TableRegister, X87};
