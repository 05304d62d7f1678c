//! `docs/SCENARIOS.md` is made from the vocabulary and from examples that are checked here. After a
//! change of either, `UPDATE_DOCS=1 cargo test -p chaosrun-language --test scenario reference` writes
//! it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chaosrun_language::scenario::block::{Block, Datum};
use chaosrun_language::scenario::print::print;
use chaosrun_language::scenario::source::Language;
use chaosrun_language::scenario::vocab::{Key, Kind, ROOT, Section};
use chaosrun_language::scenario::{describe, kdl, load, load_text};

use super::{json, plan, root};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

/// The examples of the reference: name and text.
fn examples() -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file());
    let mut all: Vec<_> = files
        .map(|p| {
            (
                p.file_stem().unwrap().to_str().unwrap().to_owned(),
                std::fs::read_to_string(p).unwrap(),
            )
        })
        .collect();
    all.sort();
    all
}

/// Every section that can be reached, in the order of the language, each once.
fn sections() -> Vec<&'static Section> {
    fn walk(section: &'static Section, out: &mut Vec<&'static Section>) {
        if out.iter().any(|s| std::ptr::eq(*s, section)) {
            return;
        }
        out.push(section);
        for key in section.keys() {
            if let Kind::Block(inner) | Kind::Named(inner) = key.kind {
                walk(inner, out);
            }
        }
    }
    let mut out = Vec::new();
    walk(&ROOT, &mut out);
    out
}

#[test]
fn every_example_of_the_reference_is_right_in_both_languages() {
    for (name, text) in examples() {
        assert_eq!(kdl::format(&text), text, "{name} is not tidy");
        let mut loaded = load(&folder().join(format!("{name}.kdl")));
        let document = loaded.root.clone();
        let (plans, messages) = plan(&mut loaded);
        assert_eq!(messages, "", "{name}");
        // Includes are joined already; the rest is printed and read again.
        let toml = print(&document.unwrap(), Language::Toml);
        if name != "include" {
            let (again, messages) =
                plan(&mut load_text(&toml, Language::Toml, "x.toml", &folder()));
            assert_eq!(messages, "", "{name}\n{toml}");
            assert_eq!(json(&again), json(&plans), "{name}\n{toml}");
        }
    }
}

#[test]
fn every_key_has_an_example() {
    fn walk(block: &Block, used: &mut BTreeSet<(&'static str, &'static str)>) {
        if block.name.is_some() {
            used.insert((block.section.name, "name"));
        }
        for field in &block.fields {
            used.insert((block.section.name, field.key.name));
            if let Datum::Block(inner) = &field.value.value {
                walk(inner, used);
            }
        }
    }
    let mut used = BTreeSet::new();
    for (name, _) in examples() {
        walk(
            load(&folder().join(format!("{name}.kdl")))
                .root
                .as_ref()
                .unwrap(),
            &mut used,
        );
    }
    let mut missing = Vec::new();
    for section in sections() {
        // These have the keys of `node` and of `scenario`, which are looked at there.
        let shared = matches!(section.name, "template" | "variant");
        for key in section.keys().filter(|k| !shared || k.name == "name") {
            let by_kind = section.name == "after"
                || section.name == "every"
                || section.name == "between"
                || section.name == "at";
            let is_fault = matches!(key.kind, Kind::Block(_)) && by_kind;
            if is_fault {
                if !used.contains(&("at", key.name)) {
                    missing.push(("at", key.name));
                }
            } else if !used.contains(&(section.name, key.name)) {
                missing.push((section.name, key.name));
            }
        }
    }
    assert!(missing.is_empty(), "without an example: {missing:?}");
}

#[test]
fn the_reference_is_up_to_date() {
    let path = root().join("docs/SCENARIOS.md");
    let wanted = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/SCENARIOS.md is stale: run UPDATE_DOCS=1 cargo test -p \
         chaosrun-language --test scenario reference"
    );
}

#[test]
fn every_block_of_code_in_the_reference_is_a_right_scenario() {
    let text = std::fs::read_to_string(root().join("docs/SCENARIOS.md")).unwrap();
    let mut count = 0;
    for (fence, language, name) in [
        ("```kdl\n", Language::Kdl, "doc.kdl"),
        ("```toml\n", Language::Toml, "doc.toml"),
    ] {
        for block in text.split(fence).skip(1) {
            let code = block.split("```").next().unwrap();
            let (plans, messages) = plan(&mut load_text(code, language, name, &folder()));
            assert_eq!(messages, "", "{code}");
            assert!(!plans.is_empty());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

const INTRODUCTION: &str = include_str!("../reference/parts/introduction.md");

fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    let all = examples();
    let mut told = BTreeSet::new();
    for section in sections() {
        // Triggers share the list of faults; each kind of fault has its own part.
        let _ = writeln!(out, "\n## `{}`\n\n{}\n", section.name, section.doc);
        arguments(&mut out, section);
        let _ = writeln!(
            out,
            "| key | value | default | meaning |\n|---|---|---|---|"
        );
        for key in section.keys() {
            row(&mut out, section, key);
        }
        for (name, text) in &all {
            let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            if stem == section.name && told.insert(name.clone()) {
                example(&mut out, name, text);
            }
        }
        if section.name == "faults" {
            for (name, text) in all.iter().filter(|(n, _)| n.starts_with("faults-")) {
                told.insert(name.clone());
                example(&mut out, name, text);
            }
        }
    }
    let left: Vec<_> = all
        .iter()
        .filter(|(n, _)| !told.contains(n))
        .map(|(n, _)| n)
        .collect();
    assert!(left.is_empty(), "examples of no section: {left:?}");
    out
}

fn arguments(out: &mut String, section: &Section) {
    if section.args.is_empty() {
        return;
    }
    let names: Vec<String> = section.args.iter().map(|a| format!("`{a}`")).collect();
    let many = if section.variadic {
        ", of which there may be several"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "In KDL {} can stand right behind the key, without a name{many}.\n",
        names.join(" and ")
    );
}

fn row(out: &mut String, section: &Section, key: &Key) {
    let value = match key.kind {
        Kind::Choice(words) | Kind::Choices(words) => words
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(" "),
        Kind::Int(low, high) if high == i64::MAX => format!("a whole number from {low}"),
        Kind::Int(low, high) => format!("{low} to {high}"),
        Kind::Block(inner) | Kind::Named(inner) => format!("[block](#{})", anchor(inner.name)),
        kind => describe(kind).to_owned(),
    };
    let many = if key.many && matches!(key.kind, Kind::Block(_) | Kind::Named(_)) {
        ", several"
    } else {
        ""
    };
    let default = match (key.required, key.default) {
        (true, _) => "**needed**".to_owned(),
        (_, "") => String::new(),
        (_, text) => format!("`{text}`"),
    };
    let _ = section;
    let _ = writeln!(
        out,
        "| `{}` | {value}{many} | {default} | {} |",
        key.name,
        key.doc.replace('|', "\\|")
    );
}

fn anchor(name: &str) -> String {
    name.replace('.', "")
}

fn example(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "\n```kdl\n{}```", text);
    if name == "include" {
        return;
    }
    let document = load(&folder().join(format!("{name}.kdl"))).root.unwrap();
    let _ = writeln!(
        out,
        "\n<details><summary>The same in TOML</summary>\n\n```toml\n{}```\n\n</details>",
        print(&document, Language::Toml)
    );
}
