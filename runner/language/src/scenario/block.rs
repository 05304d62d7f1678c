//! A checked document: every key known, every value parsed, every argument under its key's name.
//! KDL and TOML can't be told apart any more.

use std::sync::Arc;

use chaosrun_chance::Chance;

use super::scalar::{self, Rate};
use super::source::{Span, Spanned};
use super::tree::Value;
use super::vocab::{Key, Kind, Section};

/// A block of keys with their values.
#[derive(Debug, Clone)]
pub struct Block {
    /// Which block of the language.
    pub section: &'static Section,
    /// Its name, if it is one of several that are told apart by names.
    pub name: Option<Spanned<String>>,
    /// Where its key (in KDL with its arguments and properties) stands.
    pub span: Span,
    /// The keys that are written, in the order of the text.
    pub fields: Vec<Field>,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Field {
    /// The key.
    pub key: &'static Key,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Spanned<Datum>,
}

/// A value, parsed as its key demands.
#[derive(Debug, Clone)]
pub enum Datum {
    /// True or false.
    Bool(bool),
    /// A number; also a signed duration in nanoseconds, and a drift in parts per billion.
    Int(i64),
    /// Numbers.
    Ints(Vec<Spanned<i64>>),
    /// Text, a name, a pattern, a path, or one of several words.
    Text(String),
    /// Several of them.
    Texts(Vec<Spanned<String>>),
    /// Nanoseconds, bytes, or bits per second.
    Amount(u64),
    /// Nanoseconds, from the first to the second.
    Range(u64, u64),
    /// A probability.
    Ratio(Chance),
    /// Events per time.
    Rate(Rate),
    /// A number of nodes; `None` is a minority.
    Count(Option<u64>),
    /// Keys and texts.
    Map(Vec<(Spanned<String>, String)>),
    /// Not yet of any kind.
    Any(Vec<Value>),
    /// A block.
    Block(Arc<Block>),
    /// Something wrong, which has been told.
    Bad,
}

impl Block {
    /// An empty block.
    #[must_use]
    pub fn empty(section: &'static Section, span: Span) -> Self {
        Self {
            section,
            name: None,
            span,
            fields: Vec::new(),
        }
    }

    /// The fields of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Field> + 'a {
        self.fields.iter().filter(move |f| f.key.name == key)
    }

