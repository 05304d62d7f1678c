//! The messages between guests and chaosrun.
//!
//! - [`port`]: how a program in a guest calls the machine: one I/O instruction and a block of memory.
//! - [`Message`]: what programs tell: assertions, events, values, histories. In postcard.
//! - [`control`]: what the host asks of a guest's init. JSON, one line each.
//! - [`node`]: what the packer of an initial RAM disk tells init. JSON.
//!
//! `schemas/sdk-protocol.md` describes the bytes for writers of other clients. Nothing here needs the
//! standard library, except the JSON, which the feature `std` adds.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod control;
pub mod message;
pub mod node;
pub mod port;
pub mod report;

pub use message::{
    Assertion, DecodeError, Envelope, Kind, Message, OpKind, Operation, Site, Value,
};
pub use report::InitReport;
