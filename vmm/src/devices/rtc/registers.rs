//! The registers of the clock.

use super::*;

pub(super) const SECOND: u8 = 0;
pub(super) const SECOND_ALARM: u8 = 1;
pub(super) const MINUTE: u8 = 2;
pub(super) const MINUTE_ALARM: u8 = 3;
pub(super) const HOUR: u8 = 4;
pub(super) const HOUR_ALARM: u8 = 5;
pub(super) const WEEKDAY: u8 = 6;
pub(super) const DAY: u8 = 7;
pub(super) const MONTH: u8 = 8;
pub(super) const YEAR: u8 = 9;
pub(super) const A: u8 = 10;
pub(super) const B: u8 = 11;
pub(super) const C: u8 = 12;
pub(super) const D: u8 = 13;

/// Fields of register A.
pub(super) const A_RATE: u8 = 0x0f;
pub(super) const A_DIVIDER_RUNS: u8 = 0x20;
pub(super) const A_DIVIDER_RESET: u8 = 0x60;
pub(super) const A_UPDATING: u8 = 0x80;

/// Fields of register B, besides the enables, which have the positions of the flags.
pub(super) const B_24_HOURS: u8 = 0x02;
pub(super) const B_BINARY: u8 = 0x04;
pub(super) const B_SET: u8 = 0x80;

/// The flags of register C and their enables in register B.
pub(super) const FLAG_UPDATE: u8 = 0x10;
pub(super) const FLAG_ALARM: u8 = 0x20;
pub(super) const FLAG_PERIODIC: u8 = 0x40;
pub(super) const FLAGS: u8 = FLAG_UPDATE | FLAG_ALARM | FLAG_PERIODIC;
pub(super) const C_REQUEST: u8 = 0x80;

/// Register D: the battery is good.
pub(super) const D_VALID: u8 = 0x80;

/// The afternoon in a register of the twelve-hour mode.
const PM: u8 = 0x80;

impl RtcState {
    pub(super) fn get(&self, index: u8) -> u8 {
        self.ram[usize::from(index >> 5 & 3)][usize::from(index & 31)]
    }

    pub(super) fn set(&mut self, index: u8, value: u8) {
        self.ram[usize::from(index >> 5 & 3)][usize::from(index & 31)] = value;
    }

    pub(super) fn is_divider_reset(&self) -> bool {
        self.get(A) & A_DIVIDER_RESET == A_DIVIDER_RESET
    }

    fn date(&self, now: VirtTime) -> Date {
        self.held
            .unwrap_or_else(|| Date::of_unix(self.seconds(now)))
    }

    pub(super) fn read_register(&mut self, index: u8, now: VirtTime) -> u8 {
        let date = self.date(now);
        match index {
            SECOND => self.encode(date.second),
            MINUTE => self.encode(date.minute),
            HOUR => self.encode_hour(date.hour),
            WEEKDAY => self.encode(date.weekday()),
            DAY => self.encode(date.day),
            MONTH => self.encode(date.month),
            YEAR => self.encode((date.year % 100) as u8),
            CENTURY => self.encode((date.year / 100) as u8),
            A => self.get(A) | if self.is_updating(now) { A_UPDATING } else { 0 },
            C => {
                let flags = self.get(C);
                self.set(C, 0);
                flags
            }
            _ => self.get(index),
        }
    }

    fn is_updating(&self, now: VirtTime) -> bool {
        let into_second = self.since_anchor(now).rem_euclid(NANOS_PER_SECOND);
        self.held.is_none() && into_second >= NANOS_PER_SECOND - UPDATE_NOTICE_NANOS
    }

    /// Values that a clock can't show become the nearest one that it can. The day of the week
    /// follows from the date and can't be set.
    pub(super) fn write_register(&mut self, index: u8, value: u8, now: VirtTime) {
        let mut date = self.date(now);
        let decoded = self.decode(value);
        match index {
            SECOND => date.second = decoded.min(59),
            MINUTE => date.minute = decoded.min(59),
            HOUR => date.hour = self.decode_hour(value).min(23),
            DAY => date.day = decoded.clamp(1, 31),
            MONTH => date.month = decoded.clamp(1, 12),
            YEAR => date.year = date.year / 100 * 100 + i64::from(decoded.min(99)),
            CENTURY => date.year = i64::from(decoded.min(99)) * 100 + date.year % 100,
            A => return self.write_a(value, now),
            B => return self.write_b(value, now),
            WEEKDAY | C | D => return,
            _ => return self.set(index, value),
        }
        self.set_date(date, now);
    }

    fn set_date(&mut self, date: Date, now: VirtTime) {
        if self.held.is_some() {
            self.held = Some(date);
        } else {
            let elapsed = self.since_anchor(now).div_euclid(NANOS_PER_SECOND);
            self.base = date.to_unix().saturating_sub(elapsed);
        }
    }

    fn write_a(&mut self, value: u8, now: VirtTime) {
        let was_reset = self.is_divider_reset();
        let date = self.date(now);
        self.set(A, value & !A_UPDATING);
        if was_reset && !self.is_divider_reset() {
            let now = i64::try_from(now.0).unwrap_or(i64::MAX);
            self.anchor = now.saturating_sub(FIRST_UPDATE_NANOS);
        }
        self.hold_or_run(date, now);
    }

    fn write_b(&mut self, value: u8, now: VirtTime) {
        let date = self.date(now);
        // Setting the clock stops its updates, and with them the wish to hear of them.
        let forbidden = if value & B_SET != 0 { FLAG_UPDATE } else { 0 };
        self.set(B, value & !forbidden);
        self.hold_or_run(date, now);
    }

    /// Holds the clock at `date` while it is being set or its divider is in reset, and lets it run
    /// on from there otherwise.
    fn hold_or_run(&mut self, date: Date, now: VirtTime) {
        let hold = self.get(B) & B_SET != 0 || self.is_divider_reset();
        if hold {
            self.held = Some(date);
        } else if self.held.take().is_some() {
            self.set_date(date, now);
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.get(B) & B_BINARY != 0 {
            value
        } else {
            ((value / 10) << 4) | (value % 10)
        }
    }

    /// The number in a register; what is no BCD is out of every range.
    pub(super) fn decode(&self, raw: u8) -> u8 {
        if self.get(B) & B_BINARY != 0 {
            return raw;
        }
        if raw & 15 > 9 || raw >> 4 > 9 {
            return u8::MAX;
        }
        (raw >> 4) * 10 + (raw & 15)
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.get(B) & B_24_HOURS != 0 {
            return self.encode(hour);
        }
        let afternoon = if hour >= 12 { PM } else { 0 };
        let shown = if hour.is_multiple_of(12) {
            12
        } else {
            hour % 12
        };
        self.encode(shown) | afternoon
    }

    pub(super) fn decode_hour(&self, raw: u8) -> u8 {
        if self.get(B) & B_24_HOURS != 0 {
            return self.decode(raw);
        }
        let afternoon = if raw & PM != 0 { 12 } else { 0 };
        match self.decode(raw & !PM) {
            hour @ 1..=12 => hour % 12 + afternoon,
            _ => u8::MAX,
        }
    }
}
