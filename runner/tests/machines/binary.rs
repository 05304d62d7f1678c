//! Runs the `chaosrun` binary as a user would, but not for ever.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often it is looked whether the program has ended, and how many times at most: two minutes,
/// far more than anything here takes.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS: u32 = 12_000;

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The run ended with this exit code and said this on stderr, and it did not panic.
    pub fn ended(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked at"), "{self:#?}");
        // The report is wrapped to the width of a terminal.
        let flat: Vec<&str> = self
            .stderr
            .split([' ', '\n', '│'])
            .filter(|word| !word.is_empty())
            .collect();
        assert!(
            flat.join(" ").contains(words),
            "`{words}` is not in {self:#?}"
        );
    }

    /// The last line, which says how the machine ended.
    fn last_line(&self) -> &str {
        let mut lines = self.stderr.lines();
        let line = lines.find_map(|line| line.strip_prefix("chaosrun: "));
        line.unwrap_or_else(|| panic!("no last line in {self:#?}"))
    }

    /// The part of the last line that has `name` in it, without it.
    pub fn told(&self, name: &str) -> &str {
        let mut parts = self.last_line().split([',', ';']);
        let part = parts.find(|part| part.contains(name));
        let part = part.unwrap_or_else(|| panic!("no {name} in {self:#?}"));
        let (before, after) = part.split_once(name).expect("it is there");
        if before.trim().is_empty() {
            after.trim()
        } else {
            before.trim()
        }
    }
}

/// The binary with `args`.
pub fn chaosrun<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaosrun"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs it to its end, or fails if that does not come.
pub fn run(command: &mut Command) -> Run {
    let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap());
    let mut child = command.spawn().expect("the binary was built");
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait().unwrap() {
            return Run {
                code: status.code(),
                stdout: text(&mut stdout),
                stderr: text(&mut stderr),
            };
        }
        std::thread::sleep(LOOK_EVERY);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!(
        "{command:?} does not end: {}{}",
        text(&mut stdout),
        text(&mut stderr)
    );
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
