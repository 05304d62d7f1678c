//! One scenario with all of its seeds: runs them, writes what each of them did as soon as it is over, and
//! reports when what has to happen in one of all runs is settled.

use std::path::PathBuf;

use super::out::{Places, Unwritable, Written};
use super::progress::Bars;
use super::run::{Options, Selected, quoted};
use super::{Exit, Failure, OrExit, interrupt};
use crate::artifact::node_image::NodeImage;
use crate::outcome::model::{ErrorCause, Report, ToolError, WallClock};
use crate::outcome::time::counted;
use crate::property::Tally;
use crate::run::campaign::{Task, TaskError, campaign};
use crate::run::replay::{Replay, compare};
use crate::run::report::{Context, failed_to_run, report, trim};
use crate::run::{End, Outcome};

/// A scenario with what its nodes boot and where its reports go.
pub(super) struct Sweep<'a> {
    pub selected: &'a Selected,
    pub images: &'a [NodeImage],
    pub places: &'a Places,
}

/// What came of a scenario.
pub(super) struct Swept {
    /// A report for each seed that was run.
    pub reports: Vec<Report>,
    /// The report about all of them that could not be written, if one could not.
    pub unwritten: Option<Unwritable>,
}

/// A seed's run.
struct Run {
    seed: u64,
    folder: PathBuf,
    /// Its number among the tasks.
    first: usize,
    /// The number of the task that runs it again.
    again: Option<usize>,
}

/// What is kept of a run.
struct Kept {
    outcome: Result<Outcome, TaskError>,
    written: Written,
}

impl Sweep<'_> {
    /// Runs everything.
    ///
    /// # Errors
    /// A folder cannot be made, or there are too many seeds.
    pub fn run(&self, options: &Options) -> Result<Swept, Failure> {
        let plan = &self.selected.compiled.plan;
        let (runs, plain) = self.runs(options)?;
        let mut tasks = Vec::new();
        for run in &runs {
            let task = Task {
                plan,
                images: self.images,
                seed: run.seed,
                engine_options: options.engine_options(),
                captures: Some(&run.folder),
            };
            tasks.push(task);
            tasks.extend(run.again.map(|_| Task {
                captures: None,
                ..task
            }));
        }
        let interrupted = interrupt::watch();
        let bars = Bars::new(plan, &tasks, options.stops_at_failure(), interrupted);
        let keep = |task: usize, outcome| {
            let folder = plain
                .get(task)
                .and_then(|run| Some(&runs.get((*run)?)?.folder));
            self.keep(folder, outcome)
        };
        let mut kept = campaign(&tasks, options.jobs(), &bars, &keep);
        let walls = bars.finish();
        settle(&runs, &mut kept);
        let mut reports = Vec::new();
        for run in &runs {
            if let Some(first) = kept[run.first].take() {
                let second = run.again.map(|again| kept[again].take());
                let wall = walls.get(run.first).copied().unwrap_or_default();
                reports.push(self.report(run, first, second, wall));
            }
        }
        not_run(&mut reports, runs.len());
        let unwritten = self.places.write_documents(&reports).err();
        Ok(Swept { reports, unwritten })
    }

    /// The runs of all seeds, and for each task the run that it is, unless it runs one again.
    fn runs(&self, options: &Options) -> Result<(Vec<Run>, Vec<Option<usize>>), Failure> {
        let seeds = options.seeds(&self.selected.compiled.plan)?;
        let several = seeds.len() > 1;
        let (mut runs, mut tasks) = (Vec::new(), Vec::new());
        for (index, seed) in seeds.into_iter().enumerate() {
            let folder = self.places.of_seed(seed, several);
            self.places.prepare(&folder).or_exit(Exit::HostCannot)?;
            let first = tasks.len();
            tasks.push(Some(index));
            let again = options.replays(index).then(|| {
                tasks.push(None);
                first + 1
            });
            runs.push(Run {
                seed,
                folder,
                first,
                again,
            });
        }
        Ok((runs, tasks))
    }

    /// Writes what a run did, unless it only runs another one again, and keeps what reports need.
    fn keep(&self, folder: Option<&PathBuf>, mut outcome: Result<Outcome, TaskError>) -> Kept {
        let mut written = Written::default();
        if let Ok(outcome) = &mut outcome {
            let plan = &self.selected.compiled.plan;
            if let Some(folder) = folder {
                written = self.places.write_run(folder, plan, outcome);
            }
            trim(outcome);
        }
        Kept { outcome, written }
    }

    /// The report of a run, with its findings written.
    fn report(
        &self,
        run: &Run,
        first: Kept,
        second: Option<Option<Kept>>,
        wall: WallClock,
    ) -> Report {
        let file = &self.selected.file;
        let compiled = &self.selected.compiled;
        let context = Context {
            scenario_file: file.display().to_string(),
            scenario_hash: self.selected.hash.clone(),
            seed: run.seed,
            command: format!("chaosrun {} --seed {}", quoted(file), run.seed),
            wall,
            replay: replayed(&first.outcome, second),
        };
        let Kept {
            outcome,
            mut written,
        } = first;
        let mut own = match &outcome {
            Ok(outcome) => report(&compiled.plan, &compiled.origins, outcome, &context),
            Err(error) => failed_to_run(&compiled.plan, &context, error),
        };
        self.places
            .write_verdicts(&run.folder, &own, &mut written.failures);
        own.attachments.append(&mut written.attachments);
        own.errors
            .extend(written.failures.iter().map(|failure| ToolError {
                cause: ErrorCause::Host,
                code: "chaosrun::run::unwritable".to_owned(),
                message: failure.to_string(),
                help: Some("what is missing is missing in this folder only".to_owned()),
            }));
        own.finish()
    }
}

