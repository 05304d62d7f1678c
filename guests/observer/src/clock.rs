//! The machine's clocks. Nothing else in this crate asks for the time.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clocks of the machine; the steady one counts from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// The clocks, the steady one at zero.
    pub fn new() -> Self {
        Self { start: now() }
    }

    /// CLOCK_MONOTONIC in microseconds since this was made.
    pub fn steady_us(&self) -> u64 {
        now().duration_since(self.start).as_micros() as u64
    }

    /// How far CLOCK_REALTIME is ahead of the steady clock, in microseconds.
    pub fn wall_ahead_us(&self) -> i64 {
        date_ns() / 1_000 - self.steady_us() as i64
    }

    /// Sleeps to the next multiple of `period_us` of the steady clock, and tells how many microseconds
    /// too late that was.
    pub fn sleep_to_multiple(&self, period_us: u64) -> u64 {
        let before = self.steady_us();
        let wanted = (before / period_us + 1) * period_us;
        thread::sleep(Duration::from_micros(wanted - before));
        self.steady_us().saturating_sub(wanted)
    }
}

/// CLOCK_REALTIME in nanoseconds since 1970.
pub fn date_ns() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "this runs inside of the machine, whose time it is"
    )]
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default().as_nanos() as i64
}

#[expect(
    clippy::disallowed_methods,
    reason = "this runs inside of the machine, whose time it is"
)]
fn now() -> Instant {
    Instant::now()
}
