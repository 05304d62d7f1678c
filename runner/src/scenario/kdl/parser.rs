//! Tokens into the document tree, going on after each mistake.

use super::lexer::{Kind, Token, tokens};
use super::strings::{self, Word};
use crate::scenario::codes;
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::{MAX_DEPTH, Span};
use crate::scenario::suggest::did_you_mean;
use crate::scenario::tree::{Entry, Raw, Value};

/// Parses KDL 2.0. Whatever could be understood is returned, and every mistake is told.
pub fn parse(text: &str, file: u32, diags: &mut Diags) -> Vec<Entry> {
    let mut parser = Parser {
        text,
        file,
        tokens: tokens(text),
        at: 0,
        diags,
        depth: 0,
        misclosed: None,
    };
    let mut nodes = parser.nodes();
    // A `}` too many ends the list of nodes early; what follows is still read.
    while let Some(token) = parser.peek() {
        parser
            .error(token, "a `}` without a `{`", "nothing is open here")
            .help_with("remove it, or look for a `}` above that closes too early");
        parser.at += 1;
        nodes.extend(parser.nodes());
    }
    nodes
}

struct Parser<'a> {
    text: &'a str,
    file: u32,
    tokens: Vec<Token>,
    at: usize,
    diags: &'a mut Diags,
    depth: usize,
    /// The first block that was closed by a `}` that by its indentation belongs to an outer one: the
    /// place of both.
    misclosed: Option<(Token, Token)>,
}

/// A diagnostic that can still be given a help text before it is filed.
struct Pending<'a> {
    diag: Option<Diag>,
    diags: &'a mut Diags,
}

impl Pending<'_> {
    fn help_with(mut self, help: impl Into<String>) {
        self.diag = self.diag.take().map(|d| d.help(help));
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(diag) = self.diag.take() {
            self.diags.push(diag);
        }
    }
}

/// One thing on a node's line.
enum Item {
    Arg(Value),
    Prop(Entry),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn str(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn span(&self, token: Token) -> Span {
        Span::new(self.file, token.start, token.end)
    }

    fn error(&mut self, token: Token, message: impl Into<String>, label: &str) -> Pending<'_> {
        self.error_as(codes::KDL_SYNTAX, token, message, label)
    }

