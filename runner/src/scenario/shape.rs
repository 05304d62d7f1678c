//! Checks a document against the vocabulary and parses its values: one pass, for both languages.

use std::sync::Arc;

use super::block::{Block, Datum, Field};
use super::codes::{self, Code};
use super::diag::{Diag, Diags};
use super::scalar::{self, Fault, Wrong};
use super::source::{Language, Span, Spanned};
use super::suggest::{did_you_mean, one_of};
use super::tree::{Entry, Raw, Value};
use super::vocab::{Key, Kind, Ref, Section};

/// Checks one document of a language.
pub struct Shape<'a> {
    /// How the document is written; messages show examples in this language.
    pub language: Language,
    /// Where mistakes are told.
    pub diags: &'a mut Diags,
}

impl Shape<'_> {
    fn push(&mut self, diag: Diag) {
        self.diags.push(diag);
    }

    /// Checks a block's entries. Whatever is right is returned, and every mistake is told.
    pub fn block(
        &mut self,
        section: &'static Section,
        args: &[Value],
        entries: &[Entry],
        span: Span,
    ) -> Block {
        let mut block = Block::empty(section, span);
        self.args(&mut block, args);
        for entry in entries {
            if !entry.key.starts_with("x-") {
                self.entry(&mut block, entry);
            }
        }
        self.required(&block);
        block
    }

    /// Gives a KDL node's arguments the names of their keys.
    fn args(&mut self, block: &mut Block, args: &[Value]) {
        let section = block.section;
        for (index, arg) in args.iter().enumerate() {
            let Some(name) = section.args.get(index) else {
                let took = if section.args.is_empty() {
                    "no value".to_owned()
                } else {
                    format!("only {}", one_of(section.args.iter().copied()))
                };
                let mut diag = Diag::error(
                    codes::TOO_MANY_VALUES,
                    format!("`{}` takes {took} before its keys", section.name),
                )
                .label(arg.span, "one too many");
                if let Raw::Str(text) = &arg.raw {
                    diag = diag
                        .help_opt(did_you_mean(text, section.keys().map(|k| k.name)))
                        .help_opt(self.repeat_hint(section));
                }
                self.push(diag);
                return;
            };
            let Some(key) = section.key(name, false) else {
                continue;
            };
            if section.variadic && index + 1 == section.args.len() {
                let rest = &args[index..];
                let span = rest.iter().fold(arg.span, |s, v| s.to(v.span));
                // A list in TOML's nested form is already what is wanted.
                let raw = match rest {
                    [one] => one.raw.clone(),
                    _ => Raw::List(rest.to_vec()),
                };
                self.value(block, key, arg.span, &Value { raw, span });
                return;
            }
            self.value(block, key, arg.span, arg);
        }
    }

    fn repeat_hint(&self, section: &Section) -> Option<String> {
        (section.args.len() == 1).then(|| {
            format!(
                "to have several, write `{}` once for each",
                section.name.rsplit('.').next().unwrap_or(section.name)
            )
        })
    }

    fn entry(&mut self, block: &mut Block, entry: &Entry) {
        let blockish = match &entry.value.raw {
            Raw::Node(_, entries) => !entries.is_empty(),
            Raw::Table(_) => true,
            Raw::List(items) => items.iter().any(|v| matches!(v.raw, Raw::Table(_))),
            _ => false,
        };
        let Some(key) = block.section.key(&entry.key, blockish) else {
            self.unknown(block.section, entry);
            return;
        };
        let section = match key.kind {
            Kind::Block(s) | Kind::Named(s) => s,
            _ => return self.plain(block, key, entry),
        };
        let named = matches!(key.kind, Kind::Named(_));
        match &entry.value.raw {
            // TOML: `[node.n1]` is the table of nodes, with one entry per name.
            Raw::Table(items) if named => {
                for item in items.iter().filter(|i| !i.key.starts_with("x-")) {
                    let name = Spanned::new(item.key.clone(), item.key_span);
                    self.sub_block(block, key, section, item.key_span, &item.value, Some(name));
                }
            }
            Raw::List(items) if key.many => {
                for item in items {
                    self.sub_block(block, key, section, entry.key_span, item, None);
                }
            }
            Raw::Bool(false) if section.args.is_empty() => {}
            _ => self.sub_block(block, key, section, entry.key_span, &entry.value, None),
        }
    }

    /// A key with a plain value; tables of which there may be several can stand in a list.
    fn plain(&mut self, block: &mut Block, key: &'static Key, entry: &Entry) {
        match (&entry.value.raw, key.kind) {
            (Raw::List(items), Kind::Map) if key.many => {
                for item in items {
                    self.value(block, key, entry.key_span, item);
                }
            }
            _ => self.value(block, key, entry.key_span, &entry.value),
        }
    }

    fn sub_block(
        &mut self,
        block: &mut Block,
        key: &'static Key,
        section: &'static Section,
        key_span: Span,
        value: &Value,
        name: Option<Spanned<String>>,
    ) {
        let whole = if matches!(value.raw, Raw::Node(..)) {
            value.span
        } else {
            key_span
        };
        let mut inner = match &value.raw {
            Raw::Node(args, entries) => self.block(section, args, entries, whole),
            Raw::Table(entries) => self.block(section, &[], entries, whole),
            Raw::Bool(true) if section.args.is_empty() => self.block(section, &[], &[], whole),
            Raw::List(items) if section.variadic => self.block(section, items, &[], whole),
            _ if !section.args.is_empty() && name.is_none() => {
                self.block(section, std::slice::from_ref(value), &[], whole)
            }
            other => {
                let diag = Diag::error(
                    codes::WRONG_TYPE,
                    format!(
                        "`{}` is a block of keys, not {}",
                        key.name,
                        other.describe()
                    ),
                )
                .label(value.span, "expected a block")
                .help(self.block_help(key, section));
                self.push(diag);
                return;
            }
        };
        if !matches!(key.kind, Kind::Named(_)) {
            if !key.many && self.duplicate(block, key, key_span, true) {
                return;
            }
            block.fields.push(Field {
                key,
                key_span,
                value: Spanned::new(Datum::Block(Arc::new(inner)), value.span),
            });
            return;
        }
        let mut names = inner.texts("name");
        inner.fields.retain(|f| f.key.name != "name");
        match (name, names.first()) {
            (Some(name), Some(again)) => {
                let diag = Diag::error(
                    codes::CONFLICTING_KEYS,
                    format!("`{}` is named twice", name.value),
                )
                .label(again.span, "the second name")
                .label(name.span, "the first name")
                .help("remove `name`: the table's own key is the name");
                return self.push(diag);
            }
            (Some(name), None) => names.push(name),
            (None, None) => {
                let example = match self.language {
                    Language::Kdl => format!("{} \"name\" {{ ... }}", key.name),
                    Language::Toml => format!("[{}.name]", key.name),
                };
                let diag = Diag::error(
                    codes::MISSING_KEY,
                    format!("this `{}` has no name", key.name),
                )
                .label(key_span, "the name is missing")
                .help(format!("write `{example}`"));
                return self.push(diag);
            }
            (None, Some(_)) => {}
        }
        for name in names {
            if self.name_is_good(key, &name) {
                let named = Block {
                    name: Some(name.clone()),
                    ..inner.clone()
                };
                block.fields.push(Field {
                    key,
                    key_span,
                    value: Spanned::new(Datum::Block(Arc::new(named)), name.span),
                });
            }
        }
    }

    fn block_help(&self, key: &Key, section: &Section) -> String {
        let first = section
            .keys()
            .find(|k| k.name != "name")
            .map_or("key", |k| k.name);
        match self.language {
            Language::Kdl => format!("write `{} {{ {first} ... }}`", key.name),
            Language::Toml => format!("write a table: `{} = {{ {first} = ... }}`", key.name),
        }
    }

    /// Names become host names, file names and parts of reports.
    fn name_is_good(&mut self, key: &Key, name: &Spanned<String>) -> bool {
        let text = &name.value;
        let node = key.name == "node";
        let good = |c: char| {
            c.is_ascii_alphanumeric() || c == '-' || (!node && matches!(c, '_' | '.' | ' '))
        };
        let why = if text.is_empty() {
            Some("is empty".to_owned())
        } else if text.len() > 63 {
            Some("is longer than 63 characters".to_owned())
        } else if let Some(c) = text.chars().find(|c| !good(*c)) {
            Some(format!("has the character `{}` in it", c.escape_debug()))
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric())
            || text.ends_with(['-', ' ', '.'])
        {
            Some("doesn't begin and end with a letter or digit".to_owned())
        } else if node && ["all", "any", "minority", "majority"].contains(&text.as_str()) {
            Some("is a word that selects nodes".to_owned())
        } else {
            None
        };
        let Some(why) = why else { return true };
        let shown: String = text.chars().take(40).collect();
        let help = if node {
            "a node's name is its host name: letters, digits and `-`"
        } else {
            "use letters, digits, `-`, `_` and `.`"
        };
        self.push(
            Diag::error(
                codes::BAD_NAME,
                format!("the name `{}` {why}", shown.escape_debug()),
            )
            .label(name.span, "not a name")
            .help(help),
        );
        false
    }

    /// Tells a key that is written twice. Returns whether it is.
    fn duplicate(&mut self, block: &Block, key: &Key, key_span: Span, is_block: bool) -> bool {
        let earlier = block
            .fields
            .iter()
            .find(|f| f.key.name == key.name && (matches!(f.key.kind, Kind::Block(_)) == is_block));
        let Some(earlier) = earlier else { return false };
        let diag = Diag::error(
            codes::DUPLICATE_KEY,
            format!("`{}` is written twice", key.name),
        )
        .label(key_span, "the second time")
        .label(earlier.key_span, "the first time")
        .help("keep one of them");
        self.push(diag);
        true
    }

    fn unknown(&mut self, section: &'static Section, entry: &Entry) {
        let shown: String = entry.key.chars().take(64).collect();
        let mut diag = Diag::error(
            codes::UNKNOWN_KEY,
            format!("`{}` has no key `{}`", section.name, shown.escape_debug()),
        )
        .label(entry.key_span, "unknown key");
        let keys = || {
            section
                .keys()
                .map(|k| k.name)
                .filter(|k| *k != "name" || section.args.first() != Some(&"name"))
        };
        diag = match did_you_mean(&entry.key, keys()) {
            Some(help) => diag.help(help),
            None => match moved(section, &entry.key, self.language) {
                Some(help) => diag.help(help),
                None => diag.help(format!(
                    "its keys are {}; keys that begin with `x-` are yours",
                    one_of(keys())
                )),
            },
        };
        self.push(diag);
    }

    fn required(&mut self, block: &Block) {
        // An included file may leave out what the main file says.
        if block.section.name == "scenario" {
            return;
        }
        for key in block
            .section
            .keys()
            .filter(|k| k.required && !block.has(k.name))
        {
            let diag = Diag::error(
                codes::MISSING_KEY,
                format!("`{}` needs `{}`", block.section.name, key.name),
            )
            .label(block.span, format!("`{}` is missing", key.name))
            .help(format!("{} Write e.g. {}", key.doc, self.example(key)));
            self.push(diag);
        }
    }

    /// An example of a key with a value.
    fn example(&self, key: &Key) -> String {
        let value = match example_value(key.kind) {
            Some(value) => value.to_owned(),
            None => "...".into(),
        };
        match self.language {
            Language::Kdl => format!("`{}={value}`", key.name),
            Language::Toml => format!("`{} = {value}`", key.name),
        }
    }

    /// Parses a plain value and files it.
    fn value(&mut self, block: &mut Block, key: &'static Key, key_span: Span, value: &Value) {
        if !key.many && self.duplicate(block, key, key_span, false) {
            return;
        }
        let datum = self.datum(key, value).unwrap_or(Datum::Bad);
        block.fields.push(Field {
            key,
            key_span,
            value: Spanned::new(datum, inner_span(value)),
        });
    }

    fn datum(&mut self, key: &'static Key, value: &Value) -> Option<Datum> {
        match key.kind {
            Kind::Map => return self.map(key, value),
            Kind::Any => return Some(Datum::Any(items(value).to_vec())),
            Kind::Texts | Kind::Names(_) | Kind::Choices(_) | Kind::Ints(..) => {
                return self.list(key, value);
            }
            _ => {}
        }
        let one = match &value.raw {
            Raw::Node(args, entries) if entries.is_empty() => match args.as_slice() {
                [] if matches!(key.kind, Kind::Bool) => return Some(Datum::Bool(true)),
                [one] => one,
                [] => return self.wrong_type(key, value),
                [_, second, ..] => {
                    self.push(
                        Diag::error(
                            codes::TOO_MANY_VALUES,
                            format!("`{}` has one value", key.name),
                        )
                        .label(second.span, "one too many")
                        .help("remove all but one"),
                    );
                    return None;
                }
            },
            _ => value,
        };
        self.scalar(key, one)
    }

    fn scalar(&mut self, key: &'static Key, value: &Value) -> Option<Datum> {
        match (key.kind, &value.raw) {
            (Kind::Bool, Raw::Bool(b)) => Some(Datum::Bool(*b)),
            (Kind::Int(low, high), Raw::Int(n)) => {
                self.int(key, *n, low, high, value.span).map(Datum::Int)
            }
            (Kind::Count, Raw::Int(n)) => self
                .int(key, *n, 0, 4096, value.span)
                .map(|n| Datum::Count(Some(n.unsigned_abs()))),
            (Kind::Int(..) | Kind::Count, Raw::BigInt) => {
                self.range_error(key, value.span, "is far too large");
                None
            }
            (Kind::Count, Raw::Str(s)) if s == "minority" => Some(Datum::Count(None)),
            (Kind::Text | Kind::Path | Kind::Pattern | Kind::Name(_), Raw::Str(s)) => {
                Some(Datum::Text(s.clone()))
            }
            (Kind::Choice(words), Raw::Str(s)) => {
                self.choice(key, words, s, value.span).map(Datum::Text)
            }
            (Kind::Duration | Kind::Size | Kind::Bandwidth, Raw::Str(s)) => {
                let parse = match key.kind {
                    Kind::Size => scalar::size,
                    Kind::Bandwidth => scalar::bandwidth,
                    _ => scalar::duration,
                };
                self.parsed(key, s, value.span, parse(s)).map(Datum::Amount)
            }
            (Kind::SignedDuration, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::signed_duration(s))
                .map(Datum::Int),
            (Kind::Drift, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::drift(s))
                .map(Datum::Int),
            (Kind::DurationRange, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::duration_range(s))
                .map(|(a, b)| Datum::Range(a, b)),
            (Kind::Ratio, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::ratio(s))
                .map(Datum::Ratio),
            (Kind::Rate, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::rate(s))
                .map(Datum::Rate),
            (Kind::SeedRange, Raw::Str(s)) => self
                .parsed(key, s, value.span, scalar::seed_range(s))
                .map(|(a, b)| Datum::Range(a, b)),
            (Kind::SeedRange, Raw::Int(n)) if *n >= 0 => {
                Some(Datum::Range(n.unsigned_abs(), n.unsigned_abs()))
            }
            _ => self.wrong_type(key, value),
        }
    }

    fn parsed<T>(
        &mut self,
        key: &Key,
        text: &str,
        span: Span,
        result: Result<T, Wrong>,
    ) -> Option<T> {
        let wrong = match result {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        let (code, label): (&'static Code, _) = match wrong.fault {
            Fault::MissingUnit => (codes::MISSING_UNIT, "the unit is missing"),
            Fault::Malformed => (codes::BAD_VALUE, "can't be read"),
            Fault::Ambiguous => (codes::AMBIGUOUS_UNIT, "ambiguous"),
            Fault::Range => (codes::OUT_OF_RANGE, "out of range"),
            Fault::AboveOne => (codes::PROBABILITY_ABOVE_ONE, "more than always"),
        };
        let shown: String = text.chars().take(40).collect();
        self.push(
            Diag::error(
                code,
                format!("`{}`: \"{}\" {}", key.name, shown.escape_debug(), wrong.why),
            )
            .label(span, label)
            .help(wrong.help),
        );
        None
    }

    fn int(&mut self, key: &Key, n: i64, low: i64, high: i64, span: Span) -> Option<i64> {
        if (low..=high).contains(&n) {
            return Some(n);
        }
        let why = if high == i64::MAX {
            format!("is {n}, but must be at least {low}")
        } else {
            format!("is {n}, but must be between {low} and {high}")
        };
        self.range_error(key, span, &why);
        None
    }

    fn range_error(&mut self, key: &Key, span: Span, why: &str) {
        let (code, help) = match key.name {
            "seed" => (
                codes::SEED_OUT_OF_RANGE,
                "a seed is a whole number from 0 to 9223372036854775807".to_owned(),
            ),
            _ => (codes::OUT_OF_RANGE, key.doc.to_owned()),
        };
        self.push(
            Diag::error(code, format!("`{}` {why}", key.name))
                .label(span, "out of range")
                .help(help),
        );
    }

    fn choice(
        &mut self,
        key: &Key,
        words: &'static [&'static str],
        text: &str,
        span: Span,
    ) -> Option<String> {
        if words.contains(&text) {
            return Some(text.to_owned());
        }
        let shown: String = text.chars().take(40).collect();
        let mut diag = Diag::error(
            codes::NOT_ONE_OF,
            format!("`{}` can't be \"{}\"", key.name, shown.escape_debug()),
        )
        .label(span, "not one of the words");
        diag = diag.help(match did_you_mean(text, words.iter().copied()) {
            Some(help) => format!("{help} It is one of {}", one_of(words.iter().copied())),
            None => format!("it is one of {}", one_of(words.iter().copied())),
        });
        self.push(diag);
        None
    }

    fn list(&mut self, key: &'static Key, value: &Value) -> Option<Datum> {
        if matches!(&value.raw, Raw::Node(_, entries) if !entries.is_empty()) {
            return self.wrong_type(key, value);
        }
        let items = items(value);
        if let Kind::Ints(low, high) = key.kind {
            let mut out = Vec::new();
            for item in items {
                match &item.raw {
                    Raw::Int(n) => out.push(Spanned::new(
                        self.int(key, *n, low, high, item.span)?,
                        item.span,
                    )),
                    _ => return self.wrong_type(key, item),
                }
            }
            return Some(Datum::Ints(out));
        }
        let mut out = Vec::new();
        for item in items {
            let Raw::Str(text) = &item.raw else {
                return self.wrong_type(key, item);
            };
            match key.kind {
                Kind::Names(Ref::Definition) | Kind::Texts => {
                    out.push(Spanned::new(text.clone(), item.span))
                }
                Kind::Choices(words) => {
                    for word in split_commas(text) {
                        out.push(Spanned::new(
                            self.choice(key, words, word, item.span)?,
                            item.span,
                        ));
                    }
                }
                _ => out.extend(split_commas(text).map(|w| Spanned::new(w.to_owned(), item.span))),
            }
        }
        if out.is_empty() && !matches!(key.kind, Kind::Texts) {
            self.push(
                Diag::error(codes::EMPTY_LIST, format!("`{}` lists nothing", key.name))
                    .label(value.span, "empty")
                    .help(format!("{} Leave the key out for the default", key.doc)),
            );
            return None;
        }
        Some(Datum::Texts(out))
    }

    fn map(&mut self, key: &'static Key, value: &Value) -> Option<Datum> {
        let entries = match &value.raw {
            Raw::Table(entries) => entries,
            Raw::Node(args, entries) if args.is_empty() => entries,
            _ => return self.wrong_type(key, value),
        };
        let mut out: Vec<(Spanned<String>, String)> = Vec::new();
        for entry in entries {
            let value = match &entry.value.raw {
                Raw::Node(args, inner) if inner.is_empty() && args.len() == 1 => &args[0],
                _ => &entry.value,
            };
            let text = match &value.raw {
                Raw::Str(s) => s.clone(),
                Raw::Int(n) => n.to_string(),
                Raw::Bool(b) => b.to_string(),
                _ => return self.wrong_type(key, value),
            };
            if let Some((earlier, _)) = out.iter().find(|(k, _)| k.value == entry.key) {
                let diag = Diag::error(
                    codes::DUPLICATE_KEY,
                    format!("`{}` is written twice", entry.key),
                )
                .label(entry.key_span, "the second time")
                .label(earlier.span, "the first time")
                .help("keep one of them");
                self.push(diag);
                continue;
            }
            out.push((Spanned::new(entry.key.clone(), entry.key_span), text));
        }
        // Freely chosen keys have no order of their own, and a table is not read in one.
        out.sort_by(|a, b| a.0.value.cmp(&b.0.value));
        Some(Datum::Map(out))
    }

    /// Tells that a value is of the wrong type, with what to write instead.
    fn wrong_type(&mut self, key: &'static Key, value: &Value) -> Option<Datum> {
        let span = inner_span(value);
        let help = match (key.kind, inner(value)) {
            (Kind::Duration | Kind::DurationRange | Kind::SignedDuration, Raw::Int(n)) => {
                format!("write \"{n}s\" for seconds or \"{n}ms\" for milliseconds")
            }
            (Kind::Size, Raw::Int(n)) => format!("write \"{n}MiB\", \"{n}GiB\" or \"{n}B\""),
            (Kind::Bandwidth, Raw::Int(n)) => format!("write \"{n}Mbit\" or \"{n}Gbit\""),
            (Kind::Rate, Raw::Int(n)) => format!("write \"{n}/s\" for {n} per second"),
            (Kind::Ratio, Raw::Int(n)) => format!("write \"{n}%\""),
            (Kind::Drift, Raw::Int(n)) => format!("write \"{n}ppm\""),
            (Kind::Int(..) | Kind::Ints(..) | Kind::Count, Raw::Str(s))
                if s.parse::<i64>().is_ok() =>
            {
                format!("remove the quotes: {s}")
            }
            (Kind::Bool, Raw::Str(_)) if self.language == Language::Kdl => {
                "write `#true` or `#false`".into()
            }
            (kind, _) => match example_value(kind) {
                Some(example) => format!("write e.g. {example}"),
                None => key.doc.to_owned(),
            },
        };
        let found = match &value.raw {
            Raw::Node(args, entries) if args.is_empty() && entries.is_empty() => {
                "nothing".to_owned()
            }
            _ => match inner(value) {
                Raw::Int(n) => format!("the integer {n}"),
                other => other.describe().to_owned(),
            },
        };
        let diag = Diag::error(
            codes::WRONG_TYPE,
            format!("`{}` must be {}, not {found}", key.name, describe(key.kind)),
        )
        .label(span, format!("expected {}", describe(key.kind)))
        .help(help);
        self.push(diag);
        None
    }
}

