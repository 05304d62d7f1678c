//! Recordings: what a failing run leaves, run again elsewhere, and files that are no recordings.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::program::{HOST_CANNOT, PASSED, PROPERTY_FAILED, Place, cluster, run};

const USAGE: Option<i32> = Some(2);

/// A cluster whose node `bad` panics.
fn panics() -> String {
    cluster("panic", "", r#"run duration="1s" stop-on-failure=#false"#)
}

/// Runs a subcommand in a folder, with other words in its environment.
fn chaosrun(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaosrun"));
    let command = command.current_dir(folder).args(args);
    let command = command.env("TZ", "Asia/Tokyo").env("LANG", "de_DE.UTF-8");
    command.output().expect("the program can be started")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_failing_run_leaves_a_recording_that_shows_the_same_elsewhere() {
    let (place, ran) = run(&panics(), &[]);
    ran.exits(PROPERTY_FAILED);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.crr");
    fs::copy(place.path("out/recording.crr"), &copy).expect("a failing run is recorded");
    for options in [&["-j", "1"][..], &["-j", "2", "--boot", "fresh"]] {
        let args = [&["reproduce", "copy.crr"], options].concat();
        let output = chaosrun(elsewhere.path(), &args);
        assert_eq!(output.status.code(), PASSED, "{}", said(&output));
        let said = said(&output);
        assert!(said.contains("fails as recorded: no-panic"), "{said}");
    }
    let info = chaosrun(elsewhere.path(), &["info", "copy.crr"]);
    assert_eq!(info.status.code(), PASSED, "{}", said(&info));
    let info = said(&info);
    assert!(
        info.contains("test seed 1") && info.contains("fails         no-panic"),
        "{info}"
    );
}

#[test]
fn a_run_that_passes_is_recorded_if_that_is_asked_for() {
    let scenario = cluster("calm", "", r#"run duration="500ms""#);
    let place = Place::new(&scenario);
    let plain = place.command(&[]).output().unwrap();
    assert_eq!(plain.status.code(), PASSED, "{}", said(&plain));
    assert!(!place.path("out/recording.crr").exists());
    let recorded = place.command(&["--record"]).output().unwrap();
    assert_eq!(recorded.status.code(), PASSED, "{}", said(&recorded));
    let output = chaosrun(&place.path(""), &["reproduce", "out"]);
    assert_eq!(output.status.code(), PASSED, "{}", said(&output));
    assert!(
        said(&output).contains("nothing fails, as recorded"),
        "{}",
        said(&output)
    );
    // One that passes again does not leave what an earlier one left.
    let plain = place.command(&[]).output().unwrap();
    assert_eq!(plain.status.code(), PASSED, "{}", said(&plain));
    assert!(!place.path("out/recording.crr").exists());
}

#[test]
fn what_is_no_recording_is_refused_with_the_reason() {
    let (place, ran) = run(&panics(), &[]);
    ran.exits(PROPERTY_FAILED);
    let good = fs::read(place.path("out/recording.crr")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let newer = {
        let mut bytes = good.clone();
        bytes[8] = 9;
        bytes
    };
    let cases = [
        (Vec::new(), "it is a file of another kind"),
        (b"scenario \"a\"".to_vec(), "it is a file of another kind"),
        (flipped(0), "it is a file of another kind"),
        (newer, "it has version 9 of the format"),
        (flipped(20), "it is damaged"),
        (flipped(good.len() / 2), "it is damaged"),
        (good[..30].to_vec(), "it is damaged"),
        (good[..good.len() - 1].to_vec(), "it is damaged"),
    ];
    for (bytes, why) in cases {
        fs::write(place.path("bad.crr"), bytes).unwrap();
        for command in ["reproduce", "info"] {
            let output = chaosrun(&place.path(""), &[command, "bad.crr"]);
            assert_eq!(output.status.code(), USAGE, "{}", said(&output));
            assert!(said(&output).contains(why), "{why}: {}", said(&output));
            assert!(said(&output).contains("bad.crr"), "{}", said(&output));
        }
    }
    let missing = chaosrun(&place.path(""), &["reproduce", "none.crr"]);
    assert_eq!(missing.status.code(), USAGE, "{}", said(&missing));
}

#[test]
fn another_kernel_than_the_recorded_one_is_told() {
    let place = Place::new(
        r#"scenario "test" schema=1 {
            kernel path="kernel"
            node "n1" { memory "64MiB"; }
            ready within="1s"
            run duration="100ms"
        }"#,
    );
    // It sends a byte to a port that nothing listens at, and halts for ever.
    let mut code = crate::elf::out(0x80, 1);
    code.push(0xf4);
    fs::write(place.path("kernel"), crate::elf::executable(&code)).unwrap();
    let output = place.command(&["--record"]).output().unwrap();
    assert!(
        place.path("out/recording.crr").exists(),
        "{}",
        said(&output)
    );
    code.push(0xf4);
    fs::write(place.path("kernel"), crate::elf::executable(&code)).unwrap();
    let output = chaosrun(&place.path(""), &["reproduce", "out"]);
    assert_eq!(output.status.code(), HOST_CANNOT, "{}", said(&output));
    assert!(said(&output).contains("kernel"), "{}", said(&output));
}