/// Says in the last report how many runs there should have been, but were not.
fn not_run(reports: &mut [Report], wanted: usize) {
    let missing = wanted - reports.len();
    let Some(last) = reports.last_mut().filter(|_| missing > 0) else {
        return;
    };
    let what = format!("{} of {}", missing, counted(wanted as u64, "seed", "seeds"));
    if interrupt::is_set() {
        interrupted(last, &what);
    } else {
        let note = format!("{what} were not run, because of --fail-fast");
        last.notes.push(note);
    }
}

/// Says in a report that something was not run, and that therefore nothing is passed.
pub(super) fn interrupted(report: &mut Report, what: &str) {
    report.errors.push(ToolError {
        cause: ErrorCause::Interrupted,
        code: "chaosrun::run::interrupted".to_owned(),
        message: format!("chaosrun was interrupted: {what} were not run"),
        help: None,
    });
    *report = report.clone().finish();
}

/// What running again showed. The second run is missing if none was wanted, or if it did not begin.
fn replayed(
    first: &Result<Outcome, TaskError>,
    second: Option<Option<Kept>>,
) -> Result<Replay, String> {
    let stopped = |outcome: &Outcome| matches!(outcome.end, End::Stopped(_));
    let Some(second) = second else {
        return Err("`--replay` did not ask for this run".to_owned());
    };
    match (first, second.map(|kept| kept.outcome)) {
        (Ok(first), Some(Ok(second))) if stopped(first) || stopped(&second) => {
            Err("a run was ended before its time".to_owned())
        }
        (Ok(first), Some(Ok(second))) => Ok(compare(&first.chain, &second.chain)),
        (_, Some(Err(error))) => Err(format!("the second run failed: {error}")),
        _ => Err("there was no second run".to_owned()),
    }
}

/// Gives what has to happen in one of all runs the verdict that holds over all of them.
fn settle(runs: &[Run], kept: &mut [Option<Kept>]) {
    let mut tally = Tally::default();
    for run in runs {
        if let Some(Ok(outcome)) = kept[run.first].as_ref().map(|kept| &kept.outcome) {
            tally.add(&outcome.judgements);
        }
    }
    for run in runs {
        if let Some(Ok(outcome)) = kept[run.first].as_mut().map(|kept| &mut kept.outcome) {
            tally.settle(&mut outcome.judgements);
        }
    }
}
