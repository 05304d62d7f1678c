//! The timer of the local APIC (Intel SDM vol. 3, 11.5.4), without its LVT entry.

use serde::{Deserialize, Serialize};

use crate::devices::Deadline;
use crate::time::{TscClock, VirtTime};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What the timer does when it expires, bits 17 and 18 of its LVT entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    OneShot,
    Periodic,
    TscDeadline,
    /// The fourth encoding, with which the timer does nothing.
    Reserved,
}

impl Mode {
    pub(super) fn of_lvt(entry: u32) -> Self {
        match entry >> 17 & 3 {
            0 => Self::OneShot,
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::Reserved,
        }
    }

    fn counts(self) -> bool {
        matches!(self, Self::OneShot | Self::Periodic)
    }
}

/// A count in progress. It is kept as its start and not as a remainder, so that periods don't
/// drift when a tick is not a whole number of nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    origin: VirtTime,
    /// Ticks from the origin to the next expiry.
    target: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timer {
    crystal_hz: u32,
    tsc: TscClock,
    divide: u32,
    initial: u32,
    count: Option<Count>,
    tsc_deadline: u64,
    tsc_expiry: Deadline,
}

impl Timer {
    pub(super) fn new(crystal_hz: u32, tsc: TscClock) -> Self {
        Self {
            crystal_hz: crystal_hz.max(1),
            tsc,
            divide: 0,
            initial: 0,
            count: None,
            tsc_deadline: 0,
            tsc_expiry: None,
        }
    }

    /// Back to the state after power-up, with the same clocks.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.crystal_hz, self.tsc);
    }

    pub(super) fn initial(&self) -> u32 {
        self.initial
    }

    pub(super) fn divide(&self) -> u32 {
        self.divide
    }

    pub(super) fn tsc_deadline(&self) -> u64 {
        self.tsc_deadline
    }

    /// The current count, right after [`Self::advance`] to the same moment.
    pub(super) fn current(&self, mode: Mode, now: VirtTime) -> u32 {
        match self.count {
            Some(count) if mode.counts() => {
                let left = u128::from(count.target).saturating_sub(self.elapsed(count, now));
                u32::try_from(left).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Writes the initial count, which starts the timer, or stops it if it is zero.
    pub(super) fn start(&mut self, mode: Mode, initial: u32, now: VirtTime) {
        if !mode.counts() {
            return;
        }
        self.initial = initial;
        self.count = (initial != 0).then_some(Count {
            origin: now,
            target: initial.into(),
        });
    }

    /// Writes the divide configuration. The rest of a running count goes on at the new rate.
    pub(super) fn set_divide(&mut self, mode: Mode, divide: u32, now: VirtTime) {
        let left = self.current(mode, now);
        self.divide = divide & 0b1011;
        if self.count.is_some() {
            self.count = Some(Count {
                origin: now,
                target: left.into(),
            });
        }
    }

    /// Arms the timer for the moment at which the TSC reaches `deadline`; zero disarms it.
    pub(super) fn arm_tsc(&mut self, deadline: u64, now: VirtTime) {
        self.tsc_deadline = deadline;
        self.tsc_expiry = if deadline == 0 {
            None
        } else {
            self.tsc.time_at(deadline, now)
        };
    }

    pub(super) fn set_tsc(&mut self, tsc: TscClock, now: VirtTime) {
        self.tsc = tsc;
        self.arm_tsc(self.tsc_deadline, now);
    }

    /// Changes between TSC-deadline mode and another one disarm the timer.
    pub(super) fn change_mode(&mut self, from: Mode, to: Mode) {
        if from.counts() != to.counts() {
            self.count = None;
            self.arm_tsc(0, VirtTime(0));
        }
    }

    /// When the timer expires next.
    pub(super) fn deadline(&self, mode: Mode) -> Deadline {
        if mode == Mode::TscDeadline {
            return self.tsc_expiry;
        }
        let count = self.count.filter(|_| mode.counts())?;
        let nanos =
            (u128::from(count.target) * self.nanos_per_hz()).div_ceil(self.crystal_hz.into());
        u64::try_from(nanos)
            .ok()?
            .checked_add(count.origin.0)
            .map(VirtTime)
    }

    /// Takes the timer to `now` and returns whether it expired on the way, once or more often.
    pub(super) fn advance(&mut self, mode: Mode, now: VirtTime) -> bool {
        match mode {
            Mode::TscDeadline => {
                let expired = self.tsc_expiry.is_some_and(|expiry| expiry <= now);
                if expired {
                    self.arm_tsc(0, now);
                }
                expired
            }
            Mode::OneShot | Mode::Periodic => self.advance_count(mode, now),
            Mode::Reserved => false,
        }
    }

    fn advance_count(&mut self, mode: Mode, now: VirtTime) -> bool {
        let Some(count) = self.count else {
            return false;
        };
        let elapsed = self.elapsed(count, now);
        let Some(late) = elapsed.checked_sub(count.target.into()) else {
            return false;
        };
        self.count = None;
        if mode == Mode::Periodic && self.initial != 0 {
            let period = u128::from(self.initial);
            let target = u128::from(count.target) + (late / period + 1) * period;
            self.count = u64::try_from(target)
                .ok()
                .map(|target| Count { target, ..count });
        }
        true
    }

    /// Whole ticks from the count's origin to `now`.
    fn elapsed(&self, count: Count, now: VirtTime) -> u128 {
        let nanos = u128::from(now.0.saturating_sub(count.origin.0));
        nanos * u128::from(self.crystal_hz) / self.nanos_per_hz()
    }

    /// The nanoseconds of a tick, times the crystal's frequency.
    fn nanos_per_hz(&self) -> u128 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        let divisor: u128 = if code == 7 { 1 } else { 2 << code };
        divisor * NANOS_PER_SECOND
    }
}
