//! A deterministic software x86-64 CPU.
//!
//! A [`Cpu`] executes instructions out of a [`Memory`], keeps what it makes of them in a [`CodeCache`], and
//! reaches everything else through a [`Bus`]. Nothing but its arguments decides what it does: it has no
//! clock, no host identity and no randomness of its own. Several CPUs may share one `Memory`; they run one at
//! a time.
//!
//! # The order of the parts
//!
//! A part imports those in front of it in this list, and none behind it:
//!
//! 1. `word`, `flags`, `state`, `model`, `cpuid`, `bus`, `exit`: values, and what processors say of
//!    themselves. `fpu` and `simd` are the arithmetic of x87, MMX and SSE, on such values alone.
//! 2. `memory`: bytes, what was written, and where decoded code lies. `tlb`: translations.
//! 3. `cpu`, `mode`, `reset`, `saved`: the registers, and the caches that belong to them.
//! 4. `mmu`: linear addresses. `interrupt`, `msr`, `debug`: what reaches a CPU besides instructions.
//! 5. `op`, `block`: an operation, and operations in a row, as data.
//! 6. `exec`: the handlers, which do what instructions do.
//! 7. `lower`: which handler an instruction gets, with which operands.
//! 8. `code`: from bytes to blocks, and the blocks of a machine.
//! 9. `jit`: from blocks to the host's instructions, and the [`CodeCache`], which has both.
//! 10. `run`: the loop that finds what is executed next.
//!
//! Two arrows go up, since all these parts add methods to one `Cpu`. It has fields for what belongs to later
//! parts, and keeps them in step: the position in the operations of a block, the cache of code, the landings
//! of compiled code. And a handler at the end of a block goes straight to the next one, which it asks the
//! cache of code for, and has it compiled when it was executed often enough (`Cpu::code`, `Cpu::compile`): to
//! go by way of the loop each time would be slower.

mod block;
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
mod saved;
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
pub use memory::{Memory, PAGE_SIZE, PageBytes};
pub use model::CpuModel;
pub use msr::MsrAccess;
pub use saved::SavedCpu;
pub use simd::forms as simd_forms;
pub use state::{Activity, CpuState, F80, Msrs, Segment, TableRegister, X87};
