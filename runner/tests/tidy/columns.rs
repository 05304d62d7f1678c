//! Lines fit beside each other on a screen, also those that rustfmt gives up on.

use crate::Finding;
use crate::sources::{File, Sources};
use crate::tokens::{Tree, levels};

/// Lines may have this many characters.
const LIMIT: usize = 110;

/// Lines of Rust that are too long. A line of a raw string over several lines is as long as what is written
/// down in it; an address and the row of a docstring's table cannot be broken.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    sources.rust().flat_map(in_file).collect()
}

fn in_file(file: &File) -> Vec<Finding> {
    let long = |(number, line): (usize, &str)| {
        let columns = line.chars().count();
        let row = line
            .trim_start()
            .trim_start_matches(['/', '!', ' '])
            .starts_with('|');
        let counts = columns > LIMIT && !line.contains("://") && !row;
        counts.then_some((number + 1, columns))
    };
    let mut long: Vec<_> = file.text.lines().enumerate().filter_map(long).collect();
    if !long.is_empty() {
        let quoted = quoted(&file.code);
        long.retain(|(line, _)| {
            !quoted
                .iter()
                .any(|(first, last)| first <= line && line <= last)
        });
    }
    let finding = |(line, columns)| Finding {
        rule: "columns",
        path: file.path.clone(),
        line,
        what: "line".to_owned(),
        advice: format!("it has {columns} columns; break it by hand (limit {LIMIT})"),
    };
    long.into_iter().map(finding).collect()
}

/// The first and last lines of raw strings that have more than one.
fn quoted(code: &[Tree]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    levels(code, &mut |level| {
        found.extend(level.iter().filter_map(|tree| match tree {
            Tree::Literal { text, first, last } if first < last => {
                let raw = ["r\"", "r#", "br\"", "br#"]
                    .iter()
                    .any(|start| text.starts_with(start));
                raw.then_some((*first, *last))
            }
            _ => None,
        }));
    });
    found
}

#[test]
fn a_line_may_have_110_characters_and_no_more() {
    let fits = format!("// {}\n", "ü".repeat(LIMIT - 3));
    let found = |text: &str| findings(&Sources::sample(&[("a.rs", text)])).len();
    assert_eq!(found(&fits), 0);
    assert_eq!(found(&format!("x();\n/{fits}")), 1);
}

#[test]
fn what_is_quoted_and_addresses_may_be_longer() {
    let found = |text: &str| findings(&Sources::sample(&[("a.rs", text)])).len();
    let long = "x".repeat(LIMIT);
    assert_eq!(found(&format!("// https://example.com/{long}")), 0);
    assert_eq!(found(&format!("//! | a | {long} |")), 0);
    assert_eq!(found(&format!("const A: &str = r#\"\n{long}x\n\"#;")), 0);
    assert_eq!(found(&format!("const A: &str = \"\\\n{long}x\";")), 1);
    assert_eq!(found(&format!("const A: &str = r\"{long}\";")), 1);
}
