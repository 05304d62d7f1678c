//! Every example of `scenarios/` runs and ends as it should. That its KDL and its TOML mean the same is
//! another test's business.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs an example with one seed and returns its exit code and what it printed.
fn run(file: &str, more: &[&str]) -> (Option<i32>, String) {
    let out = tempfile::tempdir().expect("a folder can be made");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaosrun"));
    command
        .arg("run")
        .arg(root().join("scenarios").join(file))
        .args(["--seed", "1", "--jobs", "1"]);
    command
        .args(["--replay", "none", "--out"])
        .arg(out.path())
        .args(more);
    let output = command.output().expect("it can be started");
    let junit = std::fs::read_to_string(out.path().join("junit.xml")).unwrap_or_default();
    let text = format!(
        "{}{}\n{} bytes of junit.xml",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        junit.len()
    );
    (output.status.code(), text)
}

/// Runs an example that has to pass.
fn passes(file: &str, more: &[&str]) {
    let (code, text) = run(file, more);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn one_node_boots() {
    passes("01-one-node-boots.kdl", &[]);
}

#[test]
fn hello_sdk() {
    passes("02-hello-sdk.kdl", &[]);
}

#[test]
fn two_nodes_talk() {
    passes("03-two-nodes-talk.toml", &[]);
}

#[test]
fn bad_weather() {
    passes("04-bad-weather.kdl", &[]);
}

#[test]
fn partitions() {
    passes("05-partitions.kdl", &[]);
}

#[test]
fn crashes_and_disks() {
    passes("06-crashes-and-disks.toml", &[]);
}

#[test]
fn clocks_and_timers() {
    passes("07-clocks-and-timers.kdl", &[]);
}

#[test]
fn histories() {
    passes("08-histories.kdl", &[]);
}

#[test]
fn one_combination_of_the_matrix_and_one_variant() {
    let both = [
        "-E",
        "scenario(tiny) and scenario(10%)",
        "-E",
        "scenario(five-nodes)",
    ];
    passes("09-matrix.kdl", &both);
}

#[test]
fn exploration_is_refused_until_there_is_some() {
    let (code, text) = run("10-explore-races.kdl", &[]);
    assert_eq!(code, Some(69), "{text}");
    assert!(
        text.contains("chaosrun::run::explore_unsupported"),
        "{text}"
    );
}

#[test]
fn redis() {
    passes("11-redis.kdl", &[]);
}

#[test]
fn raft() {
    passes("raft.kdl", &[]);
}

#[test]
fn a_planted_bug_is_found_by_the_property_that_it_breaks() {
    let (code, text) = run("bugs/raft-bugs.kdl", &["-E", "scenario(double_vote)"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("✗ a node votes for one candidate per term"),
        "{text}"
    );
}

#[test]
fn every_example_is_run_here() {
    let text = include_str!("examples.rs");
    for entry in std::fs::read_dir(root().join("scenarios")).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_file() {
            assert!(text.contains(&format!("\"{stem}.")), "{stem} is not run");
        }
    }
}
