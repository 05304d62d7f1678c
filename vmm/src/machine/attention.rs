//! Whether the vCPUs let interrupts in.
//!
//! A vCPU that loops with interrupts off looks busy, and would for ever. So all vCPUs are looked at every
//! [`PATIENCE_NS`]: one that executes with interrupts off is watched, which means that it stops as soon as
//! it would take an interrupt; if it has not by the next look, that is reported. The looks are at multiples
//! of that time on the machine's clock, so that it makes no difference where a run is cut.

use serde::{Deserialize, Serialize};

use crate::time::VirtTime;

/// The distance of two looks in nanoseconds of the machine's time. A vCPU has to execute with
/// interrupts off for at least so long, and at most twice, before that is reported: a multiple of what
/// a kernel in good health needs, even one that starts or that prints with interrupts off.
pub const PATIENCE_NS: u64 = 1_000_000_000;

/// Which vCPUs ignore interrupts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionState {
    /// When the next look is due.
    next: VirtTime,
    /// The vCPUs that have not taken an interrupt since the last look, and could not.
    watched: u32,
    /// The vCPUs of which that was reported.
    reported: u32,
}

impl Default for AttentionState {
    fn default() -> Self {
        Self {
            next: VirtTime(PATIENCE_NS),
            watched: 0,
            reported: 0,
        }
    }
}

impl AttentionState {
    /// When the next look is due.
    pub(super) fn next(&self) -> VirtTime {
        self.next
    }

    /// A look at `now`, at which the vCPUs in `deaf` execute and would not take an interrupt. Returns
    /// those that are to be reported.
    pub(super) fn look(&mut self, now: VirtTime, deaf: u32) -> u32 {
        self.schedule(now);
        let lost = deaf & self.watched & !self.reported;
        self.reported |= lost;
        self.watched = deaf;
        lost
    }

    /// Whether `vcpu` has to stop as soon as it would take an interrupt.
    pub(super) fn is_watched(&self, vcpu: u32) -> bool {
        self.watched >> vcpu & 1 != 0
    }

    /// `vcpu` would take an interrupt. Returns whether it was reported that it would not.
    pub(super) fn listens(&mut self, vcpu: u32) -> bool {
        let reported = self.reported >> vcpu & 1 != 0;
        self.watched &= !(1 << vcpu);
        self.reported &= !(1 << vcpu);
        reported
    }

    /// Time passed up to `now` in which nothing was executed: patience begins anew.
    pub(super) fn stood_still(&mut self, now: VirtTime) {
        self.schedule(now);
        self.watched &= self.reported;
    }

    fn schedule(&mut self, now: VirtTime) {
        self.next = VirtTime((now.0 / PATIENCE_NS + 1).saturating_mul(PATIENCE_NS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_decide_and_one_interrupt_is_enough() {
        let mut attention = AttentionState::default();
        let at = |looks: u64| VirtTime(looks * PATIENCE_NS);
        assert_eq!(attention.look(at(1), 0b011), 0);
        assert!(!attention.listens(0), "nothing was reported");
        assert_eq!(attention.look(at(2), 0b111), 0b010);
        assert_eq!(
            attention.look(at(3), 0b110),
            0b100,
            "what was reported is not reported again"
        );
        assert!(attention.is_watched(1) && !attention.is_watched(0));
        assert!(attention.listens(1));
        assert_eq!(attention.next(), at(4));
    }

    #[test]
    fn standing_still_is_not_ignoring() {
        let mut attention = AttentionState::default();
        attention.look(VirtTime(PATIENCE_NS), 1);
        attention.stood_still(VirtTime(9 * PATIENCE_NS + 5));
        assert_eq!(attention.next(), VirtTime(10 * PATIENCE_NS));
        assert_eq!(attention.look(attention.next(), 1), 0);
        assert_eq!(attention.look(attention.next(), 1), 1);
    }
}
