//! What may be wrong inside of a string, and what a word was probably meant to be.

use super::scan::{is_newline, is_space};

/// A mistake inside of a string: where in the token, how long, what it is, and what to do.
pub(super) struct Slip {
    pub at: usize,
    pub len: usize,
    pub message: String,
    pub help: &'static str,
}

fn slip(at: usize, len: usize, message: impl Into<String>, help: &'static str) -> Option<Slip> {
    Some(Slip {
        at,
        len,
        message: message.into(),
        help,
    })
}

/// Whether a quoted token is written with three quotes.
pub(super) fn of_several_lines(token: &str) -> bool {
    let inner = token.trim_matches('#');
    inner.len() >= 6 && inner.starts_with("\"\"\"") && inner.ends_with("\"\"\"")
}

/// What is wrong inside of a quoted token.
pub(super) fn inside(token: &str) -> Option<Slip> {
    let hashes = token.len() - token.trim_start_matches('#').len();
    let quotes = if of_several_lines(token) { 3 } else { 1 };
    let base = hashes + quotes;
    let body = token.get(base..token.len().checked_sub(base)?)?;
    let escape = || (hashes == 0).then(|| escapes(body, base)).flatten();
    match quotes {
        1 => escape(),
        _ => indentation(body, hashes, base).or_else(escape),
    }
}

/// The first escape in `body`, which starts `base` bytes into its token, that is none.
fn escapes(body: &str, base: usize) -> Option<Slip> {
    let mut from = 0;
    while let Some(back) = body[from..].find('\\') {
        let at = from + back;
        let tail = &body[at + 1..];
        let c = tail.chars().next()?;
        from = at + 1 + c.len_utf8();
        match c {
            'n' | 'r' | 't' | 'b' | 'f' | 's' | '"' | '\\' => {}
            'u' if is_character(&tail[1..]) => {}
            'u' => {
                return slip(
                    base + at,
                    2,
                    "`\\u` needs the number of a character in braces",
                    "e.g. `\\u{e9}` for é",
                );
            }
            c if is_space(c) || is_newline(c) => {}
            c => {
                return slip(
                    base + at,
                    1 + c.len_utf8(),
                    format!("`\\{c}` is not an escape that KDL knows"),
                    "write `\\\\` for a backslash, or use a raw string: #\"...\"#",
                );
            }
        }
    }
    None
}

/// Whether a text begins like `{e9}`.
fn is_character(text: &str) -> bool {
    let digits = text.strip_prefix('{').and_then(|t| t.split_once('}'));
    digits.is_some_and(|(digits, _)| {
        (1..=6).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
            && u32::from_str_radix(digits, 16).is_ok_and(|n| char::from_u32(n).is_some())
    })
}

/// A string of several lines: the indentation of the last line is taken off every line.
fn indentation(body: &str, hashes: usize, base: usize) -> Option<Slip> {
    let body = body.replace("\r\n", "\n").replace(is_newline, "\n");
    let Some(lines) = body.strip_prefix('\n') else {
        return slip(
            0,
            base,
            "text on the same line as the opening `\"\"\"`",
            "start a new line behind `\"\"\"`, or use single quotes",
        );
    };
    // Escaped line breaks are gone before the indentation is looked at.
    let lines = if hashes == 0 {
        join_escaped_breaks(lines)
    } else {
        lines.to_owned()
    };
    let (content, indent) = lines.rsplit_once('\n').unwrap_or(("", &lines));
    if !indent.chars().all(is_space) {
        return slip(
            0,
            base,
            "text on the same line as the closing `\"\"\"`",
            "put the closing `\"\"\"` on a line of its own; its indentation is taken off every line",
        );
    }
    let bad = |line: &str| !line.chars().all(is_space) && !line.starts_with(indent);
    if lines.contains('\n') && content.split('\n').any(bad) {
        return slip(
            0,
            base,
            "a line of this string is indented less than its closing `\"\"\"`",
            "indent every line at least as much as the closing `\"\"\"`, with the same blanks",
        );
    }
    None
}

fn join_escaped_breaks(text: &str) -> String {
    let blank = |c| is_space(c) || is_newline(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(back) = rest.find('\\') {
        out.push_str(&rest[..back]);
        let tail = &rest[back + 1..];
        let blanks = tail.len() - tail.trim_start_matches(blank).len();
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
pub(super) enum Word {
    /// A keyword, or a number.
    Value,
    /// A string without quotes.
    Identifier,
    /// `true` and its like, which KDL 2 wants with a `#`.
    Bare,
    /// `#yes` and its like.
    UnknownKeyword,
    /// Looks like a number, but is none, e.g. `5s`; quotes are missing.
    AlmostNumber,
}

/// The keywords of KDL.
pub(super) const KEYWORDS: [&str; 6] = ["#true", "#false", "#null", "#inf", "#-inf", "#nan"];

/// Decides what an unquoted word was meant to be.
pub(super) fn word(text: &str) -> Word {
    if text.starts_with('#') {
        return match KEYWORDS.contains(&text) {
            true => Word::Value,
            false => Word::UnknownKeyword,
        };
    }
    if KEYWORDS.iter().any(|keyword| keyword[1..] == *text) {
        return Word::Bare;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = unsigned.strip_prefix('.').unwrap_or(unsigned);
    if !plain.starts_with(|c: char| c.is_ascii_digit()) {
        return Word::Identifier;
    }
    match is_number(unsigned) {
        true => Word::Value,
        false => Word::AlmostNumber,
    }
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str, radix| {
        text.starts_with(|c: char| c.is_digit(radix))
            && text.chars().all(|c| c.is_digit(radix) || c == '_')
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return digits(rest, radix);
        }
    }
    // integer ('.' integer)? (('e' | 'E') sign? integer)?
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    let integer = |text| digits(text, 10);
    integer(whole) && fraction.is_none_or(integer) && exponent.is_none_or(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_strings_are_found() {
        for good in [
            r#""a\n\u{e9}\s\"""#,
            "\"a\\   \n  b\"",
            "#\"a\\q\"#",
            "\"\"\"\n    one\n      two\n\n    \"\"\"",
            "\"\"\"\n\"\"\"",
            "#\"\"\"\n a\\q\n \"\"\"#",
        ] {
            assert!(inside(good).is_none(), "{good}");
        }
        for bad in [
            r#""\q""#,
            "\"\\u{110000}\"",
            "\"\"\"\n  a\n b\n  \"\"\"",
            "\"\"\"a\n\"\"\"",
            "\"\"\"\na\"\"\"",
            "\"\"\"\n\\q\n\"\"\"",
        ] {
            assert!(inside(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn words_are_values_identifiers_or_slips() {
        for value in [
            "1_000",
            "-0x1F",
            "99999999999999999999",
            "1.5e3",
            "#-inf",
            "0b1_0",
        ] {
            assert_eq!(word(value), Word::Value, "{value}");
        }
        for slip in ["5s", "0x", "1._5", "1e", ".5", "0b2", "-5x"] {
            assert_eq!(word(slip), Word::AlmostNumber, "{slip}");
        }
        for name in ["n1", "-", "+", ".", "-.a", "é"] {
            assert_eq!(word(name), Word::Identifier, "{name}");
        }
        assert_eq!(word("-inf"), Word::Bare);
        assert_eq!(word("#yes"), Word::UnknownKeyword);
    }
}
