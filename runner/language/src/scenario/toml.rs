//! TOML into the document tree.
//!
//! The text is scanned before it is parsed: the parser's result is dropped and walked recursively,
//! so that nesting must be bounded first. The same scan finds what only TOML 1.1 allows, which
//! other readers of these files (Nix, editors) refuse.

use toml::de::{DeTable, DeValue};

use super::codes;
use super::diag::{Diag, Diags};
use super::source::{MAX_DEPTH, Span};
use super::tree::{Entry, Raw, Value};

/// How many syntax errors of one file are reported.
const MAX_ERRORS: usize = 100;

/// Parses TOML. Whatever could be understood is returned, in the order of the text, and every
/// mistake is told.
pub fn parse(text: &str, file: u32, diags: &mut Diags) -> Vec<Entry> {
    let mut scan = Scan {
        text,
        file,
        at: 0,
        stack: Vec::new(),
        dots: 0,
        last: b'\n',
        diags,
    };
    if !scan.run() {
        return Vec::new();
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors.iter().take(MAX_ERRORS) {
        let range = error.span().unwrap_or(0..0);
        let message = error.message().lines().next().unwrap_or_default();
        diags.push(
            Diag::error(codes::TOML_SYNTAX, message)
                .label(Span::new(file, range.start, range.end), "here")
                .help_opt(hint(message, text, range.start)),
        );
    }
    let root = table.span();
    let mut told: Vec<(usize, usize)> = errors
        .iter()
        .filter_map(|error| error.span().map(|span| (span.start, span.end)))
        .collect();
    told.sort_unstable();
    let mut reading = Reading {
        text,
        file,
        told,
        count: 0,
        diags,
    };
    let value = reading.convert(
        DeValue::Table(table.into_inner()),
        Span::new(file, root.start, root.end),
        false,
    );
    match value.raw {
        Raw::Table(entries) => entries,
        _ => Vec::new(),
    }
}

/// What to do about a syntax error, where the message alone doesn't say it.
fn hint(message: &str, text: &str, at: usize) -> Option<String> {
    let line = text
        .get(at..)
        .and_then(|t| t.lines().next())
        .unwrap_or_default();
    let start = text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
    let whole = text.get(start..)?.lines().next()?;
    if message.contains("duplicate key") {
        return Some("a table or key is written once; for several items use `[[...]]`".into());
    }
    if whole.trim_end().ends_with('{') || whole.contains(" {") && !whole.contains('=') {
        return Some("blocks in braces are KDL; name the file `.kdl`, or write a `[table]`".into());
    }
    let starts_word = line.starts_with(|c: char| c.is_ascii_alphanumeric());
    (starts_word && whole.contains('='))
        .then(|| "text and values with a unit need quotes, e.g. \"5s\"".into())
}

/// Turns what the parser found into our tree. The parser only finds where numbers and times are; whether
/// they are some is looked at here, of each of them, whatever its key is.
struct Reading<'a> {
    text: &'a str,
    file: u32,
    /// The places of what the parser found wrong, in the order of the text.
    told: Vec<(usize, usize)>,
    /// How many values were found wrong here.
    count: usize,
    diags: &'a mut Diags,
}

