//! One machine: boot, ACPI, bus, interrupt controllers, clock and scheduler around RAM and an engine.

pub mod acpi;
mod attention;
mod beginning;
pub mod boot;
mod bus;
pub mod clock;
mod config;
mod control;
mod hash;
mod image;
mod io;
mod log;
mod measure;
mod node;
mod platform;
mod saved;
pub mod sched;
mod stop;
#[cfg(test)]
mod tests;

pub use acpi::VirtioSlot;
pub use attention::{AttentionState, PATIENCE_NS};
pub use beginning::{Beginning, Begun, FileError};
pub use config::{MachineConfig, MachineError};
pub use hash::{Component, StateHash};
pub use image::ImageId;
pub use io::{Input, MachineEvent, Output, OutputKind};
pub use node::Machine;
pub use platform::{PlatformState, Shutdown, Signals};
pub use saved::SavedMachine;
pub use sched::Interleaving;
pub use stop::{Stop, VcpuAt};
