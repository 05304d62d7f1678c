//! One machine: memory, boot, ACPI, bus, interrupt controllers, clock and scheduler around an engine.

pub mod acpi;
pub mod boot;
mod bus;
pub mod clock;
mod hash;
mod log;
pub mod map;
pub mod memory;
mod node;
mod platform;
pub mod sched;

pub use acpi::VirtioSlot;
pub use hash::{Component, StateHash};
pub use node::{Machine, MachineConfig, MachineError, Stop, VcpuAt};
pub use platform::{PlatformState, Shutdown, Signals};
pub use sched::Interleaving;