impl Reading<'_> {
    /// `free`: nobody looks at the value again, since its key begins with `x-`.
    fn convert(&mut self, value: DeValue<'_>, span: Span, free: bool) -> Value {
        let raw = match value {
            DeValue::String(s) => Raw::Str(s.into_owned()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) if self.is_written_right(span) => Raw::Int(n),
                Err(e) if is_overflow(&e) => self.far_too_large(span, free),
                _ => self.no_value(span),
            },
            DeValue::Float(_) if self.is_written_right(span) => Raw::Float,
            DeValue::Datetime(time) if self.is_written_right(span) => {
                match time.time.is_some_and(|time| time.second.is_none()) {
                    true => self.without_seconds(span),
                    false => Raw::Datetime,
                }
            }
            DeValue::Float(_) | DeValue::Datetime(_) => self.no_value(span),
            DeValue::Boolean(b) => Raw::Bool(b),
            DeValue::Array(items) => {
                let convert_item = |item: toml::Spanned<DeValue<'_>>| {
                    let place = item.span();
                    let span = Span::new(self.file, place.start, place.end);
                    self.convert(item.into_inner(), span, free)
                };
                Raw::List(items.into_iter().map(convert_item).collect())
            }
            DeValue::Table(table) => Raw::Table(self.entries(table, free)),
        };
        Value { raw, span }
    }

    /// A table's entries in the order of the text; the crate keeps them in the order of the alphabet.
    fn entries(&mut self, table: DeTable<'_>, free: bool) -> Vec<Entry> {
        let mut out: Vec<Entry> = Vec::with_capacity(table.len());
        for (key, value) in table {
            let (k, v) = (key.span(), value.span());
            let key = key.into_inner().into_owned();
            let free = free || key.starts_with("x-");
            let span = Span::new(self.file, v.start, v.end);
            out.push(Entry {
                key,
                key_span: Span::new(self.file, k.start, k.end),
                value: self.convert(value.into_inner(), span, free),
            });
        }
        out.sort_by_key(|e| e.key_span);
        out
    }

    fn written(&self, span: Span) -> &str {
        let place = span.start as usize..span.end as usize;
        self.text.get(place).unwrap_or_default()
    }

    /// Whether the text of a number or a time is one to the `toml_edit` package.
    fn is_written_right(&self, span: Span) -> bool {
        self.written(span).parse::<toml_edit::Value>().is_ok()
    }

    fn error(&mut self, span: Span, why: &str, label: &str, help: String) -> Raw {
        let shown: String = self.written(span).chars().take(40).collect();
        // What the parser has told already is not told again in other words.
        let (start, end) = (span.start as usize, span.end as usize);
        let behind = self.told.partition_point(|told| told.0 <= end);
        let near = &self.told[behind.saturating_sub(4)..behind];
        if near.iter().all(|told| told.1 < start) && self.count < MAX_ERRORS {
            self.count += 1;
            self.diags.push(
                Diag::error(
                    codes::TOML_SYNTAX,
                    format!("`{}` {why}", shown.escape_debug()),
                )
                .label(span, label)
                .help(help),
            );
        }
        Raw::Broken
    }

    fn no_value(&mut self, span: Span) -> Raw {
        let text = self.written(span);
        let help = match text.get(..2) {
            Some("0x" | "0o" | "0b") if text.len() == 2 => {
                format!("digits belong behind `{text}`; a text needs quotes: \"{text}\"")
            }
            _ => "text and values with a unit need quotes, e.g. \"5s\"".to_owned(),
        };
        self.error(span, "is neither a number nor a time", "not a value", help)
    }

    fn without_seconds(&mut self, span: Span) -> Raw {
        let help =
            "write the seconds, or quotes around it: other readers of the file want TOML 1.0";
        self.error(
            span,
            "is a time without seconds",
            "only in TOML 1.1",
            help.to_owned(),
        )
    }

    /// No reader of TOML keeps such a number. Where a key of ours has it, what it may be is told there.
    fn far_too_large(&mut self, span: Span, free: bool) -> Raw {
        if !free {
            return Raw::BigInt;
        }
        let help = "numbers in TOML have 64 bits; a larger one needs quotes".to_owned();
        self.error(span, "is far too large", "does not fit 64 bits", help)
    }
}

fn is_overflow(error: &std::num::ParseIntError) -> bool {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    matches!(error.kind(), PosOverflow | NegOverflow)
}

/// A pass over the bytes that knows strings, comments and brackets, and nothing else.
struct Scan<'a> {
    text: &'a str,
    file: u32,
    at: usize,
    /// The open brackets, each with its place.
    stack: Vec<(u8, usize)>,
    /// Dots since the last thing that ends a key.
    dots: usize,
    /// The last byte that was neither blank nor line break nor comment.
    last: u8,
    diags: &'a mut Diags,
}

