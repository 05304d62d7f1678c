//! What a process prints and leaves behind when it panics. The tests start this program again, to be
//! the process.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::*;
use crate::cli::Exit;
use crate::cli::guarded;

/// What the process that is started again is asked to do.
const VARIABLE: &str = "CHAOSRUN_TEST_OF_DEFECTS";

fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn exit() -> ! {
    std::process::exit(Exit::Internal as i32)
}

extern "C" fn cannot_unwind() {
    panic!("behind a border");
}

/// Not a test: what the tests below start.
#[test]
fn process_that_panics() {
    let Ok(kind) = std::env::var(VARIABLE) else {
        return;
    };
    let command = ["chaosrun", "run", "a b.kdl"].map(OsString::from);
    install(&command, print, exit);
    let ended = guarded(|| {
        match kind.as_str() {
            "run" => {
                let running = Running::new("raft", "0123456789abcdef0123".to_owned(), 7);
                running.is_at(1_234_567_890);
                std::thread::scope(|scope| {
                    scope.spawn(|| panic!("no entry\nfound"));
                });
            }
            "caught" => drop(std::panic::catch_unwind(|| {
                panic!("in one of several runs")
            })),
            "border" => cannot_unwind(),
            "nothing" => {}
            other => panic!("there is no {other}"),
        }
        Ok(Exit::Passed)
    });
    std::process::exit(ended as i32);
}

fn process(kind: &str, folder: &Path) -> Output {
    let me = std::env::current_exe().expect("this program has a file");
    Command::new(me)
        .args([
            "--exact",
            "defect::tests::process_that_panics",
            "--nocapture",
        ])
        .env(VARIABLE, kind)
        .env("TMPDIR", folder)
        .output()
        .expect("this program can be started again")
}

/// The exit code, the paragraphs, and the contents of the files.
fn outcome(kind: &str) -> (Option<i32>, String, Vec<String>) {
    let folder = TempDir::new().expect("there is room for a folder");
    let output = process(kind, folder.path());
    let files = std::fs::read_dir(folder.path()).expect("the folder is there");
    let files = files
        .map(|file| {
            let path = file.expect("a file").path();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains(&path.display().to_string()), "{told}");
            std::fs::read_to_string(path).expect("it is text")
        })
        .collect();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told, files)
}

#[test]
fn panic_in_a_run_is_one_paragraph_and_a_file_with_the_details() {
    let (code, told, files) = outcome("run");
    assert_eq!(code, Some(70), "{told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    for part in [
        "chaosrun: internal error: no entry found (",
        "defect/tests.rs:",
        "/issues with the file ",
        concat!(
            "chaosrun ",
            env!("CARGO_PKG_VERSION"),
            ", `chaosrun run a b.kdl`"
        ),
        "scenario \"raft\" with seed 7 (plan 0123456789abcdef) after 1.234567890 s",
    ] {
        assert!(told.contains(part), "{part} is missing: {told}");
    }
    let [file] = files.as_slice() else {
        panic!("one file: {files:?}");
    };
    for part in [
        "message: no entry\nfound\nat: ",
        "command: chaosrun run a b.kdl",
        "scenario \"raft\", seed 7, plan 0123456789abcdef0123, after 1234567890 ns",
        "backtrace:\n",
        "process_that_panics",
    ] {
        assert!(file.contains(part), "{part} is missing: {file}");
    }
}

#[test]
fn panic_that_somebody_catches_is_told_and_is_no_pass() {
    let (code, told, files) = outcome("caught");
    assert_eq!((code, files.len()), (Some(70), 1), "{told}");
    assert!(told.contains("in one of several runs"), "{told}");
}

#[test]
fn panic_that_cannot_unwind_is_told_and_ends_with_the_same_code() {
    let (code, told, files) = outcome("border");
    assert_eq!(code, Some(70), "{told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{told}");
    assert!(told.contains("internal error: behind a border"), "{told}");
    assert!(files[0].contains("cannot unwind"), "{files:?}");
}

#[test]
fn nothing_is_told_and_left_behind_without_a_panic() {
    let (code, told, files) = outcome("nothing");
    assert_eq!((code, files.len()), (Some(0), 0), "{told}");
    assert_eq!(told, "");
}

#[test]
fn details_that_cannot_be_written_are_printed() {
    let output = process("run", Path::new("/nowhere/at/all"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{told}");
    assert!(
        told.contains("as there is no file for them: /nowhere"),
        "{told}"
    );
    assert!(told.contains("backtrace:\n"), "{told}");
}
