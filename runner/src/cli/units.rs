//! Quantities on the command line: a number with its unit, as in scenarios.

use chaosrun_vmm::machine::Interleaving;

/// The units of time, in nanoseconds.
const TIMES: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
];

/// The units of size, in bytes.
const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

/// A duration of virtual time in nanoseconds, such as `100ms`.
///
/// # Errors
/// What is wrong, for clap to show.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    match quantity(text, TIMES)? {
        0 => Err("it has to be longer than nothing".to_owned()),
        nanos => Ok(nanos),
    }
}

/// A size in bytes, such as `256MiB`.
///
/// # Errors
/// What is wrong, for clap to show.
pub(super) fn size(text: &str) -> Result<u64, String> {
    quantity(text, SIZES)
}

/// How vCPUs take turns: `round-robin`, `round-robin:5000`, `random`, or `random:1-1000`, where the
/// numbers are instructions.
///
/// # Errors
/// What is wrong, for clap to show.
pub(super) fn interleaving(text: &str) -> Result<Interleaving, String> {
    const FORMS: &str = "write `round-robin`, `round-robin:5000`, `random`, or `random:1-1000`";
    let count = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a number of instructions; {FORMS}")),
        Ok(count) => Ok(count),
    };
    match text.split_once(':') {
        None if text == "round-robin" => Ok(Interleaving::default()),
        None if text == "random" => Ok(Interleaving::Random {
            min: 1,
            max: 100_000,
        }),
        Some(("round-robin", quantum)) => Ok(Interleaving::RoundRobin {
            quantum: count(quantum)?,
        }),
        Some(("random", range)) => {
            let (min, max) = range.split_once('-').ok_or(FORMS)?;
            let (min, max) = (count(min)?, count(max)?);
            if min > max {
                return Err(format!("{min} is more than {max}"));
            }
            Ok(Interleaving::Random { min, max })
        }
        _ => Err(FORMS.to_owned()),
    }
}

/// A whole number directly followed by one of the units.
fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    if number.is_empty() {
        return Err(format!(
            "write a whole number with one of the units {names}"
        ));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("the unit is missing; it is one of {names}"),
            _ => format!("`{unit}` is not one of the units {names}"),
        });
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(*scale))
        .ok_or("it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_scaled() {
        assert_eq!(duration("100ms"), Ok(100_000_000));
        assert_eq!(duration("2m"), Ok(120_000_000_000));
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("0B"), Ok(0));
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_advice() {
        for (text, said) in [
            ("100", "the unit is missing"),
            ("100kb", "not one of the units ns, us, ms, s, m"),
            ("", "a whole number"),
            ("-1s", "a whole number"),
            ("1.5s", "`.5s` is not one of the units"),
            ("99999999999999999999s", "too large"),
            ("999999999999m", "too large"),
            ("0s", "longer than nothing"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn interleavings_are_read() {
        assert_eq!(
            interleaving("round-robin:7"),
            Ok(Interleaving::RoundRobin { quantum: 7 })
        );
        assert_eq!(
            interleaving("random:1-9"),
            Ok(Interleaving::Random { min: 1, max: 9 })
        );
        for text in [
            "",
            "fair",
            "random:9-1",
            "random:0-1",
            "random:5",
            "round-robin:",
            "random:-",
        ] {
            assert!(interleaving(text).is_err(), "{text}");
        }
    }
}
