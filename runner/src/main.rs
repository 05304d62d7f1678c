//! The `chaosrun` binary.

fn main() {}
