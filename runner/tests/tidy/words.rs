//! Words that we do not write, and what to write instead.

use crate::Finding;
use crate::sources::Sources;

/// What is not to be in any file, and what to do instead. In capitals it is a word by itself, else any part
/// of a line in large or small letters.
const WORDS: &[(&str, &str)] = &[
    ("artefact", "write `artifact`"),
    ("can't be had", "say what is missing"),
    (
        "are no permissions",
        "say that this is something else, and what permissions look like",
    ),
    ("goes round at", "write `loops at`"),
    ("reached, as it may be", "write `which is allowed`"),
    (
        "TODO",
        "do it, or write down in docs/STATUS.md what is missing",
    ),
    (
        "FIXME",
        "do it, or write down in docs/STATUS.md what is wrong",
    ),
    ("XXX", "say it in a sentence"),
    (concat!("/", "home/"), PATH),
    (concat!("/", "root/"), PATH),
    ("index.crates", REGISTRY),
    ("static.crates", REGISTRY),
    ("npmjs", REGISTRY),
    ("pythonhosted", REGISTRY),
    ("proxy.golang", REGISTRY),
    ("deb.debian", REGISTRY),
];

const PATH: &str = "a path of one machine means nothing on others";
const REGISTRY: &str = "name no registry and no mirror: the tools' own configuration does";

/// Files that are not ours to word, and those that name the words.
const UNREAD: [&str; 6] = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Cargo.lock",
    "guests/bare/Cargo.lock",
    "runner/tests/tidy/known.rs",
    "runner/tests/tidy/words.rs",
];

/// Words in any file, its name included, that should be others.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in sources
        .all()
        .filter(|file| !UNREAD.contains(&file.path.as_str()))
    {
        let lines = std::iter::once(file.path.as_str()).chain(file.text.lines());
        for (line, text) in lines.enumerate() {
            let lower = text.to_lowercase();
            let said = WORDS.iter().filter(|(word, _)| says(text, &lower, word));
            found.extend(said.map(|(word, instead)| Finding {
                rule: "words",
                path: file.path.clone(),
                line,
                what: word.to_string(),
                advice: instead.to_string(),
            }));
        }
    }
    found
}

fn says(line: &str, lower: &str, word: &str) -> bool {
    if word.chars().all(char::is_uppercase) {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|part| part == word)
    } else {
        lower.contains(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        let found = findings(&Sources::sample(&[(path, text)]));
        found
            .into_iter()
            .map(|finding| format!("{}:{}", finding.line, finding.what))
            .collect()
    }

    #[test]
    fn every_word_of_the_list_is_found_in_code_and_pages() {
        for (word, _) in WORDS {
            for path in ["docs/A.md", "a/src/b.rs", "a/Cargo.toml"] {
                let text = format!("# 1\n# the {word} here\n");
                let text = text.replace('#', if path.ends_with(".rs") { "//" } else { "#" });
                assert_eq!(said(path, &text), [format!("2:{word}")]);
            }
        }
        assert_eq!(said("a.rs", "struct Artefacts;"), ["1:artefact"]);
        assert_eq!(said("src/artefacts.rs", "// x"), ["0:artefact"]);
    }

    #[test]
    fn other_words_are_not_found() {
        assert_eq!(
            said(
                "a.md",
                "An artifact, a TODOS list, todo, and home/ are fine.\n"
            ),
            [""; 0]
        );
        assert_eq!(said("LICENSE-MIT", "artefact"), [""; 0]);
    }
}
