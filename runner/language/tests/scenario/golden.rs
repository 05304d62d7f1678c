//! Every example means the same in both languages.

use chaosrun_language::scenario::print::print;
use chaosrun_language::scenario::source::Language;
use chaosrun_language::scenario::{kdl, load, load_text, toml_format};

use super::{json, plan, root};

/// The examples' paths without their extensions.
fn examples() -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(root().join("scenarios"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let mut found: Vec<_> = files
        .filter(|p| p.extension().is_some_and(|e| e == "kdl"))
        .map(|p| p.with_extension(""))
        .collect();
    found.sort();
    assert!(found.len() >= 11, "{found:?}");
    found
}

#[test]
fn every_example_gives_the_same_plan_in_both_languages() {
    for example in examples() {
        let [kdl, toml] = ["kdl", "toml"].map(|extension| {
            let (plans, messages) = plan(&mut load(&example.with_extension(extension)));
            assert_eq!(messages, "", "{}", example.display());
            assert!(!plans.is_empty());
            json(&plans)
        });
        assert_eq!(kdl, toml, "{}", example.display());
    }
}

#[test]
fn every_example_is_tidy_and_commented() {
    for example in examples() {
        let text = std::fs::read_to_string(example.with_extension("kdl")).unwrap();
        assert_eq!(kdl::format(&text), text, "{}.kdl", example.display());
        assert!(
            text.starts_with("// "),
            "{}.kdl has no comment for newcomers",
            example.display()
        );
        let text = std::fs::read_to_string(example.with_extension("toml")).unwrap();
        assert_eq!(
            toml_format::format(&text).as_deref(),
            Ok(text.as_str()),
            "{}.toml",
            example.display()
        );
        assert!(
            text.starts_with("#:schema "),
            "{}.toml has no schema directive",
            example.display()
        );
    }
}

#[test]
fn a_printed_example_gives_the_same_plan() {
    for example in examples() {
        let mut loaded = load(&example.with_extension("kdl"));
        // What is included keeps its own folder; printed, it would be in another one.
        if loaded.sources.all().len() > 1 {
            continue;
        }
        let document = loaded.root.clone().unwrap();
        let wanted = json(&plan(&mut loaded).0);
        for (language, name) in [(Language::Kdl, "x.kdl"), (Language::Toml, "x.toml")] {
            let text = print(&document, language);
            let (plans, messages) = plan(&mut load_text(
                &text,
                language,
                name,
                &root().join("scenarios"),
            ));
            assert_eq!(messages, "", "{text}");
            assert_eq!(json(&plans), wanted, "{text}");
        }
    }
}

#[test]
fn a_plan_survives_json_and_has_every_default() {
    let (plans, _) = plan(&mut load(&root().join("scenarios/raft.kdl")));
    let text = plans[0].plan.to_canonical_json();
    let back: chaosrun_language::plan::Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(back, plans[0].plan);
    assert_eq!(back.hash(), blake3::hash(text.as_bytes()).to_hex().as_str());
    for default in [
        "\"mtu_bytes\":1500",
        "\"loglevel\":4",
        "\"quantum\":10000",
        "\"hash_every_ns\":100000000",
        "\"address\":\"10.1.0.1\"",
    ] {
        assert!(text.contains(default), "{default}");
    }
    let origin = &plans[0].origins.properties["unique: leader"];
    let line = std::fs::read_to_string(root().join("scenarios/raft.kdl"))
        .unwrap()
        .lines()
        .nth(origin.line - 1)
        .unwrap()
        .to_owned();
    assert!(line.contains("unique"), "{line}");
}
