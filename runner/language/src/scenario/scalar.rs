//! Values with units: durations, sizes, rates, probabilities. All become integers.

use chaosrun_chance::Chance;

use super::wording::clipped;

/// How much of a unit that nobody knows is shown, in characters.
const SHOWN_CHARS: usize = 24;

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which kind of mistake.
    pub fault: Fault,
    /// What is wrong with it, as the end of a sentence that begins with the value.
    pub why: String,
    /// What to write.
    pub help: String,
}

/// Kinds of mistake in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A number without a unit.
    MissingUnit,
    /// Not of the form at all, or an unknown unit.
    Malformed,
    /// `kB` and its like, which people read in two ways.
    Ambiguous,
    /// Too large or too small.
    Range,
    /// A probability above 1.
    AboveOne,
}

fn wrong<T>(fault: Fault, why: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        fault,
        why: why.into(),
        help: help.into(),
    })
}

/// A fraction in its lowest terms; `den` must not be 0.
fn reduced(num: u64, den: u64) -> (u64, u64) {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    (num / divisor, (den / divisor).max(1))
}

/// Takes the longest number off the front: digits, `_`, and at most one `.`.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number times a scale, exactly: `None` if it is malformed, too large, or not whole.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let plain = number.replace('_', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if whole.is_empty() && fraction.is_empty()
        || fraction.contains('.')
        || fraction.len() > 18
        || whole.len() > 24
    {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let tens = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let value = whole
        .checked_mul(tens)?
        .checked_add(part)?
        .checked_mul(scale)?;
    (value % tens == 0).then_some(value / tens)
}

const DURATION_HELP: &str =
    "write a number and a unit (ns, us, ms, s, m, h), e.g. \"300ms\" or \"1m30s\"";

/// A duration in nanoseconds, e.g. `300ms`, `1m30s`, `1.5s`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn duration(text: &str) -> Result<u64, Wrong> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return wrong(Fault::Malformed, "is empty", DURATION_HELP);
    }
    if rest == "0" {
        return Ok(0);
    }
    if rest.starts_with('-') {
        return wrong(
            Fault::Range,
            "is negative",
            "a duration here can't be negative",
        );
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest);
        if number.is_empty() {
            return wrong(Fault::Malformed, "is not a duration", DURATION_HELP);
        }
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = nanoseconds(unit.trim(), number, text)?;
        let Some(part) = scaled(number, scale) else {
            return wrong(
                Fault::Malformed,
                "is no whole number of nanoseconds",
                DURATION_HELP,
            );
        };
        total = total.saturating_add(part);
        rest = tail;
    }
    // The last virtual nanosecond is that of an i64, so that differences can be formed.
    match i64::try_from(total) {
        Ok(n) => Ok(n.unsigned_abs()),
        Err(_) => wrong(
            Fault::Range,
            "is longer than 292 years",
            "the longest duration is about 2,500,000 hours",
        ),
    }
}

/// How many nanoseconds a unit of time has; `number` stands before it in `text`.
fn nanoseconds(unit: &str, number: &str, text: &str) -> Result<u128, Wrong> {
    let unknown = |instead: String| {
        let what = format!("has the unknown unit `{}`", clipped(unit, SHOWN_CHARS));
        wrong(Fault::Malformed, what, instead)
    };
    match unit {
        "ns" => Ok(1),
        "us" | "µs" | "μs" => Ok(1_000),
        "ms" => Ok(1_000_000),
        "s" => Ok(1_000_000_000),
        "m" => Ok(60_000_000_000),
        "h" => Ok(3_600_000_000_000),
        "" => wrong(
            Fault::MissingUnit,
            "has no unit",
            format!("write \"{text}s\" for seconds or \"{text}ms\" for milliseconds"),
        ),
        "sec" | "secs" | "second" | "seconds" => unknown(format!("write \"{number}s\"")),
        "min" | "mins" | "minute" | "minutes" => unknown(format!("write \"{number}m\"")),
        "d" | "day" | "days" => wrong(
            Fault::Malformed,
            "is counted in days",
            "the longest unit is the hour: \"24h\"",
        ),
        _ => unknown(DURATION_HELP.into()),
    }
}

/// A duration that may be negative, e.g. `-5s`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn signed_duration(text: &str) -> Result<i64, Wrong> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let n = duration(rest)?.cast_signed();
    Ok(if negative { -n } else { n })
}

