//! `chaosrun schema [NAME]`.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit, print};
use crate::scenario::suggest;
use crate::scenario::wording::clipped;
use crate::schema::{ALL, find};

/// Print the schemas of what chaosrun reads and writes.
///
/// In a TOML scenario, the line `#:schema https://…/scenario.schema.json` gives editors completion.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The schema to print; without it, the schemas are listed.
    #[arg(conflicts_with = "write")]
    name: Option<String>,
    /// Write all schemas as files into this directory.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(Debug, Error, Diagnostic)]
enum SchemaError {
    #[error("there is no schema `{name}`")]
    #[diagnostic(code(chaosrun::schema::unknown), help("{help}"))]
    Unknown { name: String, help: String },
    #[error("can't write `{}`: {source}", path.display())]
    #[diagnostic(code(chaosrun::schema::write))]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match (&self.name, &self.write) {
            (Some(name), _) => one(name).or_exit(Exit::Usage)?,
            (None, Some(folder)) => write_all(folder).or_exit(Exit::Usage)?,
            (None, None) => list(),
        }
        Ok(Exit::Passed)
    }
}

fn list() {
    let lines = ALL
        .iter()
        .map(|schema| format!("{:<14} {}\n", schema.name, schema.describes));
    print(&lines.collect::<String>());
}

fn one(name: &str) -> Result<(), SchemaError> {
    let schema = find(name).ok_or_else(|| {
        let names = || ALL.iter().map(|schema| schema.name);
        let help = suggest::did_you_mean(name, names());
        SchemaError::Unknown {
            name: clipped(name, 60),
            help: help.unwrap_or_else(|| format!("it is one of {}", suggest::one_of(names()))),
        }
    })?;
    print(&schema.text());
    Ok(())
}

fn write_all(folder: &std::path::Path) -> Result<(), SchemaError> {
    for schema in ALL {
        let path = folder.join(schema.file);
        let written =
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, schema.text()));
        written.map_err(|source| SchemaError::Write { path, source })?;
    }
    Ok(())
}
