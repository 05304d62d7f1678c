//! `chaosrun plan FILE`.

use std::path::PathBuf;

use super::diagnostics::{Messages, check, write};
use super::{Exit, Failure};
use crate::plan::canonical;
use crate::scenario::diag::Severity;

/// Show what a scenario would do: names resolved, defaults explicit, files by hash. No guest is
/// started.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scenario file, in KDL or TOML.
    file: PathBuf,
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
        let checked = check(&self.file, false);
        if self.messages.show(&checked).is_err() {
            return Ok(Exit::Internal);
        }
        if checked.count(Severity::Error) > 0 {
            return Ok(Exit::InvalidScenario);
        }
        let mut out = String::new();
        for compiled in &checked.plans {
            if self.json {
                let Ok(json) = canonical::to_string(&compiled.plan) else {
                    return Ok(Exit::Internal);
                };
                out.push_str(&json);
                out.push('\n');
            } else if self.hash {
                out.push_str(&compiled.plan.hash());
                out.push('\n');
            } else {
                out.push_str(&compiled.to_human());
            }
        }
        match write(std::io::stdout(), &out) {
            Ok(()) => Ok(Exit::Passed),
            Err(_) => Ok(Exit::Internal),
        }
    }
}
