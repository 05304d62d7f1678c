//! Checks every implemented instruction form against the processor of the host.

mod builder;
mod exceptions;
mod fixups;
mod forms;
mod layout;
mod native;
mod operands;
mod state;
mod values;
