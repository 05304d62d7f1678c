//! Virtual time, the only time in this crate.

use serde::{Deserialize, Serialize};

/// A moment in virtual time: nanoseconds since the machine's power-on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct VirtTime(pub u64);

impl VirtTime {
    /// Nanoseconds since power-on.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `nanos` nanoseconds later, or the end of time.
    #[must_use]
    pub const fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// A time stamp counter: how it follows virtual time.
///
/// `offset` is added modulo 2^64, so that a guest that writes the counter, or IA32_TSC_ADJUST,
/// is described by another offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TscClock {
    /// The frequency in kHz.
    pub khz: u64,
    /// The value of the counter at power-on.
    pub offset: u64,
}

impl TscClock {
    const NANOS_PER_KHZ_TICK: u128 = 1_000_000;

    /// A counter of `khz` kHz that starts at zero.
    pub const fn new(khz: u64) -> Self {
        Self { khz, offset: 0 }
    }

    /// The same counter with `adjust` added modulo 2^64.
    #[must_use]
    pub const fn shifted(self, adjust: u64) -> Self {
        Self {
            khz: self.khz,
            offset: self.offset.wrapping_add(adjust),
        }
    }

    /// The value of the counter at `now`, rounded down to a whole tick.
    pub fn tsc(&self, now: VirtTime) -> u64 {
        (self.ticks(now) as u64).wrapping_add(self.offset)
    }

    /// The first moment, not before `now`, at which the counter has reached `tsc`.
    ///
    /// It is `now` if the counter has reached it already, and `None` if it is not reached before
    /// the end of time.
    pub fn time_at(&self, tsc: u64, now: VirtTime) -> Option<VirtTime> {
        let current = self.tsc(now);
        let Some(distance) = tsc.checked_sub(current).filter(|ticks| *ticks > 0) else {
            return Some(now);
        };
        let target = self.ticks(now).checked_add(u128::from(distance))?;
        if self.khz == 0 {
            return None;
        }
        let nanos = target
            .checked_mul(Self::NANOS_PER_KHZ_TICK)?
            .div_ceil(u128::from(self.khz));
        u64::try_from(nanos).ok().map(VirtTime)
    }

    /// Ticks since power-on, which 64 bits don't hold at the end of time.
    fn ticks(&self, now: VirtTime) -> u128 {
        u128::from(now.as_nanos()) * u128::from(self.khz) / Self::NANOS_PER_KHZ_TICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_follows_virtual_time_exactly() {
        let clock = TscClock::new(2_999_999);
        assert_eq!(clock.tsc(VirtTime(0)), 0);
        assert_eq!(clock.tsc(VirtTime(1)), 2);
        assert_eq!(clock.tsc(VirtTime(1_000_000)), 2_999_999);
        assert_eq!(
            clock.tsc(VirtTime(u64::MAX / 3)),
            18_446_737_924_794_860_378
        );
    }

    #[test]
    fn the_inverse_is_the_smallest_moment_that_reaches_the_value() {
        let clock = TscClock {
            khz: 2_899_999,
            offset: 12_345,
        };
        for tsc in [12_346, 12_347, 12_348, 99_999, 1 << 40] {
            let reached = clock.time_at(tsc, VirtTime(0)).unwrap();
            assert!(clock.tsc(reached) >= tsc, "{tsc}");
            assert!(clock.tsc(VirtTime(reached.0 - 1)) < tsc, "{tsc}");
        }
    }

    #[test]
    fn a_value_of_the_past_is_reached_now() {
        let clock = TscClock::new(3_000_000);
        assert_eq!(clock.time_at(5, VirtTime(700)), Some(VirtTime(700)));
        assert_eq!(clock.time_at(2_100, VirtTime(700)), Some(VirtTime(700)));
        assert_eq!(clock.time_at(2_101, VirtTime(700)), Some(VirtTime(701)));
    }

    #[test]
    fn a_counter_that_was_set_back_counts_from_its_new_value() {
        let clock = TscClock {
            khz: 1_000_000,
            offset: 1_000u64.wrapping_neg(),
        };
        assert_eq!(clock.tsc(VirtTime(1_000)), 0);
        assert_eq!(clock.time_at(50, VirtTime(1_000)), Some(VirtTime(1_050)));
    }

    #[test]
    fn a_value_beyond_the_end_of_time_is_never_reached() {
        assert_eq!(TscClock::new(1).time_at(u64::MAX, VirtTime(0)), None);
        assert_eq!(TscClock::new(0).time_at(1, VirtTime(0)), None);
    }
}
