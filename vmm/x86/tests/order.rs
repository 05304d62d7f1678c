//! The order of the parts that the documentation of the crate states: no part imports one behind it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Arrows that go up, which the documentation explains: a CPU has fields for what belongs to later parts.
const KNOWN: [(&str, &str); 3] = [("cpu", "block"), ("cpu", "op"), ("cpu", "jit")];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The numbers of the parts, by the list in the documentation.
fn documented(lib: &str) -> BTreeMap<String, u32> {
    let mut order = BTreeMap::new();
    let mut number = 0;
    let docs = lib.lines().filter_map(|line| line.strip_prefix("//! "));
    for line in docs {
        let next = line.split_once(". ").and_then(|(n, _)| n.parse().ok());
        if next.is_some_and(|next: u32| next == number + 1) {
            number += 1;
        } else if number == 0 || !line.starts_with("   ") {
            continue;
        }
        for name in quoted(line) {
            let part = source().join(name);
            if part.is_dir() || part.with_extension("rs").is_file() {
                order.entry(name.to_owned()).or_insert(number);
            }
        }
    }
    order
}

/// What `lib.rs` exports, and the parts that it is from.
fn exported(lib: &str) -> BTreeMap<String, String> {
    let uses = lib.lines().filter_map(|line| line.strip_prefix("pub use "));
    uses.filter_map(|line| line.split_once("::"))
        .flat_map(|(part, names)| {
            let names = names.split(|c: char| !c.is_alphanumeric());
            names.map(move |name| (name.to_owned(), part.to_owned()))
        })
        .collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The names behind `crate::`, in braces or not.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let code = text.lines().filter(|line| !line.trim().starts_with("//"));
    let code: Vec<_> = code.collect();
    let code = code.join("\n");
    for (position, found) in code.match_indices("crate::") {
        let rest = &code[position + found.len()..];
        let word = |text: &str| {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
            text[..end.unwrap_or(text.len())].to_owned()
        };
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                names.extend(list.split(',').map(|name| word(name.trim())));
            }
            None => names.push(word(rest)),
        }
    }
    names
}

#[test]
fn no_part_imports_one_behind_it() {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let (order, exported) = (documented(&lib), exported(&lib));
    assert!(order["run"] == 10 && order["word"] == 1, "{order:?}");
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let inside = path.strip_prefix(source()).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let part = first.trim_end_matches(".rs");
        // `make` is for tests.
        if ["lib", "make"].contains(&part) {
            continue;
        }
        let Some(own) = order.get(part) else {
            wrong.push(format!("{part} is not in the list"));
            continue;
        };
        for name in imports(&fs::read_to_string(&path).unwrap()) {
            let other = exported.get(&name).unwrap_or(&name).as_str();
            let behind = order.get(other).is_some_and(|other| other > own);
            if behind && !KNOWN.contains(&(part, other)) {
                wrong.push(format!("{} imports {other}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
