//! The place of exact preemption: stopping a guest that does not exit at a point ahead that was chosen.
//!
//! It would be a counter of retired branches that overflows some way before the point, and single steps
//! for the rest. `chaosrun doctor` probes both. No code here does it yet, because no host with such a
//! counter was at hand to test it on; without it the watch stops such a guest, and the run says so.

/// Stops the guest of a thread at an exact point.
pub(super) trait Preempt: Send {
    /// Prepares to interrupt the guest when it has made `units` more of progress. Returns whether that
    /// is possible.
    fn arm(&mut self, units: u64) -> bool;

    /// Whether the guest, which was just interrupted, stands at the point.
    fn arrived(&mut self) -> bool;
}

/// For hosts without a counter, which are all hosts as yet.
pub(super) struct Never;

impl Preempt for Never {
    fn arm(&mut self, _units: u64) -> bool {
        false
    }

    fn arrived(&mut self) -> bool {
        false
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Takes any interruption for the point.
    pub(in crate::engine::kvm) struct Always {
        armed: bool,
    }

    impl Always {
        pub(in crate::engine::kvm) fn new() -> Self {
            Self { armed: false }
        }
    }

    impl Preempt for Always {
        fn arm(&mut self, units: u64) -> bool {
            self.armed = units < u64::MAX / 2;
            self.armed
        }

        fn arrived(&mut self) -> bool {
            self.armed
        }
    }
}
