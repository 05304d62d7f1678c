//! `chaosrun check FILE...`.

use std::path::PathBuf;

use super::diagnostics::{Messages, check_all};
use super::{Exit, Failure, files};
use crate::scenario::diag::Severity;

/// Check scenarios: every mistake at once, no guest is started.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML, and folders that are searched for them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Let warnings fail the check, too.
    #[arg(long)]
    deny_warnings: bool,
    #[command(flatten)]
    messages: Messages,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut exit = Exit::Passed;
        for checked in check_all(&files::find(&self.files)?, true) {
            let (errors, warnings) = (
                checked.count(Severity::Error),
                checked.count(Severity::Warning),
            );
            if errors > 0 || (self.deny_warnings && warnings > 0) {
                exit = Exit::InvalidScenario;
            }
            if self.messages.show(&checked).is_err() {
                return Ok(Exit::Internal);
            }
            if !self.messages.is_json() {
                let summary = match checked.fragment {
                    true => format!("{}, a fragment", summary(errors, warnings, 0)),
                    false => summary(errors, warnings, checked.plans.len()),
                };
                eprintln!("{}: {summary}", checked.path.display());
            }
        }
        Ok(exit)
    }
}

/// One line for people, e.g. `2 errors, 1 warning`.
fn summary(errors: usize, warnings: usize, scenarios: usize) -> String {
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let parts: Vec<String> = [count(errors, "error"), count(warnings, "warning")]
        .into_iter()
        .flatten()
        .collect();
    match (parts.is_empty(), scenarios) {
        (true, 0 | 1) => "ok".to_owned(),
        (true, n) => format!("ok, {n} variants"),
        (false, _) => parts.join(", "),
    }
}
