//! Deterministic x86-64 machines and the world they live in.
//!
//! Only virtual time and the decision tape reach a guest: nothing in this crate reads a host clock,
//! host randomness or the host CPU's identity.
//!
//! Imports go down only; what stands in a row knows nothing of its own row or of those above:
//!
//! | row | what is there |
//! |---|---|
//! | [`world`] | machines, the fabric between them, their clocks and lives, in lockstep |
//! | [`machine`] | one machine: boot, ACPI, bus, interrupts, scheduler, state hash |
//! | [`engine`], [`devices`] | what executes instructions; what they reach outside of RAM |
//! | [`ram`], [`disk`], [`dlog`] | what machines stand on |
//! | [`time`], [`tape`], [`sealed`], [`affinity`], [`last_words`], `invariant` | what everything stands on |
//!
//! Below all of them lie the crates `chaosrun-x86`, the processor, and `chaosrun-protocol`, the words that
//! guests speak. Tests keep to the same order: one that needs a machine is a test of the machine.

pub mod affinity;
pub mod devices;
pub mod disk;
pub mod dlog;
pub mod engine;
mod invariant;
pub mod last_words;
pub mod machine;
pub mod ram;
pub mod sealed;
pub mod tape;
pub mod time;
pub mod world;
