//! One machine: memory, boot, ACPI, bus, interrupt controllers, clock and scheduler around an engine.

pub mod boot;
pub mod clock;
pub mod map;
pub mod memory;
pub mod sched;
