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
        "// why\nscenario \"good\" schema=1 {\n    guest \"app\" binary=\"app\"\n    \
         node \"n1\" { guest \"app\" }\n    run duration=\"10s\"\n}\n",
    );
    write(
        "good.toml",
        "name = \"good\"\nschema = 1\nguest.app.binary = \"app\"\nnode.n1.guest = \
         \"app\"\nrun.duration = \"10s\"\n",
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

/// A folder of one scenario in both languages, and of a fragment that both include.
fn folder_of_scenarios() -> tempfile::TempDir {
    let folder = folder();
    let at = |name: &str| folder.path().join("all").join(name);
    std::fs::create_dir_all(at("parts")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    write("parts/app", "\u{7f}ELF");
    write(
        "parts/base.kdl",
        "scenario schema=1 {\n    guest \"app\" binary=\"app\"\n    node \"n1\" { guest \"app\" }\n}\n",
    );
    write(
        "b.kdl",
        "scenario \"twin\" schema=1 {\n    include \"parts/base.kdl\"\n    run duration=\"10s\"\n}\n",
    );
    write(
        "b.toml",
        "name = \"twin\"\nschema = 1\ninclude = \"parts/base.kdl\"\nrun.duration = \"10s\"\n",
    );
    write(
        "a.kdl",
        "scenario \"first\" schema=1 {\n    include \"parts/base.kdl\"\n}\n",
    );
    folder
}

#[test]
fn a_folder_is_taken_wherever_files_are() {
    let folder = folder_of_scenarios();
    let check = chaosrun(folder.path(), &["check", "all", "--deny-warnings"], &[]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    let told: Vec<&str> = check.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "all/a.kdl: ok",
            "all/b.kdl: ok",
            "all/b.toml: ok",
            "all/parts/base.kdl: ok, a fragment"
        ]
    );
    let plan = chaosrun(folder.path(), &["plan", "all", "--hash"], &[]);
    let hashes: Vec<&str> = plan.stdout.lines().collect();
    assert_eq!((plan.code, hashes.len()), (0, 3), "{}", plan.stderr);
    assert_eq!(hashes[1], hashes[2]);
    let fmt = chaosrun(folder.path(), &["fmt", "all", "--check"], &[]);
    assert_eq!(fmt.code, 0, "{}", fmt.stderr);
    let list = chaosrun(folder.path(), &["list", "all"], &[]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    assert!(
        list.stdout
            .ends_with("3 scenarios\n1 fragment for `include`: all/parts/base.kdl\n"),
        "{}",
        list.stdout
    );
    // Without a guest: everything is read, and nothing is selected.
    for run in [&["all"][..], &["run", "all"], &["run", "all", "all/a.kdl"]] {
        let none = chaosrun(folder.path(), &[run, &["-E", "none()"]].concat(), &[]);
        assert_eq!(none.code, 4, "{run:?}: {}", none.stderr);
        assert_eq!(
            none.stderr,
            "chaosrun: nothing is selected; `chaosrun list FILE...` shows what there is\n"
        );
    }
}

#[test]
fn a_folder_without_scenarios_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for command in [
        &["empty"][..],
        &["run", "empty"],
        &["check", "empty"],
        &["plan", "empty"],
        &["fmt", "empty"],
        &["verify", "empty"],
        &["list", "empty"],
    ] {
        let none = chaosrun(folder.path(), command, &[]);
        assert_eq!(none.code, 4, "{command:?}: {}", none.stderr);
        assert!(
            none.stderr.contains("there is no scenario in `empty`"),
            "{command:?}: {}",
            none.stderr
        );
    }
}

#[test]
fn a_forgotten_name_is_not_passed_over_in_silence() {
    let folder = folder_of_scenarios();
    let path = folder.path().join("all/forgotten.kdl");
    std::fs::write(
        &path,
        "scenario schema=1 { node \"n1\"; run duration=\"1s\" }\n",
    )
    .unwrap();
    let check = chaosrun(folder.path(), &["check", "all"], &[]);
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(
        check.stderr.contains("the file has no name"),
        "{}",
        check.stderr
    );
    assert!(
        check
            .stderr
            .contains("all/forgotten.kdl: 1 warning, a fragment"),
        "{}",
        check.stderr
    );
    let denied = chaosrun(folder.path(), &["check", "all", "--deny-warnings"], &[]);
    assert_eq!(denied.code, 3);
    // Given by its own name, it has to be a scenario.
    let alone = chaosrun(folder.path(), &["check", "all/forgotten.kdl"], &[]);
    assert_eq!(alone.code, 3);
    // A fragment with mistakes has mistakes.
    std::fs::write(&path, "scenario schema=1 { nodee \"n1\" }\n").unwrap();
    assert_eq!(chaosrun(folder.path(), &["check", "all"], &[]).code, 3);
}
