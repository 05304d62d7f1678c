//! JSON of guests whose values are compared: like `serde_json`'s, but with exact numbers.
//!
//! `serde_json` is the parser; that it hands out the text of a part (`RawValue`) is what keeps each
//! number as the guest wrote it. Its feature of arbitrary precision is not used, because it changes
//! how every other crate of the workspace reads numbers.

pub mod number;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

pub use number::Number;

/// How deep lists and maps may lie in each other.
const MAX_DEPTH: usize = 100;
/// What an element of a map costs besides its key and value, in bytes.
const ENTRY: usize = 48;

/// A JSON value. Numbers are equal if their values are: `1` and `1.0`, `100` and `1e2`, `0` and `-0`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Self>),
    /// A map; of two equal keys the last counts.
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no JSON, is nested deeper than [`MAX_DEPTH`], or has an exponent beyond 64 bits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::of_raw(raw, MAX_DEPTH)
    }

    fn of_raw(raw: &RawValue, depth: usize) -> Result<Self, String> {
        let text = raw.get();
        let inside = || {
            let depth = depth.checked_sub(1);
            depth.ok_or_else(|| format!("it is nested deeper than {MAX_DEPTH}"))
        };
        let told = |error: serde_json::Error| error.to_string();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let depth = inside()?;
                let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(told)?;
                let entry = |(key, value)| Ok((key, Self::of_raw(value, depth)?));
                Self::Object(map.into_iter().map(entry).collect::<Result<_, String>>()?)
            }
            Some(b'[') => {
                let depth = inside()?;
                let list: Vec<&RawValue> = serde_json::from_str(text).map_err(told)?;
                let element = |value| Self::of_raw(value, depth);
                Self::Array(
                    list.into_iter()
                        .map(element)
                        .collect::<Result<_, String>>()?,
                )
            }
            Some(b'"') => Self::String(serde_json::from_str(text).map_err(told)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(Number::parse(text)?),
        })
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// True or false, if it is one of them.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Its elements, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// About how many bytes of memory it takes, itself included.
    #[must_use]
    pub fn weight(&self) -> usize {
        let inside = match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Number(number) => number.weight(),
            Self::String(text) => text.len(),
            Self::Array(elements) => elements.iter().map(Self::weight).sum(),
            Self::Object(map) => {
                let entry = |(key, value): (&String, &Self)| ENTRY + key.len() + value.weight();
                map.iter().map(entry).sum()
            }
        };
        size_of::<Self>() + inside
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |text: &String| serde_json::to_string(text).unwrap_or_default();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::String(value) => f.write_str(&text(value)),
            Self::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if at == 0 { "[" } else { "," })?;
                }
                f.write_str(if elements.is_empty() { "[]" } else { "]" })
            }
            Self::Object(map) => {
                for (at, (key, value)) in map.iter().enumerate() {
                    let begin = if at == 0 { "{" } else { "," };
                    write!(f, "{begin}{}:{value}", text(key))?;
                }
                f.write_str(if map.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

/// A value that a program made, as tests and benchmarks do; it is not what a guest wrote.
impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => {
                Number::parse(&number.to_string()).map_or(Self::Null, Self::Number)
            }
            Value::String(text) => Self::String(text),
            Value::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                let entry = |(key, value)| (key, Self::from(value));
                Self::Object(map.into_iter().map(entry).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_number_of_a_text_is_exact() {
        let text =
            r#" {"a": [1.0, 100000000000000000000001, {"b": -0}], "a b": "1.0", "n": null} "#;
        let read = Json::parse(text).expect("it is JSON");
        let shown = r#"{"a":[1,100000000000000000000001,{"b":0}],"a b":"1.0","n":null}"#;
        assert_eq!(read.to_string(), shown);
        assert_eq!(Json::parse(shown), Ok(read));
    }

    #[test]
    fn what_is_no_json_or_has_no_bound_is_refused() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        for text in [
            "",
            "{",
            "1 2",
            "01",
            "+1",
            "NaN",
            "1e",
            "[1e99999999999999999999]",
            &deep,
        ] {
            assert!(
                Json::parse(text).is_err(),
                "{}",
                &text[..text.len().min(20)]
            );
        }
        let nested = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(Json::parse(&nested).is_ok());
    }

    #[test]
    fn what_is_short_as_text_is_heavy_in_memory() {
        let read = Json::parse(&format!("[{}0]", "0,".repeat(999))).expect("it is JSON");
        assert!(read.weight() >= 1000 * size_of::<Json>());
        let long = Json::parse(&"7".repeat(1000)).expect("it is JSON");
        assert!(long.weight() >= 1000);
        let key = Json::parse(&format!("{{\"{}\":0}}", "k".repeat(1000))).expect("it is JSON");
        assert!(key.weight() >= 1000 + ENTRY);
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(text in "[-+0-9.eE\\[\\]{}\",: \\\\a-z]{0,12}") {
            let theirs = serde_json::from_str::<Value>(&text);
            match Json::parse(&text) {
                Ok(ours) => {
                    prop_assert!(theirs.is_ok() || text.contains(['e', 'E']), "{text}");
                    prop_assert_eq!(Json::parse(&ours.to_string()), Ok(ours));
                }
                Err(why) => prop_assert!(theirs.is_err(), "{text}: {why}"),
            }
        }
    }
}
