//! What a person probably meant whose text the `kdl` package refuses.
//!
//! The package decides; this only finds words for it, and says what to leave out so that the rest can be
//! read. It goes over the text node by node and tells of each line the first thing that is not KDL.

use super::MAX_MISTAKES;
use super::draft::Draft;
use super::scan::{Kind, Token, tokens};
use super::strings::{self, KEYWORDS, Word};
use super::structure::line_end;
use crate::scenario::codes::{self, Code};
use crate::scenario::diag::{Diag, Diags};
use crate::scenario::source::Span;
use crate::scenario::suggest::did_you_mean;

/// Tells the mistakes of a text whose structure is right, and blanks them. Returns how many there are.
pub(super) fn explain(text: &str, file: u32, draft: &mut Draft, diags: &mut Diags) -> usize {
    let mut pass = Pass {
        text,
        file,
        tokens: tokens(text),
        at: 0,
        draft,
        diags,
        told: 0,
    };
    pass.nodes();
    pass.told
}

struct Pass<'a> {
    text: &'a str,
    file: u32,
    tokens: Vec<Token>,
    at: usize,
    draft: &'a mut Draft,
    diags: &'a mut Diags,
    told: usize,
}

/// Whether a node goes on behind something.
enum Next {
    Goes,
    Ends,
}

