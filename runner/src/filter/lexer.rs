//! The words and signs of a filterset, with their places.

use std::ops::Range;

/// A word or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    And,
    Or,
    Minus,
    Not,
    Open,
    Close,
    Unknown(char),
    End,
}

/// Reads tokens one by one; the argument of a predicate is read raw, since it has its own rules.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The next token without taking it.
    pub(super) fn peek(&self) -> (Token<'a>, Range<usize>) {
        self.clone().next()
    }

    /// Takes the next token. A sign may be doubled (`&&`, `||`), as habit from other languages has it.
    pub(super) fn next(&mut self) -> (Token<'a>, Range<usize>) {
        let rest = &self.text[self.position..];
        let start = self.position + (rest.len() - rest.trim_start().len());
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else {
            self.position = start;
            return (Token::End, start..start);
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '!' => (Token::Not, 1),
            '-' => (Token::Minus, 1),
            '+' => (Token::Or, 1),
            '|' => (Token::Or, if rest.starts_with("||") { 2 } else { 1 }),
            '&' => (Token::And, if rest.starts_with("&&") { 2 } else { 1 }),
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (word(&rest[..length]), length)
            }
            _ => (Token::Unknown(first), first.len_utf8()),
        };
        self.position = start + length;
        (token, start..self.position)
    }

    /// Takes a predicate's argument up to the parenthesis that ends it, which is taken, too; `None`
    /// if there is none. A backslash takes the special meaning from the next character, and inside
    /// `/…/` a parenthesis is part of the pattern.
    pub(super) fn argument(&mut self) -> Option<(&'a str, Range<usize>)> {
        let start = self.position;
        let rest = &self.text[start..];
        let is_pattern = rest.trim_start().starts_with('/');
        let (mut escaped, mut slashes) = (false, 0);
        for (index, character) in rest.char_indices() {
            if escaped {
                escaped = false;
                continue;
            }
            match character {
                '\\' => escaped = true,
                '/' => slashes += 1,
                ')' if !is_pattern || slashes >= 2 => {
                    self.position = start + index + 1;
                    return Some((&rest[..index], start..start + index));
                }
                _ => {}
            }
        }
        None
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn word(text: &str) -> Token<'_> {
    match text {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => Token::Word(text),
    }
}
