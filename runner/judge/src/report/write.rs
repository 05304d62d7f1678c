//! Writes the files of a report.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{ctrf, github, json, junit};
use crate::outcome::model::Document;

/// A report could not be written.
#[derive(Debug, Error)]
#[error("can't write `{}`", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Where the formats go; a format without a path is not written.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// `report.json`.
    pub json: Option<PathBuf>,
    /// `junit.xml`.
    pub junit: Option<PathBuf>,
    /// How the JUnit file is written.
    pub junit_options: junit::Options,
    /// `ctrf.json`.
    pub ctrf: Option<PathBuf>,
    /// The file that `GITHUB_STEP_SUMMARY` names; it is appended to.
    pub github_summary: Option<PathBuf>,
}

impl Targets {
    /// The two files that every run writes into its output directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            json: Some(directory.join("report.json")),
            junit: Some(directory.join("junit.xml")),
            ..Self::default()
        }
    }
}

/// Writes a document in each format that has a target. Each file appears whole or not at all,
/// because a CI job that is killed must not leave half a report that looks like a good one.
///
/// # Errors
/// The first file that can't be written.
pub fn write_all(document: &Document, targets: &Targets) -> Result<(), WriteError> {
    if let Some(path) = &targets.json {
        replace(path, |out| json::write(document, out))?;
    }
    if let Some(path) = &targets.junit {
        replace(path, |out| {
            let xml =
                junit::to_string(document, targets.junit_options).map_err(io::Error::other)?;
            out.write_all(xml.as_bytes())
        })?;
    }
    if let Some(path) = &targets.ctrf {
        replace(path, |out| ctrf::write(document, out))?;
    }
    if let Some(path) = &targets.github_summary {
        let appended = File::options().append(true).create(true).open(path);
        appended
            .and_then(|mut file| file.write_all(github::summary(document).as_bytes()))
            .map_err(|source| WriteError {
                path: path.clone(),
                source,
            })?;
    }
    Ok(())
}

/// Writes a file beside its place and moves it there.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let attempt = || {
        // A pipe or a device, as in `--json /dev/stdout`, is written to and never replaced.
        if fs::metadata(path).is_ok_and(|known| !known.is_file()) {
            let mut out = BufWriter::new(File::options().write(true).open(path)?);
            return write(&mut out).and_then(|()| out.flush());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // The process's number keeps two runs apart that write to one place.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let mut out = BufWriter::new(File::create(&beside)?);
        let written = write(&mut out).and_then(|()| out.flush());
        let moved = written.and_then(|()| fs::rename(&beside, path));
        if moved.is_err() {
            // Nothing more can be done about a file that can't be removed.
            let _ = fs::remove_file(&beside);
        }
        moved
    };
    attempt().map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}