impl Scan<'_> {
    /// Whether the text may be parsed.
    fn run(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'#' => {
                    self.at += bytes[self.at..]
                        .iter()
                        .position(|b| *b == b'\n')
                        .unwrap_or(bytes.len() - self.at)
                }
                b'"' | b'\'' => self.string(byte),
                b'[' | b'{' => {
                    self.stack.push((byte, self.at));
                    self.step(byte, true);
                }
                b']' | b'}' => {
                    self.close(byte);
                    self.step(byte, true);
                }
                b'\n' => self.newline(),
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'.' => {
                    self.dots += 1;
                    self.step(byte, false);
                }
                _ => self.step(byte, matches!(byte, b'=' | b',')),
            }
            if self.stack.len() > MAX_DEPTH || self.dots > MAX_DEPTH {
                let place = Span::new(self.file, self.at.saturating_sub(1), self.at);
                self.diags.push(
                    Diag::error(
                        codes::TOO_DEEP,
                        format!("tables and lists are nested more than {MAX_DEPTH} deep"),
                    )
                    .label(place, "too deep")
                    .help(
                        "the deepest value of the language is five deep; is a `]` or `}` missing?",
                    ),
                );
                return false;
            }
        }
        true
    }

    fn step(&mut self, byte: u8, ends_key: bool) {
        self.last = byte;
        self.at += 1;
        if ends_key {
            self.dots = 0;
        }
    }

    fn newline(&mut self) {
        if let Some((b'{', open)) = self.stack.last().copied() {
            self.lint(open, 1, "a table in braces that spans lines");
            // Once per table is enough.
            self.stack.pop();
            self.stack.push((b'(', open));
        }
        self.dots = 0;
        self.at += 1;
    }

    fn close(&mut self, byte: u8) {
        if byte == b'}' && self.last == b',' {
            self.lint(self.at, 1, "a comma before the `}`");
        }
        self.stack.pop();
    }

    /// Skips a string from its opening quote on.
    fn string(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        let triple = bytes[self.at..].starts_with(&[quote; 3]);
        let len = if triple { 3 } else { 1 };
        self.last = quote;
        self.at += len;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\\' if quote == b'"' => {
                    if let Some(b'e' | b'x') = bytes.get(self.at + 1) {
                        self.lint(self.at, 2, "the escapes `\\e` and `\\x`");
                    }
                    self.at += 2;
                }
                b'\n' if !triple => return,
                _ if byte == quote && (!triple || bytes[self.at..].starts_with(&[quote; 3])) => {
                    self.at += len;
                    // A string in triple quotes may end in one or two quotes of its own.
                    while triple && bytes.get(self.at) == Some(&quote) {
                        self.at += 1;
                    }
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn lint(&mut self, at: usize, len: usize, what: &str) {
        self.diags.push(
            Diag::warning(codes::TOML_1_1, format!("{what} needs TOML 1.1"))
                .label(Span::new(self.file, at, at + len), "only in TOML 1.1")
                .help(
                    "write TOML 1.0, so that Nix and editors can read the file, too; use a \
                     [table] instead of braces",
                ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(text: &str) -> Vec<&'static str> {
        let mut diags = Diags::default();
        parse(text, 0, &mut diags);
        diags.into_sorted().into_iter().map(|d| d.code.id).collect()
    }

    #[test]
    fn entries_keep_the_order_of_the_text() {
        let mut diags = Diags::default();
        let entries = parse("b = 1\na = 2\n[[c]]\nx = 1\n[[c]]\ny = 1\n", 0, &mut diags);
        assert!(diags.is_empty());
        assert_eq!(
            entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(),
            ["b", "a", "c"]
        );
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        assert_eq!(
            codes_of(&format!("a = {}", "[".repeat(100_000))),
            [codes::TOO_DEEP.id]
        );
        assert_eq!(
            codes_of(&format!("{}a = 1", "a.".repeat(1_000_000))),
            [codes::TOO_DEEP.id]
        );
        assert!(codes_of(&format!("a = \"{}\"", "[.".repeat(1000))).is_empty());
        assert!(codes_of(&format!("a = '''\n{}'''", "[.\n".repeat(1000))).is_empty());
    }

    #[test]
    fn numbers_and_times_are_ones_under_every_key() {
        for key in ["seed", "x-mine", "x-a.b"] {
            for bad in [
                "0x",
                "0o",
                "0b",
                "0b2",
                "+",
                "1_",
                "1__0",
                "01",
                "1.",
                "1e",
                "17:45",
                "25:00:00",
                "2026-13-01",
                "\u{0661}\u{0662}",
                "1\u{0662}",
                "\u{ff11}",
                "0x\u{ff21}",
            ] {
                let found = codes_of(&format!("{key} = {bad}\n"));
                assert_eq!(found, [codes::TOML_SYNTAX.id], "{key} = {bad}");
                assert!(!codes_of(&format!("{key} = [ 1, {{ a = {bad} }} ]\n")).is_empty());
            }
            for good in [
                "0x1F", "0o17", "0b1_0", "+1", "1_0", "1.5", "1e3", "inf", "-nan", "17:45:00",
            ] {
                assert!(codes_of(&format!("{key} = {good}\n")).is_empty(), "{good}");
            }
        }
        let large = "99999999999999999999";
        assert_eq!(
            codes_of(&format!("x-a = {large}\n")),
            [codes::TOML_SYNTAX.id]
        );
        assert!(
            codes_of(&format!("seed = {large}\n")).is_empty(),
            "told by its key"
        );
    }

    #[test]
    fn a_radix_without_digits_is_not_called_large() {
        let mut diags = Diags::default();
        parse("seed = 0x\n", 0, &mut diags);
        let told = diags.into_sorted().remove(0);
        assert_eq!(told.message, "`0x` is neither a number nor a time");
        assert!(
            told.help
                .is_some_and(|help| help.contains("digits belong behind"))
        );
    }

    #[test]
    fn toml_1_1_syntax_is_a_warning() {
        assert_eq!(codes_of("a = {\n b = 1 }\n"), [codes::TOML_1_1.id]);
        assert_eq!(codes_of("a = { b = 1, }\n"), [codes::TOML_1_1.id]);
        assert_eq!(codes_of("a = \"\\e[0m\"\n"), [codes::TOML_1_1.id]);
        assert!(codes_of("a = { b = [\n 1,\n] }\n").is_empty());
    }
}
