//! `chaosrun list [PATH...]`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::diagnostics::{Checked, check_all};
use super::{Exit, Failure, OrExit, files, print};
use crate::filter::{Selection, Subject};
use crate::outcome::text;
use crate::outcome::time::counted;
use crate::scenario::diag::{Rendering, render};

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
    /// Files that are no scenarios, but what scenarios include.
    fragments: &'a [String],
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let selector = self.selection.parse().or_exit(Exit::Usage)?;
        files::exist(&self.paths)?;
        let (mut all, mut fragments) = (Vec::new(), Vec::new());
        let mut invalid = false;
        for checked in check_all(&files::find(&self.paths)?, true) {
            invalid |= complain(&checked);
            if checked.fragment {
                fragments.push(checked.path.display().to_string());
            }
            let plans = checked.plans.iter();
            all.extend(plans.map(|compiled| listed(&checked.path, &compiled.plan)));
        }
        let total = all.len();
        let chosen = selector.select(all, subject);
        print(&self.rendered(&chosen, total, &fragments));
        Ok(match chosen.is_empty() {
            _ if invalid => Exit::InvalidScenario,
            true => Exit::NothingSelected,
            false => Exit::Passed,
        })
    }

    fn rendered(&self, chosen: &[Listed], total: usize, fragments: &[String]) -> String {
        match self.message_format {
            Format::Human => human(chosen, total) + &fragments_line(fragments),
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
                    fragments,
                };
                let json = serde_json::to_string_pretty(&document);
                json.map(|json| json + "\n").unwrap_or_default()
            }
        }
    }
}

/// The fragments in a line, if there are any.
fn fragments_line(fragments: &[String]) -> String {
    if fragments.is_empty() {
        return String::new();
    }
    let count = counted(fragments.len() as u64, "fragment", "fragments");
    let names: Vec<String> = fragments
        .iter()
        .map(|name| text::short_line(name))
        .collect();
    format!("{count} for `include`: {}\n", names.join(", "))
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