impl<'a> Pass<'a> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn str(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn span(&self, token: Token) -> Span {
        Span::new(self.file, token.start, token.end)
    }

    fn tell(&mut self, diag: Diag) {
        self.told += 1;
        if self.told <= MAX_MISTAKES {
            self.diags.push(diag);
        }
    }

    fn error(&mut self, token: Token, message: impl Into<String>, label: &str, help: &str) {
        self.error_as(codes::KDL_SYNTAX, token, message, label, help);
    }

    fn error_as(
        &mut self,
        code: &'static Code,
        token: Token,
        message: impl Into<String>,
        label: &str,
        help: &str,
    ) {
        let diag = Diag::error(code, message)
            .label(self.span(token), label)
            .help(help);
        self.tell(diag);
    }

    /// Skips blanks and comments within a line. Whether there were any.
    fn skip_blanks(&mut self) -> bool {
        let from = self.at;
        while let Some(Kind::Space | Kind::Continuation | Kind::BlockComment) =
            self.peek().map(|t| t.kind)
        {
            self.at += 1;
        }
        self.at > from
    }

    /// Skips blanks, comments and line breaks, as between `/-` and what it comments out.
    fn skip_lines(&mut self) {
        while let Some(
            Kind::Space
            | Kind::Continuation
            | Kind::BlockComment
            | Kind::LineComment
            | Kind::Newline,
        ) = self.peek().map(|t| t.kind)
        {
            self.at += 1;
        }
    }

    /// Leaves out what stands on the line from the token of number `from` on.
    fn leave_out(&mut self, from: usize, keep_a_word: bool) {
        let to = line_end(&self.tokens, from);
        let place_of = |at: usize| self.tokens.get(at).map_or(self.text.len(), |t| t.start);
        let place = place_of(from)..place_of(to);
        match keep_a_word {
            true => self.draft.hole(place),
            false => self.draft.blank(place),
        }
        self.at = to;
    }

    /// Nodes up to a `}`, which is not taken, or the end. Blocks are no deeper than is bearable.
    fn nodes(&mut self) {
        loop {
            self.skip_lines();
            let Some(token) = self.peek() else { return };
            match token.kind {
                Kind::Close => return,
                Kind::Semicolon => {
                    self.error(
                        token,
                        "a `;` without a node before it",
                        "unexpected",
                        "remove it; a `;` ends a node, as a line break does",
                    );
                    self.draft.blank(token.start..token.end);
                    self.at += 1;
                    continue;
                }
                Kind::Slashdash => {
                    self.at += 1;
                    self.skip_lines();
                }
                _ => {}
            }
            self.node();
            if self.peek().is_some_and(|t| t.kind == Kind::Semicolon) {
                self.at += 1;
            }
        }
    }

    /// One node up to its end.
    fn node(&mut self) {
        let from = self.at;
        self.type_annotation();
        let Some(name) = self.peek() else {
            return self.lone_type(from);
        };
        if !self.is_name(name) {
            self.leave_out(from, false);
            return;
        }
        self.at += 1;
        let mut children: Option<Token> = None;
        loop {
            let spaced = self.skip_blanks();
            let Some(token) = self.peek() else { return };
            let next = match token.kind {
                Kind::Newline | Kind::Semicolon | Kind::LineComment | Kind::Close => return,
                Kind::Open => self.children(token, &mut children),
                Kind::Slashdash => self.slashdash(),
                _ if children.is_some() => self.too_late(name, token, children),
                _ => {
                    if !spaced {
                        self.error(
                            token,
                            "a blank is missing",
                            "put a blank before this",
                            "values stand apart from each other",
                        );
                        self.draft.gap(token.start);
                    }
                    self.item()
                }
            };
            if matches!(next, Next::Ends) {
                return;
            }
        }
    }

    fn is_name(&mut self, token: Token) -> bool {
        match token.kind {
            Kind::Quoted => self.is_string(token),
            Kind::Word if strings::word(self.str(token)) == Word::Identifier => true,
            Kind::Word => {
                let text = self.str(token);
                self.error(
                    token,
                    format!("expected a key, found `{text}`"),
                    "a line begins with a key",
                    "write the key first, e.g. `memory \"128MiB\"`; a value that \
                     continues the line above needs a `\\` there",
                );
                false
            }
            _ => {
                self.unexpected(token);
                false
            }
        }
    }

    fn unexpected(&mut self, token: Token) {
        let text = self.str(token);
        match token.kind {
            Kind::Equals => self.error(
                token,
                "`=` without a key before it",
                "unexpected",
                "a child is written without `=`: `memory \"128MiB\"`; a property without \
                 blanks around it: `size=\"16MiB\"`",
            ),
            Kind::Open => self.error(
                token,
                "a block without a node before it",
                "unexpected",
                "write the node's key before the `{`, on the same line",
            ),
            _ => {
                let shown = text.escape_debug().to_string();
                self.error(
                    token,
                    format!("`{shown}` is unexpected here"),
                    "unexpected",
                    "a text with such characters needs quotes",
                );
            }
        }
    }

    fn too_late(&mut self, name: Token, token: Token, children: Option<Token>) -> Next {
        let (text, node) = (self.str(token), self.str(name));
        let mut diag = Diag::error(
            codes::PROPERTY_AFTER_CHILDREN,
            format!("`{text}` stands behind the children of `{node}`"),
        )
        .label(self.span(token), "too late");
        if let Some(block) = children {
            diag = diag.label(self.span(block), "the children begin here");
        }
        self.tell(diag.help("KDL wants arguments and properties before the `{`"));
        self.leave_out(self.at, false);
        Next::Ends
    }

    /// An argument or a property.
    fn item(&mut self) -> Next {
        let from = self.at;
        match self.is_item() {
            true => Next::Goes,
            false => {
                self.leave_out(from, true);
                Next::Ends
            }
        }
    }

    fn is_item(&mut self) -> bool {
        let from = self.at;
        self.type_annotation();
        let token = self
            .peek()
            .filter(|t| self.at == from || matches!(t.kind, Kind::Word | Kind::Quoted));
        let Some(token) = token else {
            self.lone_type(from);
            return false;
        };
        if !matches!(token.kind, Kind::Word | Kind::Quoted) {
            self.unexpected(token);
            return false;
        }
        self.at += 1;
        let after = self.at;
        self.skip_blanks();
        if self.peek().is_none_or(|t| t.kind != Kind::Equals) {
            self.at = after;
            return self.is_value(token);
        }
        self.at += 1;
        let text = self.str(token);
        if token.kind == Kind::Word && strings::word(text) != Word::Identifier {
            self.error(
                token,
                format!("`{text}` can't be a key"),
                "a key is a name",
                "write it in quotes if it is meant to be the key",
            );
            return false;
        }
        if token.kind == Kind::Quoted && !self.is_string(token) {
            return false;
        }
        self.skip_blanks();
        self.type_annotation();
        let value = self
            .peek()
            .filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted));
        let Some(value) = value else {
            self.error(
                token,
                format!("`{text}=` has no value"),
                "the value is missing",
                &format!("write e.g. `{text}=\"...\"`"),
            );
            return false;
        };
        self.at += 1;
        self.is_value(value)
    }

    fn is_value(&mut self, token: Token) -> bool {
        if token.kind == Kind::Quoted {
            return self.is_string(token);
        }
        let text = self.str(token);
        match strings::word(text) {
            Word::Value | Word::Identifier => return true,
            Word::Bare => self.error_as(
                codes::KDL_BARE_KEYWORD,
                token,
                format!("`{text}` must be written `#{text}`"),
                "KDL 2 marks keywords with `#`",
                &format!("write `#{text}`, or `\"{text}\"` for the word itself"),
            ),
            Word::UnknownKeyword => {
                let help = did_you_mean(text, KEYWORDS)
                    .unwrap_or_else(|| "a text that begins with `#` needs quotes".into());
                self.error(
                    token,
                    format!("there is no keyword `{text}`"),
                    "unknown",
                    &help,
                );
            }
            Word::AlmostNumber => self.error(
                token,
                format!("`{text}` is not a number"),
                "quotes are missing",
                &format!("values with a unit are strings: `\"{text}\"`"),
            ),
        }
        false
    }

    fn is_string(&mut self, token: Token) -> bool {
        let Some(slip) = strings::inside(self.str(token)) else {
            return true;
        };
        let start = (token.start + slip.at).min(token.end);
        let place = Token {
            start,
            end: token.end.min(start + slip.len),
            ..token
        };
        self.error(place, slip.message, "here", slip.help);
        false
    }

    /// Tells that nothing follows a `(type)`.
    fn lone_type(&mut self, at: usize) {
        if let Some(token) = self.tokens.get(at).copied() {
            self.error(
                token,
                "nothing stands behind this type",
                "opened here",
                "remove it: types have no meaning in a scenario",
            );
        }
    }

    /// Skips `(type)`, if there is one.
    fn type_annotation(&mut self) {
        if self.peek().is_none_or(|t| t.kind != Kind::ParenOpen) {
            return;
        }
        let inside = |t: &&Token| {
            !matches!(
                t.kind,
                Kind::Newline | Kind::Open | Kind::Close | Kind::Semicolon
            )
        };
        let line: Vec<Token> = self.tokens[self.at..]
            .iter()
            .take_while(inside)
            .copied()
            .collect();
        let end = line.iter().position(|t| t.kind == Kind::ParenClose);
        self.at += end.map_or(line.len(), |n| n + 1);
        self.skip_blanks();
    }

    /// `/-` within a line.
    fn slashdash(&mut self) -> Next {
        let from = self.at;
        self.at += 1;
        self.skip_lines();
        match self.peek() {
            None => {
                // What stood there has been blanked as a mistake, and told.
                self.told += 1;
                self.leave_out(from, false);
                Next::Ends
            }
            Some(t) if t.kind == Kind::Open => {
                self.block();
                Next::Goes
            }
            _ => self.item(),
        }
    }

    fn children(&mut self, open: Token, children: &mut Option<Token>) -> Next {
        if children.replace(open).is_none() {
            self.block();
            return Next::Goes;
        }
        self.error(
            open,
            "a second block of children",
            "unexpected",
            "put all children into one block",
        );
        self.leave_out(self.at, false);
        Next::Ends
    }

    /// A block from its `{` to its `}`.
    fn block(&mut self) {
        self.at += 1;
        self.nodes();
        self.at += 1;
    }
}
