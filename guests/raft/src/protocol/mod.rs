//! Raft as a pure state machine: inputs and the time go in, effects come out as data.
//!
//! Nothing here reads a clock, touches a disk or sends a byte. Whoever drives a [`Node`] must put the
//! records of an [`Output`] on the disk before its messages and replies leave.

mod election;
mod log;
mod machine;
mod node;
mod replication;
mod service;
mod snapshot;
mod types;

pub use log::{Log, Place};
pub use machine::Machine;
pub use node::{Config, Input, Moment, Node, Note, Output, Reads, Rejected};
pub use types::{
    Append, Body, Command, Durable, Entry, Index, MAX_KEY, MAX_KEYS, MAX_VALUE, Message, NodeId,
    Op, Outcome, Record, Reply, Request, Snapshot, Term,
};

#[cfg(test)]
mod tests;