/// The value inside of a KDL node that has only one.
fn inner(value: &Value) -> &Raw {
    match &value.raw {
        Raw::Node(args, entries) if entries.is_empty() && args.len() == 1 => &args[0].raw,
        raw => raw,
    }
}

fn inner_span(value: &Value) -> Span {
    match &value.raw {
        Raw::Node(args, entries) if entries.is_empty() && !args.is_empty() => {
            args.iter().fold(args[0].span, |s, a| s.to(a.span))
        }
        _ => value.span,
    }
}

/// The items of a list, or the one value.
fn items(value: &Value) -> &[Value] {
    match &value.raw {
        Raw::List(items) => items,
        Raw::Node(args, _) => match args.as_slice() {
            // `tag ["a"]` can't be written in KDL; a list here comes from an axis.
            [
                Value {
                    raw: Raw::List(items),
                    ..
                },
            ] => items,
            args => args,
        },
        _ => std::slice::from_ref(value),
    }
}

fn split_commas(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|w| !w.is_empty())
}

/// What a kind of value is called in messages.
#[must_use]
pub fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int(..) => "a whole number",
        Kind::Ints(..) => "whole numbers",
        Kind::Text => "a text",
        Kind::Texts => "texts",
        Kind::Pattern => "a pattern",
        Kind::Path => "a path",
        Kind::Name(_) => "a name",
        Kind::Names(_) => "names",
        Kind::Choice(_) => "a word",
        Kind::Choices(_) => "words",
        Kind::Duration => "a duration with a unit",
        Kind::SignedDuration => "a duration with a unit, perhaps negative",
        Kind::DurationRange => "a duration or a range of durations",
        Kind::Size => "a size with a unit",
        Kind::Bandwidth => "a bandwidth with a unit",
        Kind::Ratio => "a probability",
        Kind::Rate => "a rate",
        Kind::Drift => "a drift with a unit",
        Kind::SeedRange => "a range of seeds",
        Kind::Count => "a number of nodes or `minority`",
        Kind::Map => "keys with texts",
        Kind::Any => "values",
        Kind::Block(_) | Kind::Named(_) => "a block of keys",
    }
}

