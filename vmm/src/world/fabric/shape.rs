//! How a link treats frames when nothing is wrong, and what its numbers must be.

use serde::{Deserialize, Serialize};

pub use chaosrun_chance::Chance;

/// The least latency of a link in nanoseconds. A plan may ask for less, even for none; the link then
/// has this one. It bounds from below how far nodes may run apart, so that a cluster without latency
/// does not degenerate into switching nodes at every instruction.
pub const LATENCY_MIN_NS: u64 = 10_000;

/// The least bandwidth of a link in bits per second; zero counts as this. A link that lets nothing
/// through is one that is down, not one with infinite patience.
pub const BANDWIDTH_MIN_BPS: u64 = 1;
/// The most bandwidth of a link in bits per second; more counts as this. Above it a frame would take
/// less than the nanosecond that is the unit of time.
pub const BANDWIDTH_MAX_BPS: u64 = 1_000_000_000_000;

/// The most bytes that travel on one link in one direction at once. What exceeds it is dropped like
/// what exceeds the queue, so that a guest that floods a link of hours of latency stays harmless.
pub const TRAVELLING_MAX_BYTES: u64 = 64 << 20;

/// How a link treats frames in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkShape {
    /// How long a frame travels, in nanoseconds; at least [`LATENCY_MIN_NS`] is taken.
    pub latency_ns: u64,
    /// How much longer a frame may travel, in nanoseconds, drawn for each. Without `overtake`, jitter
    /// does not change the order of frames: one that would overtake arrives together with the one
    /// before it. So the more frames come within this time, the nearer to all of it each takes.
    pub jitter_ns: u64,
    /// Whether each frame is late by its own time whatever the others are, so that frames overtake.
    pub overtake: bool,
    /// Bits per second. A frame counts with the bytes that the guest gave, without preamble, check
    /// sequence or gap.
    pub bandwidth_bps: u64,
    /// Bytes that may wait for the link; a frame that does not fit is dropped.
    pub queue_bytes: u64,
    /// How many frames are lost.
    pub loss: Chance,
    /// How many frames arrive twice.
    pub duplicate: Chance,
    /// How many frames arrive with one bit turned over.
    pub corrupt: Chance,
    /// How many frames are held back so that later ones overtake them.
    pub reorder: Chance,
    /// How long those are held back at most, in nanoseconds.
    pub reorder_window_ns: u64,
}

impl Default for LinkShape {
    /// 1 ms, 10 Gbit/s, a queue of 1 MiB, and nothing goes wrong: the defaults of the language.
    fn default() -> Self {
        Self {
            latency_ns: 1_000_000,
            jitter_ns: 0,
            overtake: false,
            bandwidth_bps: 10_000_000_000,
            queue_bytes: 1 << 20,
            loss: Chance::NEVER,
            duplicate: Chance::NEVER,
            corrupt: Chance::NEVER,
            reorder: Chance::NEVER,
            reorder_window_ns: 5_000_000,
        }
    }
}

impl LinkShape {
    /// The latency that the link really has, in nanoseconds.
    pub fn latency(&self) -> u64 {
        self.latency_ns.max(LATENCY_MIN_NS)
    }
}
