//! The sources are as CONTRIBUTING.md asks: sizes, words, dependencies, and arrows that only go down.
//!
//! Nothing but the sources is read, so that a finding is the same on every machine and at every
//! commit with the same files. Each rule is a file with a function from sources to findings, a
//! sample that breaks it and one that does not. What is let through is named, with its reason, in
//! `exceptions` (for good) or `known` (until somebody has the time).

mod allowed;
mod arrows;
mod columns;
mod crates;
mod dependencies;
mod exceptions;
mod fixtures;
mod functions;
mod items;
mod known;
mod lengths;
mod manifest;
mod modules;
mod order;
mod sources;
mod tokens;
mod words;

use std::fmt;

use sources::Sources;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    rule: &'static str,
    /// The file, from the repository's folder.
    path: String,
    /// The line, from 1; 0 if it is about the whole file.
    line: usize,
    /// What it is about: a function, a word, a dependency. By this and the path it is let through.
    what: String,
    /// What to do about it.
    advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            path,
            line,
            what,
            advice,
        } = self;
        write!(f, "{path}:{line}: {rule}: {what}: {advice}")
    }
}

/// What every rule says.
fn findings(sources: &Sources) -> Vec<Finding> {
    let rules = [
        lengths::findings,
        columns::findings,
        functions::findings,
        items::findings,
        fixtures::findings,
        dependencies::findings,
        words::findings,
        crates::findings,
        order::findings,
    ];
    let mut found: Vec<_> = rules.iter().flat_map(|rule| rule(sources)).collect();
    found.sort();
    found
}

#[test]
fn the_sources_are_tidy() {
    let sources = Sources::of_repository();
    assert!(
        sources.get("runner/tests/tidy/main.rs").is_some(),
        "read nothing"
    );
    let lists = [exceptions::EXCEPTIONS, known::KNOWN];
    let left = allowed::apply(findings(&sources), &lists.concat());
    let lines: Vec<_> = left.iter().map(Finding::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} findings:\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}
