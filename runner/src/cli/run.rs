//! `chaosrun run FILE...`, which `chaosrun FILE...` means, too.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::artifact::open_store;
use super::boots::BootMode;
use super::diagnostics::{Checked, Messages, check_all};
use super::out::{Places, Unwritable};
use super::outputs::{Outputs, style};
use super::progress::say;
use super::sweep::{Replays, Selected, Sweep, interrupted};
use super::{Exit, Failure, OrExit, cores, engines, files, interrupt, print};
use crate::artifact::node_image::{NodeImage, node_images};
use crate::filter::{Seeds, Selection, Subject};
use crate::outcome::model::{Document, ExitStatus, Report};
use crate::plan::Plan;
use crate::report::terminal;
use crate::scenario::diag::Severity;

/// Run scenarios, judge them, and write reports.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML, and folders that are searched for them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) options: Options,
}

/// What the subcommands that run scenarios have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// The seed, instead of the scenario's.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Several seeds, both ends included, as in `1..20`.
    #[arg(long, value_name = "A..B")]
    seeds: Option<Seeds>,
    /// How many threads to use; by default one per core. It has no effect on results.
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// The folder for reports; by default `chaosrun-out/<scenario>`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Begin no more runs after the first one that does not pass.
    #[arg(long)]
    fail_fast: bool,
    /// Which runs are run a second time to prove that they are functions of their inputs.
    #[arg(long, value_enum, default_value = "first", value_name = "WHICH")]
    replay: Replays,
    /// Leave a recording of each run, for `chaosrun reproduce`; runs that fail always leave one.
    #[arg(long)]
    record: bool,
    /// Whether a boot that was executed before is executed again. It has no effect on results.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    boot: BootMode,
    #[command(flatten)]
    stopping: engines::StoppingArgs,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    messages: Messages,
}

/// Running was refused.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum Refused {
    #[error("`{scenario}` asks for exploration, which chaosrun does not do yet")]
    #[diagnostic(
        code(chaosrun::run::explore_unsupported),
        help(
            "remove the `explore` block, or leave the scenario out: \
             -E 'not scenario(={scenario})'; `--seeds 1..20` tries several seeds"
        )
    )]
    Explore { scenario: String },
    #[error("there are more than a million runs to do")]
    #[diagnostic(code(chaosrun::run::too_many), help("give fewer seeds"))]
    TooMany,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(selected) = self.options.select(&self.files)? else {
            return Ok(Exit::InvalidScenario);
        };
        if selected.is_empty() {
            say("chaosrun: nothing is selected; `chaosrun list FILE...` shows what there is");
            return Ok(Exit::NothingSelected);
        }
        self.options.run_all(&selected)
    }
}

impl Options {
    /// The options of `chaosrun verify`, which takes one seed and writes nothing.
    pub(super) fn of_verify(jobs: Option<NonZeroUsize>, seed: Option<u64>) -> Self {
        Self {
            selection: Selection::default(),
            seed,
            seeds: None,
            jobs,
            out: None,
            fail_fast: false,
            replay: Replays::None,
            record: false,
            boot: BootMode::default(),
            stopping: engines::StoppingArgs::default(),
            outputs: Outputs::default(),
            messages: Messages::default(),
        }
    }

    /// Reads the files and selects plans. None if a scenario is invalid, which has been shown.
    pub(super) fn select(&self, files: &[PathBuf]) -> Result<Option<Vec<Selected>>, Failure> {
        let selector = self.selection.parse().or_exit(Exit::Usage)?;
        let mut all = Vec::new();
        let mut valid = true;
        for checked in check_all(&files::find(files)?, false) {
            valid &= checked.count(Severity::Error) == 0;
            if self.messages.show(&checked).is_err() {
                return Ok(None);
            }
            all.extend(plans_of(checked));
        }
        if !valid {
            return Ok(None);
        }
        let mut selected = selector.select(all, |one| Subject::of_plan(&one.compiled.plan));
        for one in &mut selected {
            possible(&one.compiled.plan).or_exit(Exit::HostCannot)?;
            engines::settle(&mut one.compiled.plan)?;
        }
        Ok(Some(selected))
    }

    pub(super) fn jobs(&self) -> usize {
        cores(self.jobs)
    }

    /// The seeds to run a plan with.
    fn seeds(&self, plan: &Plan) -> Result<Vec<u64>, Failure> {
        let seeds = match (self.seed, self.seeds) {
            (Some(seed), _) => Seeds::one(seed),
            (None, Some(seeds)) => seeds,
            (None, None) => Seeds::between(plan.run.seed_first, plan.run.seed_last),
        };
        if seeds.count() > 1_000_000 {
            return Err(Refused::TooMany).or_exit(Exit::Usage);
        }
        Ok(seeds.iter().collect())
    }

