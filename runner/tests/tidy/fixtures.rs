//! `src` has code only: what tests compare with is in `tests`.
//!
//! Files are judged, and not what is written down in code for tests.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::Finding;
use crate::modules;
use crate::sources::Sources;
use crate::tokens::{Tree, levels, without_tests};

/// Files in a package's `src` that are not Rust, unless code that is not for tests includes them.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let others: Vec<_> = sources
        .all()
        .filter(|file| !file.is_rust() && source_folder(&file.path).is_some())
        .collect();
    let folders: BTreeSet<_> = sources
        .rust()
        .filter_map(|file| source_folder(&file.path))
        .collect();
    let mut included = BTreeSet::new();
    for folder in folders {
        for module in modules::of_crate(sources, folder)
            .iter()
            .filter(|module| !module.test)
        {
            let beside = Path::new(&module.file.path)
                .parent()
                .expect("it is in `src`");
            let names = includes(&without_tests(&module.file.code));
            included.extend(names.iter().map(|name| plain(&beside.join(name))));
        }
    }
    let fixtures = others
        .into_iter()
        .filter(|file| !included.contains(Path::new(&file.path)));
    let finding = |file: &crate::sources::File| Finding {
        rule: "fixtures",
        path: file.path.clone(),
        line: 0,
        what: "file".to_owned(),
        advice: "only tests read it, so it belongs in the package's `tests`".to_owned(),
    };
    fixtures.map(finding).collect()
}

/// The folder `src` that a file is in.
fn source_folder(path: &str) -> Option<&str> {
    path.find("/src/").map(|at| &path[..at + "/src".len()])
}

/// What `include_str!` and `include_bytes!` name.
fn includes(code: &[Tree]) -> Vec<String> {
    let mut found = Vec::new();
    levels(code, &mut |level| {
        found.extend(level.windows(3).filter_map(|trees| {
            let [
                Tree::Word(name, _),
                Tree::Mark('!'),
                Tree::Group { inner, .. },
            ] = trees
            else {
                return None;
            };
            match &inner[..] {
                [Tree::Literal { text, .. }]
                    if ["include_str", "include_bytes"].contains(&name.as_str()) =>
                {
                    Some(text.trim_matches('"').to_owned())
                }
                _ => None,
            }
        }));
    });
    found
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn files_that_only_tests_read_are_not_in_src() {
    let sources = Sources::sample(&[
        (
            "a/src/lib.rs",
            "mod b; mod tests; #[cfg(test)] const A: &str = include_str!(\"a.txt\");",
        ),
        ("a/src/a.txt", ""),
        (
            "a/src/b/mod.rs",
            "const B: &str = include_str!(\"../b.txt\");",
        ),
        ("a/src/b.txt", ""),
        (
            "a/src/tests.rs",
            "const C: &[u8] = include_bytes!(\"c.txt\");",
        ),
        ("a/src/c.txt", ""),
        ("a/src/snapshots/d.snap", ""),
        ("a/tests/e.txt", ""),
        ("docs/f.md", ""),
    ]);
    let found: Vec<_> = findings(&sources)
        .into_iter()
        .map(|finding| finding.path)
        .collect();
    assert_eq!(
        found,
        ["a/src/a.txt", "a/src/c.txt", "a/src/snapshots/d.snap"]
    );
}
