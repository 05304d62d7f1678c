//! The MC146818 real-time clock and its 128 bytes of CMOS RAM.
//!
//! The clock is never stepped: what it shows is computed from virtual time. Interrupt flags are
//! brought up to date when the guest looks at it, and at the deadlines of enabled interrupts.

use serde::{Deserialize, Serialize};

use super::{Deadline, Effect};
use crate::time::VirtTime;
use calendar::Date;

mod alarm;
mod calendar;
mod registers;
#[cfg(test)]
mod tests;

use registers::*;

/// The moment of power-on unless configured otherwise, 2024-01-01T00:00:00Z, in Unix seconds.
pub const DEFAULT_EPOCH: i64 = 1_704_067_200;

/// The index of the century register, which the FADT has to tell.
pub const CENTURY: u8 = 0x32;

/// The ISA interrupt.
pub const IRQ: u32 = 8;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The first update comes half a second after the divider leaves its reset.
const FIRST_UPDATE_NANOS: i64 = 500_000_000;

/// The update-in-progress flag rises this long before an update.
const UPDATE_NOTICE_NANOS: i64 = 244_000;

/// The frequency of the time base in Hz.
const TIME_BASE: i128 = 32_768;

/// The state of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcState {
    index: u8,
    /// The CMOS RAM, whose first bytes are the registers that are not computed: alarm and control.
    ram: [[u8; 32]; 4],
    /// The clock shows `base` at `anchor` nanoseconds, which may be before power-on.
    base: i64,
    anchor: i64,
    /// What the clock shows while it stands still.
    held: Option<Date>,
    /// The moment up to which the interrupt flags are known.
    known: VirtTime,
    /// The level of the interrupt line.
    line: bool,
}

impl RtcState {
    /// A clock that shows `epoch` (Unix seconds, UTC) at power-on.
    pub fn new(epoch: i64) -> Self {
        let mut clock = Self {
            index: 0,
            ram: [[0; 32]; 4],
            base: epoch,
            anchor: 0,
            held: None,
            known: VirtTime(0),
            line: false,
        };
        clock.set(A, A_DIVIDER_RUNS | 6);
        clock.set(B, B_24_HOURS);
        clock.set(D, D_VALID);
        clock
    }

    /// A clock that shows the second of `nanos` (since 1970, UTC) at power-on, and the next one when that
    /// begins.
    pub fn at(nanos: i64) -> Self {
        Self {
            anchor: -nanos.rem_euclid(NANOS_PER_SECOND),
            ..Self::new(nanos.div_euclid(NANOS_PER_SECOND))
        }
    }

    /// The clock jumps by so many nanoseconds, at which no alarm rings that lies between. One that is just
    /// being set, and so stands still, shows what it is set to.
    pub fn shift(&mut self, by: i64, now: VirtTime, effects: &mut Vec<Effect>) {
        self.expire(now, effects);
        self.base = self.base.saturating_add(by.div_euclid(NANOS_PER_SECOND));
        self.anchor = self.anchor.saturating_sub(by.rem_euclid(NANOS_PER_SECOND));
        // Many small jumps must not add up to an anchor that is far away.
        self.base = self
            .base
            .saturating_sub(self.anchor.div_euclid(NANOS_PER_SECOND) + 1);
        self.anchor = self.anchor.rem_euclid(NANOS_PER_SECOND) - NANOS_PER_SECOND;
    }

    /// Whether `port` belongs to the clock: 0x70 and 0x71.
    pub const fn owns(port: u16) -> bool {
        matches!(port, 0x70 | 0x71)
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, now: VirtTime, effects: &mut Vec<Effect>) -> u8 {
        if port != 0x71 {
            return 0xff;
        }
        self.expire(now, effects);
        let value = self.read_register(self.index, now);
        self.update_line(effects);
        value
    }

    /// Writes a port. The bit of port 0x70 that masks NMIs has no effect, because no NMI comes from
    /// the places that it would mask.
    pub fn write(&mut self, port: u16, value: u8, now: VirtTime, effects: &mut Vec<Effect>) {
        match port {
            0x70 => self.index = value & 0x7f,
            0x71 => {
                self.expire(now, effects);
                self.write_register(self.index, value, now);
                self.update_line(effects);
            }
            _ => {}
        }
    }

