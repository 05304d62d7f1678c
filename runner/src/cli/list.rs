//! `chaosrun list [PATH...]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use serde::Serialize;
use thiserror::Error;

use super::diagnostics::{Checked, check};
use super::{Exit, Failure, OrExit, print};
use crate::filter::{Selection, Subject};
use crate::report::text;
use crate::report::time::counted;
use crate::scenario::diag::{Rendering, render};

/// The deepest folder that is searched.
const MAX_DEPTH: usize = 16;

/// How scenarios are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// By file, with what each scenario has.
    Human,
    /// One name a line, for scripts.
    Oneline,
    /// One JSON document.
    Json,
}

/// List scenarios, without running them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, and folders that are searched for them.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// How the list is written.
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    message_format: Format,
}

#[derive(Debug, Error, Diagnostic)]
enum ListError {
    #[error("can't read `{}`: {source}", path.display())]
    #[diagnostic(
        code(chaosrun::list::unreadable),
        help("give a scenario file or a folder of them")
    )]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// One scenario of the list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    file: String,
    description: String,
    tags: Vec<String>,
    nodes: Vec<String>,
    faults: Vec<String>,
    properties: Vec<String>,
}

/// The document of `--message-format json`.
#[derive(Debug, Serialize)]
struct ListDocument<'a> {
    schema_version: u32,
    total: usize,
    scenarios: &'a [Listed],
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let selector = self.selection.parse().or_exit(Exit::Usage)?;
        let files = find(&self.paths).or_exit(Exit::Usage)?;
        let mut all = Vec::new();
        let mut invalid = false;
        for file in &files {
            let checked = check(file, true);
            invalid |= complain(&checked);
            all.extend(
                checked
                    .plans
                    .iter()
                    .map(|compiled| listed(file, &compiled.plan)),
            );
        }
        let total = all.len();
        let chosen = selector.select(all, subject);
        print(&self.rendered(&chosen, total));
        Ok(match chosen.is_empty() {
            _ if invalid => Exit::InvalidScenario,
            true => Exit::NothingSelected,
            false => Exit::Passed,
        })
    }

    fn rendered(&self, chosen: &[Listed], total: usize) -> String {
        match self.message_format {
            Format::Human => human(chosen, total),
            Format::Oneline => chosen
                .iter()
                .map(|one| {
                    format!(
                        "{}\t{}\n",
                        text::short_line(&one.name),
                        text::short_line(&one.file)
                    )
                })
                .collect(),
            Format::Json => {
                let document = ListDocument {
                    schema_version: 1,
                    total,
                    scenarios: chosen,
                };
                let json = serde_json::to_string_pretty(&document);
                json.map(|json| json + "\n").unwrap_or_default()
            }
        }
    }
}

/// Shows what is wrong with a file on stderr, and tells whether it has errors.
fn complain(checked: &Checked) -> bool {
    let rendering = Rendering::Graphical {
        color: false,
        width: 100,
    };
    eprint!("{}", render(&checked.sources, &checked.diags, rendering));
    checked.count(crate::scenario::diag::Severity::Error) > 0
}

fn listed(file: &Path, plan: &crate::plan::Plan) -> Listed {
    let subject = Subject::of_plan(plan);
    Listed {
        name: subject.scenario,
        file: file.display().to_string(),
        description: plan.description.clone(),
        tags: subject.tags,
        nodes: subject.nodes,
        faults: subject.faults,
        properties: subject.properties,
    }
}

fn subject(listed: &Listed) -> Subject {
    Subject {
        scenario: listed.name.clone(),
        tags: listed.tags.clone(),
        properties: listed.properties.clone(),
        faults: listed.faults.clone(),
        nodes: listed.nodes.clone(),
    }
}

fn human(chosen: &[Listed], total: usize) -> String {
    let mut out = String::new();
    let mut file = "";
    for one in chosen {
        if one.file != file {
            file = &one.file;
            out.push_str(&format!("{}\n", text::short_line(file)));
        }
        let count = |list: &[String], one: &str, many: &str| counted(list.len() as u64, one, many);
        let facts = [
            count(&one.nodes, "node", "nodes"),
            count(&one.faults, "kind of fault", "kinds of faults"),
            count(&one.properties, "property", "properties"),
        ];
        out.push_str(&format!(
            "  {}  {}\n",
            text::short_line(&one.name),
            facts.join(", ")
        ));
        if !one.tags.is_empty() {
            out.push_str(&format!(
                "      tags: {}\n",
                text::short_line(&one.tags.join(", "))
            ));
        }
    }
    let (shown, total) = (chosen.len() as u64, total as u64);
    let scenarios = counted(total, "scenario", "scenarios");
    match shown == total {
        true => out.push_str(&format!("{scenarios}\n")),
        false => out.push_str(&format!("{shown} of {scenarios} selected\n")),
    }
    out
}

/// The scenario files among `paths` and in the folders among them, sorted, each once. A link to a
/// folder is not followed, so that no search can go round in circles.
fn find(paths: &[PathBuf]) -> Result<BTreeSet<PathBuf>, ListError> {
    let mut found = BTreeSet::new();
    let mut open: Vec<(PathBuf, usize)> = Vec::new();
    for path in paths {
        let unreadable = |source| ListError::Unreadable {
            path: path.clone(),
            source,
        };
        match std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            true => open.push((path.clone(), 0)),
            false => drop(found.insert(path.clone())),
        }
    }
    while let Some((folder, depth)) = open.pop() {
        let unreadable = |source| ListError::Unreadable {
            path: folder.clone(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
            let scenario = path.extension().is_some_and(|e| e == "kdl" || e == "toml");
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if !kind.is_dir() && scenario {
                found.insert(path);
            }
        }
    }
    Ok(found)
}
