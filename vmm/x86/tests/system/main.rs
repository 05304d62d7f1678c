//! Bare-metal guest programs that hold the CPU's privileged and system behaviour against the Intel
//! SDM, and that show that it is deterministic.

mod beside_tables;
mod breakpoints;
mod budgets;
mod code_changes;
mod compiled;
mod compiled_decoded;
mod compiled_faults;
mod compiled_rows;
mod double_fault;
mod exceptions;
mod generated;
#[allow(dead_code, reason = "the golden chains have more forms")]
mod generator;
mod harness;
mod identity;
mod intel;
mod interrupts;
mod modes;
mod page_ends;
mod pages;
mod paging;
mod ports;
mod registers;
mod saved;
mod segment_checks;
mod segments;
mod shadows;
mod shared_code;
mod sharing;
mod stacks;
mod startup;
mod stepping;
mod syscalls;
mod unimplemented;
mod workload;
