//! `chaosrun verify FILE -n N` with a scenario: is a run of a whole cluster a function of its inputs?

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use chaosrun_vmm::engine::EngineOptions;
use chaosrun_vmm::tape::Tape;
use miette::Diagnostic;
use thiserror::Error;

use super::boots::BootMode;
use super::guest::exit_of_engine;
use super::progress::{Bars, say};
use super::run::{Options, images};
use super::sweep::Selected;
use super::{Exit, Failure, OrExit, interrupt, print};
use crate::outcome::time::human_duration;
use crate::run::campaign::{Task, TaskError, campaign};
use crate::run::compare::difference;
use crate::run::{End, Outcome};

/// The runs can't be compared, or differ.
#[derive(Debug, Error, Diagnostic)]
enum VerifyError {
    /// Two runs differ.
    #[error("run {run} of `{scenario}` is not the same as run 1: {difference}")]
    #[diagnostic(
        code(chaosrun::verify::nondeterminism),
        help("this is a defect of chaosrun; please report it with the scenario and the seed")
    )]
    Differs {
        /// The scenario.
        scenario: String,
        /// The number of the run that differs.
        run: usize,
        /// The first difference.
        difference: String,
    },
    /// A run failed.
    #[error("`{scenario}` could not be run")]
    #[diagnostic(code(chaosrun::verify::failed))]
    Failed {
        /// The scenario.
        scenario: String,
        /// Why.
        source: TaskError,
    },
}

/// How scenarios are run.
pub(super) struct How {
    /// How often.
    pub runs: u32,
    /// The seed, if it is not the scenario's.
    pub seed: Option<u64>,
    /// How many threads there are.
    pub jobs: Option<NonZeroUsize>,
    /// What the nodes' engines are told.
    pub engine_options: EngineOptions,
    /// What is done about boots.
    pub boot: BootMode,
    /// Whether all runs but the first go back to earlier moments.
    pub restore: bool,
}

/// Runs the scenarios of a file or folder several times each and compares.
pub(super) fn verify(file: &Path, how: &How) -> Result<Exit, Failure> {
    let options = Options::of_verify(how.jobs, how.seed);
    let Some(selected) = options.select(&[PathBuf::from(file)])? else {
        return Ok(Exit::InvalidScenario);
    };
    if selected.is_empty() {
        say("chaosrun: nothing is selected; `chaosrun list FILE...` shows what there is");
        return Ok(Exit::NothingSelected);
    }
    let images = images(&selected)?;
    let boots = how.boot.boots()?;
    let mut exit = Exit::Passed;
    for (one, images) in selected.iter().zip(&images) {
        let plan = &one.compiled.plan;
        let seed = how.seed.unwrap_or(plan.run.seed_first);
        let tape = Tape::new(seed);
        let task = Task {
            plan,
            images,
            tape: &tape,
            engine_options: how.engine_options,
            captures: None,
            boots: &boots,
            jumps: None,
        };
        let jumps = |run: u32| Some(run.into()).filter(|_| how.restore && run > 0);
        let tasks = (0..how.runs).map(|run| Task {
            jumps: jumps(run),
            ..task
        });
        let tasks: Vec<Task<'_>> = tasks.collect();
        let bars = Bars::new(plan, &tasks, true, interrupt::watch());
        let outcomes = campaign(&tasks, options.jobs(), &bars, &|_, outcome| outcome);
        drop(bars.finish());
        let same = compared(one, outcomes)?;
        if same != Exit::Passed {
            exit = same;
        }
    }
    Ok(exit)
}

/// Compares all outcomes with the first one.
fn compared(
    one: &Selected,
    outcomes: Vec<Option<Result<Outcome, TaskError>>>,
) -> Result<Exit, Failure> {
    let scenario = one.compiled.plan.name.clone();
    let mut first: Option<Outcome> = None;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let Some(outcome) = outcome else {
            return Ok(Exit::Inconclusive);
        };
        let outcome = outcome.map_err(|source| {
            let exit = source.engine().map_or(Exit::HostCannot, exit_of_engine);
            let scenario = scenario.clone();
            Failure::new(exit, VerifyError::Failed { scenario, source })
        })?;
        if matches!(outcome.end, End::Stopped(_)) {
            return Ok(Exit::Inconclusive);
        }
        print(&line(&scenario, index + 1, &outcome));
        let Some(first) = &first else {
            first = Some(outcome);
            continue;
        };
        if let Some(difference) = difference(first, &outcome) {
            let run = index + 1;
            return Err(VerifyError::Differs {
                scenario,
                run,
                difference,
            })
            .or_exit(Exit::Nondeterminism);
        }
    }
    Ok(Exit::Passed)
}

fn line(scenario: &str, number: usize, outcome: &Outcome) -> String {
    let chain = outcome.chain.last().map_or(0, |hash| hash.chain);
    format!(
        "{scenario} run {number}: {chain:032x} after {} state hashes, {}, {} instructions, {} events\n",
        outcome.chain.len(),
        human_duration(outcome.end_ns),
        outcome.instructions,
        outcome.events.len(),
    )
}
