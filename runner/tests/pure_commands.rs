//! `list`, `schema` and `completions` as a user sees them: output, errors and exit codes.

use std::path::Path;
use std::process::Output;

const RAFT: &str = r#"scenario "raft" schema=1 {
    tag "slow" "network"
    kernel "debian"
    guest "server" binary="server"
    network "lan"
    node "n1" "n2" {
        guest "server"
        network "lan"
    }
    faults {
        at "2s" { kill any=1 restart-after="500ms" }
        quiet "10s"
    }
    properties {
        never "no panic" console="panicked at"
    }
    run duration="30s"
}
"#;

const BOOT: &str = r#"
name = "boot"
schema = 1
kernel = "debian"

[guest.shell]
binary = "server"

[node.n1]
guest = "shell"
"#;

/// A folder with two scenarios, one in each language.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let deep = folder.path().join("scenarios/deep");
    std::fs::create_dir_all(&deep).expect("a folder can be made");
    write(&folder.path().join("scenarios/raft.kdl"), RAFT);
    write(&deep.join("boot.toml"), BOOT);
    for place in ["scenarios/server", "scenarios/deep/server"] {
        write(&folder.path().join(place), "\u{7f}ELF");
    }
    folder
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file can be written");
}

fn chaosrun(folder: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_chaosrun"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn list_searches_the_folder_of_scenarios() {
    let folder = folder();
    let output = chaosrun(folder.path(), &["list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn list_writes_one_line_each_for_scripts() {
    let folder = folder();
    let output = chaosrun(folder.path(), &["list", "--message-format", "oneline"]);
    let expected = "boot\tscenarios/deep/boot.toml\nraft\tscenarios/raft.kdl\n";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn list_writes_json_of_what_the_filterset_selects() {
    let folder = folder();
    let filter = "tag(slow) and fault(kill) and node(n2) and property(panic)";
    let output = chaosrun(
        folder.path(),
        &["list", "-E", filter, "--message-format", "json"],
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(json["total"], 2);
    assert_eq!(json["scenarios"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["scenarios"][0]["name"], "raft");
}

#[test]
fn nothing_selected_has_an_exit_code_of_its_own() {
    let folder = folder();
    let output = chaosrun(folder.path(), &["list", "-E", "tag(absent)"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "0 of 2 scenarios selected\n");
}

#[test]
fn shares_of_a_partition_cover_all_scenarios_once() {
    let folder = folder();
    let mut names: Vec<String> = Vec::new();
    for share in ["hash:1/3", "hash:2/3", "hash:3/3"] {
        let arguments = ["list", "--partition", share, "--message-format", "oneline"];
        names.extend(
            stdout(&chaosrun(folder.path(), &arguments))
                .lines()
                .map(str::to_owned),
        );
    }
    names.sort();
    assert_eq!(
        names,
        ["boot\tscenarios/deep/boot.toml", "raft\tscenarios/raft.kdl"]
    );
}

#[test]
fn a_wrong_filterset_is_a_usage_error_with_its_place() {
    let folder = folder();
    let output = chaosrun(folder.path(), &["list", "-E", "tagg(slow)"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(stderr(&output));
}

#[test]
fn a_wrong_partition_is_a_usage_error() {
    let folder = folder();
    let output = chaosrun(folder.path(), &["list", "--partition", "hash:4/3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("share 4 of 3 does not exist"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_invalid_scenario_is_told_and_the_others_are_listed() {
    let folder = folder();
    write(
        &folder.path().join("scenarios/bad.kdl"),
        "scenario \"bad\" schema=1 { nodee \"n1\" }",
    );
    let output = chaosrun(folder.path(), &["list"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("raft"), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("did you mean `node`?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_missing_folder_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = chaosrun(folder.path(), &["list"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("can't read `scenarios`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn schema_lists_prints_and_writes_the_same_texts() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let listed = stdout(&chaosrun(folder.path(), &["schema"]));
    insta::assert_snapshot!(listed);
    let printed = stdout(&chaosrun(folder.path(), &["schema", "report"]));
    let output = chaosrun(folder.path(), &["schema", "--write", "out"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let written = std::fs::read_to_string(folder.path().join("out/report.schema.json"));
    assert_eq!(written.expect("it was written"), printed);
}

#[test]
fn an_unknown_schema_gets_a_suggestion() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = chaosrun(folder.path(), &["schema", "reprot"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("did you mean `report`?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn completions_know_the_subcommands() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for shell in ["bash", "zsh", "fish"] {
        let output = chaosrun(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("completions"), "{shell}");
    }
    assert_eq!(
        chaosrun(folder.path(), &["completions", "dos"])
            .status
            .code(),
        Some(2)
    );
}
