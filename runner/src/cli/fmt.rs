//! `chaosrun fmt FILE...`.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::diagnostics::{Checked, Messages};
use super::{Exit, Failure, files};
use crate::scenario::diag::{Diags, Severity};
use crate::scenario::source::{Language, Sources, read};
use crate::scenario::{codes, kdl, toml, toml_format};

/// Tidy scenarios in place: indentation, blanks and empty lines; comments and numbers stay as they
/// are written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML, and folders that are searched for them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; name the files that are not tidy and end with exit code 1.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    messages: Messages,
}

/// A tidied file could not be written.
#[derive(Debug, Error, Diagnostic)]
#[error("can't write `{}`", path.display())]
#[diagnostic(
    code(chaosrun::cli::unwritable),
    help("the file is as it was; check its permissions and the space on its disk")
)]
struct Unwritable {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut exit = Exit::Passed;
        for found in files::find(&self.files)? {
            let file = &found.path;
            let (before, after) = match tidy(file) {
                Ok(texts) => texts,
                Err(checked) => {
                    exit = Exit::InvalidScenario;
                    if self.messages.show(&checked).is_err() {
                        return Ok(Exit::Internal);
                    }
                    continue;
                }
            };
            if before == after {
                continue;
            }
            if self.check {
                eprintln!("{}: not tidy; run `chaosrun fmt {0}`", file.display());
                if exit == Exit::Passed {
                    exit = Exit::PropertyFailed;
                }
            } else {
                replace(file, &after).map_err(|source| {
                    Failure::new(
                        Exit::HostCannot,
                        Unwritable {
                            path: file.clone(),
                            source,
                        },
                    )
                })?;
                eprintln!("{}: tidied", file.display());
            }
        }
        Ok(exit)
    }
}

/// The text as it is and as it should be; a text with mistakes in its syntax is not touched.
fn tidy(path: &Path) -> Result<(String, String), Box<Checked>> {
    let name = path.display().to_string();
    let mut diags = Diags::default();
    let mut sources = Sources::default();
    match read(path, &name, None) {
        Ok(source) => {
            let (text, language) = (source.text.clone(), source.language);
            let file = sources.add(source);
            let tidied = match language {
                Language::Kdl => {
                    kdl::parse(&text, file, &mut diags);
                    let tidied = kdl::format(&text);
                    // A text that would come to mean something else is left alone.
                    (diags.has_errors() || kdl::same(&text, &tidied)).then_some(tidied)
                }
                Language::Toml => {
                    toml::parse(&text, file, &mut diags);
                    if diags.has_errors() {
                        None
                    } else {
                        toml_format::format(&text).ok()
                    }
                }
            };
            match tidied {
                Some(tidied) if !diags.has_errors() => return Ok((text.to_string(), tidied)),
                None if !diags.has_errors() => {
                    let code = match Language::of_path(path) {
                        Some(Language::Toml) => codes::TOML_SYNTAX,
                        _ => codes::KDL_SYNTAX,
                    };
                    let message = format!("`{name}` can't be tidied");
                    diags.push(crate::scenario::diag::Diag::error(code, message));
                }
                _ => {}
            }
        }
        Err(diag) => diags.push(*diag),
    }
    let diags = diags
        .into_sorted()
        .into_iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    Err(Box::new(Checked::unplanned(path, sources, diags)))
}

/// Replaces a file's content at once, so that an interruption can't leave half of it. A symbolic
/// link stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.persist(&path)?;
    Ok(())
}
