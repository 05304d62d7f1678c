//! Named fault points.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use chaosrun_protocol::Message;

use crate::random::{self, Chooser};
use crate::transport;

/// One process in so many has a point switched on.
const SWITCHED_ON: u64 = 4;
/// How often "taken" is sent, before only those times are whose number is a power of two.
const TAKEN_SENT: u32 = 8;

const UNDECIDED: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

/// A fault point of the program. [`buggify!`](crate::buggify) makes one for each place where it is used.
#[derive(Debug)]
pub struct Point {
    name: &'static str,
    state: AtomicU8,
    taken: AtomicU32,
}

impl Point {
    /// A point that was not reached yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            state: AtomicU8::new(UNDECIDED),
            taken: AtomicU32::new(0),
        }
    }

    /// Whether it is taken this time: with a chance of `numerator` in `denominator`, if it is on.
    #[inline]
    pub fn taken(&'static self, numerator: u64, denominator: u64) -> bool {
        match self.state.load(Relaxed) {
            OFF => false,
            ON => self.draw(numerator, denominator),
            _ => self.decide() && self.draw(numerator, denominator),
        }
    }

    /// Draws whether the point is on. Two threads may both come here; the first that decides counts.
    #[cold]
    fn decide(&'static self) -> bool {
        let on = self
            .chooser()
            .is_some_and(|mut numbers| numbers.below(SWITCHED_ON) == 0);
        let drawn = if on { ON } else { OFF };
        let decided = match self
            .state
            .compare_exchange(UNDECIDED, drawn, Relaxed, Relaxed)
        {
            Ok(_) => drawn,
            Err(earlier) => earlier,
        };
        decided == ON
    }

    fn draw(&'static self, numerator: u64, denominator: u64) -> bool {
        let taken = self
            .chooser()
            .is_some_and(|mut numbers| numbers.below(denominator.max(1)) < numerator);
        if taken {
            let number = self.taken.fetch_add(1, Relaxed).wrapping_add(1);
            if number <= TAKEN_SENT || number.is_power_of_two() {
                transport::send(Message::FaultPoint {
                    name: self.name.into(),
                    taken,
                });
            }
        }
        taken
    }

    /// The numbers of this point, if chaosrun is there to choose them.
    fn chooser(&self) -> Option<Chooser> {
        random::machine_stream(&["buggify/", self.name])
    }
}
