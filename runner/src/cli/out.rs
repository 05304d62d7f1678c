//! The folder of a run's reports.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::reproduce;
use crate::outcome::model::{Document, Report};
use crate::outcome::summary::Attachment;
use crate::plan::Plan;
use crate::recording::{self, Recording};
use crate::report::events::EventWriter;
use crate::report::write::{Targets, WriteError, write_all};
use crate::run::Outcome;

/// Something could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("can't write `{}`: {source}", path.display())]
#[diagnostic(
    code(chaosrun::run::unwritable),
    help("`--out DIR` names another folder for the reports")
)]
pub(super) struct Unwritable {
    path: PathBuf,
    source: std::io::Error,
}

impl From<WriteError> for Unwritable {
    fn from(error: WriteError) -> Self {
        Self {
            path: error.path,
            source: error.source,
        }
    }
}

/// Where the reports of a scenario go.
pub(super) struct Places {
    folder: PathBuf,
}

impl Places {
    /// The folder of a scenario's reports.
    pub fn folder(out: Option<&Path>, plan: &Plan, several: bool) -> PathBuf {
        let mut name = plan.name.clone();
        if !plan.variant.is_empty() {
            name = format!("{name}-{}", plan.variant);
        }
        // Names of scenarios and variants may have anything in them.
        let safe = |c: char| {
            if c.is_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = name.chars().map(safe).collect();
        match out {
            Some(out) if several => out.join(name),
            Some(out) => out.to_owned(),
            None => Path::new("chaosrun-out").join(name),
        }
    }

    /// Makes the folder and makes sure that it can be written to, before anything runs for nothing. The
    /// folders in `taken` are those of other scenarios: of several with the same name, as are those that
    /// are written in both languages, each has a folder of its own.
    pub fn new(
        out: Option<&Path>,
        plan: &Plan,
        several: bool,
        taken: &mut BTreeSet<PathBuf>,
    ) -> Result<Self, Unwritable> {
        let folder = Self::folder(out, plan, several);
        let mut places = Self {
            folder: folder.clone(),
        };
        let mut number = 1;
        while !taken.insert(places.folder.clone()) {
            number += 1;
            let mut name = folder.file_name().unwrap_or_default().to_owned();
            name.push(format!("-{number}"));
            places.folder = folder.with_file_name(name);
        }
        places.prepare(&places.folder)?;
        // Should this run be killed, an old report must not be taken for its own.
        for name in ["report.json", "junit.xml"] {
            let old = places.folder.join(name);
            if old.exists() {
                writing(&old, || fs::remove_file(&old))?;
            }
        }
        let probe = places.folder.join(".chaosrun-probe");
        writing(&probe, || {
            File::create(&probe).and_then(|_| fs::remove_file(&probe))
        })?;
        Ok(places)
    }

    /// The folder of one seed.
    pub fn of_seed(&self, seed: u64, several: bool) -> PathBuf {
        match several {
            true => self.folder.join(format!("seed-{seed}")),
            false => self.folder.clone(),
        }
    }

    /// Makes a folder.
    pub fn prepare(&self, folder: &Path) -> Result<(), Unwritable> {
        writing(folder, || fs::create_dir_all(folder))
    }

    /// Writes what happened in a run: consoles and events. What can't be written does not keep the rest
    /// from being written.
    pub fn write_run(&self, folder: &Path, plan: &Plan, outcome: &Outcome) -> Written {
        let mut written = Written::default();
        let consoles = folder.join("consoles");
        written.failures.extend(self.prepare(&consoles).err());
        for (node, bytes) in plan.nodes.iter().zip(&outcome.consoles) {
            let path = consoles.join(format!("{}.log", node.name));
            let done = writing(&path, || fs::write(&path, bytes));
            let name = format!("console of {}", node.name);
            written.add(done, self.attachment(&path, name, "text/plain"));
        }
        for network in plan.networks.iter().filter(|network| network.pcap) {
            let path = folder.join(format!("{}.pcapng", network.name));
            let name = format!("traffic of {}", network.name);
            written.add(Ok(()), self.attachment(&path, name, "application/x-pcapng"));
        }
        let path = folder.join("events.jsonl");
        let done = writing(&path, || {
            let mut out = EventWriter::new(BufWriter::new(File::create(&path)?));
            let events = &mut outcome.events.iter();
            events.try_for_each(|event| out.write(event))?;
            out.finish().map(drop)
        });
        let events = self.attachment(&path, "events".to_owned(), "application/jsonl");
        written.add(done, events);
        written
    }

    /// Writes a run's recording, and removes the one of an earlier run that is there.
    pub fn write_recording(
        &self,
        folder: &Path,
        recording: Option<&Recording>,
        written: &mut Written,
    ) {
        let path = folder.join(reproduce::NAME);
        let done = match recording {
            Some(recording) => recording::write(&path, recording).map_err(io::Error::other),
            None if path.exists() => fs::remove_file(&path),
            None => return,
        };
        let done = writing(&path, || done);
        match recording {
            Some(_) => {
                let name = "recording".to_owned();
                written.add(
                    done,
                    self.attachment(&path, name, "application/octet-stream"),
                );
            }
            None => written.failures.extend(done.err()),
        }
    }

    /// Writes a run's findings and assertions.
    pub fn write_verdicts(&self, folder: &Path, report: &Report, failures: &mut Vec<Unwritable>) {
        failures.extend(self.write_findings(folder, report).err());
        failures.extend(self.write_assertions(folder, report).err());
    }

    /// Each finding in a file of its own. Files of an earlier run would be mistaken for this one's.
    fn write_findings(&self, folder: &Path, report: &Report) -> Result<(), Unwritable> {
        let findings = folder.join("findings");
        if findings.exists() {
            writing(&findings, || fs::remove_dir_all(&findings))?;
        }
        for finding in &report.findings {
            self.prepare(&findings)?;
            let path = findings.join(format!("{:03}.json", finding.number));
            let json = serde_json::to_vec_pretty(finding).unwrap_or_default();
            writing(&path, || fs::write(&path, json))?;
        }
        Ok(())
    }

    /// The verdicts of the guests' assertions alone.
    fn write_assertions(&self, folder: &Path, report: &Report) -> Result<(), Unwritable> {
        use crate::outcome::model::Origin;
        let own: Vec<_> = report
            .properties
            .iter()
            .filter(|p| p.origin == Origin::Sdk)
            .collect();
        let path = folder.join("assertions.json");
        let json = serde_json::to_vec_pretty(&own).unwrap_or_default();
        writing(&path, || fs::write(&path, json))
    }

    /// Writes what is about all seeds.
    pub fn write_documents(&self, reports: &[Report]) -> Result<(), Unwritable> {
        let document = Document::new(env!("CARGO_PKG_VERSION"), reports.to_vec());
        Ok(write_all(&document, &Targets::in_directory(&self.folder))?)
    }

    fn attachment(&self, path: &Path, name: String, content_type: &str) -> Attachment {
        let relative = path.strip_prefix(&self.folder).unwrap_or(path);
        Attachment {
            name,
            path: relative.display().to_string(),
            content_type: content_type.to_owned(),
        }
    }
}

/// What was written of a run.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The files.
    pub attachments: Vec<Attachment>,
    /// Those that could not be written.
    pub failures: Vec<Unwritable>,
}

impl Written {
    fn add(&mut self, done: Result<(), Unwritable>, attachment: Attachment) {
        match done {
            Ok(()) => self.attachments.push(attachment),
            Err(failure) => self.failures.push(failure),
        }
    }
}

fn writing<T>(path: &Path, write: impl FnOnce() -> std::io::Result<T>) -> Result<T, Unwritable> {
    write().map_err(|source| Unwritable {
        path: path.to_owned(),
        source,
    })
}
