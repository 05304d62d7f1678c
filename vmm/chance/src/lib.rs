//! The one type of a probability, from the text of a scenario to the draw in a device.
//!
//! It is a crate of its own because the language has it as well as the machines, and neither of them may
//! depend on the other.

use serde::{Deserialize, Serialize};

/// A probability: from never to always, both included, as an exact fraction. Also a part of something,
/// such as what is left of a node's speed.
///
/// The fraction is what it was made of and is not reduced, because it says which decision is drawn: a
/// number below [`den`](Self::den), and the chance comes true if that is less than [`num`](Self::num).
/// So 1/2 and 50/100 are equally likely, but they are different decisions, and not equal. The language
/// reduces what it reads, so that a plan says `1/2` however that was written.
///
/// In JSON it is `{"num":1,"den":2}`, in postcard the two numbers. Reading refuses a fraction that is no
/// probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fraction")]
pub struct Chance {
    num: u64,
    den: u64,
}

impl Chance {
    /// What never happens.
    pub const NEVER: Self = Self::new(0, 1);
    /// What always happens.
    pub const ALWAYS: Self = Self::new(1, 1);

    /// `num` in `den`, for fractions that are known to be probabilities.
    ///
    /// # Panics
    /// If it is more than one, or `den` is zero.
    #[must_use]
    pub const fn new(num: u64, den: u64) -> Self {
        assert!(den > 0 && num <= den, "a probability is from 0 to 1");
        Self { num, den }
    }

    /// `num` in `den`; none if it is more than one, or `den` is zero.
    #[must_use]
    pub const fn checked(num: u64, den: u64) -> Option<Self> {
        if den > 0 && num <= den {
            Some(Self { num, den })
        } else {
            None
        }
    }

    /// Above the line; not more than [`den`](Self::den).
    #[must_use]
    pub const fn num(self) -> u64 {
        self.num
    }

    /// Below the line; not zero.
    #[must_use]
    pub const fn den(self) -> u64 {
        self.den
    }

    /// Whether it can happen at all.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        self.num > 0
    }

    /// Whether it always happens.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        self.num == self.den
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::NEVER
    }
}

/// A fraction of integers, reduced.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Ratio"))]
struct Fraction {
    /// Above the line.
    num: u64,
    /// Below the line; never 0.
    den: u64,
}

impl TryFrom<Fraction> for Chance {
    type Error = &'static str;

    fn try_from(fraction: Fraction) -> Result<Self, Self::Error> {
        Self::checked(fraction.num, fraction.den).ok_or("a probability is from 0 to 1")
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Chance {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Fraction::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Fraction::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_probability_is_refused() {
        assert_eq!(Chance::checked(0, 1), Some(Chance::NEVER));
        assert_eq!(Chance::checked(1, 1), Some(Chance::ALWAYS));
        assert_eq!(
            Chance::checked(u64::MAX, u64::MAX).map(Chance::num),
            Some(u64::MAX)
        );
        for (num, den) in [(0, 0), (1, 0), (2, 1), (u64::MAX, u64::MAX - 1)] {
            assert_eq!(Chance::checked(num, den), None, "{num}/{den}");
            let json = format!("{{\"num\":{num},\"den\":{den}}}");
            assert!(serde_json::from_str::<Chance>(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_fraction_stays_as_it_is_in_every_form() {
        let chance = Chance::new(50, 100);
        assert_ne!(chance, Chance::new(1, 2));
        let json = serde_json::to_string(&chance).unwrap();
        assert_eq!(json, r#"{"num":50,"den":100}"#);
        assert_eq!(serde_json::from_str::<Chance>(&json).unwrap(), chance);
        let bytes = postcard::to_stdvec(&chance).unwrap();
        // State hashes are made of this: it is that of a pair.
        assert_eq!(bytes, postcard::to_stdvec(&(50_u64, 100_u64)).unwrap());
        assert_eq!(postcard::from_bytes::<Chance>(&bytes).unwrap(), chance);
    }
}
