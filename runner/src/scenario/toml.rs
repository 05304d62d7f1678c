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
    let value = convert(
        DeValue::Table(table.into_inner()),
        Span::new(file, root.start, root.end),
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

fn convert(value: DeValue<'_>, span: Span) -> Value {
    let raw = match value {
        DeValue::String(s) => Raw::Str(s.into_owned()),
        DeValue::Integer(n) => {
            i64::from_str_radix(n.as_str(), n.radix()).map_or(Raw::BigInt, Raw::Int)
        }
        DeValue::Float(_) => Raw::Float,
        DeValue::Boolean(b) => Raw::Bool(b),
        DeValue::Datetime(_) => Raw::Datetime,
        DeValue::Array(items) => {
            let convert_item = |item: toml::Spanned<DeValue<'_>>| {
                let place = item.span();
                convert(
                    item.into_inner(),
                    Span::new(span.file, place.start, place.end),
                )
            };
            Raw::List(items.into_iter().map(convert_item).collect())
        }
        DeValue::Table(table) => Raw::Table(entries(table, span.file)),
    };
    Value { raw, span }
}

/// A table's entries in the order of the text; the crate keeps them in the order of the alphabet.
fn entries(table: DeTable<'_>, file: u32) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::with_capacity(table.len());
    for (key, value) in table {
        let (k, v) = (key.span(), value.span());
        out.push(Entry {
            key: key.into_inner().into_owned(),
            key_span: Span::new(file, k.start, k.end),
            value: convert(value.into_inner(), Span::new(file, v.start, v.end)),
        });
    }
    out.sort_by_key(|e| e.key_span);
    out
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
        self.diags.push(Diag::warning(codes::TOML_1_1, format!("{what} needs TOML 1.1")).label(Span::new(self.file, at, at + len), "only in TOML 1.1").help("write TOML 1.0, so that Nix and editors can read the file, too; use a [table] instead of braces"));
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
    fn toml_1_1_syntax_is_a_warning() {
        assert_eq!(codes_of("a = {\n b = 1 }\n"), [codes::TOML_1_1.id]);
        assert_eq!(codes_of("a = { b = 1, }\n"), [codes::TOML_1_1.id]);
        assert_eq!(codes_of("a = \"\\e[0m\"\n"), [codes::TOML_1_1.id]);
        assert!(codes_of("a = { b = [\n 1,\n] }\n").is_empty());
    }
}
