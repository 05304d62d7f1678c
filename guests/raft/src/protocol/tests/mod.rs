//! Tests of the protocol: single steps, and whole clusters in a simulated world.

mod bugs;
mod cluster;
mod history;
mod steps;
mod worlds;
