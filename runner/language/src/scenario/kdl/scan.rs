//! Where the strings, comments, words and braces of a KDL text are.
//!
//! This is no reader: what a text means, and whether it is KDL at all, the `kdl` package says. The tokens
//! are there to bound what that is given, to lay a text out anew, and to say what a person meant whose
//! text was refused.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blanks between tokens.
    Space,
    /// A line break.
    Newline,
    /// `// ...` up to the end of the line.
    LineComment,
    /// `/* ... */`, which nests.
    BlockComment,
    /// `/-`, which makes a comment of the next thing.
    Slashdash,
    /// `\` and the line break behind it.
    Continuation,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `(`
    ParenOpen,
    /// `)`
    ParenClose,
    /// `;`
    Semicolon,
    /// `=`
    Equals,
    /// A string in quotes of any kind, e.g. `"a"`, `#"a"#`, `"""`.
    Quoted,
    /// An identifier, a number or a keyword; which one is decided by the parser.
    Word,
    /// A character that has no place outside of a string.
    Illegal,
    /// A string or a comment without an end.
    Unterminated,
}

/// A token: its kind and its bytes in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Whether KDL takes the character for a line break (CRLF is one break).
pub(super) fn is_newline(c: char) -> bool {
    matches!(
        c,
        '\r' | '\n' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}'
    )
}

