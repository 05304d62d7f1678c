//! What happened to frames, counted per direction of a link and by cause.

use serde::{Deserialize, Serialize};

/// What happened to the frames of one direction of a link.
///
/// Each frame that the switch puts on a link is `sent` and then either dropped by one cause or, once
/// or twice, delivered; what still travels is the difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Frames that were to be carried.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Frames given to the receiver, duplicates included.
    pub delivered: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Dropped because the link was down: by the plan, a partition or a fault.
    pub dropped_down: u64,
    /// Dropped because the link was in a down phase of a flap.
    pub dropped_flap: u64,
    /// Dropped by the chance of loss.
    pub dropped_loss: u64,
    /// Dropped because the queue was full.
    pub dropped_queue: u64,
    /// Dropped because the receiver was not running when the frame arrived.
    pub dropped_receiver: u64,
    /// Frames that travelled with a bit turned over.
    pub corrupted: u64,
    /// Frames that were doubled.
    pub duplicated: u64,
    /// Frames that took longer than the link's latency and their own bits: by jitter, by a fault or
    /// by waiting in the queue.
    pub delayed: u64,
    /// Frames that were held back for later ones to overtake.
    pub reordered: u64,
}

impl LinkCounters {
    /// Frames dropped by any cause.
    pub fn dropped(&self) -> u64 {
        self.dropped_down
            + self.dropped_flap
            + self.dropped_loss
            + self.dropped_queue
            + self.dropped_receiver
    }
}

/// What happened to frames of a network before they came to any link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchCounters {
    /// Frames that nodes gave to the network.
    pub frames: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Frames that went to all links of their sender: to a group address or to an unknown one.
    pub flooded: u64,
    /// Dropped because they are shorter than an Ethernet header.
    pub dropped_short: u64,
    /// Dropped because they are longer than the network's MTU allows.
    pub dropped_long: u64,
    /// Dropped because their destination is not reached directly, by the topology or because it is
    /// the sender's own.
    pub dropped_unreachable: u64,
}
