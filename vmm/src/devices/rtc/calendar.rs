//! Dates of the proleptic Gregorian calendar, in UTC.

use serde::{Deserialize, Serialize};

const SECONDS_PER_DAY: i64 = 86_400;

/// 400 years have this many days.
const DAYS_PER_CYCLE: i64 = 146_097;

/// Days from 1 March of the year 0 to 1 January 1970.
const UNIX_EPOCH_DAY: i64 = 719_468;

/// Earlier and later moments than these years' are not shown.
const MAX_SECONDS: i64 = 253_402_300_799;
const MIN_SECONDS: i64 = -62_167_219_200;

/// A moment as a clock shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Date {
    /// 0 to 9999.
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u8,
    /// 1 to 31.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl Date {
    /// The date of a moment in Unix seconds, or the first or last one that can be shown.
    pub(super) fn of_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(MIN_SECONDS, MAX_SECONDS);
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let days = seconds.div_euclid(SECONDS_PER_DAY) + UNIX_EPOCH_DAY;
        let cycle = days.div_euclid(DAYS_PER_CYCLE);
        let mut rest = days.rem_euclid(DAYS_PER_CYCLE);
        // Years that start in March end with the leap day, if they have one. The last century of a
        // cycle and the last year of four years are a day longer than the others of their kind.
        let century = (rest / 36_524).min(3);
        rest -= century * 36_524;
        let four_years = rest / 1_461;
        rest -= four_years * 1_461;
        let year = (rest / 365).min(3);
        rest -= year * 365;
        // From March on, five months have 153 days, in an order that this division follows.
        let month = (5 * rest + 2) / 153;
        let day = rest - (153 * month + 2) / 5 + 1;
        let year = 400 * cycle + 100 * century + 4 * four_years + year;
        Self {
            year: if month < 10 { year } else { year + 1 },
            month: if month < 10 { month + 3 } else { month - 9 } as u8,
            day: day as u8,
            hour: (of_day / 3_600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }

    /// The Unix seconds of this date. A day that the month does not have is one of the next month.
    pub(super) fn to_unix(self) -> i64 {
        let (year, month) = match self.month {
            month @ 3.. => (self.year, i64::from(month) - 3),
            month => (self.year - 1, i64::from(month) + 9),
        };
        let of_cycle = year.rem_euclid(400);
        let days = year.div_euclid(400) * DAYS_PER_CYCLE + of_cycle * 365 + of_cycle / 4
            - of_cycle / 100
            + (153 * month + 2) / 5
            + i64::from(self.day)
            - 1
            - UNIX_EPOCH_DAY;
        let of_day =
            i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        days * SECONDS_PER_DAY + of_day
    }

    /// 1 (Sunday) to 7.
    pub(super) fn weekday(self) -> u8 {
        // 1 January 1970 was a Thursday.
        ((self.to_unix().div_euclid(SECONDS_PER_DAY) + 4).rem_euclid(7) + 1) as u8
    }
}
