//! `chaosrun run FILE...`, which `chaosrun FILE...` means, too.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::diagnostics::{Checked, Messages, check};
use super::out::{Places, Unwritable};
use super::progress::Bars;
use super::{Exit, Failure, OrExit, engines, interrupt, print};
use crate::artifact::node_image::{NodeImage, node_images};
use crate::artifact::{Progress, Store};
use crate::filter::{Seeds, Selection, Subject};
use crate::plan::{Compiled, Plan};
use crate::property::Tally;
use crate::report::model::{Document, ExitStatus, Report, WallClock};
use crate::report::outputs::{Outputs, style};
use crate::report::terminal;
use crate::run::campaign::{Task, TaskError, campaign};
use crate::run::replay::{Replay, compare};
use crate::run::report::{Context, failed_to_run, report};
use crate::run::{End, Outcome};
use crate::scenario::diag::Severity;

/// Run scenarios, judge them, and write reports.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, in KDL or TOML.
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
    replay: ReplayWhich,
    #[command(flatten)]
    stopping: engines::StoppingArgs,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    messages: Messages,
}

/// Which runs are run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReplayWhich {
    /// None.
    None,
    /// The first seed of each scenario.
    First,
    /// All.
    All,
}

/// A plan that was selected.
pub(super) struct Selected {
    /// The scenario's file, as it was given.
    pub file: PathBuf,
    /// BLAKE3 of its text.
    pub hash: String,
    pub compiled: Compiled,
}

/// Running was refused.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum Refused {
    #[error("`{scenario}` asks for exploration, which chaosrun does not do yet")]
    #[diagnostic(
        code(chaosrun::run::explore_unsupported),
        help("remove the `explore` block; `--seeds 1..20` tries several seeds")
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
            replay: ReplayWhich::None,
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
        for file in files {
            let checked = check(file, false);
            valid &= checked.count(Severity::Error) == 0;
            if self.messages.show(&checked).is_err() {
                return Ok(None);
            }
            all.extend(plans_of(file, checked));
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
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.jobs.map_or_else(cores, NonZeroUsize::get)
    }

    /// The seeds to run a plan with.
    pub(super) fn seeds(&self, plan: &Plan) -> Result<Vec<u64>, Failure> {
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
        let images = images(selected)?;
        let mut reports = Vec::new();
        for (one, images) in selected.iter().zip(&images) {
            let several = selected.len() > 1;
            let places = Places::new(self.out.as_deref(), &one.compiled.plan, several);
            let own = self.run_scenario(one, images, &places.or_exit(Exit::HostCannot)?)?;
            let failed = own.iter().any(|report| report.totals.failed > 0);
            reports.extend(own);
            if (self.fail_fast && failed) || interrupted() {
                break;
            }
        }
        let document = Document::new(env!("CARGO_PKG_VERSION"), reports);
        self.publish(&document, selected)
    }

    /// Runs one scenario with all of its seeds and writes its folder.
    fn run_scenario(
        &self,
        one: &Selected,
        images: &[NodeImage],
        places: &Places,
    ) -> Result<Vec<Report>, Failure> {
        let plan = &one.compiled.plan;
        let seeds = self.seeds(plan)?;
        let several = seeds.len() > 1;
        let mut tasks = Vec::new();
        // Each run with the place of its replay behind it.
        let mut runs: Vec<(u64, usize, Option<usize>)> = Vec::new();
        let folders: Vec<PathBuf> = seeds
            .iter()
            .map(|seed| places.of_seed(*seed, several))
            .collect();
        for (index, seed) in seeds.iter().enumerate() {
            places.prepare(&folders[index]).or_exit(Exit::HostCannot)?;
            let task = Task {
                plan,
                images,
                seed: *seed,
                engine_options: self.stopping.options(),
                captures: Some(&folders[index]),
            };
            tasks.push(task);
            let again = match self.replay {
                ReplayWhich::None => false,
                ReplayWhich::First => index == 0,
                ReplayWhich::All => true,
            };
            let first = tasks.len() - 1;
            if again {
                tasks.push(Task {
                    captures: None,
                    ..task
                });
            }
            runs.push((*seed, first, again.then_some(first + 1)));
        }
        let bars = Bars::new(plan, &tasks, self.fail_fast, interrupt::watch());
        let mut outcomes = campaign(&tasks, self.jobs(), &bars);
        let wall = bars.finish();
        settle(&runs, &mut outcomes);
        let mut reports = Vec::new();
        for (index, (seed, first, again)) in runs.into_iter().enumerate() {
            let Some(outcome) = outcomes[first].take() else {
                continue;
            };
            let second = again.and_then(|again| outcomes[again].take());
            let context = Context {
                scenario_file: one.file.display().to_string(),
                scenario_hash: one.hash.clone(),
                seed,
                command: format!("chaosrun {} --seed {seed}", quoted(&one.file)),
                wall: wall.get(first).copied().unwrap_or_default(),
                replay: replayed(&outcome, second, again.is_some()),
            };
            let own = match &outcome {
                Ok(outcome) => {
                    let own = report(plan, &one.compiled.origins, outcome, &context);
                    places
                        .write_run(&folders[index], plan, outcome, own)
                        .or_exit(Exit::HostCannot)?
                }
                Err(error) => failed_to_run(plan, &context, error),
            };
            reports.push(own);
        }
        places.write_documents(&reports).or_exit(Exit::HostCannot)?;
        Ok(reports)
    }

    /// Writes the files that were asked for and prints the summary.
    fn publish(&self, document: &Document, selected: &[Selected]) -> Result<Exit, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let annotations = self
            .outputs
            .publish(document, variable)
            .map_err(Unwritable::from);
        let annotations = annotations.or_exit(Exit::HostCannot)?;
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
            print(&terminal::render(document, style, Some(&path)));
        }
        print(&annotations);
        Ok(exit_of(document))
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

