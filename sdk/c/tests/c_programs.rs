//! Programs in C and C++ use the header and the static library.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");

/// The static library that cargo has built for this test: the newest, since older ones stay there.
fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let directory = program.parent().unwrap();
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libchaosrun_sdk_c") && name.ends_with(".a")
    };
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(is_library)
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .expect("cargo builds the static library with the tests")
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("a C compiler is needed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    assert_eq!(errors, "", "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles the program and gives its path.
fn compile(directory: &Path, compiler: &str, options: &[&str]) -> PathBuf {
    let other = directory.join("other.o");
    let compile = |compiler: &str| {
        let mut command = Command::new(compiler);
        command.args(["-Wall", "-Wextra", "-Werror", "-O1", "-I", INCLUDE]);
        command.args(options).current_dir(SOURCES);
        command
    };
    let language = if compiler == "c++" { "c++" } else { "c" };
    run(compile(compiler)
        .args(["-x", language, "-c", "other.c", "-o"])
        .arg(&other));
    let program = directory.join("program");
    run(compile("cc")
        .arg("program.c")
        .arg(other)
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program));
    program
}

fn lines_of(program: &Path, file: &Path) -> Vec<Value> {
    let said = run(Command::new(program).env("CHAOSRUN_SDK_LOCAL_OUTPUT", file));
    assert_eq!(said, "1\n");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Assertions by their message and whether they were hit, with condition and details.
fn asserts(lines: &[Value], message: &str, hit: bool) -> Vec<(bool, Value)> {
    lines
        .iter()
        .map(|line| &line["antithesis_assert"])
        .filter(|assert| assert["message"] == message && assert["hit"] == hit)
        .map(|assert| (assert["condition"] == true, assert["details"].clone()))
        .collect()
}

#[test]
fn everything_is_told_from_c() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "cc", &["-std=c11", "-pedantic"]);
    let lines = lines_of(&program, &directory.path().join("out.jsonl"));

    // The catalogue comes first, before main, and has each site once.
    for message in [
        "c: in a crowd",
        "c: holds ten times",
        "c: sometimes five",
        "c: unreachable",
        "c: the other file is reached",
    ] {
        assert_eq!(asserts(&lines, message, false).len(), 1, "{message}");
    }
    assert_eq!(
        asserts(&lines, "c: in a crowd", true),
        [(true, Value::Null)]
    );
    assert_eq!(
        asserts(&lines, "c: the other file is reached", true).len(),
        1
    );
    assert_eq!(asserts(&lines, "c: unreachable", true), []);
    assert_eq!(
        asserts(&lines, "c: random numbers are ordinary", true),
        [(true, Value::Null)]
    );
    let failures: Vec<_> = [10, 11, 12, 13, 14, 15, 16, 17]
        .map(|n| (false, json!({"n": n})))
        .into();
    let ten = asserts(&lines, "c: holds ten times", true);
    assert_eq!(ten[0], (true, json!({"n": 0})));
    assert_eq!(ten[1..], failures);
    let five = asserts(&lines, "c: sometimes five", true);
    assert_eq!(five, [(false, json!({"n": 0})), (true, json!({"n": 5}))]);

    let rest: Vec<&Value> = lines[1..]
        .iter()
        .filter(|line| line.get("antithesis_assert").is_none())
        .collect();
    let expected = [
        json!({"antithesis_setup": {"status": "complete", "details": {"role": "c"}}}),
        json!({"c-event": "not json"}),
        json!({"chaosrun_publish": {"key": "c-int", "value": -3}}),
        json!({"chaosrun_publish": {"key": "c-uint", "value": u64::MAX}}),
        json!({"chaosrun_publish": {"key": "c-text", "value": "x\u{fffd}"}}),
        json!({"chaosrun_history": {"history": "kv", "process": 1, "op": "invoke", "f": "write",
            "key": "x", "value": 3}}),
        json!({"chaosrun_history": {"history": "kv", "process": 1, "op": "ok", "f": "write",
            "key": null, "value": null}}),
    ];
    assert_eq!(rest, expected.iter().collect::<Vec<_>>());
}

#[test]
fn header_is_good_for_other_dialects() {
    for (compiler, options) in [
        ("cc", ["-std=gnu99"]),
        ("cc", ["-std=gnu17"]),
        ("c++", ["-O2"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let program = compile(directory.path(), compiler, &options);
        let lines = lines_of(&program, &directory.path().join("out.jsonl"));
        let reached = asserts(&lines, "c: the other file is reached", true);
        assert_eq!(reached.len(), 1, "{compiler} {options:?}");
    }
}

#[test]
fn disabled_macros_leave_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "cc", &["-DCHAOSRUN_DISABLED"]);
    let bytes = std::fs::read(&program).unwrap();
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(contains(b"c-event"), "what is called by name stays");
    assert!(!contains(b"holds ten times"));
}
