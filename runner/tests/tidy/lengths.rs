//! Files of code are short enough to be read as one thought.

use crate::Finding;
use crate::sources::Sources;

/// More lines than this are too many; about 600 are a reason to look for a second idea.
const LIMIT: usize = 700;

/// Files of Rust with too many lines.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let long = sources.rust().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LIMIT).then(|| Finding {
            rule: "lengths",
            path: file.path.clone(),
            line: 0,
            what: "file".to_owned(),
            advice: format!(
                "it has {lines} lines; split it where a second idea begins (limit {LIMIT})"
            ),
        })
    });
    long.collect()
}

#[test]
fn a_file_may_have_700_lines_and_no_more() {
    let text = "// x\n".repeat(LIMIT);
    assert_eq!(
        findings(&Sources::sample(&[
            ("a.rs", &text),
            ("b.md", &text.repeat(2))
        ])),
        []
    );
    let found = findings(&Sources::sample(&[("a.rs", &(text + "// x\n"))]));
    assert_eq!(found.len(), 1, "{found:?}");
}
