//! Arrows between packages go down, which is stricter than what cargo refuses.

use crate::Finding;
use crate::arrows::{OTHERS, PACKAGES};
use crate::manifest::{self, Kind};
use crate::sources::Sources;

/// Dependencies on packages of the repository that the order does not have. Tests may use what they like.
pub fn findings(sources: &Sources) -> Vec<Finding> {
    let packages = manifest::packages(sources);
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut found = Vec::new();
    for package in &packages {
        let entry = |name: &str| PACKAGES.iter().find(|(listed, _)| *listed == name);
        let (_, below) = entry(&package.name)
            .or_else(|| entry(OTHERS))
            .expect("others are listed");
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != Kind::Development);
        let up = normal.filter(|d| ours(&d.name) && !below.contains(&d.name.as_str()));
        found.extend(up.map(|dependency| Finding {
            rule: "crates",
            path: package.path.to_owned(),
            line: 0,
            what: format!("{} -> {}", package.name, dependency.name),
            advice: "the order in arrows.rs has no such arrow".to_owned(),
        }));
    }
    found
}

#[test]
fn a_package_stands_on_lower_ones_only() {
    let arrows = |x86: &str, guest: &str| {
        let package = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}");
        let sources = Sources::sample(&[
            ("a/Cargo.toml", &package("chaosrun-x86", x86)),
            (
                "b/Cargo.toml",
                &package("chaosrun-vmm", "[dependencies]\nchaosrun-x86 = \"1\""),
            ),
            ("c/Cargo.toml", &package("some-guest", guest)),
            ("d/Cargo.toml", &package("chaosrun-sdk", "")),
        ]);
        findings(&sources)
            .into_iter()
            .map(|finding| finding.what)
            .collect::<Vec<_>>()
    };
    let guest = "[dependencies]\nchaosrun-sdk = \"1\"";
    assert_eq!(
        arrows("[dev-dependencies]\nchaosrun-vmm = \"1\"", guest),
        [""; 0]
    );
    assert_eq!(
        arrows("[dependencies]\nchaosrun-vmm = \"1\"", guest),
        ["chaosrun-x86 -> chaosrun-vmm"]
    );
    let guest = "[target.'cfg(unix)'.dependencies]\nchaosrun-vmm.workspace = true";
    assert_eq!(arrows("", guest), ["some-guest -> chaosrun-vmm"]);
}
