//! From the text of a filterset to its expression, by recursive descent.

use std::ops::Range;

use super::error::{FilterError, Mistake};
use super::expression::{Expression, Filter, Predicate};
use super::lexer::{Lexer, Token};
use super::matcher::Matcher;
use crate::scenario::suggest;
use crate::scenario::wording::clipped;

/// The longest filterset, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// How deep parentheses and `not` may nest.
const MAX_DEPTH: usize = 64;

const PREDICATES: &str = "the predicates are `scenario()`, `tag()`, `property()`, `fault()`, `node()`, \
    `all()` and `none()`";

/// Parses a whole filterset.
impl Filter {
    /// Parses a filterset.
    ///
    /// # Errors
    /// The first mistake, with its place and what to write instead.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse(text).map(|root| Self { root })
    }
}

fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > MAX_BYTES {
        // The text itself is not shown: it is what is too long.
        return Err(FilterError(Box::new(Mistake {
            code: "chaosrun::filter::too_long",
            message: format!(
                "a filterset has at most {MAX_BYTES} bytes, and this one has {}",
                text.len()
            ),
            label: "it begins here".to_owned(),
            span: 0..1,
            help: Some("give scenarios a common tag and select that".to_owned()),
            filterset: clipped(text, 40),
        })));
    }
    let mut parser = Parser {
        text,
        lexer: Lexer::new(text),
    };
    let root = parser.any(0)?;
    match parser.lexer.next() {
        (Token::End, _) => Ok(root),
        (Token::Close, span) => Err(parser.error(
            "chaosrun::filter::unbalanced",
            "this parenthesis closes nothing",
            "it was not opened",
            span,
            None,
        )),
        (_, span) => Err(parser.expected("`and`, `or`, `-` or the end", span)),
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
}

impl Parser<'_> {
    /// Terms joined by `or`.
    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.every(depth)?];
        while self.lexer.peek().0 == Token::Or {
            self.lexer.next();
            parts.push(self.every(depth)?);
        }
        Ok(single_or(parts, Expression::Any))
    }

    /// Factors joined by `and`, or by `-`, which takes away.
    fn every(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.unary(depth)?];
        loop {
            match self.lexer.peek().0 {
                Token::And => {
                    self.lexer.next();
                    parts.push(self.unary(depth)?);
                }
                Token::Minus => {
                    self.lexer.next();
                    parts.push(Expression::Not(Box::new(self.unary(depth)?)));
                }
                _ => return Ok(single_or(parts, Expression::Every)),
            }
        }
    }

    fn unary(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let (token, span) = self.lexer.next();
        if depth > MAX_DEPTH {
            return Err(self.error(
                "chaosrun::filter::too_deep",
                &format!("parentheses and `not` nest at most {MAX_DEPTH} deep"),
                "this is one too many",
                span,
                None,
            ));
        }
        match token {
            Token::Not => Ok(Expression::Not(Box::new(self.unary(depth + 1)?))),
            Token::Open => {
                let inner = self.any(depth + 1)?;
                match self.lexer.next() {
                    (Token::Close, _) => Ok(inner),
                    (Token::End, _) => Err(self.unclosed(span)),
                    (_, other) => Err(self.expected("`and`, `or`, `-` or `)`", other)),
                }
            }
            Token::Word(word) => self.predicate(word, span),
            Token::End if self.text.trim().is_empty() => Err(self.error(
                "chaosrun::filter::empty",
                "a filterset has at least one predicate",
                "nothing is here",
                span,
                Some(format!("write `all()` to select everything; {PREDICATES}")),
            )),
            _ => Err(self.expected("a predicate, `not` or `(`", span)),
        }
    }

    fn predicate(&mut self, word: &str, span: Range<usize>) -> Result<Expression, FilterError> {
        let known = Predicate::ALL
            .into_iter()
            .find(|predicate| predicate.word() == word);
        if known.is_none() && word != "all" && word != "none" {
            return Err(self.unknown_predicate(word, span));
        }
        let (Token::Open, open) = self.lexer.peek() else {
            let help = format!("write `{word}(…)`");
            let (code, message) = (
                "chaosrun::filter::no_argument",
                format!("`{word}` needs parentheses"),
            );
            return Err(self.error(code, &message, "they are missing here", span, Some(help)));
        };
        self.lexer.next();
        let Some((argument, place)) = self.lexer.argument() else {
            let mut error = self.unclosed(open.clone());
            if self.text[open.end..].trim_start().starts_with('/') {
                error.0.help = Some(
                    "a regular expression is written `/…/`, before the parenthesis".to_owned(),
                );
            }
            return Err(error);
        };
        let Some(predicate) = known else {
            if argument.trim().is_empty() {
                return Ok(if word == "all" {
                    Expression::All
                } else {
                    Expression::None
                });
            }
            let message = format!("`{word}()` takes nothing");
            let code = "chaosrun::filter::unexpected_argument";
            return Err(self.error(code, &message, "this has to go", place, None));
        };
        match Matcher::parse(argument, predicate.default_operator()) {
            Ok(matcher) => Ok(Expression::Test(predicate, matcher)),
            Err(wrong) => {
                let span = place.start + wrong.span.start..place.start + wrong.span.end;
                let help = Some(wrong.help.to_owned());
                Err(self.error(wrong.code, &wrong.message, &wrong.label, span, help))
            }
        }
    }

    fn unknown_predicate(&self, word: &str, span: Range<usize>) -> FilterError {
        let words = Predicate::ALL.map(Predicate::word);
        let known = words.into_iter().chain(["all", "none", "and", "or", "not"]);
        // `test()` and `package()` are what nextest's users type first.
        let habit = match word {
            "test" | "package" | "binary" | "name" => Some("did you mean `scenario`?".to_owned()),
            "machine" | "host" | "kind" => Some("did you mean `node`?".to_owned()),
            _ => suggest::did_you_mean(word, known),
        };
        let help = habit.unwrap_or_else(|| PREDICATES.to_owned());
        let shown = clipped(word, 40);
        let message = format!("there is no predicate `{shown}`");
        self.error(
            "chaosrun::filter::unknown_predicate",
            &message,
            "unknown",
            span,
            Some(help),
        )
    }

    fn unclosed(&self, open: Range<usize>) -> FilterError {
        let help = Some("a parenthesis that is meant as text is written `\\)`".to_owned());
        let code = "chaosrun::filter::unbalanced";
        self.error(
            code,
            "a parenthesis is not closed",
            "it was opened here",
            open,
            help,
        )
    }

    fn expected(&self, what: &str, span: Range<usize>) -> FilterError {
        let label = if span.is_empty() {
            "the filterset ends here"
        } else {
            "this is something else"
        };
        let message = format!("expected {what}");
        self.error(
            "chaosrun::filter::syntax",
            &message,
            label,
            span,
            Some(PREDICATES.to_owned()),
        )
    }

    fn error(
        &self,
        code: &'static str,
        message: &str,
        label: &str,
        span: Range<usize>,
        help: Option<String>,
    ) -> FilterError {
        FilterError(Box::new(Mistake {
            code,
            message: message.to_owned(),
            label: label.to_owned(),
            span,
            help,
            filterset: self.text.to_owned(),
        }))
    }
}

