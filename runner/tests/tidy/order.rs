//! Arrows between the folders of a crate go down.
//!
//! An arrow is a path that begins with `crate`, `super` or `self`, in code that is not for tests. What the
//! crate's root passes on belongs to the module that it comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::arrows::FOLDERS;
use crate::modules::{self, Module};
use crate::sources::Sources;
use crate::tokens::{Tree, without_tests};

/// Arrows that run up, and folders that have no place in the order.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    FOLDERS
        .iter()
        .flat_map(|(folder, order)| in_crate(sources, folder, order))
        .collect()
}

fn in_crate(sources: &Sources, folder: &str, order: &str) -> Vec<Finding> {
    let modules = modules::of_crate(sources, folder);
    let root = modules.iter().filter(|module| module.path.is_empty());
    let passed_on: BTreeMap<_, _> = root
        .flat_map(|module| passed_on(&module.file.code))
        .collect();
    let place = |name: &str| {
        order
            .split(' ')
            .position(|level| level.split('+').any(|listed| listed == name))
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for module in modules.iter().filter(|module| !module.test) {
        let Some(own) = module.path.first() else {
            continue;
        };
        let finding = |line, what, advice: &str| Finding {
            rule: "order",
            path: module.file.path.clone(),
            line,
            what,
            advice: advice.to_owned(),
        };
        let Some(height) = place(own) else {
            if module.path.len() > 1 && seen.insert(*own) {
                let advice = "give this folder a place in arrows.rs";
                found.push(finding(0, own.to_string(), advice));
            }
            continue;
        };
        for (target, line) in arrows(module) {
            let target = passed_on
                .get(&target)
                .filter(|_| place(&target).is_none())
                .unwrap_or(&target);
            if place(target).is_some_and(|other| other > height) {
                let what = format!("{own} -> {target}");
                found.push(finding(line, what, "what both need belongs below both"));
            }
        }
    }
    found
}

/// Names that the crate's root has from its modules, and the modules.
fn passed_on(code: &[Tree]) -> Vec<(String, String)> {
    let uses = code
        .iter()
        .enumerate()
        .filter(|(_, tree)| tree.is_word("use"));
    let modules = uses.filter_map(|(at, _)| match &code[at + 1..] {
        [Tree::Word(first, _), rest @ ..] => {
            let end = rest.iter().position(|tree| *tree == Tree::Mark(';'))?;
            Some((first, &rest[..end]))
        }
        _ => None,
    });
    let mut found = Vec::new();
    for (module, rest) in modules {
        crate::tokens::levels(rest, &mut |level| {
            let words = level.iter().filter_map(|tree| match tree {
                Tree::Word(word, _) => Some((word.clone(), module.clone())),
                _ => None,
            });
            found.extend(words);
        });
    }
    found
}

/// The first names behind the crate's root of all paths in a module, with their lines.
fn arrows(module: &Module) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let path: Vec<_> = module.path.iter().map(|name| name.to_string()).collect();
    in_level(&without_tests(&module.file.code), &path, &mut found);
    found
}

fn in_level(level: &[Tree], path: &[String], found: &mut Vec<(String, usize)>) {
    let mut rest = level;
    while let Some((tree, behind)) = rest.split_first() {
        if ["crate", "super", "self"]
            .iter()
            .any(|word| tree.is_word(word))
        {
            resolve(rest, path.to_vec(), found);
        }
        rest = behind;
        match (tree, rest) {
            (
                Tree::Word(word, _),
                [
                    Tree::Word(name, _),
                    Tree::Group {
                        open: '{', inner, ..
                    },
                    behind @ ..,
                ],
            ) if word == "mod" => {
                in_level(inner, &[path, std::slice::from_ref(name)].concat(), found);
                rest = behind;
            }
            (Tree::Group { inner, .. }, _) => in_level(inner, path, found),
            _ => {}
        }
    }
}

/// Follows a path from the module `at` to the names where it branches.
fn resolve(trees: &[Tree], mut at: Vec<String>, found: &mut Vec<(String, usize)>) {
    match trees {
        [Tree::Word(word, line), rest @ ..] => {
            let behind = match rest {
                [Tree::Mark(':'), Tree::Mark(':'), behind @ ..] => Some(behind),
                _ => None,
            };
            match (word.as_str(), behind) {
                ("crate", Some(behind)) => resolve(behind, Vec::new(), found),
                ("self", Some(behind)) => resolve(behind, at, found),
                ("super", Some(behind)) => {
                    at.pop();
                    resolve(behind, at, found);
                }
                ("crate" | "self" | "super", None) => {}
                _ => {
                    at.push(word.clone());
                    found.push((at.swap_remove(0), *line));
                }
            }
        }
        [
            Tree::Group {
                open: '{', inner, ..
            },
            ..,
        ] => {
            for branch in inner.split(|tree| *tree == Tree::Mark(',')) {
                resolve(branch, at.clone(), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(path: &str, text: &str) -> Vec<String> {
        let root = "pub use high::{Peak, top as summit}; pub use low::Valley; mod low;";
        let sources = Sources::sample(&[("a/src/lib.rs", root), (path, text)]);
        let found = in_crate(&sources, "a/src", "low middle+beside high absent");
        found
            .into_iter()
            .map(|finding| format!("{}:{}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn an_arrow_up_is_found_however_it_is_written() {
        for text in [
            "use crate::high;",
            "use crate::{low::x, high::{self, y}};",
            "fn x() { crate::high::y() }",
            "use super::high::x;",
            "mod inner { use super::super::high; }",
            "use crate::Peak;",
            "fn x() { let _ = [crate::summit()]; }",
            "macro_rules! x { () => { $crate::high::y } }",
        ] {
            let found = up("a/src/middle.rs", text);
            let target = "1:middle -> high";
            assert_eq!(found, [target], "{text}");
        }
        assert_eq!(
            up("a/src/middle/x/y.rs", "use super::super::super::high;"),
            ["1:middle -> high"]
        );
        assert_eq!(
            up("a/src/middle/mod.rs", "\nuse super::{low, high};"),
            ["2:middle -> high"]
        );
    }

    #[test]
    fn arrows_down_and_within_and_of_tests_are_not_found() {
        for text in [
            "use crate::low; use crate::Valley; use super::low::*;",
            "use crate::beside;",
            "use self::high::x; mod high {}",
            "mod inner { use super::high; }",
            "use crate::middle::high; pub(crate) fn x() {} use other::high;",
            "#[cfg(test)] mod tests { use crate::high; }",
            "/// crate::high\nfn x() {}",
        ] {
            assert_eq!(up("a/src/middle.rs", text), [""; 0], "{text}");
        }
        assert_eq!(up("a/src/middle/x.rs", "use super::high;"), [""; 0]);
        assert_eq!(up("a/src/middle/tests.rs", "use crate::high;"), [""; 0]);
    }

    #[test]
    fn a_folder_has_a_place_and_a_file_may_have_none() {
        assert_eq!(up("a/src/new/mod.rs", ""), [""; 0]);
        assert_eq!(up("a/src/new/x.rs", ""), ["0:new"]);
        assert_eq!(up("a/src/new.rs", "use crate::high;"), [""; 0]);
    }
}
