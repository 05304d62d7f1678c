//! Who this node is. Until the machine is asked for that, nothing in it depends on it, so that what comes
//! before is the same for all nodes that boot the same, and has to be executed only once.

use chaosrun_protocol::node::{self, NodeConfig};
use chaosrun_sdk::__private::node as told_by_machine;
use chaosrun_sdk::Connection;
use chaosrun_sdk::random::ChaosRng;

use crate::{report, sys};

/// The stream of random numbers that the kernel's generator is seeded with.
const STREAM: &str = "chaosrun/kernel";
/// How many of them.
const NUMBERS: usize = 8;

/// What is to be done here; nothing, if nobody says so.
pub fn ask() -> NodeConfig {
    let text = match told_by_machine() {
        Some(text) => text,
        None => match std::fs::read(node::PATH) {
            Ok(text) => text,
            Err(error) => {
                report::trouble(format!("can't read {}: {error}", node::PATH));
                return NodeConfig::default();
            }
        },
    };
    NodeConfig::from_json(&text).unwrap_or_else(|error| {
        report::trouble(format!(
            "the description of this node is not understood: {error}"
        ));
        NodeConfig::default()
    })
}

/// Makes the kernel's random numbers this life's own. They were those of what it booted, which are the same
/// in each life.
pub fn reseed() {
    if chaosrun_sdk::init() != Connection::Machine {
        return;
    }
    let mut numbers = ChaosRng::named(STREAM);
    let seed: [u64; NUMBERS] = std::array::from_fn(|_| numbers.next());
    report::attempt("seed the kernel's random numbers", sys::seed_random(&seed));
}
