//! The flags that say where reports go, shared by every subcommand that runs scenarios.

use std::path::PathBuf;

use chaosrun_judge::outcome::Document;
use chaosrun_judge::report::github;
use chaosrun_judge::report::junit::{Flavour, Options, Undecided};
use chaosrun_judge::report::terminal::Style;
use chaosrun_judge::report::write::{Targets, WriteError, write_all};

use super::color::ColorChoice;

/// Where reports go.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Outputs {
    /// Also write the JUnit report to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write JUnit with nothing but what Jenkins' junit-10.xsd allows.
    #[arg(long)]
    pub junit_strict: bool,
    /// Write inconclusive properties as JUnit errors instead of as skipped.
    #[arg(long)]
    pub junit_undecided_is_error: bool,
    /// Also write the JSON report to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Also write a report in the Common Test Report Format to this file.
    #[arg(long, value_name = "FILE")]
    pub ctrf: Option<PathBuf>,
}

impl Outputs {
    /// The files to write besides those of the output directory. `variable` looks up an environment
    /// variable: on GitHub the step summary is written, too.
    pub fn targets(&self, variable: impl Fn(&str) -> Option<String>) -> Targets {
        let summary = on_github(&variable)
            .then(|| variable("GITHUB_STEP_SUMMARY"))
            .flatten();
        Targets {
            json: self.json.clone(),
            junit: self.junit.clone(),
            junit_options: self.junit_options(),
            ctrf: self.ctrf.clone(),
            github_summary: summary.filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    /// How JUnit is written.
    pub fn junit_options(&self) -> Options {
        Options {
            flavour: if self.junit_strict {
                Flavour::Strict
            } else {
                Flavour::Lenient
            },
            undecided: if self.junit_undecided_is_error {
                Undecided::Error
            } else {
                Undecided::Skipped
            },
        }
    }

    /// Writes every file that was asked for, and returns GitHub's annotations, which have to be
    /// printed to stdout and are empty elsewhere.
    ///
    /// # Errors
    /// The first file that can't be written.
    pub fn publish(
        &self,
        document: &Document,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<String, WriteError> {
        write_all(document, &self.targets(&variable))?;
        Ok(if on_github(&variable) {
            github::annotations(document)
        } else {
            String::new()
        })
    }
}

fn on_github(variable: &impl Fn(&str) -> Option<String>) -> bool {
    variable("GITHUB_ACTIONS").as_deref() == Some("true")
}

/// The style for a stream; `columns` is the terminal's width if it is one.
pub fn style(
    color: ColorChoice,
    columns: Option<usize>,
    variable: impl Fn(&str) -> Option<String>,
) -> Style {
    Style {
        color: color.resolve(columns.is_some(), variable),
        width: columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaosrun_judge::outcome::model::ErrorCause;
    use chaosrun_judge::outcome::{Report, RunInfo, ToolError};

    /// A document of a scenario that could not be run.
    fn document() -> Document {
        let mut report = Report::new(RunInfo::default());
        report.errors.push(ToolError {
            cause: ErrorCause::Host,
            code: "chaosrun::host::full".to_owned(),
            message: "a disk is full".to_owned(),
            help: None,
        });
        Document::new("0.1.0", vec![report.finish()])
    }

    #[test]
    fn every_file_that_is_asked_for_is_written() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join("deep").join(name);
        let outputs = Outputs {
            junit: Some(path("junit.xml")),
            json: Some(path("report.json")),
            ctrf: Some(path("ctrf.json")),
            ..Outputs::default()
        };
        let annotations = outputs.publish(&document(), |_| None);
        assert_eq!(annotations.expect("they can be written"), "");
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("deep"))
            .expect("it was made")
            .map(|entry| entry.expect("it can be listed").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["ctrf.json", "junit.xml", "report.json"]);
    }

    #[test]
    fn on_github_the_summary_is_appended_and_annotations_are_returned() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let summary = folder.path().join("summary.md");
        std::fs::write(&summary, "before\n").expect("it can be written");
        let variable = |name: &str| match name {
            "GITHUB_ACTIONS" => Some("true".to_owned()),
            "GITHUB_STEP_SUMMARY" => summary.to_str().map(str::to_owned),
            _ => None,
        };
        let annotations = Outputs::default().publish(&document(), variable);
        assert!(
            annotations
                .expect("it can be written")
                .starts_with("::error ")
        );
        let text = std::fs::read_to_string(&summary).expect("it is there");
        assert!(text.starts_with("before\n### "));
    }

    #[test]
    fn a_file_that_can_not_be_written_is_named() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::write(folder.path().join("file"), "").expect("it can be written");
        let json = folder.path().join("file").join("report.json");
        let outputs = Outputs {
            json: Some(json),
            ..Outputs::default()
        };
        let error = outputs
            .publish(&document(), |_| None)
            .expect_err("a file is in the way");
        assert!(error.to_string().contains("report.json"));
    }
}
