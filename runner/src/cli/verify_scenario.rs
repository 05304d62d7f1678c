//! `chaosrun verify FILE -n N` with a scenario: is a run of a whole cluster a function of its inputs?

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use chaosrun_vmm::engine::EngineOptions;
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

/// Runs the scenarios of a file or folder `runs` times each and compares.
pub(super) fn verify(
    file: &Path,
    runs: u32,
    seed: Option<u64>,
    jobs: Option<NonZeroUsize>,
    engine_options: EngineOptions,
    boot: BootMode,
) -> Result<Exit, Failure> {
    let options = Options::of_verify(jobs, seed);
    let Some(selected) = options.select(&[PathBuf::from(file)])? else {
        return Ok(Exit::InvalidScenario);
    };
    if selected.is_empty() {
        say("chaosrun: nothing is selected; `chaosrun list FILE...` shows what there is");
        return Ok(Exit::NothingSelected);
    }
    let images = images(&selected)?;
    let boots = boot.boots()?;
    let mut exit = Exit::Passed;
    for (one, images) in selected.iter().zip(&images) {
        let plan = &one.compiled.plan;
        let seed = seed.unwrap_or(plan.run.seed_first);
        let task = Task {
            plan,
            images,
            seed,
            engine_options,
            captures: None,
            boots: &boots,
        };
        let tasks = vec![task; runs as usize];
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