fn single_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miette::{GraphicalReportHandler, GraphicalTheme};
    use proptest::prelude::*;

    fn rendered(text: &str) -> String {
        let error = parse(text).expect_err(text);
        let mut out = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .with_width(80)
            .render_report(&mut out, &error)
            .expect("a string can be written to");
        out
    }

    #[test]
    fn mistakes_are_explained_with_their_place() {
        let mistakes = [
            "",
            "senario(raft)",
            "test(raft)",
            "tag",
            "tag(slow",
            "tag(slow))",
            "tag(slow) tag(fast)",
            "tag(slow) and",
            "tag()",
            "tag(/a(/)",
            "tag(/abc)",
            "node(#n[1-)",
            "node(#{a,{b}})",
            "all(x)",
            "tag(a) xor tag(b)",
            "(tag(a) or tag(b)",
            "%",
        ];
        let all: String = mistakes
            .iter()
            .map(|text| format!("── {text}\n{}\n", rendered(text)))
            .collect();
        insta::with_settings!({ snapshot_path => "../../tests/snapshots" }, {
            insta::assert_snapshot!(all);
        });
    }

    #[test]
    fn depth_is_bounded_by_an_error_and_not_by_the_stack() {
        for opening in ["(", "!", "not "] {
            let error = parse(&opening.repeat(5_000)).expect_err("it is too deep");
            assert_eq!(error.0.code, "chaosrun::filter::too_deep");
        }
        let fine = format!("{}all(){}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
        assert!(parse(&fine).is_ok());
    }

    #[test]
    fn long_chains_are_fine_and_too_long_texts_are_refused() {
        let chain = vec!["tag(a)"; 5_000].join(" or ");
        assert!(parse(&chain).is_ok());
        let error = parse(&"x".repeat(MAX_BYTES + 1)).expect_err("it is too long");
        assert_eq!(error.0.code, "chaosrun::filter::too_long");
    }

    #[test]
    fn a_pattern_that_needs_too_much_memory_is_refused() {
        let error = parse("tag(/(a{1000}){1000}/)").expect_err("it is too big");
        assert_eq!(error.0.code, "chaosrun::filter::bad_regex");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z()!&|+\\-~=#/\\\\{}\\[\\]*? äß]{0,60}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.0.span.end <= text.len().max(1));
                prop_assert!(text.get(error.0.span.clone()).is_some() || text.is_empty());
            }
        }
    }
}
