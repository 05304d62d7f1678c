//! One machine: memory, boot, ACPI, bus, interrupt controllers, clock and scheduler around an engine.

pub mod acpi;
mod attention;
pub mod boot;
mod bus;
pub mod clock;
mod config;
mod control;
mod hash;
mod io;
mod log;
pub mod map;
mod measure;
pub mod memory;
mod node;
mod platform;
pub mod sched;
mod stop;
#[cfg(test)]
mod tests;
mod wall;

pub use acpi::VirtioSlot;
pub use attention::{AttentionState, PATIENCE_NS};
pub use config::{MachineConfig, MachineError};
pub use hash::{Component, StateHash};
pub use io::{Input, Output, OutputKind};
pub use node::Machine;
pub use platform::{PlatformState, Shutdown, Signals};
pub use sched::Interleaving;
pub use stop::{Stop, VcpuAt};
pub use wall::WallClock;
