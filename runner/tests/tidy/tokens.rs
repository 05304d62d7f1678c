//! Rust as nested tokens, which is as much of the language as the rules have to understand.
//!
//! Tokens are also what macros are made of, so that their bodies are read like other code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token, or what is between two brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A keyword or identifier, with its line.
    Word(String, usize),
    /// A character of punctuation.
    Mark(char),
    /// A literal; a comment that is a docstring is one, too.
    Literal {
        text: String,
        first: usize,
        last: usize,
    },
    /// What is between two brackets, and the line of the second; `open` is `(`, `[`, `{`, or a space
    /// where a macro's expansion has no bracket.
    Group {
        open: char,
        inner: Vec<Tree>,
        last: usize,
    },
}

impl Tree {
    /// Whether it is this keyword or identifier.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Tree::Word(text, _) if text == word)
    }

    /// What is between brackets that open with `bracket`.
    pub fn group(&self, bracket: char) -> Option<&[Tree]> {
        match self {
            Tree::Group { open, inner, .. } if *open == bracket => Some(inner),
            _ => None,
        }
    }
}

/// The tokens of a file.
///
/// # Errors
/// If it is not Rust, as far as tokens go.
pub fn read(text: &str) -> Result<Vec<Tree>, String> {
    let stream: TokenStream = text
        .parse()
        .map_err(|e: proc_macro2::LexError| e.to_string())?;
    let trees = trees(stream);
    // The text is remembered for the places of its tokens, which have been asked for.
    proc_macro2::extra::invalidate_current_thread_spans();
    Ok(trees)
}

fn trees(stream: TokenStream) -> Vec<Tree> {
    let tree = |token| match token {
        TokenTree::Ident(ident) => Tree::Word(ident.to_string(), ident.span().start().line),
        TokenTree::Punct(punct) => Tree::Mark(punct.as_char()),
        TokenTree::Literal(literal) => Tree::Literal {
            text: literal.to_string(),
            first: literal.span().start().line,
            last: literal.span().end().line,
        },
        TokenTree::Group(group) => Tree::Group {
            open: match group.delimiter() {
                Delimiter::Parenthesis => '(',
                Delimiter::Bracket => '[',
                Delimiter::Brace => '{',
                Delimiter::None => ' ',
            },
            last: group.span_close().start().line,
            inner: trees(group.stream()),
        },
    };
    stream.into_iter().map(tree).collect()
}

/// Calls `each` with every level of nesting, the outermost first.
pub fn levels<'a>(trees: &'a [Tree], each: &mut impl FnMut(&'a [Tree])) {
    each(trees);
    for tree in trees {
        if let Tree::Group { inner, .. } = tree {
            levels(inner, each);
        }
    }
}

/// The code without what is compiled for tests only.
pub fn without_tests(trees: &[Tree]) -> Vec<Tree> {
    let mut kept = Vec::with_capacity(trees.len());
    let mut rest = trees;
    while let Some((first, behind)) = rest.split_first() {
        if let Some(attribute) = attribute(rest)
            && is_for_tests(attribute)
        {
            rest = behind_item(&rest[2..]);
            continue;
        }
        kept.push(match first {
            Tree::Group { open, inner, last } => Tree::Group {
                open: *open,
                inner: without_tests(inner),
                last: *last,
            },
            other => other.clone(),
        });
        rest = behind;
    }
    kept
}

/// What an outer attribute says, if one is first.
pub fn attribute(trees: &[Tree]) -> Option<&[Tree]> {
    match trees {
        [Tree::Mark('#'), group, ..] => group.group('['),
        _ => None,
    }
}

/// Whether an attribute is `cfg` of tests.
pub fn is_for_tests(attribute: &[Tree]) -> bool {
    let [cfg, Tree::Group { inner, .. }] = attribute else {
        return false;
    };
    let negated = inner.iter().any(|tree| tree.is_word("not"));
    let mut found = false;
    levels(inner, &mut |level| {
        found |= level.iter().any(|tree| tree.is_word("test"))
    });
    cfg.is_word("cfg") && found && !negated
}

/// What follows the item, field or statement that is first, its other attributes included.
fn behind_item(mut trees: &[Tree]) -> &[Tree] {
    while attribute(trees).is_some() {
        trees = &trees[2..];
    }
    const STARTS: [&str; 15] = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "macro_rules",
        "mod",
        "pub",
        "static",
        "struct",
        "trait",
        "type",
        "unsafe",
        "use",
    ];
    // A field's visibility is in front of its name and type.
    let field = matches!(trees, [Tree::Word(..), Tree::Mark(':'), ..]);
    let item = !field
        && STARTS
            .iter()
            .any(|word| trees.first().is_some_and(|tree| tree.is_word(word)));
    let end = trees.iter().position(|tree| match tree {
        Tree::Mark(';') => true,
        Tree::Mark(',') => !item,
        Tree::Group { open, .. } => *open == '{',
        _ => false,
    });
    &trees[end.map_or(trees.len(), |end| end + 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(trees: &[Tree]) -> Vec<String> {
        let mut found = Vec::new();
        levels(trees, &mut |level| {
            found.extend(level.iter().filter_map(|tree| match tree {
                Tree::Word(word, line) => Some(format!("{word}:{line}")),
                _ => None,
            }));
        });
        found
    }

    #[test]
    fn tokens_have_their_lines_in_every_file() {
        for _ in 0..2 {
            assert_eq!(words(&read("a\nb (\n c)").unwrap()), ["a:1", "b:2", "c:3"]);
        }
    }

    #[test]
    fn what_is_for_tests_is_left_out() {
        let text = "a! {}
            #[cfg(test)] #[allow(x)] mod tests { b }
            #[cfg(all(test, unix))] pub fn c<T, U>() { d }
            #[cfg(not(test))] fn e() {}
            struct F { #[cfg(test)] g: u8, h: u8 }
            #[cfg(test)] use i::{j, k};
            l";
        let kept = words(&without_tests(&read(text).unwrap()));
        let kept: Vec<_> = kept
            .iter()
            .filter_map(|word| word.split(':').next())
            .collect();
        let known = [
            "a", "fn", "e", "struct", "F", "l", "cfg", "test", "not", "h", "u8",
        ];
        let (kept, known): (std::collections::BTreeSet<_>, _) =
            (kept.into_iter().collect(), known.into_iter().collect());
        assert_eq!(kept, known);
    }
}