    /// The moment at which [`Self::expire`] wants to be called. There is none while the line is
    /// asserted, because nothing can assert it more.
    pub fn deadline(&self) -> Deadline {
        let enabled = self.get(B) & FLAGS;
        if enabled == 0 || self.line {
            return None;
        }
        let periodic = (enabled & FLAG_PERIODIC != 0).then(|| self.next_periodic());
        let update = (enabled & FLAG_UPDATE != 0).then(|| self.next_update());
        let alarm = (enabled & FLAG_ALARM != 0).then(|| self.next_alarm());
        [periodic, update, alarm]
            .into_iter()
            .flatten()
            .flatten()
            .min()
    }

    /// Lets alarms and periodic and update interrupts (ISA interrupt 8) happen up to `now`.
    pub fn expire(&mut self, now: VirtTime, effects: &mut Vec<Effect>) {
        let happened = |next: Deadline| next.is_some_and(|moment| moment <= now);
        let mut flags = 0;
        if happened(self.next_periodic()) {
            flags |= FLAG_PERIODIC;
        }
        if happened(self.next_update()) {
            flags |= FLAG_UPDATE;
            // An alarm comes only with an update, and is more work to find.
            if happened(self.next_alarm()) {
                flags |= FLAG_ALARM;
            }
        }
        self.set(C, self.get(C) | flags);
        self.known = self.known.max(now);
        self.update_line(effects);
    }

    /// Makes the interrupt request flag and the line follow the flags and their enables.
    fn update_line(&mut self, effects: &mut Vec<Effect>) {
        let flags = self.get(C) & FLAGS;
        let line = flags & self.get(B) != 0;
        self.set(C, flags | if line { C_REQUEST } else { 0 });
        if line != self.line {
            self.line = line;
            effects.push(Effect::Irq {
                line: IRQ,
                asserted: line,
            });
        }
    }

    /// Nanoseconds from the anchor to `now`.
    fn since_anchor(&self, now: VirtTime) -> i64 {
        i64::try_from(now.0)
            .unwrap_or(i64::MAX)
            .saturating_sub(self.anchor)
    }

    /// What the clock would show at `now` in Unix seconds if nothing held it.
    fn seconds(&self, now: VirtTime) -> i64 {
        self.base
            .saturating_add(self.since_anchor(now).div_euclid(NANOS_PER_SECOND))
    }

    /// The moment at which the clock shows `seconds`.
    fn moment_of(&self, seconds: i64) -> Deadline {
        let nanos = (i128::from(seconds) - i128::from(self.base)) * i128::from(NANOS_PER_SECOND);
        u64::try_from(nanos + i128::from(self.anchor))
            .ok()
            .map(VirtTime)
    }

    fn next_update(&self) -> Deadline {
        if self.held.is_some() {
            return None;
        }
        self.moment_of(self.seconds(self.known).checked_add(1)?)
    }

    fn next_alarm(&self) -> Deadline {
        if self.held.is_some() {
            return None;
        }
        self.moment_of(self.alarm_after(self.seconds(self.known))?)
    }

    fn next_periodic(&self) -> Deadline {
        let ticks: i128 = match self.get(A) & A_RATE {
            _ if self.is_divider_reset() => return None,
            0 => return None,
            // The two fastest rates stand for others, because they are used with another crystal.
            rate @ 1..=2 => 1 << (rate + 6),
            rate => 1 << (rate - 1),
        };
        let nanos = i128::from(NANOS_PER_SECOND);
        let now = i128::from(self.since_anchor(self.known)) * TIME_BASE;
        let next = now.div_euclid(ticks * nanos) + 1;
        // The first nanosecond that is not before the tick.
        let moment = -(-(next * ticks * nanos)).div_euclid(TIME_BASE);
        u64::try_from(moment + i128::from(self.anchor))
            .ok()
            .map(VirtTime)
    }
}
