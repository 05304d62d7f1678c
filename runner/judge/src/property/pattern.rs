//! Patterns of consoles.

use regex::Regex;
use regex_syntax::Parser;
use regex_syntax::hir::Look;

use super::checker::Line;
use chaosrun_language::plan::model::Pattern;

/// How much memory a compiled regular expression may take, in bytes.
const REGEX_LIMIT_BYTES: usize = 4 << 20;

/// A pattern, ready to be looked for.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// A piece of text.
    Text(String),
    /// A regular expression.
    Regex {
        /// The expression.
        regex: Regex,
        /// Whether it says something about what follows: where the line or a word ends.
        looks_ahead: bool,
    },
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// If the regular expression is none, or is too large.
    pub fn new(pattern: &Pattern) -> Result<Self, regex::Error> {
        Ok(match pattern {
            Pattern::Text(text) => Self::Text(text.clone()),
            Pattern::Regex(text) => Self::Regex {
                regex: regex::RegexBuilder::new(text)
                    .size_limit(REGEX_LIMIT_BYTES)
                    .build()?,
                looks_ahead: looks_ahead(text),
            },
        })
    }

    /// Whether a piece of a line shows the pattern.
    ///
    /// It is seen as soon as it is there, as in a prompt that no newline follows. Only a regular
    /// expression that says where the line or a word ends waits until the line has ended or rests:
    /// before that, what follows could make what was seen untrue.
    #[must_use]
    pub fn is_in(&self, line: &Line<'_>) -> bool {
        match self {
            Self::Text(text) => line.text.contains(text.as_str()),
            Self::Regex { regex, looks_ahead } => {
                (line.rests || !looks_ahead) && regex.is_match(line.text)
            }
        }
    }
}

/// Whether an expression can match a text and not what the text begins: it has an assertion about an
/// end, or about the border of a word. One that can't be read is not asked, for it is refused.
fn looks_ahead(expression: &str) -> bool {
    Parser::new().parse(expression).is_ok_and(|hir| {
        let looks = hir.properties().look_set();
        let ends = [Look::End, Look::EndLF, Look::EndCRLF];
        ends.into_iter().any(|end| looks.contains(end)) || looks.contains_word()
    })
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Regex { regex, .. } => write!(f, "`/{regex}/`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, rests: bool) -> Line<'_> {
        Line {
            seq: 0,
            time_ns: 0,
            node: "n1",
            number: 0,
            text,
            continued: false,
            ended: false,
            rests,
        }
    }

    #[test]
    fn an_expression_about_an_end_waits_until_the_line_rests() {
        for expression in ["^ok$", r"^ok\b", r"(?m)^ok$", r"ok\z", r"^(o|ok(x|$))"] {
            let matcher = Matcher::new(&Pattern::Regex(expression.into())).unwrap();
            assert!(!matcher.is_in(&line("ok", false)), "{expression}");
            assert!(matcher.is_in(&line("ok", true)), "{expression}");
        }
        let matcher = Matcher::new(&Pattern::Regex("^ok$".into())).unwrap();
        assert!(!matcher.is_in(&line("okay", true)));
    }

    #[test]
    fn another_expression_is_seen_as_soon_as_it_is_there() {
        for expression in ["login: ", "^[a-z]+: ", "o+g", "(?i)LOGIN"] {
            let matcher = Matcher::new(&Pattern::Regex(expression.into())).unwrap();
            assert!(!matcher.is_in(&line("lo", true)), "{expression}");
            assert!(matcher.is_in(&line("login: ", false)), "{expression}");
        }
    }

    #[test]
    fn a_text_is_no_regular_expression() {
        let matcher = Matcher::new(&Pattern::Text("a.c".into())).unwrap();
        assert!(matcher.is_in(&line("xa.cx", false)));
        assert!(!matcher.is_in(&line("abc", true)));
    }

    #[test]
    fn an_expression_that_is_none_is_refused() {
        assert!(Matcher::new(&Pattern::Regex("(".into())).is_err());
        assert!(Matcher::new(&Pattern::Regex("a{1000}{1000}{1000}".into())).is_err());
    }
}
