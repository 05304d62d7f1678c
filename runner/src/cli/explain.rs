//! `chaosrun explain CODE`.

use miette::Diagnostic;
use thiserror::Error;

use super::diagnostics::write;
use super::{Exit, Failure};
use crate::scenario::codes::{self, ALL};
use crate::scenario::suggest::nearest;

/// Explain a message's code, e.g. `chaosrun::scenario::unknown_key`; without one, list all codes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The code; its last part is enough.
    code: Option<String>,
}

/// There is no such code.
#[derive(Debug, Error, Diagnostic)]
#[error("there is no code `{code}`")]
#[diagnostic(code(chaosrun::cli::unknown_code))]
struct Unknown {
    code: String,
    #[help]
    help: String,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let text = match self.code {
            None => ALL
                .iter()
                .map(|c| format!("{:<44} {}\n", c.id, c.title))
                .collect(),
            Some(code) => match codes::find(&code) {
                Some(code) => format!("# {}: {}\n\n{}\n", code.id, code.title, code.explain.trim()),
                None => return Err(Failure::new(Exit::Usage, unknown(code))),
            },
        };
        match write(std::io::stdout(), &text) {
            Ok(()) => Ok(Exit::Passed),
            Err(_) => Ok(Exit::Internal),
        }
    }
}

fn unknown(code: String) -> Unknown {
    let last = |id: &'static str| id.rsplit("::").next().unwrap_or(id);
    let wanted = code.rsplit("::").next().unwrap_or(&code).to_owned();
    let help = match nearest(&wanted, ALL.iter().map(|c| last(c.id))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`chaosrun explain` lists all codes".to_owned(),
    };
    Unknown { code, help }
}