fn plans_of(file: &Path, checked: Checked) -> Vec<Selected> {
    let text = std::fs::read(file).unwrap_or_default();
    let hash = blake3::hash(&text).to_hex().to_string();
    let plans = checked.plans.into_iter();
    plans
        .map(|compiled| Selected {
            file: file.to_owned(),
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
    let store = Store::open(Progress::detect()).or_exit(Exit::HostCannot)?;
    let of = |one: &Selected| node_images(&store, &one.compiled.plan, &one.compiled.origins);
    let suited = |one: &Selected| {
        let images = of(one).or_exit(Exit::HostCannot)?;
        engines::suit(&one.compiled.plan, &images)?;
        Ok(images)
    };
    selected.iter().map(suited).collect()
}

/// What running again showed.
fn replayed(
    first: &Result<Outcome, TaskError>,
    second: Option<Result<Outcome, TaskError>>,
    wanted: bool,
) -> Result<Replay, String> {
    let stopped = |outcome: &Outcome| matches!(outcome.end, End::Stopped(_));
    match (first, second) {
        (_, _) if !wanted => Err("`--replay` did not ask for this run".to_owned()),
        (Ok(first), Some(Ok(second))) if stopped(first) || stopped(&second) => {
            Err("a run was ended before its time".to_owned())
        }
        (Ok(first), Some(Ok(second))) => Ok(compare(&first.chain, &second.chain)),
        (_, Some(Err(error))) => Err(format!("the second run failed: {error}")),
        _ => Err("there was no second run".to_owned()),
    }
}

/// Gives what has to happen in one of all runs the verdict that holds over all of them.
fn settle(
    runs: &[(u64, usize, Option<usize>)],
    outcomes: &mut [Option<Result<Outcome, TaskError>>],
) {
    let mut tally = Tally::default();
    for (_, first, _) in runs {
        if let Some(Ok(outcome)) = &outcomes[*first] {
            tally.add(&outcome.judgements);
        }
    }
    for (_, first, _) in runs {
        if let Some(Ok(outcome)) = &mut outcomes[*first] {
            tally.settle(&mut outcome.judgements);
        }
    }
}

fn interrupted() -> bool {
    interrupt::watch().load(std::sync::atomic::Ordering::Relaxed)
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Host time of runs.
pub(super) type Walls = Vec<WallClock>;