/// Whether KDL takes the character for a blank.
pub(super) fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// Whether KDL forbids the character everywhere, even in strings and comments.
pub(super) fn is_disallowed(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_word(c: char) -> bool {
    !is_space(c)
        && !is_newline(c)
        && !is_disallowed(c)
        && !matches!(
            c,
            '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '=' | '#'
        )
}

/// Splits the text into tokens that cover it without a gap. A byte order mark at the start is
/// taken for a blank.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: 0,
        no_plain: false,
        no_raw: usize::MAX,
    };
    let mut out = Vec::with_capacity(text.len() / 4);
    if text.starts_with('\u{feff}') {
        lexer.at = 3;
        out.push(Token {
            kind: Kind::Space,
            start: 0,
            end: 3,
        });
    }
    while let Some(c) = lexer.peek() {
        let start = lexer.at;
        let kind = lexer.next_kind(c);
        out.push(Token {
            kind,
            start,
            end: lexer.at,
        });
    }
    out
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// A string of several lines is not closed in the rest of the text, which was searched for that once
    /// and is not again.
    no_plain: bool,
    /// Nor is a raw one that has this many `#` or more.
    no_raw: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, test: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !test(c)).unwrap_or(rest.len());
    }

    fn take(&mut self, bytes: usize, kind: Kind) -> Kind {
        self.at += bytes;
        kind
    }

    fn next_kind(&mut self, c: char) -> Kind {
        match c {
            '{' => self.take(1, Kind::Open),
            '}' => self.take(1, Kind::Close),
            '(' => self.take(1, Kind::ParenOpen),
            ')' => self.take(1, Kind::ParenClose),
            ';' => self.take(1, Kind::Semicolon),
            '=' => self.take(1, Kind::Equals),
            '"' => self.quoted(0),
            '#' => self.hash(),
            '/' => self.slash(),
            '\\' => self.continuation(),
            _ if is_newline(c) => self.newline(c),
            _ if is_space(c) => {
                self.skip_while(is_space);
                Kind::Space
            }
            _ if is_word(c) => {
                self.skip_while(is_word);
                Kind::Word
            }
            _ => self.take(c.len_utf8(), Kind::Illegal),
        }
    }

    fn newline(&mut self, c: char) -> Kind {
        let len = if self.rest().starts_with("\r\n") {
            2
        } else {
            c.len_utf8()
        };
        self.take(len, Kind::Newline)
    }

    fn slash(&mut self) -> Kind {
        let rest = self.rest();
        if rest.starts_with("/-") {
            return self.take(2, Kind::Slashdash);
        }
        if rest.starts_with("//") {
            self.skip_while(|c| !is_newline(c));
            return Kind::LineComment;
        }
        if rest.starts_with("/*") {
            return self.block_comment();
        }
        self.take(1, Kind::Illegal)
    }

    fn block_comment(&mut self) -> Kind {
        let bytes = self.text.as_bytes();
        let (mut depth, mut at) = (0usize, self.at);
        while at < bytes.len() {
            match &bytes[at..(at + 2).min(bytes.len())] {
                b"/*" => {
                    depth += 1;
                    at += 2;
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        self.at = at;
                        return Kind::BlockComment;
                    }
                }
                _ => at += 1,
            }
        }
        self.at = bytes.len();
        Kind::Unterminated
    }

    /// `\`, then blanks and perhaps a comment, then a line break or the end of the text.
    fn continuation(&mut self) -> Kind {
        let from = self.at;
        self.at += 1;
        loop {
            self.skip_while(is_space);
            let rest = self.rest();
            if rest.starts_with("/*") {
                if self.block_comment() == Kind::Unterminated {
                    return Kind::Unterminated;
                }
            } else if rest.starts_with("//") {
                self.skip_while(|c| !is_newline(c));
            } else {
                break;
            }
        }
        match self.peek() {
            None => Kind::Continuation,
            Some(c) if is_newline(c) => {
                self.newline(c);
                Kind::Continuation
            }
            Some(_) => {
                self.at = from;
                self.take(1, Kind::Illegal)
            }
        }
    }

    /// `#true` and its like, or a raw string.
    fn hash(&mut self) -> Kind {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with('"') {
            self.at += hashes;
            return self.quoted(hashes);
        }
        self.at += 1;
        self.skip_while(is_word);
        Kind::Word
    }

    /// A string from its opening quote on; `hashes` is the number of `#` of a raw one.
    fn quoted(&mut self, hashes: usize) -> Kind {
        let multi = self.rest().starts_with("\"\"\"");
        // `""` is an empty string, and `"""` begins a string of several lines.
        let quotes = if multi { 3 } else { 1 };
        let close = format!("{}{}", "\"".repeat(quotes), "#".repeat(hashes));
        self.at += quotes;
        let start = self.at;
        if multi && (hashes >= self.no_raw || hashes == 0 && self.no_plain) {
            self.at = forward_to_newline(self.text, start);
            return Kind::Unterminated;
        }
        let mut from = start;
        while let Some(c) = self.text[from..].chars().next() {
            let rest = &self.text[from..];
            if rest.starts_with(&close) {
                self.at = from + close.len();
                return Kind::Quoted;
            }
            if c == '\\' && hashes == 0 {
                // Whatever is escaped can't end the string; a line break behind it is allowed.
                from += 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                let blanks = &self.text[from..];
                if rest[1..].starts_with(|c| is_space(c) || is_newline(c)) {
                    from += blanks.len()
                        - blanks
                            .trim_start_matches(|c| is_space(c) || is_newline(c))
                            .len();
                }
                continue;
            }
            if !multi && is_newline(c) {
                // The rest of the line is the likely extent of the mistake.
                self.at = from;
                return Kind::Unterminated;
            }
            from += c.len_utf8();
        }
        match hashes {
            _ if !multi => {}
            0 => self.no_plain = true,
            _ => self.no_raw = hashes,
        }
        // A string of several lines that never ends: blame its first line only, and go on.
        self.at = if multi {
            forward_to_newline(self.text, start)
        } else {
            from
        };
        Kind::Unterminated
    }
}

fn forward_to_newline(text: &str, at: usize) -> usize {
    text[at..].find(is_newline).map_or(text.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text)
            .into_iter()
            .map(|t| t.kind)
            .filter(|k| *k != Kind::Space)
            .collect()
    }

    #[test]
    fn tokens_cover_the_text_without_a_gap() {
        let text = "a \"b\\\" c\" #\"raw \" \"# /* x /* y */ */ { 1_000; } // end\r\nb \\ // \
            c\n 2 \"open\n/-x [";
        let mut at = 0;
        for t in tokens(text) {
            assert_eq!(t.start, at);
            at = t.end;
        }
        assert_eq!(at, text.len());
    }

    #[test]
    fn strings_comments_and_words_are_told_apart() {
        use Kind::*;
        assert_eq!(kinds("a=\"\" #true"), [Word, Equals, Quoted, Word]);
        assert_eq!(kinds("##\"a\"#b\"##"), [Quoted]);
        assert_eq!(kinds("\"\"\"\n x\n \"\"\""), [Quoted]);
        assert_eq!(
            kinds("/-a /*b*/ //c"),
            [Slashdash, Word, BlockComment, LineComment]
        );
        assert_eq!(kinds("\"abc\n/* x"), [Unterminated, Newline, Unterminated]);
    }
}
