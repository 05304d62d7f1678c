//! What is wrong with the structure of a text, found before the `kdl` package is asked.
//!
//! Strings and comments without an end, braces that don't match, characters that stand where none of
//! their kind may: these are mistakes in every KDL text. The package would take a stack frame or a search
//! through the rest of the text for each of some of them, so it is given texts without. It also knows two
//! rules of KDL 2 less than there are, which are added here, whatever the size of the text: no character
//! U+007F (nor any other that KDL disallows, in comments), and none behind `#"""` on its line.

use std::ops::Range;

use super::MAX_MISTAKES;
use super::draft::Draft;
use super::scan::{Kind, Token, is_disallowed, is_newline, tokens};
use super::strings::of_several_lines;
use crate::scenario::codes::{self, Code};
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::{MAX_DEPTH, Span};

/// Tells what is wrong with a text's structure, and returns the text without.
pub(super) fn mend(text: &str, file: u32, diags: &mut Diags) -> Draft {
    let mut pass = Pass {
        text,
        file,
        tokens: tokens(text),
        draft: Draft::new(text),
        open: Vec::new(),
        line: 0,
        indent: 0,
        misclosed: None,
        told: 0,
        diags,
    };
    pass.begin_line(0);
    let mut at = 0;
    while let Some(token) = pass.tokens.get(at).copied() {
        at = pass.token(at, token);
        if let Some(end) = text[token.start..token.end].rfind('\n') {
            pass.begin_line(token.start + end + 1);
        }
    }
    pass.end();
    pass.draft
}

struct Pass<'a> {
    text: &'a str,
    file: u32,
    tokens: Vec<Token>,
    draft: Draft,
    /// The blocks that are open, each with the indentation of its line.
    open: Vec<(Token, usize)>,
    /// Where the line begins that is looked at, and how far it is indented.
    line: usize,
    indent: usize,
    /// The first block that was closed by a `}` that by its indentation belongs to an outer one: the
    /// place of both.
    misclosed: Option<(Token, Token)>,
    told: usize,
    diags: &'a mut Diags,
}

