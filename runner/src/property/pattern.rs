//! Patterns of consoles.

use regex::Regex;

use super::checker::Line;
use crate::plan::model::Pattern;

/// How much memory a compiled regular expression may take, in bytes.
const REGEX_LIMIT_BYTES: usize = 4 << 20;

/// A pattern, ready to be looked for.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// A piece of text.
    Text(String),
    /// A regular expression.
    Regex(Regex),
}

impl Matcher {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// If the regular expression is none, or is too large.
    pub fn new(pattern: &Pattern) -> Result<Self, regex::Error> {
        Ok(match pattern {
            Pattern::Text(text) => Self::Text(text.clone()),
            Pattern::Regex(text) => Self::Regex(
                regex::RegexBuilder::new(text)
                    .size_limit(REGEX_LIMIT_BYTES)
                    .build()?,
            ),
        })
    }

    /// Whether a piece of a line shows the pattern.
    ///
    /// A piece of text is seen as soon as it is there, as in a prompt that no newline follows. A
    /// regular expression may say where the line ends, so it is tried only on what has ended.
    #[must_use]
    pub fn is_in(&self, line: &Line<'_>) -> bool {
        match self {
            Self::Text(text) => line.text.contains(text.as_str()),
            Self::Regex(regex) => line.ended && regex.is_match(line.text),
        }
    }
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Regex(regex) => write!(f, "`/{regex}/`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, ended: bool) -> Line<'_> {
        Line {
            seq: 0,
            time_ns: 0,
            node: "n1",
            text,
            continued: false,
            ended,
        }
    }

    #[test]
    fn a_regular_expression_waits_for_the_end_of_the_line() {
        let matcher = Matcher::new(&Pattern::Regex("^ok$".into())).unwrap();
        assert!(!matcher.is_in(&line("ok", false)));
        assert!(!matcher.is_in(&line("okay", true)));
        assert!(matcher.is_in(&line("ok", true)));
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
