//! What KDL's strings and words mean.

use super::lexer::{is_disallowed, is_newline, is_space};

/// A mistake inside of a string: where in the token, how long, what it is, and what to do.
pub(super) struct Mistake {
    pub at: usize,
    pub len: usize,
    pub message: String,
    pub help: &'static str,
}

fn mistake(at: usize, len: usize, message: impl Into<String>, help: &'static str) -> Mistake {
    Mistake {
        at,
        len,
        message: message.into(),
        help,
    }
}

/// The text that a quoted token means.
pub(super) fn unquote(token: &str) -> Result<String, Mistake> {
    let hashes = token.len() - token.trim_start_matches('#').len();
    let inner = &token[hashes..token.len() - hashes];
    if let Some(at) = token.find(is_disallowed) {
        return Err(mistake(
            at,
            1,
            "a control character inside a string",
            "write it as an escape, e.g. `\\u{1}`",
        ));
    }
    if inner.len() >= 6 && inner.starts_with("\"\"\"") && inner.ends_with("\"\"\"") {
        return multi_line(&inner[3..inner.len() - 3], hashes);
    }
    let body = &inner[1..inner.len() - 1];
    if hashes > 0 {
        return Ok(body.to_owned());
    }
    escapes(body, hashes + 1)
}

/// Resolves the escapes of `body`, which starts `base` bytes into its token.
fn escapes(body: &str, base: usize) -> Result<String, Mistake> {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(back) = rest.find('\\') {
        out.push_str(&rest[..back]);
        let at = base + body.len() - rest.len() + back;
        let tail = &rest[back + 1..];
        let Some(c) = tail.chars().next() else { break };
        rest = &tail[c.len_utf8()..];
        match c {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            's' => out.push(' '),
            '"' | '\\' => out.push(c),
            'u' => {
                let (character, len) = unicode(rest).ok_or_else(|| {
                    mistake(
                        at,
                        2,
                        "`\\u` needs the number of a character in braces",
                        "e.g. `\\u{e9}` for é",
                    )
                })?;
                out.push(character);
                rest = &rest[len..];
            }
            c if is_space(c) || is_newline(c) => {
                rest = tail.trim_start_matches(|c| is_space(c) || is_newline(c))
            }
            c => {
                return Err(mistake(
                    at,
                    1 + c.len_utf8(),
                    format!("`\\{c}` is not an escape that KDL knows"),
                    "write `\\\\` for a backslash, or use a raw string: #\"...\"#",
                ));
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `{e9}` as a character, with its length in bytes.
fn unicode(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix('{')?;
    let end = digits.find('}')?;
    let digits = &digits[..end];
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)?,
        end + 2,
    ))
}

/// A string of several lines: the indentation of the last line is taken off every line.
fn multi_line(body: &str, hashes: usize) -> Result<String, Mistake> {
    let base = hashes + 3;
    let body = body.replace("\r\n", "\n").replace(is_newline, "\n");
    let Some(lines) = body.strip_prefix('\n') else {
        return Err(mistake(
            0,
            base,
            "text on the same line as the opening `\"\"\"`",
            "start a new line behind `\"\"\"`, or use single quotes",
        ));
    };
    // Escaped line breaks are gone before the indentation is looked at.
    let lines = if hashes == 0 {
        join_escaped_breaks(lines)
    } else {
        lines.to_owned()
    };
    let (content, indent) = lines.rsplit_once('\n').unwrap_or(("", &lines));
    if !indent.chars().all(is_space) {
        return Err(mistake(
            0,
            base,
            "text on the same line as the closing `\"\"\"`",
            "put the closing `\"\"\"` on a line of its own; its indentation is taken off every line",
        ));
    }
    if !lines.contains('\n') {
        return Ok(String::new());
    }
    let mut out = Vec::new();
    for line in content.split('\n') {
        if line.chars().all(is_space) {
            out.push("");
        } else if let Some(line) = line.strip_prefix(indent) {
            out.push(line);
        } else {
            return Err(mistake(
                0,
                base,
                "a line of this string is indented less than its closing `\"\"\"`",
                "indent every line at least as much as the closing `\"\"\"`, with the same blanks",
            ));
        }
    }
    let text = out.join("\n");
    if hashes > 0 {
        Ok(text)
    } else {
        escapes(&text, base)
    }
}

fn join_escaped_breaks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(back) = rest.find('\\') {
        out.push_str(&rest[..back]);
        let tail = &rest[back + 1..];
        let blanks = tail.len()
            - tail
                .trim_start_matches(|c| is_space(c) || is_newline(c))
                .len();
        if blanks > 0 {
            rest = &tail[blanks..];
        } else {
            let len = tail.chars().next().map_or(0, char::len_utf8);
            out.push('\\');
            out.push_str(&tail[..len]);
            rest = &tail[len..];
        }
    }
    out.push_str(rest);
    out
}

