//! Functions are short enough to be seen at once.

use crate::Finding;
use crate::sources::Sources;
use crate::tokens::{Tree, levels};

/// From the line of `fn` to that of the closing brace; about 70 are a reason to think.
const LIMIT: usize = 80;

/// Functions with too many lines, also those of tests and in macros.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in sources.rust() {
        levels(&file.code, &mut |level| {
            for (at, tree) in level.iter().enumerate() {
                let Some((name, first, last)) =
                    tree.is_word("fn").then(|| function(&level[at..])).flatten()
                else {
                    continue;
                };
                let lines = last - first + 1;
                if lines > LIMIT {
                    found.push(Finding {
                        rule: "functions",
                        path: file.path.clone(),
                        line: first,
                        what: name.to_owned(),
                        advice: format!("it has {lines} lines; name a part of it (limit {LIMIT})"),
                    });
                }
            }
        });
    }
    found
}

/// A function's name, first and last line; nothing, if it has no body or is a type.
fn function(trees: &[Tree]) -> Option<(&str, usize, usize)> {
    let [Tree::Word(_, first), rest @ ..] = trees else {
        return None;
    };
    // In a macro, a name may be a parameter.
    let rest = rest.strip_prefix(&[Tree::Mark('$')]).unwrap_or(rest);
    let [Tree::Word(name, _), rest @ ..] = rest else {
        return None;
    };
    let end = rest
        .iter()
        .find(|tree| **tree == Tree::Mark(';') || tree.group('{').is_some())?;
    match end {
        Tree::Group { last, .. } => Some((name, *first, *last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let found = findings(&Sources::sample(&[("a.rs", text)]));
        found.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_function_may_have_80_lines_and_no_more() {
        let body = "\n".repeat(LIMIT - 1);
        assert_eq!(names(&format!("fn a() {{{body}}}")), [""; 0]);
        assert_eq!(names(&format!("fn a() {{\n{body}}}")), ["a"]);
        assert_eq!(
            names(&format!(
                "impl A {{ fn b(\n) -> u8 where A: B {{{body}}} }}"
            )),
            ["b"]
        );
        assert_eq!(
            names(&format!(
                "macro_rules! a {{ () => {{ fn $b() {{\n{body}}} }} }}"
            )),
            ["b"]
        );
    }

    #[test]
    fn tables_and_functions_without_bodies_may_be_longer() {
        let lines = "\n".repeat(LIMIT);
        assert_eq!(names(&format!("const A: [u8; 1] = [{lines}1];")), [""; 0]);
        assert_eq!(
            names(&format!(
                "trait A {{ fn b(); {lines} const C: u8 = {{1}}; }}"
            )),
            [""; 0]
        );
        assert_eq!(
            names(&format!("struct A {{ b: fn(u8) -> u8, {lines} }}")),
            [""; 0]
        );
    }
}
