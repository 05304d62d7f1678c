//! `chaosrun schema [NAME]`.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit, print};
use chaosrun_language::scenario::suggest;
use chaosrun_language::scenario::wording::clipped;
use chaosrun_language::schema::SchemaFile;

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

/// All schemas.
fn all() -> impl Iterator<Item = &'static SchemaFile> {
    use chaosrun_judge::schema::ALL as OF_REPORTS;
    use chaosrun_language::schema::ALL as OF_THE_LANGUAGE;
    OF_THE_LANGUAGE.iter().chain(OF_REPORTS)
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
    let lines = all().map(|schema| format!("{:<14} {}\n", schema.name, schema.describes));
    print(&lines.collect::<String>());
}

fn one(name: &str) -> Result<(), SchemaError> {
    let schema = all().find(|schema| schema.name == name);
    let schema = schema.ok_or_else(|| {
        let names = || all().map(|schema| schema.name);
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
    for schema in all() {
        let path = folder.join(schema.file);
        let written =
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, schema.text()));
        written.map_err(|source| SchemaError::Write { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::all;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas")
    }

    /// Set `CHAOSRUN_WRITE_SCHEMAS=1` to write the files instead of comparing them.
    #[test]
    fn checked_in_schemas_are_up_to_date() {
        let write = std::env::var_os("CHAOSRUN_WRITE_SCHEMAS").is_some();
        for schema in all() {
            let path = folder().join(schema.file);
            let text = schema.text();
            if write {
                std::fs::write(&path, &text).expect("the folder of schemas can be written to");
            }
            let known = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                known == text,
                "{} is stale; run `chaosrun schema --write schemas`",
                schema.file
            );
        }
    }

    #[test]
    fn no_file_in_the_folder_is_unknown() {
        let entries = std::fs::read_dir(folder()).expect("the folder of schemas is there");
        for entry in entries {
            let name = entry.expect("it can be listed").file_name();
            let name = name.to_string_lossy();
            let known = all().any(|schema| schema.file == name)
                || name == "README.md"
                || name == "sdk-protocol.md";
            assert!(known, "{name} belongs to no schema");
        }
    }
}
