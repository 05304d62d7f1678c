//! Random numbers outside a machine: SplitMix64 over a counter that all threads share.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The step of the counter; odd, so that it visits all numbers.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next number.
pub(super) fn random() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    mix(seed().wrapping_add(COUNTER.fetch_add(STEP, Relaxed)))
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The seed of this process: from the environment, or else from what the operating system gives each
/// process for its hash tables.
#[cfg(feature = "std")]
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::OnceLock;

    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        std::env::var("CHAOSRUN_SDK_LOCAL_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| RandomState::new().hash_one(0))
    })
}

/// Without an operating system there is nothing to be random by.
#[cfg(not(feature = "std"))]
fn seed() -> u64 {
    STEP
}
