//! The machine's clocks. Nothing else in this crate asks for the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::Moment;

/// Both clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// The clocks; the steady one counts from now.
    pub fn new() -> Clock {
        Clock { start: now() }
    }

    /// What the steady one shows.
    pub fn steady(&self) -> u64 {
        now().duration_since(self.start).as_nanos() as u64
    }

    /// What they show.
    pub fn moment(&self) -> Moment {
        #[expect(
            clippy::disallowed_methods,
            reason = "this runs inside of the machine, whose time it is"
        )]
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Moment {
            steady: self.steady(),
            wall: wall.as_nanos() as u64,
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this runs inside of the machine, whose time it is"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_starts_at_nothing_and_does_not_go_back() {
        let clock = Clock::new();
        let moments = [clock.moment(), clock.moment(), clock.moment()];
        assert!(moments.is_sorted_by_key(|moment| moment.steady));
        assert!(moments[0].wall > 0);
    }
}
