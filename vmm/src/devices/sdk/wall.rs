//! What a machine's wall clock ought to show.
//!
//! The CMOS clock has whole seconds, and a kernel that boots takes the second as if it began at that
//! moment. So the machine knows the date to the nanosecond besides, and programs ask for it at the SDK's
//! port: the first program of a guest before it starts another one, and when it is told that a fault
//! has moved the clock.

use serde::{Deserialize, Serialize};

use crate::time::VirtTime;

/// The date of a machine, in nanoseconds since 1970, UTC. What does not fit in 64 bits, which is before
/// 1678 or after 2261, counts as the nearest that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// The date at power-on as it would be without faults.
    start_ns: i64,
    /// How far faults have moved it since.
    moved_ns: i64,
}

impl WallClock {
    /// A clock that shows `start_ns + moved_ns` at power-on, of which faults are to blame for `moved_ns`.
    pub fn new(start_ns: i64, moved_ns: i64) -> Self {
        Self { start_ns, moved_ns }
    }

    /// The date at the machine's moment `now`.
    pub fn at(&self, now: VirtTime) -> i64 {
        let passed = i64::try_from(now.0).unwrap_or(i64::MAX);
        let moved = self.start_ns.saturating_add(self.moved_ns);
        moved.saturating_add(passed)
    }

    /// How far faults have moved it.
    pub fn moved_ns(&self) -> i64 {
        self.moved_ns
    }

    /// From now on faults have moved it so far. Returns by how much it jumps.
    pub fn set_moved(&mut self, moved_ns: i64) -> i64 {
        let by = moved_ns.saturating_sub(self.moved_ns);
        self.moved_ns = moved_ns;
        by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_nanoseconds_and_jumps_by_what_faults_change() {
        let mut clock = WallClock::new(1_000, 0);
        assert_eq!(clock.at(VirtTime(7)), 1_007);
        assert_eq!(clock.set_moved(-2_000), -2_000);
        assert_eq!(clock.at(VirtTime(7)), -993);
        assert_eq!(clock.set_moved(5), 2_005);
        assert_eq!((clock.at(VirtTime(7)), clock.moved_ns()), (1_012, 5));
    }

    #[test]
    fn the_ends_of_time_saturate() {
        let mut clock = WallClock::new(i64::MAX, 1);
        assert_eq!(clock.at(VirtTime(u64::MAX)), i64::MAX);
        clock.set_moved(i64::MIN);
        assert_eq!(clock.at(VirtTime(0)), -1);
        assert_eq!(clock.set_moved(i64::MAX), i64::MAX);
    }
}
