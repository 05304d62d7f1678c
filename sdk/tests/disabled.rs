//! With the feature `disabled` nothing is left of the SDK in an executable.

use std::path::Path;
use std::process::Command;

/// What is in the executable as text. (The compiler turns short texts elsewhere into numbers.)
const SITES: [&str; 5] = [
    "marker-always",
    "marker-compare",
    "marker-some",
    "marker-all",
    "marker-reachable",
];

/// Builds the example, and gives the executable's bytes and what it prints.
fn example(features: &[&str]) -> (Vec<u8>, String) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disabled");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--package",
            "chaosrun-sdk",
            "--example",
            "disabled",
        ])
        .args(features)
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    let program = target.join("release/examples/disabled");
    let run = Command::new(&program).output().unwrap();
    assert!(run.status.success());
    (
        std::fs::read(program).unwrap(),
        String::from_utf8(run.stdout).unwrap(),
    )
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn disabled_sdk_leaves_nothing_behind_and_evaluates_nothing() {
    let (with, said_with) = example(&[]);
    let (without, said_without) = example(&["--features", "disabled"]);
    for site in SITES {
        assert!(contains(&with, site), "{site}");
    }
    // Nor is there the beginning of any other text of the example.
    assert!(!contains(&without, "marker-"));
    // The section in which the linker collects the sites.
    assert!(contains(&with, "linkme_SITES"));
    assert!(!contains(&without, "antithesis_assert"));
    assert_eq!(
        said_with,
        "condition\nleft side\none of them\nall of them\n"
    );
    assert_eq!(said_without, "");
}