/// What an unquoted word is.
#[derive(Debug, PartialEq)]
pub(super) enum Word<'a> {
    Null,
    Bool(bool),
    Int(i64),
    BigInt,
    Float,
    /// A string without quotes.
    Identifier(&'a str),
    /// `true` and its like, which KDL 2 wants with a `#`.
    Bare(&'a str),
    /// `#yes` and its like.
    UnknownKeyword,
    /// Looks like a number, but is none, e.g. `5s`; quotes are missing.
    AlmostNumber,
}

/// Decides what an unquoted word means.
pub(super) fn word(text: &str) -> Word<'_> {
    match text {
        "#true" => return Word::Bool(true),
        "#false" => return Word::Bool(false),
        "#null" => return Word::Null,
        "#inf" | "#-inf" | "#nan" => return Word::Float,
        "true" | "false" | "null" | "inf" | "-inf" | "nan" => return Word::Bare(text),
        _ if text.starts_with('#') => return Word::UnknownKeyword,
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut first = unsigned.chars();
    let (a, b) = (first.next(), first.next());
    let numeric = a.is_some_and(|c| c.is_ascii_digit())
        || (a == Some('.') && b.is_some_and(|c| c.is_ascii_digit()));
    if !numeric {
        return Word::Identifier(text);
    }
    number(text.starts_with('-'), unsigned).unwrap_or(Word::AlmostNumber)
}

fn number(negative: bool, text: &str) -> Option<Word<'static>> {
    let (radix, digits) = match text.get(..2) {
        Some("0x") => (16, &text[2..]),
        Some("0o") => (8, &text[2..]),
        Some("0b") => (2, &text[2..]),
        _ => (10, text),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    if digits.chars().all(|c| c.is_digit(radix) || c == '_') {
        let plain = digits.replace('_', "");
        let signed = if negative { format!("-{plain}") } else { plain };
        return Some(i64::from_str_radix(&signed, radix).map_or(Word::BigInt, Word::Int));
    }
    if radix != 10 {
        return None;
    }
    // integer ('.' integer)? (('e' | 'E') sign? integer)?
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    let integer = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_digit())
            && s.chars().all(|c| c.is_ascii_digit() || c == '_')
    };
    (integer(whole) && fraction.is_none_or(integer) && exponent.is_none_or(integer))
        .then_some(Word::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(token: &str) -> String {
        unquote(token).unwrap_or_else(|m| panic!("{}", m.message))
    }

    #[test]
    fn strings_mean_what_the_specification_says() {
        assert_eq!(ok(r#""a\n\u{e9}\s\"""#), "a\né \"");
        assert_eq!(ok("\"a\\   \n  b\""), "ab");
        assert_eq!(ok("#\"a\\n\"#"), "a\\n");
        assert_eq!(
            ok("\"\"\"\n    one\n      two\n\n    \"\"\""),
            "one\n  two\n"
        );
        assert_eq!(ok("\"\"\"\n\"\"\""), "");
        assert!(unquote(r#""\q""#).is_err());
        assert!(unquote("\"\\u{110000}\"").is_err());
        assert!(unquote("\"\"\"\n  a\n b\n  \"\"\"").is_err());
    }

    #[test]
    fn words_are_numbers_identifiers_or_slips() {
        assert_eq!(word("1_000"), Word::Int(1000));
        assert_eq!(word("-0x1F"), Word::Int(-31));
        assert_eq!(word("99999999999999999999"), Word::BigInt);
        assert_eq!(word("1.5e3"), Word::Float);
        assert_eq!(word("5s"), Word::AlmostNumber);
        assert_eq!(word("true"), Word::Bare("true"));
        assert_eq!(word("n1"), Word::Identifier("n1"));
        assert_eq!(word("-"), Word::Identifier("-"));
        assert_eq!(word("#yes"), Word::UnknownKeyword);
    }
}
