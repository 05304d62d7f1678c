//! `--seeds A..B`: several seeds in one run.

use std::str::FromStr;

use miette::Diagnostic;
use thiserror::Error;

use crate::scenario::wording::clipped;

/// A range of seeds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    first: u64,
    last: u64,
}

impl Seeds {
    /// A single seed.
    pub const fn one(seed: u64) -> Self {
        Self {
            first: seed,
            last: seed,
        }
    }

    /// The seeds in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }

    /// The seeds from `first` to `last`, both included; `first` alone if `last` is smaller.
    pub const fn between(first: u64, last: u64) -> Self {
        let last = if last < first { first } else { last };
        Self { first, last }
    }

    /// How many there are.
    pub const fn count(self) -> u128 {
        (self.last - self.first) as u128 + 1
    }
}

/// Seeds that are not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum SeedError {
    /// It has another form.
    #[error("`{0}` is not a range of seeds; write the first and the last, as in `1..20`")]
    #[diagnostic(code(chaosrun::seeds::syntax))]
    Syntax(String),
    /// It has no seed in it.
    #[error("the range `{0}` has no seed in it; the smaller number comes first")]
    #[diagnostic(code(chaosrun::seeds::empty))]
    Empty(String),
}

impl FromStr for Seeds {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let shown = || clipped(text, 60);
        let number = |part: &str| -> Result<u64, SeedError> {
            part.trim()
                .replace('_', "")
                .parse()
                .map_err(|_| SeedError::Syntax(shown()))
        };
        let Some((first, end)) = text.split_once("..") else {
            return number(text).map(Self::one);
        };
        // Both ends are included, as in the scenario's `seeds`; `..=` says so for those in doubt.
        let first = number(first)?;
        let last = number(end.strip_prefix('=').unwrap_or(end))?;
        if last < first {
            return Err(SeedError::Empty(shown()));
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<u64> {
        text.parse::<Seeds>().expect(text).iter().collect()
    }

    #[test]
    fn both_ends_are_included() {
        assert_eq!(list("3..6"), [3, 4, 5, 6]);
        assert_eq!(list("5..5"), [5]);
        assert_eq!(list("3..=6"), [3, 4, 5, 6]);
        assert_eq!(list("7"), [7]);
    }

    #[test]
    fn the_whole_range_of_seeds_can_be_named_and_counted() {
        let all: Seeds = "0..18446744073709551615".parse().expect("it is valid");
        assert_eq!(all.count(), 1 << 64);
    }

    #[test]
    fn empty_and_broken_ranges_are_refused() {
        for text in ["", "..", "1..", "..3", "a..b", "6..5", "-1..3", "1...3"] {
            assert!(text.parse::<Seeds>().is_err(), "{text}");
        }
    }
}
