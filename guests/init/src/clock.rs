//! The time of day, which the kernel reads from a clock of whole seconds when it boots.
//!
//! The machine knows the date to the nanosecond, and how much of it is the doing of faults. Once, before
//! any program starts, CLOCK_REALTIME is set to it. From then on it takes the steps that faults take, and
//! no others: what a program of the guest does to its clock stays.

use std::io;

use chaosrun_sdk::__private::{date, date_moved};

use crate::{report, sys};

/// How often the clock is compared with the machine's. An interrupt between the two readings makes one
/// comparison wrong, in one direction; the least wrong of several is right.
const COMPARISONS: usize = 8;
/// What a clock may still be wrong after it was set. Steps are exact, but a clock that is made of a counter
/// has parts of a nanosecond, and one that is not is read a moment before the machine is asked.
const EXACT_NS: i64 = 1_000;
/// What the kernel makes the time of.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Which part of what faults did to the date the clock shows.
#[derive(Debug, Default)]
pub struct WallClock {
    followed_ns: i64,
}

impl WallClock {
    /// Sets the clock.
    pub fn set(&mut self) {
        let by_counter = std::fs::read_to_string(SOURCE).is_ok_and(|name| name.trim() == "tsc");
        let Some((error, followed)) = compared(by_counter) else {
            // No machine of chaosrun answers, and that was told already.
            return;
        };
        self.followed_ns = followed;
        let wrong = |error: i64| io::Error::other(format!("it is still {error} ns slow"));
        let set = sys::step_clock(error).and_then(|()| match compared(by_counter) {
            // A fault that came meanwhile is followed when the command comes.
            Some((error, now)) if now == followed && error.abs() > EXACT_NS && by_counter => {
                Err(wrong(error))
            }
            _ => Ok(()),
        });
        report::attempt("set the clock", set);
    }

    /// Takes the step that it has not taken yet.
    ///
    /// # Errors
    /// If the machine does not tell, or the kernel does not want such a date.
    pub fn follow(&mut self) -> Result<(), String> {
        let moved = date_moved().ok_or("the machine does not tell the date")?;
        sys::step_clock(moved.saturating_sub(self.followed_ns))
            .map_err(|error| error.to_string())?;
        self.followed_ns = moved;
        Ok(())
    }
}

/// By how much the clock is slow, and how far faults have moved the date of which that is true.
fn compared(by_counter: bool) -> Option<(i64, i64)> {
    loop {
        let moved = date_moved()?;
        let mut least = i64::MAX;
        for _ in 0..COMPARISONS {
            let shown = sys::date_ns();
            least = least.min(date(by_counter)?.saturating_sub(shown));
        }
        // A fault that came in between has spoilt it.
        if date_moved()? == moved {
            return Some((least, moved));
        }
    }
}