/// Two durations, the first not longer than the second: `100ms..2s`; a single one is both ends.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn duration_range(text: &str) -> Result<(u64, u64), Wrong> {
    let Some((from, to)) = text.split_once("..") else {
        let one = duration(text)?;
        return Ok((one, one));
    };
    let (from, to) = (duration(from)?, duration(to.trim_start_matches('='))?);
    if from > to {
        return wrong(
            Fault::Range,
            "ends before it begins",
            "write the shorter duration first",
        );
    }
    Ok((from, to))
}

const SIZE_HELP: &str = "write a number and a unit (B, KiB, MiB, GiB, TiB), e.g. \"128MiB\"";

/// A size in bytes, e.g. `128MiB`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let (number, unit) = split_number(text);
    if number.is_empty() {
        return wrong(Fault::Malformed, "is not a size", SIZE_HELP);
    }
    let scale: u128 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => {
            return wrong(
                Fault::MissingUnit,
                "has no unit",
                format!("write \"{number}MiB\", \"{number}GiB\" or \"{number}B\""),
            );
        }
        other => {
            let lower = other.to_lowercase();
            if let Some(letter) = lower
                .chars()
                .next()
                .filter(|c| "kmgt".contains(*c) && lower.len() <= 3)
            {
                let binary = format!("{number}{}iB", letter.to_ascii_uppercase());
                return wrong(
                    Fault::Ambiguous,
                    format!(
                        "has the unit `{}`, which some read as powers of 1000 and some of 1024",
                        clipped(other, SHOWN_CHARS)
                    ),
                    format!("write \"{binary}\" for powers of 1024"),
                );
            }
            return wrong(
                Fault::Malformed,
                format!("has the unknown unit `{}`", clipped(other, SHOWN_CHARS)),
                SIZE_HELP,
            );
        }
    };
    match scaled(number, scale).map(u64::try_from) {
        Some(Ok(n)) if n <= i64::MAX.unsigned_abs() => Ok(n),
        Some(_) => wrong(Fault::Range, "is too large", SIZE_HELP),
        None => wrong(Fault::Malformed, "is no whole number of bytes", SIZE_HELP),
    }
}

const BANDWIDTH_HELP: &str = "write bits per second, e.g. \"100Mbit\" or \"1Gbit\"";

/// A bandwidth in bits per second, e.g. `1Gbit`, `100Mbit/s`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn bandwidth(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let (number, unit) = split_number(text);
    if number.is_empty() {
        return wrong(Fault::Malformed, "is not a bandwidth", BANDWIDTH_HELP);
    }
    let unit = unit.trim();
    let scale: u128 = match unit.strip_suffix("/s").unwrap_or(unit) {
        "bit" => 1,
        "kbit" | "Kbit" => 1_000,
        "Mbit" => 1_000_000,
        "Gbit" => 1_000_000_000,
        "" => {
            return wrong(
                Fault::MissingUnit,
                "has no unit",
                format!("write \"{number}Mbit\" or \"{number}Gbit\""),
            );
        }
        "bps" | "kbps" | "Mbps" | "Gbps" => {
            return wrong(
                Fault::Ambiguous,
                format!(
                    "has the unit `{unit}`, in which b is read as bits by some and bytes by others"
                ),
                format!("write \"{number}{}bit\"", &unit[..unit.len() - 3]),
            );
        }
        "B" | "kB" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB" => {
            return wrong(
                Fault::Ambiguous,
                format!("is counted in bytes (`{}`)", clipped(unit, SHOWN_CHARS)),
                "bandwidth is counted in bits, as network cards are: multiply by 8 \
                 and write e.g. \"800Mbit\"",
            );
        }
        other => {
            return wrong(
                Fault::Malformed,
                format!("has the unknown unit `{}`", clipped(other, SHOWN_CHARS)),
                BANDWIDTH_HELP,
            );
        }
    };
    match scaled(number, scale).map(u64::try_from) {
        Some(Ok(0)) => wrong(
            Fault::Range,
            "lets nothing through",
            "to cut a link use `down` or a partition",
        ),
        Some(Ok(n)) if n <= 100_000_000_000_000 => Ok(n),
        Some(_) => wrong(Fault::Range, "is too large", "the most is \"100000Gbit\""),
        None => wrong(
            Fault::Malformed,
            "is no whole number of bits",
            BANDWIDTH_HELP,
        ),
    }
}

const RATIO_HELP: &str = "write a percentage or a fraction, e.g. \"0.1%\" or \"1/1000\"";

