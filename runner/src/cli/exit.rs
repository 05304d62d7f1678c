//! The exit codes, which scripts and CI systems rely on, and the error that carries one.

use std::process::ExitCode;

use miette::{Diagnostic, Report};

/// The end of `chaosrun --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0   all passed
  1   a property failed, or the guest ended badly
  2   wrong usage
  3   invalid scenario
  4   nothing was selected
  5   inconclusive: it could not be decided
  6   nondeterminism was detected
  69  this host cannot run what was asked for
  70  internal error";

/// How a run of the program ended. The numbers are an interface and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for was done and passed.
    Passed = 0,
    /// A property failed, or a guest panicked, triple-faulted or did not do what was waited for.
    PropertyFailed = 1,
    /// The command line is wrong, or names a file that cannot be used.
    Usage = 2,
    /// A scenario is invalid.
    InvalidScenario = 3,
    /// Nothing was selected to run.
    NothingSelected = 4,
    /// It could not be decided whether a property holds; this is not a pass.
    Inconclusive = 5,
    /// Two runs with the same inputs differed.
    Nondeterminism = 6,
    /// This host lacks something that is needed: a package, the network, a CPU feature.
    HostCannot = 69,
    /// A defect or a limit of chaosrun itself, such as an instruction that is not implemented.
    Internal = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error on its way to the user, with the exit code that it causes.
#[derive(Debug)]
pub struct Failure {
    /// The exit code of the process.
    pub exit: Exit,
    /// What is shown on stderr.
    pub report: Report,
}

impl Failure {
    /// Makes a failure from any diagnostic.
    pub fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self {
            exit,
            report: Report::new(error),
        }
    }
}

/// Turns the error of a result into a [`Failure`].
pub trait OrExit<T> {
    /// Ends the subcommand with `exit` if this is an error.
    ///
    /// # Errors
    /// The same error, with the exit code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Diagnostic + Send + Sync + 'static> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_exit_code() {
        let all = [
            Exit::Passed,
            Exit::PropertyFailed,
            Exit::Usage,
            Exit::InvalidScenario,
            Exit::NothingSelected,
            Exit::Inconclusive,
            Exit::Nondeterminism,
            Exit::HostCannot,
            Exit::Internal,
        ];
        for exit in all {
            let number = format!("\n  {:<4}", exit as u8);
            assert!(HELP.contains(&number), "{exit:?} is missing");
        }
    }
}
