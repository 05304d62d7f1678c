//! Running the host's programs.

use std::fs::{self, File};
use std::io;
use std::process::{Command, Output, Stdio};

use super::Workshop;
use super::error::{ArtifactError, tail};

/// Whether a program of this name is on the path.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A program to run without input and with messages in English.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// The program cannot be started; its exit status is the caller's to judge.
pub(super) fn output(command: &mut Command) -> io::Result<Output> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
}

/// Runs a program with its output in the workshop's log.
///
/// # Errors
/// It cannot be started or fails; the end of its output is in the error.
pub(super) fn run_logged(
    what: &str,
    command: &mut Command,
    workshop: &Workshop<'_>,
) -> Result<(), ArtifactError> {
    let mut start = || -> io::Result<_> {
        let log = File::create(workshop.log)?;
        let both = log.try_clone()?;
        command.stdout(log).stderr(both).status()
    };
    let status = start().map_err(ArtifactError::io(
        "write the output of a program to",
        workshop.log,
    ))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read(workshop.log).unwrap_or_default();
    Err(ArtifactError::Build {
        what: format!("{what} ({status})"),
        output: tail(&String::from_utf8_lossy(&said)),
        log: workshop.log.to_owned(),
    })
}