/// A probability, e.g. `0.1%`, `1/1000`, in its lowest terms.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn ratio(text: &str) -> Result<Chance, Wrong> {
    let text = text.trim();
    let (num, den) = if let Some(number) = text.strip_suffix('%') {
        match scaled(number.trim(), 1_000_000_000) {
            Some(n) if n <= u128::from(u64::MAX) => {
                reduced(u64::try_from(n).unwrap_or(u64::MAX), 100_000_000_000)
            }
            _ => return wrong(Fault::Malformed, "is not a percentage", RATIO_HELP),
        }
    } else if let Some((num, den)) = text.split_once('/') {
        match (num.trim().parse::<u64>(), den.trim().parse::<u64>()) {
            (_, Ok(0)) => return wrong(Fault::Malformed, "divides by zero", RATIO_HELP),
            (Ok(num), Ok(den)) if den <= 1_000_000_000_000 => reduced(num, den),
            _ => {
                return wrong(
                    Fault::Malformed,
                    "is not a fraction of two whole numbers",
                    RATIO_HELP,
                );
            }
        }
    } else {
        return match scaled(text, 1_000_000_000) {
            Some(n) => {
                let percent = n / 10_000_000;
                let rest = (n % 10_000_000).to_string();
                let exact = if n % 10_000_000 == 0 {
                    percent.to_string()
                } else {
                    format!("{percent}.{:0>7}", rest)
                        .trim_end_matches('0')
                        .to_owned()
                };
                wrong(
                    Fault::MissingUnit,
                    "has no unit",
                    format!(
                        "write \"{exact}%\" if you mean the fraction {text}, or \
                         \"{text}%\" if you mean percent"
                    ),
                )
            }
            None => wrong(Fault::Malformed, "is not a probability", RATIO_HELP),
        };
    };
    Chance::checked(num, den).ok_or_else(|| Wrong {
        fault: Fault::AboveOne,
        why: "is more than 100%".to_owned(),
        help: "a probability is between \"0%\" and \"100%\"".to_owned(),
    })
}

/// A rate: so many events in so many nanoseconds, e.g. `1/s`, `5/100ms`, `30/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In how many nanoseconds.
    pub per_ns: u64,
}

/// Parses a [`Rate`].
///
/// # Errors
/// Says what is wrong and what to write.
pub fn rate(text: &str) -> Result<Rate, Wrong> {
    const HELP: &str = "write how many in which time, e.g. \"1/s\", \"5/100ms\", \"30/m\"";
    let text = text.trim();
    let Some((count, per)) = text.split_once('/') else {
        if text.parse::<u64>().is_ok() {
            return wrong(
                Fault::MissingUnit,
                "has no unit",
                format!("write \"{text}/s\" for {text} per second"),
            );
        }
        return wrong(Fault::Malformed, "is not a rate", HELP);
    };
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
        per.to_owned()
    } else {
        format!("1{per}")
    };
    let per_ns = duration(&per).map_err(|w| Wrong {
        help: HELP.into(),
        ..w
    })?;
    if per_ns == 0 {
        return wrong(Fault::Range, "divides by a time of zero", HELP);
    }
    let (count, per_ns) = match count.trim().parse::<u64>() {
        Ok(n) => (n, per_ns),
        // A fraction, e.g. `0.5/s`.
        Err(_) => match scaled(count.trim(), 1_000_000).map(u64::try_from) {
            Some(Ok(n)) => (n, per_ns.saturating_mul(1_000_000)),
            _ => return wrong(Fault::Malformed, "is not a rate", HELP),
        },
    };
    if count == 0 {
        return wrong(
            Fault::Range,
            "never happens",
            "leave it out, or give a rate above zero",
        );
    }
    let (count, per_ns) = reduced(count, per_ns);
    Ok(Rate { count, per_ns })
}

/// A clock's drift in parts per billion, e.g. `50ppm`, `-0.1%`, `200ppb`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn drift(text: &str) -> Result<i64, Wrong> {
    const HELP: &str = "write how much faster (or, with a minus, slower) the clock runs, e.g. \"50ppm\" \
        or \"-0.1%\"";
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, unit) = split_number(rest);
    let scale = match unit.trim() {
        "ppm" => 1_000,
        "ppb" => 1,
        "%" => 10_000_000,
        "" if !number.is_empty() => {
            return wrong(
                Fault::MissingUnit,
                "has no unit",
                format!("write \"{text}ppm\" for millionths or \"{text}%\""),
            );
        }
        _ => return wrong(Fault::Malformed, "is not a drift", HELP),
    };
    match scaled(number, scale) {
        Some(n) if n <= 900_000_000 => {
            let n = i64::try_from(n).unwrap_or(i64::MAX);
            Ok(if negative { -n } else { n })
        }
        Some(_) => wrong(
            Fault::Range,
            "is more than 90%",
            "a clock that stands still or runs twice as fast is better made by `clock-jump`",
        ),
        None => wrong(Fault::Malformed, "is not a drift", HELP),
    }
}

