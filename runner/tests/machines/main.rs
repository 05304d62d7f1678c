//! Whole machines: Linux with real software, determinism, and what must be refused.
//!
//! One target for all of it, so that there is one program to link. Kernels and Debian's packages
//! come from, and are kept in, chaosrun's cache.

mod bad_input;
mod binary;
mod checkpoints;
mod clockless;
mod determinism;
mod devices;
mod elf;
mod guest;
mod life;
mod nodes;
mod packages;
mod programs;
mod sdk;
mod software;
mod world;
