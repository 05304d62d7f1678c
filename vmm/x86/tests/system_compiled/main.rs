//! The tests of `system` once more, with all code compiled when it is executed for the first time: see
//! `Machine::with_model`, which goes by the name of this crate.

#[path = "../system/breakpoints.rs"]
mod breakpoints;
#[path = "../system/budgets.rs"]
mod budgets;
#[path = "../system/code_changes.rs"]
mod code_changes;
#[path = "../system/double_fault.rs"]
mod double_fault;
#[path = "../system/exceptions.rs"]
mod exceptions;
#[path = "../system/harness/mod.rs"]
mod harness;
#[path = "../system/identity.rs"]
mod identity;
#[path = "../system/intel.rs"]
mod intel;
#[path = "../system/interrupts.rs"]
mod interrupts;
#[path = "../system/pages.rs"]
mod pages;
#[path = "../system/paging.rs"]
mod paging;
#[path = "../system/ports.rs"]
mod ports;
#[path = "../system/registers.rs"]
mod registers;
#[path = "../system/segment_checks.rs"]
mod segment_checks;
#[path = "../system/segments.rs"]
mod segments;
#[path = "../system/shadows.rs"]
mod shadows;
#[path = "../system/sharing.rs"]
mod sharing;
#[path = "../system/stacks.rs"]
mod stacks;
#[path = "../system/startup.rs"]
mod startup;
#[path = "../system/stepping.rs"]
mod stepping;
#[path = "../system/syscalls.rs"]
mod syscalls;
#[path = "../system/unimplemented.rs"]
mod unimplemented;
#[path = "../system/workload.rs"]
mod workload;