/// Seeds `from..=to`, written `1..20` (both included) or `7`.
///
/// # Errors
/// Says what is wrong and what to write.
pub fn seed_range(text: &str) -> Result<(u64, u64), Wrong> {
    const HELP: &str = "write the first and the last seed, e.g. \"1..20\"";
    let parse = |s: &str| s.trim().replace('_', "").parse::<u64>();
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (parse(from), parse(to.trim_start_matches('='))),
        None => (parse(text), parse(text)),
    };
    let (Ok(from), Ok(to)) = (from, to) else {
        return wrong(Fault::Malformed, "is not a range of seeds", HELP);
    };
    if from > to {
        return wrong(Fault::Range, "ends before it begins", HELP);
    }
    if to - from >= 1_000_000 {
        return wrong(
            Fault::Range,
            "has more than a million seeds",
            "use `explore` to search further",
        );
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault<T: std::fmt::Debug>(r: Result<T, Wrong>) -> Fault {
        r.unwrap_err().fault
    }

    #[test]
    fn durations_are_exact_and_need_units() {
        assert_eq!(duration("1m30s"), Ok(90_000_000_000));
        assert_eq!(duration("1.5us"), Ok(1_500));
        assert_eq!(signed_duration("-5s"), Ok(-5_000_000_000));
        assert_eq!(
            duration_range("100ms..2s"),
            Ok((100_000_000, 2_000_000_000))
        );
        assert_eq!(fault(duration("5")), Fault::MissingUnit);
        assert_eq!(fault(duration("0.5ns")), Fault::Malformed);
        assert_eq!(fault(duration("5 parsecs")), Fault::Malformed);
        assert_eq!(fault(duration("9999999999h")), Fault::Range);
        assert_eq!(fault(duration_range("2s..1s")), Fault::Range);
        for bad in ["", "s", "1s1", "..", "1..2", "1.2.3s", "é", "5sé"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_refuse_units_that_people_read_in_two_ways() {
        assert_eq!(size("128MiB"), Ok(128 << 20));
        assert_eq!(size("1.5KiB"), Ok(1536));
        assert_eq!(fault(size("128MB")), Fault::Ambiguous);
        assert_eq!(fault(size("128m")), Fault::Ambiguous);
        assert_eq!(fault(size("128")), Fault::MissingUnit);
        assert_eq!(bandwidth("1Gbit"), Ok(1_000_000_000));
        assert_eq!(fault(bandwidth("10Mbps")), Fault::Ambiguous);
        assert_eq!(fault(bandwidth("0bit")), Fault::Range);
    }

    #[test]
    fn probabilities_and_rates_are_integer_ratios() {
        assert_eq!(ratio("0.1%"), Ok(Chance::new(1, 1000)));
        assert_eq!(ratio("2/10"), Ok(Chance::new(1, 5)));
        assert_eq!(fault(ratio("120%")), Fault::AboveOne);
        assert_eq!(fault(ratio("1/0")), Fault::Malformed);
        let missing = ratio("0.25").unwrap_err();
        assert_eq!(
            (missing.fault, missing.help.contains("\"25%\"")),
            (Fault::MissingUnit, true)
        );
        assert_eq!(
            rate("1/s"),
            Ok(Rate {
                count: 1,
                per_ns: 1_000_000_000
            })
        );
        assert_eq!(
            rate("0.5/s"),
            Ok(Rate {
                count: 1,
                per_ns: 2_000_000_000
            })
        );
        assert_eq!(
            rate("5/100ms"),
            Ok(Rate {
                count: 1,
                per_ns: 20_000_000
            })
        );
        assert_eq!(fault(rate("3")), Fault::MissingUnit);
        assert_eq!(drift("-200ppm"), Ok(-200_000));
        assert_eq!(seed_range("1..20"), Ok((1, 20)));
        assert_eq!(fault(seed_range("9..1")), Fault::Range);
    }
}
