//! Numbers as JSON writes them, compared by value and exactly.
//!
//! RFC 8259, section 6, bounds neither the size nor the precision of a number. A double has 53 bits, so
//! that a reader with doubles takes 10^23 + 1 for 10^23 + 2; and a reader of texts takes `1` and `1.0`
//! for two numbers. Here a number is its decimal digits and a power of ten, in one form only.

/// A number: its digits, without zeros at either end, times a power of ten.
///
/// Two are equal exactly if their values are. The derived order is total and says nothing of size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    negative: bool,
    /// Decimal digits; none for zero.
    digits: String,
    /// The power of ten; 0 for zero.
    exponent: i64,
}

/// How many digits a number is written out to before it gets an exponent.
const MAX_WRITTEN_OUT: i64 = 40;

impl Number {
    /// The number that a JSON text is. The text is taken to be a number of JSON's grammar.
    ///
    /// # Errors
    /// The exponent does not fit 64 bits; no two such numbers could be told apart by what is kept.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let joined = format!("{whole}{fraction}");
        let digits = joined.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self::zero());
        }
        let trailing = joined.len() - joined.trim_end_matches('0').len();
        let exponent = power
            .parse::<i64>()
            .ok()
            .and_then(|power| power.checked_sub(fraction.len() as i64))
            .and_then(|power| power.checked_add(trailing as i64))
            .ok_or("the exponent of a number is too large")?;
        Ok(Self {
            negative,
            digits: digits.to_owned(),
            exponent,
        })
    }

    const fn zero() -> Self {
        Self {
            negative: false,
            digits: String::new(),
            exponent: 0,
        }
    }

    /// The memory that its digits take, in bytes.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.digits.len()
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let count = self.digits.len() as i64;
        // Where the point is, counted from the first digit.
        let point = self.exponent.saturating_add(count);
        if self.exponent >= 0 && point <= MAX_WRITTEN_OUT.max(count) {
            let zeros = "0".repeat(self.exponent as usize);
            write!(f, "{}{zeros}", self.digits)
        } else if self.exponent < 0 && point > 0 {
            let (whole, fraction) = self.digits.split_at(point as usize);
            write!(f, "{whole}.{fraction}")
        } else if self.exponent < 0 && point > -MAX_WRITTEN_OUT {
            let zeros = "0".repeat(point.unsigned_abs() as usize);
            write!(f, "0.{zeros}{}", self.digits)
        } else {
            let (first, rest) = self.digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            write!(f, "{first}{dot}{rest}e{}", point.saturating_sub(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).expect("it is a number")
    }

    #[test]
    fn what_is_worth_the_same_is_equal() {
        for same in [
            ["1", "1.0", "1e0", "10e-1", "0.1E+1"].as_slice(),
            &["100", "1e2", "1.00e2", "1000E-1"],
            &["0", "-0", "0.0", "-0e99999999999999999999", "0e-5"],
            &["-2.50", "-25e-1", "-0.25e1"],
            &["1e23", "100000000000000000000000"],
            &["1e999999999", "10e999999998", "0.1e1000000000"],
        ] {
            for text in same {
                assert_eq!(number(text), number(same[0]), "{text} and {}", same[0]);
                assert_eq!(number(text).to_string(), number(same[0]).to_string());
            }
        }
    }

    #[test]
    fn what_a_double_cannot_tell_apart_differs() {
        for (a, b) in [
            ("100000000000000000000001", "100000000000000000000002"),
            ("18446744073709551616", "18446744073709551617"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("0.1", "0.1000000000000000000000000001"),
            ("1e999999999", "1e999999998"),
            ("1e-999999999", "0"),
            ("1", "-1"),
        ] {
            assert_ne!(number(a), number(b));
        }
    }

    #[test]
    fn numbers_are_shown_as_people_write_them_and_read_back() {
        for (text, shown) in [
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("1e2", "100"),
            ("1e39", "1000000000000000000000000000000000000000"),
            ("1e999999999", "1e999999999"),
            ("12e999999999", "1.2e1000000000"),
            ("0.00012", "0.00012"),
            ("12e-100", "1.2e-99"),
            ("-18446744073709551617", "-18446744073709551617"),
        ] {
            assert_eq!(number(text).to_string(), shown);
            assert_eq!(number(shown), number(text));
        }
    }

    #[test]
    fn an_exponent_without_bounds_is_refused() {
        for text in ["1e99999999999999999999", "1e-99999999999999999999"] {
            assert!(Number::parse(text).is_err());
        }
        assert!(Number::parse("0.1e-9223372036854775808").is_err());
    }
}
