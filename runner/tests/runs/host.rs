//! A host on which something is not as it should be: sources that do not compile, files that are missing,
//! folders that cannot be written, a disk that is full, a terminal that went away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::program::{HOST_CANNOT, INVALID_SCENARIO, PASSED, PROPERTY_FAILED, Place, cluster};

const SHORT: &str = r#"run duration="200ms""#;

/// The folder of a crate that is not of the project. It has the same place each time, so that the cache
/// does not get a new entry for each run of the tests.
pub fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn package(name: &str, main: &str, build: &str) -> PathBuf {
    let folder = folder_of(name);
    fs::create_dir_all(folder.join("src")).expect("it can be made");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n"
    );
    let lock = format!("version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    let write =
        |file: &str, text: &str| fs::write(folder.join(file), text).expect("it can be written");
    write("Cargo.toml", &manifest);
    write("Cargo.lock", &lock);
    write("src/main.rs", main);
    write("build.rs", build);
    folder
}

/// A scenario of one node with a crate.
pub fn of_package(name: &str, main: &str, build: &str) -> String {
    let folder = package(name, main, build);
    format!(
        r#"scenario "test" schema=1 {{
    kernel "tiny"
    guest "g" crate="{}"
    node "n1" {{ guest "g"; }}
    run duration="1s"
}}"#,
        folder.display()
    )
}

#[test]
fn a_crate_that_does_not_compile_shows_what_cargo_says() {
    let main = "fn main() { let x: u32 = \"no number\"; }";
    let place = Place::new(&of_package("chaosrun-test-broken", main, "fn main() {}"));
    let ran = place.run(&[]);
    ran.exits(HOST_CANNOT);
    ran.says("mismatched types").says("src/main.rs:1");
}

#[test]
fn a_kernel_that_is_not_there_is_an_error_of_the_scenario() {
    let text = cluster("calm", "", SHORT).replace("\"tiny\"", "\"no/such/kernel\"");
    let place = Place::new(&text);
    let ran = place.run(&[]);
    ran.exits(INVALID_SCENARIO).says("no/such/kernel");
}

#[test]
fn a_file_where_the_reports_should_go_is_told_before_anything_runs() {
    let place = Place::new(&cluster("calm", "", SHORT));
    fs::write(place.path("taken"), "mine").expect("it can be written");
    for out in ["taken", "taken/below"] {
        let ran = place.run(&["--out", out]);
        ran.exits(HOST_CANNOT)
            .says("chaosrun::run::unwritable")
            .says("taken");
        assert!(!ran.stderr.contains("begins"), "{}", ran.stderr);
    }
    assert_eq!(fs::read(place.path("taken")).expect("it is there"), b"mine");
}

#[test]
fn an_old_report_is_not_taken_for_the_one_of_a_run_that_did_not_end() {
    let place = Place::new(&cluster("exit 0", "", SHORT));
    place.run(&[]).exits(PASSED);
    assert!(place.path("out/report.json").exists());
    // The next run is killed before it ends.
    let mut child = place
        .command(&[])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it can be started");
    crate::signals::wait_for(&mut child, "begins");
    child.kill().expect("it is there");
    child.wait().expect("it is there");
    assert!(!place.path("out/report.json").exists());
    assert!(!place.path("out/junit.xml").exists());
}

#[test]
fn a_full_disk_loses_what_does_not_fit_and_nothing_else() {
    let text = cluster("console", "", r#"run duration="300ms""#);
    let place = Place::new(&text);
    // Files of more than so many blocks of 512 bytes cannot be written: the console's is larger.
    let ran = place.ran(&mut place.limited("-f 100", &[]));
    ran.exits(HOST_CANNOT).says("consoles/bad.log");
    let error = ran.error("chaosrun::run::unwritable");
    assert!(error.contains("consoles/bad.log"), "{error}");
    assert_eq!(ran.report()["verdict"], "inconclusive");
    ran.judges("the calm node goes on", "pass");
    ran.file("consoles/calm.log");
    ran.file("junit.xml");
}

#[test]
fn a_failure_stays_one_when_its_report_cannot_be_written() {
    let more = r#"ready within="500ms"; run duration="1s""#;
    let place = Place::new(&cluster("silent", "", more));
    let ran = place.run(&["--junit", "/dev/full"]);
    ran.exits(PROPERTY_FAILED).says("/dev/full").says("no-hang");
    let place = Place::new(&cluster("exit 0", "", SHORT));
    let ran = place.run(&["--junit", "/dev/full"]);
    ran.exits(HOST_CANNOT)
        .says("/dev/full")
        .says("properties hold");
    ran.file("junit.xml");
}

#[test]
fn nobody_listens_and_the_reports_are_written() {
    let place = Place::new(&cluster("exit 0", "", SHORT));
    let program = place.command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(place.path(".")).args([
        "-c",
        "\"$0\" \"$@\" 2>&1 >/dev/full | true; \"$0\" \"$@\" 2>/dev/full | true",
    ]);
    shell.arg(program.get_program()).args(program.get_args());
    let ran = place.ran(&mut shell);
    assert_eq!(ran.report()["verdict"], "pass");
    // Neither a reader that went away nor a full disk behind stderr makes it fail.
    let mut shell = std::process::Command::new("sh");
    shell
        .current_dir(place.path("."))
        .args(["-c", "\"$0\" \"$@\" 2>/dev/full >&-"]);
    shell.arg(program.get_program()).args(program.get_args());
    place.ran(&mut shell).exits(PASSED);
}