    fn run_all(&self, selected: &[Selected]) -> Result<Exit, Failure> {
        let several = selected.len() > 1;
        let mut taken = BTreeSet::new();
        let place = |one: &Selected| {
            let plan = &one.compiled.plan;
            Places::new(self.out.as_deref(), plan, several, &mut taken).or_exit(Exit::HostCannot)
        };
        // Before anything is built or run for nothing.
        let places: Vec<Places> = selected.iter().map(place).collect::<Result<_, _>>()?;
        let images = images(selected)?;
        let boots = self.boot.boots()?;
        let mut reports: Vec<Report> = Vec::new();
        let mut unwritten = None;
        for (number, (one, images)) in selected.iter().zip(&images).enumerate() {
            let sweep = Sweep {
                selected: one,
                images,
                places: &places[number],
                seeds: self.seeds(&one.compiled.plan)?,
                jobs: self.jobs(),
                engine_options: self.stopping.options(),
                boots: &boots,
                fail_fast: self.fail_fast,
                record: self.record,
                replays: self.replay,
            };
            let swept = sweep.run()?;
            let failed = swept.reports.iter().any(|report| report.totals.failed > 0);
            reports.extend(swept.reports);
            unwritten = unwritten.or(swept.unwritten);
            let left = selected.len() - number - 1;
            let of = format!("{left} of {} scenarios", selected.len());
            match reports.last_mut().filter(|_| left > 0) {
                Some(last) if interrupt::is_set() => {
                    interrupted(last, &of);
                    break;
                }
                Some(last) if self.fail_fast && failed => {
                    last.notes
                        .push(format!("{of} were not run, because of --fail-fast"));
                    break;
                }
                _ => {}
            }
        }
        let document = Document::new(env!("CARGO_PKG_VERSION"), reports);
        self.publish(&document, selected, unwritten)
    }

    /// Prints the summary and writes the files that were asked for. `unwritten` is a file that could not
    /// be written before.
    fn publish(
        &self,
        document: &Document,
        selected: &[Selected],
        unwritten: Option<Unwritable>,
    ) -> Result<Exit, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let (annotations, more) = match self.outputs.publish(document, variable) {
            Ok(annotations) => (annotations, None),
            Err(error) => (String::new(), Some(Unwritable::from(error))),
        };
        let unwritten = unwritten.or(more);
        if self.messages.is_json() {
            let json = serde_json::to_string(document).unwrap_or_default();
            print(&(json + "\n"));
        } else {
            let style = style(self.messages.color, super::terminal_width(), variable);
            let folder = match selected {
                [one] => Places::folder(self.out.as_deref(), &one.compiled.plan, false),
                _ => self
                    .out
                    .clone()
                    .unwrap_or_else(|| PathBuf::from("chaosrun-out")),
            };
            let path = folder.join("report.json").display().to_string();
            let path = unwritten.is_none().then_some(path);
            print(&terminal::render(document, style, path.as_deref()));
        }
        print(&annotations);
        match (exit_of(document), unwritten) {
            (exit, None) => Ok(exit),
            // A failure of the system under test is certain, and stays one.
            (exit @ (Exit::PropertyFailed | Exit::Nondeterminism), Some(unwritten)) => {
                Err(unwritten).or_exit(exit)
            }
            (_, Some(unwritten)) => Err(unwritten).or_exit(Exit::HostCannot),
        }
    }
}

fn exit_of(document: &Document) -> Exit {
    match document.exit_status() {
        ExitStatus::Passed => Exit::Passed,
        ExitStatus::PropertyFailed => Exit::PropertyFailed,
        ExitStatus::Inconclusive => Exit::Inconclusive,
        ExitStatus::Nondeterminism => Exit::Nondeterminism,
        ExitStatus::HostCannot => Exit::HostCannot,
        ExitStatus::Internal => Exit::Internal,
    }
}

fn plans_of(checked: Checked) -> Vec<Selected> {
    let file = checked.path;
    let text = std::fs::read(&file).unwrap_or_default();
    let hash = blake3::hash(&text).to_hex().to_string();
    let plans = checked.plans.into_iter();
    plans
        .map(|compiled| Selected {
            file: file.clone(),
            hash: hash.clone(),
            compiled,
        })
        .collect()
}

/// Whether chaosrun can run a plan.
fn possible(plan: &Plan) -> Result<(), Refused> {
    if plan.explore.is_some() {
        return Err(Refused::Explore {
            scenario: plan.name.clone(),
        });
    }
    Ok(())
}

/// Fetches and builds what the plans need, before anything runs.
pub(super) fn images(selected: &[Selected]) -> Result<Vec<Vec<NodeImage>>, Failure> {
    let store = open_store()?;
    let of = |one: &Selected| node_images(&store, &one.compiled.plan, &one.compiled.origins);
    let suited = |one: &Selected| {
        let images = of(one).or_exit(Exit::HostCannot)?;
        engines::suit(&one.compiled.plan, &images)?;
        Ok(images)
    };
    selected.iter().map(suited).collect()
}
