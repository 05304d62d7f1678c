//! Running the host's programs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The process groups of the programs that run.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process group of a program that runs, as long as this lives.
#[derive(Debug)]
pub(super) struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        running().remove(&self.0);
    }
}

/// Starts a program in a process group of its own, so that it can be ended with all that it started.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(command: &mut Command) -> io::Result<(Child, Group)> {
    // Whoever ends all programs must not miss the one that is just being started.
    let mut running = running();
    let child = command.process_group(0).spawn()?;
    running.insert(child.id());
    let group = Group(child.id());
    Ok((child, group))
}

/// Ends the programs that run, with all that they started. None is started from now on: this is for a process
/// that is about to end.
pub fn end_all() {
    let running = running();
    for group in running.iter() {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s TERM -- \"-$0\"", &group.to_string()]);
        // One that has just ended cannot be ended.
        let _ = kill.stderr(Stdio::null()).status();
    }
    std::mem::forget(running);
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// The program cannot be started; its exit status is the caller's to judge.
pub(super) fn output(command: &mut Command) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, _group) = start(command)?;
    child.wait_with_output()
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
    let mut run = || -> io::Result<_> {
        let log = File::create(workshop.log)?;
        let both = log.try_clone()?;
        let (mut child, _group) = start(command.stdout(log).stderr(both))?;
        child.wait()
    };
    let status = run().map_err(ArtifactError::io(
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
