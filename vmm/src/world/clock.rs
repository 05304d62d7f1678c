//! A node's clock: how its local time follows the world's.
//!
//! Local time is a piecewise-linear function of world time. In each piece it advances by
//! `floor(d * (10^9 + ppb) / 10^9)` nanoseconds in `d` nanoseconds of the world. All arithmetic is on
//! integers, so that both directions are exact and the same on every host. All that a machine sees
//! is its local time: its oscillator runs wrong, and with it its processors and timers.

use serde::{Deserialize, Serialize};

use crate::invariant::invariant;
use crate::time::VirtTime;

const BILLION: i64 = 1_000_000_000;

/// The slowest and the fastest that a clock can be wrong, in billionths: a tenth of true time and
/// ten times as fast. What is beyond counts as these.
pub const DRIFT_PPB: (i64, i64) = (-900_000_000, 9_000_000_000);

/// A clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeClock {
    /// Where the present piece begins, in both times.
    world: VirtTime,
    local: VirtTime,
    /// Nanoseconds of local time in 10^9 nanoseconds of the world.
    speed: u64,
    ppb: i64,
}

impl NodeClock {
    /// A clock that shows zero at the beginning and runs `ppb` billionths fast.
    pub fn new(ppb: i64) -> Self {
        let mut clock = Self {
            world: VirtTime(0),
            local: VirtTime(0),
            speed: BILLION as u64,
            ppb: 0,
        };
        clock.set_drift(VirtTime(0), ppb);
        clock
    }

    /// How many billionths it runs fast.
    pub fn drift(&self) -> i64 {
        self.ppb
    }

    /// From `now` on the clock runs `ppb` billionths fast. `now` must not lie before the last change.
    pub fn set_drift(&mut self, now: VirtTime, ppb: i64) {
        // The clock would show again what it has shown already, and the node's time run backwards.
        assert!(
            self.world <= now,
            "the clock changed at {:?} and is to change at {now:?}",
            self.world
        );
        self.local = self.local_at(now);
        self.world = now;
        self.ppb = ppb.clamp(DRIFT_PPB.0, DRIFT_PPB.1);
        self.speed = (BILLION + self.ppb) as u64;
    }

    /// What the clock shows at `world`, which must not lie before the last change.
    pub fn local_at(&self, world: VirtTime) -> VirtTime {
        invariant!(self.world <= world, "the clock ran otherwise then");
        let passed = world.0.saturating_sub(self.world.0);
        // Most clocks are right, and a division this wide takes a while.
        if self.ppb == 0 {
            return self.local.after(passed);
        }
        let local = u128::from(passed) * u128::from(self.speed) / BILLION as u128;
        self.local.after(u64::try_from(local).unwrap_or(u64::MAX))
    }

    /// The first moment of the world, not before the last change, at which the clock shows `local`
    /// or more.
    pub fn world_at(&self, local: VirtTime) -> VirtTime {
        let passed = local.0.saturating_sub(self.local.0);
        if self.ppb == 0 {
            return self.world.after(passed);
        }
        let world = (u128::from(passed) * BILLION as u128).div_ceil(u128::from(self.speed));
        self.world.after(u64::try_from(world).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Stream, Tape};

    fn stream() -> Stream {
        Tape::new(1).stream("clock")
    }

    fn any_drift(stream: &mut Stream) -> i64 {
        let span = (DRIFT_PPB.1 - DRIFT_PPB.0) as u64;
        match stream.below(3) {
            0 => stream.range(0, 400) as i64 - 200,
            1 => stream.range(0, 2_000_000) as i64 - 1_000_000,
            _ => DRIFT_PPB.0 + stream.range(0, span) as i64,
        }
    }

    #[test]
    fn without_drift_both_times_are_the_same() {
        let mut clock = NodeClock::new(0);
        let mut stream = stream();
        for _ in 0..1000 {
            let moment = VirtTime(stream.any());
            assert_eq!(clock.local_at(moment), moment);
            assert_eq!(clock.world_at(moment), moment);
        }
        clock.set_drift(VirtTime(12_345), 0);
        assert_eq!(clock.local_at(VirtTime(99_999)), VirtTime(99_999));
    }

    #[test]
    fn drift_is_exact_over_a_second_and_over_a_year() {
        let clock = NodeClock::new(50_000);
        assert_eq!(clock.local_at(VirtTime(1_000_000_000)).0, 1_000_050_000);
        let year = 365 * 86_400 * 1_000_000_000;
        let slow = NodeClock::new(-1);
        assert_eq!(slow.local_at(VirtTime(year)).0, year - 365 * 86_400);
    }

    #[test]
    fn the_inverse_is_the_first_moment_that_shows_the_time() {
        let mut stream = stream();
        for _ in 0..2000 {
            let clock = NodeClock::new(any_drift(&mut stream));
            let local = VirtTime(stream.below(1 << 50));
            let world = clock.world_at(local);
            assert!(clock.local_at(world) >= local);
            assert!(world.0 == 0 || clock.local_at(VirtTime(world.0 - 1)) < local);
        }
    }

    #[test]
    fn local_time_never_runs_backwards_and_both_directions_fit_over_many_changes() {
        let mut stream = stream();
        let mut clock = NodeClock::new(0);
        let (mut world, mut local) = (VirtTime(0), VirtTime(0));
        for step in 0..5000 {
            if step % 7 == 0 {
                clock.set_drift(world, any_drift(&mut stream));
            }
            assert!(clock.local_at(world) >= local, "{clock:?}");
            local = clock.local_at(world);
            assert!(clock.world_at(local) <= world);
            let scale = stream.below(40);
            world = world.after(stream.below(1 << scale));
        }
    }

    #[test]
    fn drift_beyond_the_limits_and_the_end_of_time_saturate() {
        let clock = NodeClock::new(i64::MAX);
        assert_eq!(clock.drift(), DRIFT_PPB.1);
        assert_eq!(clock.local_at(VirtTime(u64::MAX)), VirtTime(u64::MAX));
        let stopped = NodeClock::new(i64::MIN);
        assert_eq!(stopped.world_at(VirtTime(u64::MAX)), VirtTime(u64::MAX));
    }

    #[test]
    #[should_panic(expected = "is to change at")]
    fn a_clock_never_changes_in_its_past() {
        let mut clock = NodeClock::new(0);
        clock.set_drift(VirtTime(10), 5);
        clock.set_drift(VirtTime(9), 0);
    }
}
