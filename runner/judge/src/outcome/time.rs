//! Durations and dates as text, computed with integers only.

/// Nanoseconds in one second.
const SECOND_NS: u64 = 1_000_000_000;

/// Writes a duration the way a person says it: `850 ns`, `12 ms`, `4.211 s`, `1 h 40 min`.
pub fn human_duration(duration_ns: u64) -> String {
    match duration_ns {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{duration_ns} ns"),
        1_000..1_000_000 => with_fraction(duration_ns, 1_000, "µs"),
        1_000_000..SECOND_NS => with_fraction(duration_ns, 1_000_000, "ms"),
        _ => human_seconds(duration_ns),
    }
}

fn human_seconds(duration_ns: u64) -> String {
    let seconds = duration_ns / SECOND_NS;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, _) => with_fraction(duration_ns, SECOND_NS, "s"),
        (0, _, 0) => format!("{minutes} min"),
        (0, _, _) => format!("{minutes} min {rest} s"),
        (_, 0, _) => format!("{} h", thousands(hours)),
        (_, _, _) => format!("{} h {minutes} min", thousands(hours)),
    }
}

/// Writes `value / unit` with at most three decimals and without trailing zeros.
fn with_fraction(value: u64, unit: u64, name: &str) -> String {
    let thousandths = u128::from(value) * 1_000 / u128::from(unit);
    let (whole, fraction) = (thousandths / 1_000, thousandths % 1_000);
    if fraction == 0 {
        return format!("{whole} {name}");
    }
    let digits = format!("{fraction:03}");
    format!("{whole}.{} {name}", digits.trim_end_matches('0'))
}

/// Writes a moment in seconds with exactly six decimals, so that moments align in a column.
///
/// The digits below a microsecond are cut, not rounded: a moment never appears later than it was.
pub fn seconds_micros(vtime_ns: u64) -> String {
    format!(
        "{}.{:06}",
        vtime_ns / SECOND_NS,
        vtime_ns % SECOND_NS / 1_000
    )
}

/// Writes a moment in seconds with all nine decimals.
pub fn seconds_nanos(vtime_ns: u64) -> String {
    format!("{}.{:09}", vtime_ns / SECOND_NS, vtime_ns % SECOND_NS)
}

/// Writes a moment in seconds with three decimals, as in `4.211`.
pub fn seconds_millis(vtime_ns: u64) -> String {
    format!(
        "{}.{:03}",
        vtime_ns / SECOND_NS,
        vtime_ns % SECOND_NS / 1_000_000
    )
}

/// Writes a number with commas between its thousands: `1234567` becomes `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a count with its noun, in the plural where English wants it: `1 node`, `3 nodes`.
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!(
        "{} {}",
        thousands(number),
        if number == 1 { singular } else { plural }
    )
}

/// Writes milliseconds since 1970 as a UTC date of RFC 3339, `2026-03-01T12:00:00.250Z`.
///
/// The calendar is the proleptic Gregorian one. The years of a 64-bit count that have more than
/// four digits are written with all their digits.
pub fn rfc3339_utc(unix_ms: u64) -> String {
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil_date(days);
    let seconds = ms_of_day / 1_000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        ms_of_day % 1_000,
    )
}

/// Turns days since 1970-01-01 into year, month and day.
///
/// Years are counted from March inside 400-year eras, so that the leap day is the last of a year
/// and every era has the same number of days.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_corrected =
        day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096;
    let year_of_era = leap_corrected / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        let cases = [
            (0, "0 s"),
            (850, "850 ns"),
            (1_500, "1.5 µs"),
            (12_000_000, "12 ms"),
            (4_211_003_000, "4.211 s"),
            (30 * SECOND_NS, "30 s"),
            (120 * SECOND_NS, "2 min"),
            (125 * SECOND_NS, "2 min 5 s"),
            (6_000 * SECOND_NS, "1 h 40 min"),
            (u64::MAX, "5,124,095 h 34 min"),
        ];
        for (duration_ns, expected) in cases {
            assert_eq!(human_duration(duration_ns), expected);
        }
    }

    #[test]
    fn moments_are_cut_and_never_rounded_up() {
        assert_eq!(seconds_micros(4_211_003_999), "4.211003");
        assert_eq!(seconds_millis(999_999_999), "0.999");
    }

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        assert_eq!(rfc3339_utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_utc(951_782_400_250), "2000-02-29T00:00:00.250Z");
        assert_eq!(rfc3339_utc(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(rfc3339_utc(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn the_largest_date_does_not_overflow() {
        assert!(rfc3339_utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn thousands_are_grouped_from_the_right() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234), "1,234");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
