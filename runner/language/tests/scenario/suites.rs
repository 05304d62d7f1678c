//! The languages' own test suites, from a folder outside of this repository: each case as it is and behind
//! and before so many comments that the file is larger than 32 KiB, with the same verdict and the same
//! tree. `kdl.rs` and `toml.rs` beside this file have cases of our own.
//!
//! CHAOSRUN_KDL_SUITE=.../kdl/tests/test_cases CHAOSRUN_TOML_SUITE=.../toml-test/tests
//! cargo test --release -p chaosrun-language --test scenario suites -- --ignored

use std::path::{Path, PathBuf};

use chaosrun_language::scenario::diag::{Diag, Diags};
use chaosrun_language::scenario::tree::{Entry, Raw, Value};
use chaosrun_language::scenario::{kdl, toml};

/// More than enough comments for a file of 32 KiB.
fn comments(mark: &str) -> String {
    format!("{mark} Nothing is said here.\n").repeat(2_000)
}

/// A case alone, followed by comments, and following them.
fn sizes(text: &str, mark: &str) -> Vec<String> {
    let comments = comments(mark);
    let mut sizes = vec![text.to_owned()];
    // A carriage return at the end would become a line break of two characters.
    if !text.ends_with('\r') {
        sizes.push(format!("{text}\n\n{comments}"));
    }
    // A byte order mark can only stand at the start.
    if !text.starts_with('\u{feff}') {
        sizes.push(format!("{comments}{text}"));
    }
    sizes
}

fn suite(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")))
}

fn kdl_of(text: &str) -> Result<Vec<Entry>, Vec<Diag>> {
    let mut diags = Diags::default();
    let entries = kdl::parse(text, 0, &mut diags);
    // A type has no meaning in a scenario, but is KDL.
    let errors: Vec<Diag> = diags
        .into_sorted()
        .into_iter()
        .filter(|diag| !diag.message.starts_with("a type annotation has no meaning"))
        .collect();
    match errors.is_empty() {
        true => Ok(entries.iter().map(plain).collect()),
        false => Err(errors),
    }
}

/// An entry without places, and with properties as the suite prints them: sorted, each once.
fn plain(entry: &Entry) -> Entry {
    let mut entry = entry.without_places();
    if let Raw::Node(_, inner) = &mut entry.value.raw {
        let is_node = |entry: &Entry| matches!(entry.value.raw, Raw::Node(..));
        let (nodes, mut properties): (Vec<Entry>, Vec<Entry>) = inner.drain(..).partition(is_node);
        properties.reverse();
        properties.sort_by(|a, b| a.key.cmp(&b.key));
        properties.dedup_by(|a, b| a.key == b.key);
        inner.extend(properties);
        inner.extend(nodes.iter().map(plain));
    }
    entry
}

#[test]
#[ignore = "needs kdl-org/kdl"]
fn kdl_agrees_at_every_size() {
    let suite = suite("CHAOSRUN_KDL_SUITE");
    let mut differing = Vec::new();
    let mut count = 0;
    for file in std::fs::read_dir(suite.join("input")).unwrap() {
        let path = file.unwrap().path();
        // What is not UTF-8 is refused before it comes to the reader.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        count += 1;
        let expected = suite.join("expected_kdl").join(path.file_name().unwrap());
        let expected = std::fs::read_to_string(expected).ok();
        let wanted = expected.map(|text| kdl_of(&text).unwrap());
        for (size, text) in sizes(&text, "//").into_iter().enumerate() {
            let found = kdl_of(&text);
            let agrees = match (&wanted, &found) {
                (Some(wanted), Ok(found)) => wanted == found,
                (None, Err(_)) => true,
                _ => false,
            };
            if !agrees {
                differing.push(format!("{}, size {size}: {found:?}", path.display()));
            }
        }
    }
    println!("{count} cases of KDL");
    assert!(count > 300 && differing.is_empty(), "{differing:#?}");
}

/// Cases of TOML 1.1 that chaosrun refuses: times without seconds, which no reader of TOML 1.0 takes and
/// no key of the language has.
const REFUSED: [&str; 4] = [
    "valid/datetime/no-seconds.toml",
    "valid/spec-1.1.0/common-29.toml",
    "valid/spec-1.1.0/common-31.toml",
    "valid/spec-1.1.0/common-34.toml",
];

#[test]
#[ignore = "needs toml-lang/toml-test"]
fn toml_agrees_at_every_size() {
    let suite = suite("CHAOSRUN_TOML_SUITE");
    let list = |name: &str| std::fs::read_to_string(suite.join(name)).unwrap();
    let (old, new) = (list("files-toml-1.0.0"), list("files-toml-1.1.0"));
    let mut differing = Vec::new();
    let mut count = 0;
    for name in new.lines().filter(|name| name.ends_with(".toml")) {
        let path = suite.join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        count += 1;
        let good = name.starts_with("valid/") && !REFUSED.contains(&name);
        let wanted = good.then(|| json(&path.with_extension("json")));
        for (size, text) in sizes(&text, "#").into_iter().enumerate() {
            let mut diags = Diags::default();
            let entries = toml::parse(&text, 0, &mut diags);
            let agrees = match &wanted {
                Some(wanted) => !diags.has_errors() && shown(&Raw::Table(entries)) == *wanted,
                None => diags.has_errors(),
            };
            if !agrees {
                let found = diags.into_sorted();
                differing.push(format!("{name}, size {size}: {found:?}"));
            }
        }
    }
    // What only TOML 1.1 allows is a warning at least.
    for name in old.lines().filter(|name| name.starts_with("invalid/")) {
        let Ok(text) = std::fs::read_to_string(suite.join(name)) else {
            continue;
        };
        let mut diags = Diags::default();
        toml::parse(&text, 0, &mut diags);
        if diags.is_empty() {
            differing.push(format!("{name} is of TOML 1.1, and there is no warning"));
        }
    }
    println!("{count} cases of TOML");
    assert!(count > 500 && differing.is_empty(), "{differing:#?}");
}

/// The tree that a case of the suite expects, in the form of [`shown`].
fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap();
    tagged(&serde_json::from_str(&text).unwrap())
}

fn tagged(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::{Value as Json, json};
    match value {
        Json::Array(items) => items.iter().map(tagged).collect(),
        Json::Object(map) if map.len() == 2 && map.get("type").is_some_and(Json::is_string) => {
            let text = map["value"].as_str().unwrap();
            match map["type"].as_str().unwrap() {
                "integer" => json!(text.parse::<i64>().unwrap()),
                "bool" => json!(text == "true"),
                "string" => json!(text),
                "float" => json!({ "a": "float" }),
                _ => json!({ "a": "time" }),
            }
        }
        Json::Object(map) => {
            let inner = map.iter().map(|(key, value)| (key.clone(), tagged(value)));
            Json::Object(inner.collect())
        }
        other => other.clone(),
    }
}

fn shown(raw: &Raw) -> serde_json::Value {
    use serde_json::json;
    let of = |value: &Value| shown(&value.raw);
    match raw {
        Raw::Bool(b) => json!(b),
        Raw::Int(n) => json!(n),
        Raw::Str(s) => json!(s),
        Raw::Float => json!({ "a": "float" }),
        Raw::Datetime => json!({ "a": "time" }),
        Raw::List(items) => items.iter().map(of).collect(),
        Raw::Table(entries) => {
            let inner = entries.iter().map(|e| (e.key.clone(), of(&e.value)));
            serde_json::Value::Object(inner.collect())
        }
        other => json!(other.describe()),
    }
}