    /// The blocks under a key.
    pub fn blocks<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Arc<Block>> + 'a {
        self.all(key).filter_map(|f| match &f.value.value {
            Datum::Block(b) => Some(b),
            _ => None,
        })
    }

    /// The one block under a key.
    #[must_use]
    pub fn block(&self, key: &str) -> Option<&Arc<Block>> {
        self.fields
            .iter()
            .rev()
            .filter(|f| f.key.name == key)
            .find_map(|f| match &f.value.value {
                Datum::Block(b) => Some(b),
                _ => None,
            })
    }

    /// The plain value under a key, if it is written.
    #[must_use]
    pub fn field(&self, key: &str) -> Option<&Field> {
        self.fields
            .iter()
            .rev()
            .find(|f| f.key.name == key && !matches!(f.value.value, Datum::Block(_)))
    }

    /// Whether the key is written.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|f| f.key.name == key)
    }

    /// Where a key's value stands, or else the block.
    #[must_use]
    pub fn span_of(&self, key: &str) -> Span {
        self.fields
            .iter()
            .rev()
            .find(|f| f.key.name == key)
            .map_or(self.span, |f| f.value.span)
    }

    fn default_text(&self, key: &str) -> Option<&'static str> {
        self.section
            .key(key, false)
            .map(|k| k.default)
            .filter(|d| !d.is_empty())
    }

    /// A number of nanoseconds, bytes or bits: as written, or else the vocabulary's default.
    #[must_use]
    pub fn amount(&self, key: &str) -> Option<u64> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Amount(n)) => Some(*n),
            Some(_) => None,
            None => {
                let text = self.default_text(key)?;
                match self.section.key(key, false)?.kind {
                    Kind::Size => scalar::size(text).ok(),
                    Kind::Bandwidth => scalar::bandwidth(text).ok(),
                    _ => scalar::duration(text).ok(),
                }
            }
        }
    }

    /// A whole number, a signed duration or a drift: as written, or else the default.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Int(n)) => Some(*n),
            Some(_) => None,
            None => {
                let text = self.default_text(key)?;
                match self.section.key(key, false)?.kind {
                    Kind::SignedDuration => scalar::signed_duration(text).ok(),
                    Kind::Drift => scalar::drift(text).ok(),
                    _ => text.parse().ok(),
                }
            }
        }
    }

    /// A whole number that its kind keeps from being negative.
    #[must_use]
    pub fn unsigned(&self, key: &str) -> Option<u64> {
        self.int(key).and_then(|n| u64::try_from(n).ok())
    }

    /// True or false: as written, or else the default, or else false.
    #[must_use]
    pub fn bool(&self, key: &str) -> bool {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Bool(b)) => *b,
            _ => self.default_text(key) == Some("true"),
        }
    }

    /// A text or word: as written, or else the default.
    #[must_use]
    pub fn text<'a>(&'a self, key: &str) -> Option<&'a str> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Text(s)) => Some(s),
            Some(_) => None,
            None => self.default_text(key),
        }
    }

    /// A text with its place, only if it is written.
    #[must_use]
    pub fn spanned_text(&self, key: &str) -> Option<Spanned<&str>> {
        let field = self.field(key)?;
        match &field.value.value {
            Datum::Text(s) => Some(Spanned::new(s.as_str(), field.value.span)),
            _ => None,
        }
    }

    /// All texts under a key that may be written several times; or else the default's.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<Spanned<String>> {
        let mut out = Vec::new();
        for field in self.all(key) {
            match &field.value.value {
                Datum::Texts(list) => out.extend(list.iter().cloned()),
                Datum::Text(one) => out.push(Spanned::new(one.clone(), field.value.span)),
                _ => {}
            }
        }
        if out.is_empty() && !self.has(key) {
            let words = self
                .default_text(key)
                .unwrap_or_default()
                .split(',')
                .filter(|w| !w.is_empty());
            out.extend(words.map(|w| Spanned::new(w.to_owned(), self.span)));
        }
        out
    }

    /// Whole numbers under a key, or else the default.
    #[must_use]
    pub fn ints(&self, key: &str) -> Vec<i64> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Ints(list)) => list.iter().map(|n| n.value).collect(),
            Some(_) => Vec::new(),
            None => self
                .default_text(key)
                .and_then(|t| t.parse().ok())
                .into_iter()
                .collect(),
        }
    }

    /// A span of time or a range of them, in nanoseconds: as written, or else the default.
    #[must_use]
    pub fn range(&self, key: &str) -> Option<(u64, u64)> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Range(a, b)) => Some((*a, *b)),
            Some(_) => None,
            None => self
                .default_text(key)
                .and_then(|t| scalar::duration_range(t).ok()),
        }
    }

    /// A probability: as written, or else the default.
    #[must_use]
    pub fn ratio(&self, key: &str) -> Option<Chance> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Ratio(r)) => Some(*r),
            Some(_) => None,
            None => self.default_text(key).and_then(|t| scalar::ratio(t).ok()),
        }
    }

    /// A rate: as written, or else the default.
    #[must_use]
    pub fn rate(&self, key: &str) -> Option<Rate> {
        match self.field(key).map(|f| &f.value.value) {
            Some(Datum::Rate(r)) => Some(*r),
            Some(_) => None,
            None => self.default_text(key).and_then(|t| scalar::rate(t).ok()),
        }
    }

    /// Freely chosen keys and texts, of all places where the key is written.
    #[must_use]
    pub fn map(&self, key: &str) -> Vec<(Spanned<String>, String)> {
        let mut out = Vec::new();
        for field in self.all(key) {
            if let Datum::Map(entries) = &field.value.value {
                out.extend(entries.iter().cloned());
            }
        }
        out
    }
}

/// Joins two blocks: what `over` says wins over `base`. Things with names are joined by name, other
/// things of which there may be several are added, and the rest is replaced.
#[must_use]
pub fn merge(base: &Block, over: &Block) -> Block {
    let mut out = base.clone();
    out.span = over.span;
    if over.name.is_some() {
        out.name.clone_from(&over.name);
    }
    let mut cleared: Vec<&'static str> = Vec::new();
    for field in &over.fields {
        merge_field(&mut out, field, &mut cleared);
    }
    out
}

fn merge_field(out: &mut Block, field: &Field, cleared: &mut Vec<&'static str>) {
    let is_block = matches!(field.value.value, Datum::Block(_));
    let same = |f: &Field| {
        f.key.name == field.key.name && matches!(f.value.value, Datum::Block(_)) == is_block
    };
    if let Datum::Block(over) = &field.value.value {
        let id = identity(over);
        let found = out.fields.iter().position(|f| {
            same(f)
                && match &f.value.value {
                    Datum::Block(b) => !field.key.many || (id.is_some() && identity(b) == id),
                    _ => false,
                }
        });
        let Some(at) = found else {
            out.fields.push(field.clone());
            return;
        };
        // A block with a leading argument is one value (`kernel "tiny"`); others are joined.
        let joined = match &out.fields[at].value.value {
            Datum::Block(b) if over.name.is_some() || over.section.args.is_empty() => {
                Arc::new(merge(b, over))
            }
            _ => Arc::clone(over),
        };
        out.fields[at] = Field {
            value: Spanned::new(Datum::Block(joined), field.value.span),
            ..field.clone()
        };
        return;
    }
    // A plain value replaces what the base said, but not what this same block said just before.
    if !field.key.many && !cleared.contains(&field.key.name) {
        out.fields.retain(|f| !same(f));
        cleared.push(field.key.name);
    }
    out.fields.push(field.clone());
}

/// By what a block is told apart from others under the same key.
fn identity(block: &Block) -> Option<&str> {
    if let Some(name) = &block.name {
        return Some(&name.value);
    }
    match block.section.name {
        "node.guest" => block.text("name"),
        "file" => block.text("path"),
        _ => None,
    }
}
