//! A machine's virtual clock: retired instructions at a fixed rate, plus the idle time skipped.
//!
//! All arithmetic is on integers, so that both directions are exact and the same on every host.
//! Time since the last idle jump is `floor(retired * 1000 / rate)` nanoseconds; the number of
//! instructions until a moment is the matching ceiling.

use serde::{Deserialize, Serialize};

use crate::invariant::invariant;
use crate::time::VirtTime;

/// Nanoseconds in a microsecond, the unit of [`Clock::new`]'s rate.
const NANOS_PER_MICRO: u128 = 1000;

/// The virtual clock of one machine, shared by its vCPUs, which run one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Instructions per microsecond.
    rate: u64,
    /// Instructions that all vCPUs together have retired.
    retired: u64,
    /// The moment of the last idle jump and the instruction count at it.
    base: VirtTime,
    base_retired: u64,
}

impl Clock {
    /// A clock at power-on that runs at `rate` instructions per microsecond; zero counts as one.
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            retired: 0,
            base: VirtTime(0),
            base_retired: 0,
        }
    }

    /// Instructions retired by all vCPUs since power-on.
    pub fn retired(&self) -> u64 {
        self.retired
    }

    /// The present moment.
    pub fn now(&self) -> VirtTime {
        self.at(self.retired)
    }

    /// The moment at which `retired` instructions have been retired, provided that the machine does
    /// not idle until then. `retired` must not lie before the last idle jump; if it does, the jump's
    /// moment is returned.
    pub fn at(&self, retired: u64) -> VirtTime {
        let run = retired.saturating_sub(self.base_retired);
        // Most machines have this rate, and a division this wide takes a while.
        if u128::from(self.rate) == NANOS_PER_MICRO {
            return self.base.after(run);
        }
        let nanos = u128::from(run) * NANOS_PER_MICRO / u128::from(self.rate);
        self.base.after(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The least number of instructions from now after which `moment` is reached: zero if it is
    /// already past. Never more than `u64::MAX`, which stands for "not in this lifetime".
    pub fn instructions_until(&self, moment: VirtTime) -> u64 {
        let nanos = u128::from(moment.0.saturating_sub(self.base.0));
        let needed = (nanos * u128::from(self.rate)).div_ceil(NANOS_PER_MICRO);
        invariant!(
            self.base_retired <= self.retired,
            "the last idle jump lies ahead"
        );
        let run = u128::from(self.retired - self.base_retired);
        u64::try_from(needed.saturating_sub(run)).unwrap_or(u64::MAX)
    }

    /// Changes the rate from now on; zero counts as one. A part of a nanosecond that has begun starts
    /// anew.
    pub fn set_rate(&mut self, rate: u64) {
        self.base = self.now();
        self.base_retired = self.retired;
        self.rate = rate.max(1);
    }

    /// Counts `instructions` as retired.
    pub fn advance(&mut self, instructions: u64) {
        self.retired = self.retired.saturating_add(instructions);
    }

    /// Jumps to `moment` because every vCPU is idle. A moment in the past changes nothing.
    pub fn jump(&mut self, moment: VirtTime) {
        if moment > self.now() {
            self.base = moment;
            self.base_retired = self.retired;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instruction_is_one_nanosecond_at_the_default_rate() {
        let mut clock = Clock::new(1000);
        clock.advance(12_345);
        assert_eq!(clock.now(), VirtTime(12_345));
    }

    #[test]
    fn budget_is_the_least_count_that_reaches_the_moment() {
        for rate in [1, 3, 7, 999, 1000, 1001, 4096, 3_000_000] {
            for start in [0u64, 1, 17, 1000, 123_457] {
                let mut clock = Clock::new(rate);
                clock.advance(start);
                for ahead in [0u64, 1, 2, 999, 1000, 1001, 123_456_789] {
                    let moment = clock.now().after(ahead);
                    let budget = clock.instructions_until(moment);
                    assert!(
                        clock.at(start + budget) >= moment,
                        "rate {rate} ahead {ahead}"
                    );
                    assert!(
                        budget == 0 || clock.at(start + budget - 1) < moment,
                        "rate {rate} start {start} ahead {ahead}: {budget} is not the least"
                    );
                }
            }
        }
    }

    #[test]
    fn another_rate_counts_from_the_moment_of_the_change() {
        let mut clock = Clock::new(1000);
        clock.advance(5000);
        clock.set_rate(100);
        assert_eq!(clock.now(), VirtTime(5000));
        clock.advance(100);
        assert_eq!(clock.now(), VirtTime(6000));
        clock.set_rate(0);
        assert_eq!(clock.instructions_until(VirtTime(8000)), 2);
    }

    #[test]
    fn idle_jump_lands_on_the_deadline_and_counts_on_from_there() {
        let mut clock = Clock::new(300);
        clock.advance(1000);
        clock.jump(VirtTime(1_000_000));
        assert_eq!(clock.now(), VirtTime(1_000_000));
        assert_eq!(clock.instructions_until(VirtTime(1_000_010)), 3);
        clock.advance(3);
        assert_eq!(clock.now(), VirtTime(1_000_010));
        assert_eq!(clock.retired(), 1003);
    }

    #[test]
    fn jumping_in_two_steps_equals_jumping_once() {
        let mut once = Clock::new(700);
        once.advance(999);
        let mut twice = once.clone();
        once.jump(VirtTime(5_000_001));
        twice.jump(VirtTime(4_000_000));
        twice.jump(VirtTime(5_000_001));
        assert_eq!(once, twice);
    }

    #[test]
    fn jump_into_the_past_changes_nothing() {
        let mut clock = Clock::new(1000);
        clock.advance(50);
        let before = clock.clone();
        clock.jump(VirtTime(49));
        assert_eq!(clock, before);
    }

    #[test]
    fn end_of_time_saturates() {
        let mut clock = Clock::new(u64::MAX);
        assert_eq!(clock.instructions_until(VirtTime(u64::MAX)), u64::MAX);
        clock.jump(VirtTime(u64::MAX));
        clock.advance(u64::MAX);
        clock.advance(1);
        assert_eq!(clock.now(), VirtTime(u64::MAX));
    }
}
