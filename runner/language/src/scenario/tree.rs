//! The one document tree that KDL and TOML are both read into.
//!
//! A KDL node and a TOML table are nearly the same thing. What differs is kept here, and nowhere
//! later: a KDL node has positional arguments, which the vocabulary gives names to
//! ([`super::shape`]), so that `disk "data" size="1MiB"` and `[disk.data] size = "1MiB"` become equal.

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What was written.
    pub raw: Raw,
    /// Where.
    pub span: Span,
}

/// What can be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Something that could not be read, which has been told.
    Broken,
    /// KDL's `#null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer. Those that do not fit are [`Raw::BigInt`].
    Int(i64),
    /// An integer that does not fit 64 bits.
    BigInt,
    /// A number with a fraction or exponent; the language has none, so that only its place matters.
    Float,
    /// A TOML date or time; the language has none either.
    Datetime,
    /// Text.
    Str(String),
    /// A TOML array.
    List(Vec<Value>),
    /// A TOML table.
    Table(Vec<Entry>),
    /// A KDL node: arguments, then properties and children in the order of writing.
    Node(Vec<Value>, Vec<Entry>),
}

impl Raw {
    /// What a person would call it.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Broken => "something unreadable",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::BigInt => "an integer",
            Self::Float => "a number with a fraction",
            Self::Datetime => "a date or time",
            Self::Str(_) => "a string",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Node(args, entries) => match (args.as_slice(), entries.is_empty()) {
                ([], true) => "nothing",
                ([one], true) => one.raw.describe(),
                (_, true) => "several values",
                _ => "a block",
            },
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, or the KDL node's name.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Value,
}

impl Value {
    /// The same, as if it stood nowhere.
    #[must_use]
    pub fn without_places(&self) -> Self {
        let values = |list: &[Self]| list.iter().map(Self::without_places).collect();
        let entries = |list: &[Entry]| list.iter().map(Entry::without_places).collect();
        let raw = match &self.raw {
            Raw::List(items) => Raw::List(values(items)),
            Raw::Table(inner) => Raw::Table(entries(inner)),
            Raw::Node(args, inner) => Raw::Node(values(args), entries(inner)),
            plain => plain.clone(),
        };
        Self {
            raw,
            span: Span::default(),
        }
    }
}

impl Entry {
    /// The same, as if it stood nowhere.
    #[must_use]
    pub fn without_places(&self) -> Self {
        Self {
            key: self.key.clone(),
            key_span: Span::default(),
            value: self.value.without_places(),
        }
    }
}