/// A value of a kind, as it is written in both languages.
#[must_use]
pub fn example_value(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Int(..) | Kind::Ints(..) | Kind::Count => "3",
        Kind::Text | Kind::Texts | Kind::Pattern => "\"text\"",
        Kind::Path => "\"path/to/it\"",
        Kind::Name(_) | Kind::Names(_) => "\"name\"",
        Kind::Choice(words) | Kind::Choices(words) => return words.first().copied(),
        Kind::Duration => "\"5s\"",
        Kind::SignedDuration => "\"-200ms\"",
        Kind::DurationRange => "\"100ms..2s\"",
        Kind::Size => "\"64MiB\"",
        Kind::Bandwidth => "\"100Mbit\"",
        Kind::Ratio => "\"1%\"",
        Kind::Rate => "\"1/s\"",
        Kind::Drift => "\"50ppm\"",
        Kind::SeedRange => "\"1..20\"",
        Kind::Bool | Kind::Map | Kind::Any | Kind::Block(_) | Kind::Named(_) => return None,
    })
}

/// Words that people bring from elsewhere, or that belong into another block.
fn moved(section: &Section, key: &str, language: Language) -> Option<String> {
    let known = match (section.name, key) {
        (_, "image") if section.name == "node" => {
            "a node boots a `kernel` and runs a `guest`; disk images belong to `disk`"
        }
        (_, "ram" | "mem" | "mem_limit" | "memorySize") => "it is called `memory`",
        (_, "cpus" | "cores" | "cpu") => "it is called `vcpus`",
        (_, "time-limit" | "timeout" | "length") if section.name == "run" => {
            "it is called `duration`"
        }
        ("scenario", "duration" | "seeds" | "seed") => "it belongs into `run`",
        ("scenario", "quiet" | "budget" | "at" | "every" | "random") => "it belongs into `faults`",
        ("scenario", "invariants") => "it is called `properties`",
        ("scenario", "services" | "machines") => "it is called `node`",
        ("scenario", "scenario") => {
            "a TOML file is the scenario itself: write its keys at the top, and its name as `name = \"...\"`"
        }
        ("properties", "invariant") => {
            "say what kind: `always`, `never`, `eventually`, `unique`, ..."
        }
        ("faults", fault) if super::vocab::KINDS.iter().any(|k| k.name == fault) => {
            return Some(match language {
                Language::Kdl => format!(
                    "a fault needs a moment: `at \"2s\" {{ {fault} ... }}`, `every`, `between` or `after`"
                ),
                Language::Toml => format!(
                    "a fault needs a moment: `[[faults.at]]` with `time = \"2s\"` and `{fault} = {{ ... }}`"
                ),
            });
        }
        (_, "kind") => "the kind of fault is itself a key: `kill`, `partition`, ...",
        (_, "delay") => "it is called `by`",
        (_, "probability" | "percent" | "toxicity") => "it is called `chance`",
        (_, "duration") => "it is called `for`",
        _ => return None,
    };
    Some(known.to_owned())
}
