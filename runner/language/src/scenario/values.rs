//! Plain values: parsed as their keys demand.

use super::block::{Block, Datum, Field};
use super::codes::{self, Code};
use super::diag::Diag;
use super::scalar::{self, Fault, Wrong};
use super::source::{Language, Span, Spanned};
use super::suggest::{did_you_mean, one_of};
use super::tree::{Raw, Value};
use super::vocab::{Key, Kind, Ref};
use super::wording::{describe, example_value};

use super::shape::{Shape, has_broken};

impl Shape<'_> {
    /// Parses a plain value and files it.
    pub(super) fn value(
        &mut self,
        block: &mut Block,
        key: &'static Key,
        key_span: Span,
        value: &Value,
    ) {
        if !key.many && self.duplicate(block, key, key_span, false) {
            return;
        }
        let datum = match has_broken(value) {
            true => Datum::Bad,
            false => self.datum(key, value).unwrap_or(Datum::Bad),
        };
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