    fn error_as(
        &mut self,
        code: &'static codes::Code,
        token: Token,
        message: impl Into<String>,
        label: &str,
    ) -> Pending<'_> {
        let span = self.span(token);
        Pending {
            diag: Some(Diag::error(code, message).label(span, label)),
            diags: self.diags,
        }
    }

    /// Skips blanks and comments within a line.
    fn skip_blanks(&mut self) {
        while let Some(t) = self.peek() {
            match t.kind {
                Kind::Space | Kind::Continuation | Kind::BlockComment => self.at += 1,
                _ => return,
            }
        }
    }

    /// Skips blanks, comments and line breaks, as between `/-` and what it comments out.
    fn skip_space_and_lines(&mut self) {
        while let Some(t) = self.peek() {
            match t.kind {
                Kind::Space
                | Kind::Continuation
                | Kind::BlockComment
                | Kind::LineComment
                | Kind::Newline => self.at += 1,
                _ => return,
            }
        }
    }

    /// Nodes up to a `}` or the end; neither is consumed.
    fn nodes(&mut self) -> Vec<Entry> {
        let mut out = Vec::new();
        loop {
            self.skip_space_and_lines();
            let Some(token) = self.peek() else { return out };
            match token.kind {
                Kind::Close => return out,
                Kind::Semicolon => {
                    self.error(token, "a `;` without a node before it", "unexpected")
                        .help_with("remove it; a `;` ends a node, as a line break does");
                    self.at += 1;
                    continue;
                }
                Kind::Slashdash => {
                    self.at += 1;
                    self.skip_space_and_lines();
                    let _ = self.node();
                }
                _ => out.extend(self.node()),
            }
            if self.peek().is_some_and(|t| t.kind == Kind::Semicolon) {
                self.at += 1;
            }
        }
    }

    /// One node up to its end. On a mistake the rest of the line is skipped and what was read is
    /// returned.
    fn node(&mut self) -> Option<Entry> {
        self.type_annotation();
        let name = self.peek()?;
        let Some(key) = self.node_name(name) else {
            self.recover();
            return None;
        };
        self.at += 1;
        let key_span = self.span(name);
        let (mut args, mut entries) = (Vec::new(), Vec::new());
        let mut end = key_span;
        let mut children: Option<Token> = None;
        loop {
            let gap = self.at;
            self.skip_blanks();
            let spaced = self.at > gap;
            let Some(token) = self.peek() else { break };
            match token.kind {
                Kind::Newline | Kind::Semicolon | Kind::LineComment | Kind::Close => break,
                Kind::Open => {
                    end = end.to(self.children(token, &mut entries, children.is_some()));
                    children = Some(token);
                }
                Kind::Slashdash => self.slashdash(&mut entries),
                _ => {
                    if !spaced {
                        self.error(token, "a blank is missing", "put a blank before this");
                    }
                    match (self.item(), children) {
                        (Some(_), Some(block)) => {
                            let block = self.span(block);
                            let text = self.str(token);
                            let diag = Diag::error(
                                codes::PROPERTY_AFTER_CHILDREN,
                                format!("`{text}` stands behind the children of `{key}`"),
                            )
                            .label(self.span(token), "too late")
                            .label(block, "the children begin here")
                            .help("KDL wants arguments and properties before the `{`");
                            self.diags.push(diag);
                            self.recover();
                        }
                        (Some(Item::Arg(v)), None) => {
                            end = end.to(v.span);
                            args.push(v);
                        }
                        (Some(Item::Prop(e)), None) => {
                            end = end.to(e.value.span);
                            entries.push(e);
                        }
                        (None, _) => {
                            // What is missing because of this mistake must not be told as well.
                            args.push(Value {
                                raw: Raw::Broken,
                                span: self.span(token),
                            });
                            self.recover();
                        }
                    }
                }
            }
        }
        Some(Entry {
            key,
            key_span,
            value: Value {
                raw: Raw::Node(args, entries),
                span: key_span.to(end),
            },
        })
    }

    fn node_name(&mut self, token: Token) -> Option<String> {
        match token.kind {
            Kind::Quoted => self.string(token),
            Kind::Word => match strings::word(self.str(token)) {
                Word::Identifier(name) => Some(name.to_owned()),
                _ => {
                    let text = self.str(token);
                    self.error(token, format!("expected a key, found `{text}`"), "a line begins with a key").help_with("write the key first, e.g. `memory \"128MiB\"`; a value that continues the line above needs a `\\` there");
                    None
                }
            },
            _ => {
                self.unexpected(token);
                None
            }
        }
    }

    fn unexpected(&mut self, token: Token) {
        let text = self.str(token);
        match token.kind {
            Kind::Unterminated if text.starts_with("/*") => {
                self.error(token, "this comment has no end", "opened here")
                    .help_with("close it with `*/`; comments of this kind nest");
            }
            Kind::Unterminated => {
                self.error(token, "this string has no end", "opened here").help_with("close it with `\"` on the same line; a string of several lines is written in `\"\"\"`");
            }
            Kind::Illegal if text.starts_with(['[', ']']) => {
                self.error(token, format!("`{text}` has no meaning in KDL"), "unexpected").help_with("write a list as several arguments: `side \"n1\" \"n2\"`; tables in brackets are TOML");
            }
            Kind::Equals => {
                self.error(token, "`=` without a key before it", "unexpected").help_with("a child is written without `=`: `memory \"128MiB\"`; a property without blanks around it: `size=\"16MiB\"`");
            }
            _ => {
                let shown = text.escape_debug().to_string();
                self.error(token, format!("`{shown}` is unexpected here"), "unexpected");
            }
        }
    }

    /// An argument or a property. `None` after a mistake, which has been told.
    fn item(&mut self) -> Option<Item> {
        self.type_annotation();
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Word | Kind::Quoted) {
            self.unexpected(token);
            return None;
        }
        self.at += 1;
        let after = self.at;
        self.skip_blanks();
        if self.peek().is_some_and(|t| t.kind == Kind::Equals) {
            let key = match token.kind {
                Kind::Quoted => self.string(token)?,
                _ => match strings::word(self.str(token)) {
                    Word::Identifier(name) => name.to_owned(),
                    _ => {
                        self.error(
                            token,
                            format!("`{}` can't be a key", self.str(token)),
                            "a key is a name",
                        );
                        return None;
                    }
                },
            };
            self.at += 1;
            self.skip_blanks();
            self.type_annotation();
            let Some(value) = self
                .peek()
                .filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted))
            else {
                match self.peek() {
                    Some(t) if matches!(t.kind, Kind::Illegal | Kind::Unterminated) => {
                        self.unexpected(t)
                    }
                    _ => self
                        .error(
                            token,
                            format!("`{key}=` has no value"),
                            "the value is missing",
                        )
                        .help_with(format!("write e.g. `{key}=\"...\"`")),
                }
                return None;
            };
            self.at += 1;
            let value = self.value(value)?;
            return Some(Item::Prop(Entry {
                key,
                key_span: self.span(token),
                value,
            }));
        }
        self.at = after;
        Some(Item::Arg(self.value(token)?))
    }

    fn value(&mut self, token: Token) -> Option<Value> {
        let span = self.span(token);
        if token.kind == Kind::Quoted {
            return Some(Value {
                raw: Raw::Str(self.string(token)?),
                span,
            });
        }
        let text = self.str(token);
        let raw = match strings::word(text) {
            Word::Null => Raw::Null,
            Word::Bool(b) => Raw::Bool(b),
            Word::Int(n) => Raw::Int(n),
            Word::BigInt => Raw::BigInt,
            Word::Float => Raw::Float,
            Word::Identifier(s) => Raw::Str(s.to_owned()),
            Word::Bare(s) => {
                self.error_as(
                    codes::KDL_BARE_KEYWORD,
                    token,
                    format!("`{s}` must be written `#{s}`"),
                    "KDL 2 marks keywords with `#`",
                )
                .help_with(format!("write `#{s}`, or `\"{s}\"` for the word itself"));
                return None;
            }
            Word::UnknownKeyword => {
                let keywords = ["#true", "#false", "#null", "#inf", "#-inf", "#nan"];
                let help = did_you_mean(text, keywords)
                    .unwrap_or_else(|| "a text that begins with `#` needs quotes".into());
                self.error(token, format!("there is no keyword `{text}`"), "unknown")
                    .help_with(help);
                return None;
            }
            Word::AlmostNumber => {
                self.error(
                    token,
                    format!("`{text}` is not a number"),
                    "quotes are missing",
                )
                .help_with(format!("values with a unit are strings: `\"{text}\"`"));
                return None;
            }
        };
        Some(Value { raw, span })
    }

    fn string(&mut self, token: Token) -> Option<String> {
        match strings::unquote(self.str(token)) {
            Ok(text) => Some(text),
            Err(m) => {
                let end = token.end.min(token.start + m.at + m.len);
                let place = Token {
                    start: token.start + m.at.min(token.end - token.start),
                    end,
                    ..token
                };
                self.error(place, m.message, "here").help_with(m.help);
                None
            }
        }
    }

    /// `(type)` has no meaning in a scenario.
    fn type_annotation(&mut self) {
        let Some(open) = self.peek().filter(|t| t.kind == Kind::ParenOpen) else {
            return;
        };
        let mut end = open;
        while let Some(t) = self.peek() {
            if matches!(
                t.kind,
                Kind::Newline | Kind::Open | Kind::Close | Kind::Semicolon
            ) {
                break;
            }
            self.at += 1;
            end = t;
            if t.kind == Kind::ParenClose {
                break;
            }
        }
        let whole = Token {
            end: end.end,
            ..open
        };
        self.error(
            whole,
            "a type annotation has no meaning in a scenario",
            "remove it",
        )
        .help_with("the key decides the type of its value");
        self.skip_blanks();
    }

    /// `/-` within a line: reads the next argument, property or block and forgets it.
    fn slashdash(&mut self, entries: &mut Vec<Entry>) {
        self.at += 1;
        self.skip_space_and_lines();
        match self.peek() {
            Some(t) if t.kind == Kind::Open => {
                let before = entries.len();
                self.children(t, entries, false);
                entries.truncate(before);
            }
            Some(t) if matches!(t.kind, Kind::Word | Kind::Quoted | Kind::ParenOpen) => {
                let read = self.item();
                if read.is_none() {
                    self.recover();
                }
            }
            _ => {}
        }
    }

    /// A block of children from its `{` on. Returns the span of the braces.
    fn children(&mut self, open: Token, entries: &mut Vec<Entry>, again: bool) -> Span {
        if again {
            self.error(open, "a second block of children", "unexpected")
                .help_with("put all children into one block");
        }
        self.at += 1;
        if self.depth >= MAX_DEPTH {
            self.error_as(
                codes::TOO_DEEP,
                open,
                format!("blocks are nested more than {MAX_DEPTH} deep"),
                "too deep",
            )
            .help_with("the deepest block of the language is five deep; is a `}` missing?");
            self.at = self.tokens.len();
            return self.span(open);
        }
        self.depth += 1;
        let nodes = self.nodes();
        self.depth -= 1;
        entries.extend(nodes);
        match self.peek() {
            Some(close) => {
                self.at += 1;
                let (outer, inner) = (self.indentation(close), self.indentation(open));
                if self.misclosed.is_none()
                    && outer.zip(inner).is_some_and(|(outer, inner)| outer < inner)
                {
                    self.misclosed = Some((open, close));
                }
                self.span(open).to(self.span(close))
            }
            None => {
                self.unclosed(open);
                self.span(open)
            }
        }
    }

    /// Tells a block without an end: once, since the outer ones have none either then.
    fn unclosed(&mut self, open: Token) {
        if self.diags_has_unclosed() {
            return;
        }
        let diag = match self.misclosed {
            Some((inner, close)) => Diag::error(
                codes::KDL_UNCLOSED,
                "a `{` is never closed, probably this one",
            )
            .label(self.span(inner), "opened here")
            .label(
                self.span(close),
                "this closes it, but is indented as the end of an outer block",
            )
            .help("add a `}` before that"),
            None => Diag::error(codes::KDL_UNCLOSED, "this `{` is never closed")
                .label(self.span(open), "opened here")
                .help("add a `}`; the indentation below may show where"),
        };
        self.diags.push(diag);
    }

    /// How far a line is indented that a `}` begins, or that has the `{`.
    fn indentation(&self, token: Token) -> Option<usize> {
        let start = self.text[..token.start].rfind('\n').map_or(0, |n| n + 1);
        let line = &self.text[start..token.end];
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        (token.kind == Kind::Open || indent == token.start - start).then_some(indent)
    }

    fn diags_has_unclosed(&self) -> bool {
        self.diags.any(|d| {
            (d.code.id == codes::KDL_UNCLOSED.id || d.code.id == codes::TOO_DEEP.id)
                && d.span().is_some_and(|s| s.file == self.file)
        })
    }

    /// Skips to the end of the line after a mistake, but not past a block's end.
    fn recover(&mut self) {
        let mut depth = 0usize;
        while let Some(t) = self.peek() {
            match t.kind {
                Kind::Newline | Kind::Semicolon if depth == 0 => return,
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => return,
                Kind::Close => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}
