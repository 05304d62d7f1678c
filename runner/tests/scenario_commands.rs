//! `check`, `plan`, `fmt` and `explain` as a user sees them: output, errors and exit codes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a good and a bad scenario, and the file that the good one needs.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("app", "\u{7f}ELF");
    write(
        "good.kdl",
        "// why\nscenario \"good\" schema=1 {\n    guest \"app\" binary=\"app\"\n    node \"n1\" { guest \"app\" }\n    run duration=\"10s\"\n}\n",
    );
    write(
        "good.toml",
        "name = \"good\"\nschema = 1\nguest.app.binary = \"app\"\nnode.n1.guest = \"app\"\nrun.duration = \"10s\"\n",
    );
    write(
        "bad.kdl",
        "scenario \"bad\" schema=1 {\n    node \"n1\" { memroy \"1MiB\" }\n    run duration=5\n}\n",
    );
    folder
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn chaosrun(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_chaosrun"))
        .args(args)
        .current_dir(folder)
        .env_remove("GITHUB_ACTIONS")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect()
}

#[test]
fn check_accepts_what_is_right_and_tells_every_mistake() {
    let folder = folder();
    let good = chaosrun(folder.path(), &["check", "good.kdl", "good.toml"], &[]);
    assert_eq!(
        (good.code, good.stdout.as_str()),
        (0, ""),
        "{}",
        good.stderr
    );
    assert!(good.stderr.contains("good.kdl: ok") && good.stderr.contains("good.toml: ok"));

    let bad = chaosrun(folder.path(), &["check", "good.kdl", "bad.kdl"], &[]);
    assert_eq!((bad.code, bad.stdout.as_str()), (3, ""));
    for text in [
        "unknown_key",
        "did you mean `memory`?",
        "wrong_type",
        "\"5s\"",
        "bad.kdl: 2 errors",
    ] {
        assert!(bad.stderr.contains(text), "{text} in {}", bad.stderr);
    }
    assert!(
        !bad.stderr.contains('\u{1b}'),
        "no colours without a terminal"
    );
    let colored = chaosrun(
        folder.path(),
        &["check", "bad.kdl", "--color", "always"],
        &[],
    );
    assert!(colored.stderr.contains('\u{1b}'));
}

#[test]
fn check_speaks_json_and_github() {
    let folder = folder();
    let json = chaosrun(
        folder.path(),
        &["check", "bad.kdl", "--message-format", "json"],
        &[],
    );
    assert_eq!(json.code, 3);
    let lines: Vec<serde_json::Value> = json
        .stdout
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["code"], "chaosrun::scenario::unknown_key");
    assert_eq!(lines[0]["labels"][0]["line"], 2);

    let github = chaosrun(
        folder.path(),
        &["check", "bad.kdl"],
        &[("GITHUB_ACTIONS", "true")],
    );
    assert!(
        github
            .stdout
            .starts_with("::error file=bad.kdl,line=2,col=17,title="),
        "{}",
        github.stdout
    );
}

#[test]
fn plan_prints_the_same_for_both_languages() {
    let folder = folder();
    let plan = |file: &str, flag: &str| {
        let ran = chaosrun(folder.path(), &["plan", file, flag], &[]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let json = plan("good.kdl", "--json");
    assert_eq!(json, plan("good.toml", "--json"));
    let hash = blake3::hash(json.trim_end().as_bytes())
        .to_hex()
        .to_string();
    assert_eq!(plan("good.toml", "--hash").trim(), hash);
    let human = chaosrun(folder.path(), &["plan", "good.kdl"], &[]);
    assert!(
        human.stdout.contains(&hash[..16]) && human.stdout.contains("n1: kernel debian"),
        "{}",
        human.stdout
    );
    assert_eq!(chaosrun(folder.path(), &["plan", "bad.kdl"], &[]).code, 3);

    // The hash of a file is that of its content.
    std::fs::write(folder.path().join("app"), "other").unwrap();
    assert_ne!(plan("good.kdl", "--hash").trim(), hash);
}

#[test]
fn fmt_tidies_in_place_and_checks() {
    let folder = folder();
    let path = folder.path().join("messy.kdl");
    std::fs::write(
        &path,
        "// kept\nscenario   \"m\" schema=0x1 {\n  node \"n1\"\n\n\n}\n",
    )
    .unwrap();
    let ran = chaosrun(
        folder.path(),
        &["fmt", "--check", "messy.kdl", "good.toml"],
        &[],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("messy.kdl: not tidy") && !ran.stderr.contains("good.toml"));
    assert_eq!(chaosrun(folder.path(), &["fmt", "messy.kdl"], &[]).code, 0);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "// kept\nscenario \"m\" schema=0x1 {\n    node \"n1\"\n}\n"
    );
    assert_eq!(
        chaosrun(folder.path(), &["fmt", "--check", "messy.kdl"], &[]).code,
        0
    );

    // What can't be read is not touched.
    std::fs::write(&path, "scenario {{{ \"").unwrap();
    assert_eq!(chaosrun(folder.path(), &["fmt", "messy.kdl"], &[]).code, 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "scenario {{{ \"");
}

#[test]
fn explain_knows_every_code_and_suggests() {
    let folder = folder();
    let all = chaosrun(folder.path(), &["explain"], &[]);
    assert_eq!(
        (all.code, all.stdout.lines().count()),
        (0, chaosrun::scenario::codes::ALL.len())
    );
    let one = chaosrun(folder.path(), &["explain", "missing_unit"], &[]);
    assert!(one.stdout.starts_with("# chaosrun::scenario::missing_unit"));
    let wrong = chaosrun(folder.path(), &["explain", "missing_unti"], &[]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("missing_unit"), "{}", wrong.stderr);
}

#[test]
fn the_examples_are_tidy_for_the_command_too() {
    let folder = folder();
    let files: Vec<String> = examples().iter().map(|p| p.display().to_string()).collect();
    let mut args = vec!["fmt", "--check"];
    args.extend(files.iter().map(String::as_str));
    let ran = chaosrun(folder.path(), &args, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
