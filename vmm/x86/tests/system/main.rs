//! Bare-metal guest programs that hold the CPU's privileged and system behaviour against the Intel
//! SDM, and that show that it is deterministic.

mod double_fault;
mod exceptions;
mod harness;
mod pages;
mod paging;
mod segments;
mod stacks;
mod syscalls;
