//! `chaosrun run FILE...`.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure};

/// Run scenarios and report (not available yet).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Running is refused until worlds exist.
#[derive(Debug, Error, Diagnostic)]
#[error("scenarios cannot be run yet: `{}` was not started", file.display())]
#[diagnostic(
    code(chaosrun::cli::run_unsupported),
    help("boot a single machine with `chaosrun boot debian`")
)]
struct Unsupported {
    file: PathBuf,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let file = self.files.into_iter().next().unwrap_or_default();
        Err(Failure::new(Exit::Internal, Unsupported { file }))
    }
}
