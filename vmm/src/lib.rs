//! Deterministic x86-64 machines and the world they live in.
//!
//! Only virtual time and the decision tape reach a guest: nothing in this crate reads a host clock,
//! host randomness or the host CPU's identity.

pub mod affinity;
pub mod devices;
pub mod disk;
pub mod dlog;
pub mod engine;
pub mod last_words;
pub mod machine;
pub mod tape;
pub mod time;
pub mod world;
