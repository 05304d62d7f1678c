//! When the alarm of the clock comes.

use super::*;

/// From this value on an alarm register matches everything.
const ANY: u8 = 0xc0;

impl RtcState {
    /// The first moment after `seconds` (Unix seconds) at which the alarm registers match, if they
    /// hold times that exist.
    pub(super) fn alarm_after(&self, seconds: i64) -> Option<i64> {
        let hour = self.alarm(HOUR_ALARM, 23)?;
        let minute = self.alarm(MINUTE_ALARM, 59)?;
        let second = self.alarm(SECOND_ALARM, 59)?;
        let mut moment = seconds.checked_add(1)?;
        // Each step ends an hour, a minute or a second that does not match, the longest one first,
        // so that a day takes at most 24 + 2 * (60 + 60) of them.
        for _ in 0..300 {
            let of_day = moment.rem_euclid(86_400);
            let differs = |wanted: Option<u8>, shown: i64| {
                wanted.is_some_and(|wanted| i64::from(wanted) != shown)
            };
            if differs(hour, of_day / 3_600) {
                moment = moment.checked_add(3_600 - of_day % 3_600)?;
            } else if differs(minute, of_day / 60 % 60) {
                moment = moment.checked_add(60 - of_day % 60)?;
            } else if differs(second, of_day % 60) {
                moment = moment.checked_add(1)?;
            } else {
                return Some(moment);
            }
        }
        None
    }

    /// An alarm register: `Some(None)` matches everything, `None` nothing.
    fn alarm(&self, index: u8, max: u8) -> Option<Option<u8>> {
        let raw = self.get(index);
        if raw >= ANY {
            return Some(None);
        }
        let value = if index == HOUR_ALARM {
            self.decode_hour(raw)
        } else {
            self.decode(raw)
        };
        (value <= max).then_some(Some(value))
    }
}
