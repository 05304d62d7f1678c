//! A replicated key-value store to be tested: Raft, one node per machine, over TCP.
//!
//! [`protocol`] is the algorithm and nothing else; [`storage`] keeps votes, log and snapshots on a raw
//! disk; [`server`] and [`client`] are the programs, and [`settings`] what they are told. [`bugs`] can be
//! planted at run time.

pub mod bugs;
pub mod checksum;
pub mod client;
pub mod clock;
pub mod protocol;
pub mod rng;
mod sdk;
pub mod server;
pub mod settings;
pub mod storage;
pub mod wire;
