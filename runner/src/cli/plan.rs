//! `chaosrun plan FILE...`.

use std::path::PathBuf;

use super::diagnostics::{Checked, Messages, check_all, write};
use super::{Exit, Failure, files};
use crate::plan::canonical;
use crate::scenario::diag::Severity;

/// Show what a scenario would do: names resolved, defaults explicit, files by hash. No guest is
/// started.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML, and folders that are searched for them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the plan itself, as canonical JSON: one line per variant, whose BLAKE3 hash is the
    /// plan's name.
    #[arg(long)]
    json: bool,
    /// Print the plan's hash only, one line per variant.
    #[arg(long, conflicts_with = "json")]
    hash: bool,
    #[command(flatten)]
    messages: Messages,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut exit = Exit::Passed;
        for checked in check_all(&files::find(&self.files)?, false) {
            if self.messages.show(&checked).is_err() {
                return Ok(Exit::Internal);
            }
            if checked.count(Severity::Error) > 0 {
                exit = Exit::InvalidScenario;
                continue;
            }
            let written = self
                .text(&checked)
                .map(|text| write(std::io::stdout(), &text));
            if !matches!(written, Some(Ok(()))) {
                return Ok(Exit::Internal);
            }
        }
        Ok(exit)
    }

    fn text(&self, checked: &Checked) -> Option<String> {
        let mut out = String::new();
        for compiled in &checked.plans {
            if self.json {
                out.push_str(&canonical::to_string(&compiled.plan).ok()?);
                out.push('\n');
            } else if self.hash {
                out.push_str(&compiled.plan.hash());
                out.push('\n');
            } else {
                out.push_str(&compiled.to_human());
            }
        }
        Some(out)
    }
}
