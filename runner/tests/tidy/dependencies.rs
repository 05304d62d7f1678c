//! Packages ask for what they use, and the workspace offers what packages ask for.
//!
//! This goes by names: a dependency is used where a path begins with its name, also in the string of an
//! attribute as serde's `with`. A module of the same name can hide that it is not.

use std::collections::BTreeSet;

use crate::Finding;
use crate::manifest::{self, Kind, Manifest};
use crate::modules;
use crate::sources::Sources;
use crate::tokens::{Tree, levels, without_tests};

/// Dependencies that nobody uses, or only tests.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let packages = manifest::packages(sources);
    let mut found = Vec::new();
    for package in &packages {
        let used = Used::by(package, &packages, sources);
        for dependency in &package.dependencies {
            let name = dependency.name.replace('-', "_");
            let (places, others) = match dependency.kind {
                Kind::Normal => (&used.source, Some(&used.tests)),
                Kind::Development => (&used.tests, None),
                Kind::Build => (&used.build, None),
            };
            if !places.contains(&name) {
                let advice = match others {
                    Some(tests) if tests.contains(&name) => {
                        "only tests use it, so it is a dev-dependency"
                    }
                    _ => "nothing in the package names it",
                };
                found.push(finding(package.path, &dependency.name, advice));
            }
        }
    }
    let asked = packages.iter().flat_map(|package| &package.dependencies);
    let asked: BTreeSet<_> = asked
        .filter(|dependency| dependency.inherited)
        .map(|d| &d.name)
        .collect();
    let (path, offered) = manifest::workspace(sources).unwrap_or_default();
    let unasked = offered.iter().filter(|name| !asked.contains(name));
    found
        .extend(unasked.map(|name| finding(path, name, "no package of the workspace asks for it")));
    found
}

fn finding(path: &str, what: &str, advice: &str) -> Finding {
    Finding {
        rule: "dependencies",
        path: path.to_owned(),
        line: 0,
        what: what.to_owned(),
        advice: advice.to_owned(),
    }
}

/// The names with which paths begin.
#[derive(Default)]
struct Used {
    /// In what is built for users.
    source: BTreeSet<String>,
    /// In tests, benches and examples.
    tests: BTreeSet<String>,
    /// In the build script.
    build: BTreeSet<String>,
}

impl Used {
    fn by(package: &Manifest, packages: &[Manifest], sources: &Sources) -> Self {
        let folder = package.folder();
        let below: Vec<_> = packages
            .iter()
            .map(Manifest::folder)
            .filter(|f| f.len() > folder.len())
            .collect();
        let mut used = Self::default();
        let source = format!("{folder}/src");
        for module in modules::of_crate(sources, &source) {
            if !module.test {
                used.source.extend(roots(&without_tests(&module.file.code)));
            }
        }
        for file in sources.rust_in(folder) {
            let inside = file.path[folder.len()..].trim_start_matches('/');
            if below
                .iter()
                .any(|other| std::path::Path::new(&file.path).starts_with(other))
            {
                continue;
            } else if inside == "build.rs" {
                used.build.extend(roots(&file.code));
            } else {
                used.tests.extend(roots(&file.code));
                // Where targets are elsewhere, such as cargo-fuzz has them.
                if !["src/", "tests/", "benches/", "examples/"]
                    .iter()
                    .any(|at| inside.starts_with(at))
                {
                    used.source.extend(roots(&file.code));
                }
            }
        }
        used
    }
}

fn roots(code: &[Tree]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    levels(code, &mut |level| {
        for (at, tree) in level.iter().enumerate() {
            if let [Tree::Mark('='), Tree::Literal { text, .. }] = &level[at.saturating_sub(1)..=at]
            {
                found.extend(text.trim_matches('"').split("::").next().map(str::to_owned));
            }
            let Tree::Word(name, _) = tree else { continue };
            let before = |word: &str| at.checked_sub(1).is_some_and(|at| level[at].is_word(word));
            let path = matches!(
                level.get(at + 1..),
                Some([Tree::Mark(':'), Tree::Mark(':'), ..])
            );
            let begins = at < 2 || level[at - 2..at] != [Tree::Mark(':'), Tree::Mark(':')];
            if begins && (path || before("use") || before("crate")) {
                found.insert(name.clone());
            }
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n[dependencies]\nb-c = \"1\"\nd = { workspace = true }\n\
        [dev-dependencies]\ne.workspace = true\n[target.'cfg(unix)'.dependencies]\nf = \"1\"\n\
        [build-dependencies]\ng = \"1\"\n";
    const WORKSPACE: &str = "[workspace.dependencies]\nd = \"1\"\ne = \"1\"\n";

    fn unused(workspace: &str, source: &str, tests: &str, build: &str) -> Vec<String> {
        let sources = Sources::sample(&[
            ("Cargo.toml", workspace),
            ("a/Cargo.toml", MANIFEST),
            ("a/src/lib.rs", source),
            ("a/tests/x.rs", tests),
            ("a/build.rs", build),
            ("a/h/Cargo.toml", "[package]\nname = \"h\""),
            (
                "a/h/src/lib.rs",
                "use b_c::i; use d::i; use e::i; use f::i; use g::i;",
            ),
        ]);
        findings(&sources)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn what_is_used_is_not_found() {
        let source = "use b_c::{x}; #[derive(d::X)] struct Y; fn z() -> u8 { 1 } #[serde(with = \
            \"f::x\")] struct A;";
        assert_eq!(
            unused(WORKSPACE, source, "extern crate e;", "use g;"),
            [""; 0]
        );
    }

    #[test]
    fn what_is_used_by_nobody_or_tests_only_is_found() {
        let source =
            "/// b_c::x\nfn b_c() { x::d::y() } #[cfg(test)] mod tests { use e::x; use f::x; }";
        assert_eq!(
            unused(WORKSPACE, source, "d::x!();", ""),
            ["f", "b-c", "d", "g"]
        );
    }

    #[test]
    fn what_no_package_asks_for_is_found() {
        let workspace = format!("{WORKSPACE}h = \"1\"\n");
        let source = "use b_c::x; use d::x; use f::x;";
        assert_eq!(unused(&workspace, source, "use e::x;", "use g::x;"), ["h"]);
    }
}
