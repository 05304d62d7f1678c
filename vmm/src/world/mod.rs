//! The running cluster: nodes, networks and clocks in lockstep, and everything that can go wrong
//! with them.

pub mod clock;
pub mod config;
pub mod fabric;
pub mod pcap;
