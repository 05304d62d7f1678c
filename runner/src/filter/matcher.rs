//! How a predicate's argument is compared with a name.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

/// The most memory that a compiled pattern may take, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `~text`
    Contains,
    /// `=text`
    Equals,
    /// `#glob`
    Glob,
}

/// A comparison with a text.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Contains(String),
    Equals(String),
    Pattern(Box<Regex>),
}

/// Why an argument is not a matcher, with the bytes of the argument that are wrong.
#[derive(Debug)]
pub(super) struct MatcherError {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: &'static str,
    pub(super) span: Range<usize>,
}

impl Matcher {
    /// Parses an argument; its first character chooses the operator.
    pub(super) fn parse(argument: &str, default: Operator) -> Result<Self, MatcherError> {
        let start = argument.len() - argument.trim_start().len();
        let body = argument.trim();
        let span = start..start + body.len();
        if body.is_empty() {
            return Err(MatcherError {
                code: "chaosrun::filter::empty_matcher",
                message: "a predicate needs something to compare with".to_owned(),
                label: "nothing is here".to_owned(),
                help: "write a name, `=exact`, `~part`, `#glob*` or `/regex/`",
                span: 0..argument.len(),
            });
        }
        if let Some(rest) = body.strip_prefix('/') {
            let Some(pattern) = rest.strip_suffix('/') else {
                return Err(MatcherError {
                    code: "chaosrun::filter::unclosed_regex",
                    message: "a regular expression ends with `/`".to_owned(),
                    label: "the last `/` is missing".to_owned(),
                    help: "write `/regex/`; a slash inside is written `\\/`",
                    span,
                });
            };
            return Self::regex(&pattern.replace("\\/", "/"), span);
        }
        let (operator, text) = match body.split_at_checked(1) {
            Some(("=", text)) => (Operator::Equals, text),
            Some(("~", text)) => (Operator::Contains, text),
            Some(("#", text)) => (Operator::Glob, text),
            _ => (default, body),
        };
        match operator {
            Operator::Equals => Ok(Self::Equals(unescaped(text))),
            Operator::Contains => Ok(Self::Contains(unescaped(text))),
            Operator::Glob => glob_pattern(text)
                .map_err(|message| MatcherError {
                    code: "chaosrun::filter::bad_glob",
                    message,
                    label: "in this glob".to_owned(),
                    help: "a glob has `*`, `?`, `[a-z]`, `[!a-z]` and `{one,other}`; a \
                        backslash makes any of them plain",
                    span: span.clone(),
                })
                .and_then(|pattern| Self::regex(&pattern, span)),
        }
    }

    fn regex(pattern: &str, span: Range<usize>) -> Result<Self, MatcherError> {
        let built = RegexBuilder::new(pattern)
            .size_limit(MAX_PATTERN_BYTES)
            .build();
        match built {
            Ok(regex) => Ok(Self::Pattern(Box::new(regex))),
            Err(error) => {
                // The crate draws the pattern above its last line; the place is shown by our label.
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.strip_prefix("error: ").unwrap_or(reason).to_owned();
                Err(MatcherError {
                    code: "chaosrun::filter::bad_regex",
                    message: "this is not a regular expression".to_owned(),
                    label: reason,
                    help: "the syntax is that of Rust's regex crate; put a backslash \
                        before a special character that is meant as it is",
                    span,
                })
            }
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Equals(whole) => text == whole,
            Self::Pattern(regex) => regex.is_match(text),
        }
    }
}

/// Removes the backslashes that take the special meaning from a character.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

/// Translates a glob into an anchored regular expression.
fn glob_pattern(glob: &str) -> Result<String, String> {
    let mut pattern = String::from("(?s)^");
    let mut characters = glob.chars();
    let mut alternatives = false;
    while let Some(character) = characters.next() {
        match character {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '[' => glob_class(&mut characters, &mut pattern)?,
            '{' if alternatives => return Err("`{` can't be inside another `{`".to_owned()),
            '{' => {
                alternatives = true;
                pattern.push_str("(?:");
            }
            '}' if alternatives => {
                alternatives = false;
                pattern.push(')');
            }
            ',' if alternatives => pattern.push('|'),
            '\\' => push_literal(&mut pattern, characters.next().unwrap_or('\\')),
            _ => push_literal(&mut pattern, character),
        }
    }
    if alternatives {
        return Err("`{` has no `}`".to_owned());
    }
    pattern.push('$');
    Ok(pattern)
}

/// Translates what is between `[` and `]`.
fn glob_class(characters: &mut std::str::Chars<'_>, pattern: &mut String) -> Result<(), String> {
    pattern.push('[');
    let mut first = true;
    loop {
        match characters.next() {
            None => return Err("`[` has no `]`".to_owned()),
            Some('!' | '^') if first => {
                pattern.push('^');
                continue;
            }
            Some(']') if first => return Err("`[]` matches nothing".to_owned()),
            Some(']') => break,
            Some('-') => pattern.push('-'),
            Some(character) => push_literal(pattern, character),
        }
        first = false;
    }
    pattern.push(']');
    Ok(())
}

fn push_literal(pattern: &mut String, character: char) {
    let mut utf8 = [0; 4];
    pattern.push_str(&regex::escape(character.encode_utf8(&mut utf8)));
}
