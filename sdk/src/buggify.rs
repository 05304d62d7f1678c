//! Named fault points.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use chaosrun_protocol::Message;

use crate::random::{self, ChaosRng};
use crate::transport;

/// One process in so many has a point switched on.
const SWITCHED_ON: u64 = 4;
/// How often "taken" is sent, before only those times are whose number is a power of two.
const TAKEN_SENT: u32 = 8;

const UNDECIDED: u32 = 0;
const OFF: u32 = 1;
const ON: u32 = 2;

/// A fault point of the program. [`buggify!`](crate::buggify) makes one for each place where it is used.
#[derive(Debug)]
pub struct Point {
    name: &'static str,
    state: AtomicU32,
    taken: AtomicU32,
}

impl Point {
    /// A point that was not reached yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            state: AtomicU32::new(UNDECIDED),
            taken: AtomicU32::new(0),
        }
    }

    /// Whether it is taken this time: with a chance of `numerator` in `denominator`, if it is on.
    #[inline]
    pub fn taken(&'static self, numerator: u64, denominator: u64) -> bool {
        Self::decide(self.name, &self.state, &self.taken, numerator, denominator)
    }

    /// The same for a point that is kept elsewhere, in two numbers that start as 0.
    #[inline]
    pub fn decide(
        name: &str,
        state: &AtomicU32,
        taken: &AtomicU32,
        numerator: u64,
        denominator: u64,
    ) -> bool {
        state.load(Relaxed) != OFF && draw(name, state, taken, numerator, denominator)
    }
}

/// Draws whether a point that is not off is taken.
#[cold]
fn draw(
    name: &str,
    state: &AtomicU32,
    taken: &AtomicU32,
    numerator: u64,
    denominator: u64,
) -> bool {
    // Only chaosrun may make these decisions.
    let Some(mut numbers) = random::machine_stream(&["buggify/", name]) else {
        state.store(OFF, Relaxed);
        return false;
    };
    if !is_on(state, &mut numbers) || numbers.below(denominator.max(1)) >= numerator {
        return false;
    }
    let number = taken.fetch_add(1, Relaxed).wrapping_add(1);
    if number <= TAKEN_SENT || number.is_power_of_two() {
        transport::send(Message::FaultPoint {
            name: name.into(),
            taken: true,
        });
    }
    true
}

/// Whether a point is on, which is drawn when it is first reached. Two threads may both draw; the first
/// that decides counts.
fn is_on(state: &AtomicU32, numbers: &mut ChaosRng) -> bool {
    let mut decided = state.load(Relaxed);
    if decided == UNDECIDED {
        let drawn = if numbers.below(SWITCHED_ON) == 0 {
            ON
        } else {
            OFF
        };
        decided = match state.compare_exchange(UNDECIDED, drawn, Relaxed, Relaxed) {
            Ok(_) => drawn,
            Err(earlier) => earlier,
        };
    }
    decided == ON
}