impl<'a> Pass<'a> {
    fn str(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range.start, range.end)
    }

    fn begin_line(&mut self, at: usize) {
        let line = &self.text[at..];
        self.line = at;
        self.indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    }

    /// Looks at a token and returns the number of the next one.
    fn token(&mut self, at: usize, token: Token) -> usize {
        let next = at + 1;
        match token.kind {
            Kind::Illegal | Kind::Unterminated => {
                self.misplaced(token);
                return self.skip_line(at);
            }
            Kind::Open => {
                if self.open.len() >= MAX_DEPTH {
                    self.too_deep(token);
                    return self.tokens.len();
                }
                self.open.push((token, self.indent));
            }
            Kind::Close => match self.open.pop() {
                Some((open, indent)) => self.note_indentation(open, indent, token),
                None => {
                    self.error(
                        token.start..token.end,
                        "a `}` without a `{`",
                        "nothing is open here",
                        "remove it, or look for a `}` above that closes too early",
                    );
                    self.draft.break_line(token.start..token.end);
                }
            },
            Kind::Slashdash => self.slashdash(at, token),
            Kind::Quoted => self.quoted(token),
            Kind::LineComment | Kind::BlockComment | Kind::Continuation => {
                self.disallowed(token, "a control character inside a comment", "remove it")
            }
            _ => {}
        }
        next
    }

    fn error(&mut self, place: Range<usize>, message: impl Into<String>, label: &str, help: &str) {
        self.error_as(codes::KDL_SYNTAX, place, message, label, help);
    }

    fn error_as(
        &mut self,
        code: &'static Code,
        place: Range<usize>,
        message: impl Into<String>,
        label: &str,
        help: &str,
    ) {
        let span = self.span(place);
        self.told += 1;
        if self.told <= MAX_MISTAKES {
            let diag = Diag::error(code, message).label(span, label);
            self.diags.push(diag.help(help));
        }
    }

    fn misplaced(&mut self, token: Token) {
        let (text, place) = (self.str(token), token.start..token.end);
        match token.kind {
            Kind::Unterminated if text.starts_with("/*") => self.error(
                place,
                "this comment has no end",
                "opened here",
                "close it with `*/`; comments of this kind nest",
            ),
            Kind::Unterminated => self.error(
                place,
                "this string has no end",
                "opened here",
                "close it with `\"` on the same line; a string of several lines is \
                 written in `\"\"\"`",
            ),
            _ if text.starts_with(['[', ']']) => self.error(
                place,
                format!("`{text}` has no meaning in KDL"),
                "unexpected",
                "write a list as several arguments: `side \"n1\" \"n2\"`; tables in \
                 brackets are TOML",
            ),
            _ => {
                let help = match text.chars().next() {
                    Some('\\') => "a `\\` continues a line, and stands at its end",
                    Some('/') => {
                        "a comment begins with `//` or `/*`, and `/-` makes one of what \
                        follows; a text with a `/` needs quotes"
                    }
                    _ => "remove it; in a string it is written as an escape, e.g. `\\u{1}`",
                };
                let shown = text.escape_debug().to_string();
                self.error(
                    place,
                    format!("`{shown}` is unexpected here"),
                    "unexpected",
                    help,
                );
            }
        }
    }

    /// Blanks what stands on the line from a mistake on, but not past a block's end. Returns the number
    /// of the next token.
    fn skip_line(&mut self, from: usize) -> usize {
        let to = line_end(&self.tokens, from);
        let end = self.tokens.get(to).map_or(self.text.len(), |t| t.start);
        let blanks = |t: &&Token| matches!(t.kind, Kind::Space | Kind::BlockComment);
        let before = self.tokens[..from].iter().rev().find(|t| !blanks(t));
        let place = self.tokens[from].start..end;
        match before {
            // Nothing may stand behind a node's children.
            Some(Token {
                kind: Kind::Close, ..
            }) => self.draft.blank(place),
            _ => self.draft.hole(place),
        }
        to
    }

    fn quoted(&mut self, token: Token) {
        let text = self.str(token);
        self.disallowed(
            token,
            "a control character inside a string",
            "write it as an escape, e.g. `\\u{1}`",
        );
        let body = text.trim_start_matches('#').strip_prefix("\"\"\"");
        if text.starts_with('#')
            && of_several_lines(text)
            && body.is_some_and(|body| !body.starts_with(is_newline))
        {
            let quotes = text.find("\"\"\"").unwrap_or(0) + 3;
            self.error(
                token.start..token.start + quotes,
                "text on the same line as the opening `\"\"\"`",
                "here",
                "start a new line behind `\"\"\"`, or use single quotes",
            );
        }
    }

    /// `/-` needs something to comment out, which can't be another `/-`. One that touches what stands
    /// before it is KDL, but not to the package.
    fn slashdash(&mut self, at: usize, token: Token) {
        let space = |t: &&Token| {
            matches!(
                t.kind,
                Kind::Space
                    | Kind::Newline
                    | Kind::LineComment
                    | Kind::BlockComment
                    | Kind::Continuation
            )
        };
        let next = self.tokens[at + 1..].iter().find(|t| !space(t));
        let nothing = matches!(
            next.map(|t| t.kind),
            None | Some(Kind::Slashdash | Kind::Close | Kind::Semicolon)
        );
        if nothing {
            self.error(
                token.start..token.end,
                "`/-` has nothing to comment out",
                "unexpected",
                "`/-` makes a comment of the node, value, property or block behind it",
            );
            self.draft.blank(token.start..token.end);
        } else if at > 0 && !space(&&self.tokens[at - 1]) {
            self.draft.gap(token.start);
        }
    }

    /// Tells the first character of a token that KDL allows nowhere.
    fn disallowed(&mut self, token: Token, message: &str, help: &str) {
        let text = self.str(token);
        let mut bad = text.char_indices().filter(|(_, c)| is_disallowed(*c));
        let Some((at, c)) = bad.next() else { return };
        let place = token.start + at..token.start + at + c.len_utf8();
        self.error(place, message, "here", help);
        for (at, c) in text.char_indices().filter(|(_, c)| is_disallowed(*c)) {
            let at = token.start + at;
            self.draft.blank(at..at + c.len_utf8());
        }
    }

    fn too_deep(&mut self, open: Token) {
        self.error_as(
            codes::TOO_DEEP,
            open.start..open.end,
            format!("blocks are nested more than {MAX_DEPTH} deep"),
            "too deep",
            "the deepest block of the language is five deep; is a `}` missing?",
        );
        self.draft.cut(open.start);
        self.draft.close(self.open.len());
        self.open.clear();
    }

    /// Remembers the first block whose end looks like that of another.
    fn note_indentation(&mut self, open: Token, indent: usize, close: Token) {
        let before = &self.text[self.line..close.start];
        if self.misclosed.is_none()
            && before.len() < indent
            && before.chars().all(|c| c == ' ' || c == '\t')
        {
            self.misclosed = Some((open, close));
        }
    }

    /// Tells a block without an end: once, since the outer ones have none either then.
    fn end(&mut self) {
        let Some((open, _)) = self.open.last().copied() else {
            return;
        };
        let place = |token: Token| Span::new(self.file, token.start, token.end);
        let diag = match self.misclosed {
            Some((inner, close)) => Diag::error(
                codes::KDL_UNCLOSED,
                "a `{` is never closed, probably this one",
            )
            .label(place(inner), "opened here")
            .label(
                place(close),
                "this closes it, but is indented as the end of an outer block",
            )
            .help("add a `}` before that"),
            None => Diag::error(codes::KDL_UNCLOSED, "this `{` is never closed")
                .label(place(open), "opened here")
                .help("add a `}`; the indentation below may show where"),
        };
        self.diags.push(diag);
        self.draft.close(self.open.len());
    }
}

/// The number of the token that ends the line of the token `from`: a line break, a `;`, or the `}` of the
/// block that it stands in.
pub(super) fn line_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0usize;
    let ends = |token: &Token| {
        match token.kind {
            Kind::Newline | Kind::Semicolon | Kind::LineComment if depth == 0 => return true,
            Kind::Open => depth += 1,
            Kind::Close if depth == 0 => return true,
            Kind::Close => depth -= 1,
            _ => {}
        }
        false
    };
    let found = tokens[from..].iter().position(ends);
    found.map_or(tokens.len(), |n| from + n)
}
