//! One scenario with all of its seeds: runs them, writes what each of them did as soon as it is over, and
//! reports when what has to happen in one of all runs is settled.

use std::path::PathBuf;

use chaosrun_vmm::engine::EngineOptions;
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::Boots;

use super::out::{Places, Unwritable, Written};
use super::progress::Bars;
use super::{Exit, Failure, OrExit, interrupt};
use crate::artifact::node_image::NodeImage;
use crate::outcome::model::{ErrorCause, Report, ToolError, WallClock};
use crate::outcome::text::shell_line;
use crate::outcome::time::counted;
use crate::plan::Compiled;
use crate::property::Tally;
use crate::recording::{Origin, Recording};
use crate::run::campaign::{Task, TaskError, campaign};
use crate::run::compare::{Replay, compare};
use crate::run::report::{Context, failed_to_run, report, trim};
use crate::run::{End, Outcome};

/// A plan that was selected.
pub(super) struct Selected {
    /// The scenario's file, as it was given.
    pub file: PathBuf,
    /// BLAKE3 of its text.
    pub hash: String,
    /// The plan, with where things were written.
    pub compiled: Compiled,
}

/// Which runs are run a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Replays {
    /// None.
    None,
    /// The first seed of each scenario.
    First,
    /// All.
    All,
}

impl Replays {
    /// Whether the run of the seed with this number is one of them.
    fn has(self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::First => index == 0,
            Self::All => true,
        }
    }
}

/// A scenario with what its nodes boot, where its reports go, and how it is run.
pub(super) struct Sweep<'a> {
    pub selected: &'a Selected,
    pub images: &'a [NodeImage],
    pub places: &'a Places,
    pub seeds: Vec<u64>,
    /// How many threads to use.
    pub jobs: usize,
    /// How the nodes of the host's KVM are stopped.
    pub engine_options: EngineOptions,
    /// The boots that need not be executed again.
    pub boots: &'a Boots,
    /// Whether no run begins after one that failed.
    pub fail_fast: bool,
    /// Whether runs that pass leave a recording, too.
    pub record: bool,
    pub replays: Replays,
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
    tape: Tape,
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
    /// A folder cannot be made.
    pub fn run(&self) -> Result<Swept, Failure> {
        let plan = &self.selected.compiled.plan;
        let (runs, plain) = self.runs()?;
        let mut tasks = Vec::new();
        for run in &runs {
            let task = Task {
                plan,
                images: self.images,
                tape: &run.tape,
                engine_options: self.engine_options,
                captures: Some(&run.folder),
                boots: self.boots,
                jumps: None,
            };
            tasks.push(task);
            tasks.extend(run.again.map(|_| Task {
                captures: None,
                ..task
            }));
        }
        let interrupted = interrupt::watch();
        let bars = Bars::new(plan, &tasks, self.fail_fast, interrupted);
        let keep = |task: usize, outcome| {
            let run = plain.get(task).and_then(|run| runs.get((*run)?));
            self.keep(run, outcome)
        };
        let mut kept = campaign(&tasks, self.jobs, &bars, &keep);
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
    fn runs(&self) -> Result<(Vec<Run>, Vec<Option<usize>>), Failure> {
        let several = self.seeds.len() > 1;
        let (mut runs, mut tasks) = (Vec::new(), Vec::new());
        for (index, &seed) in self.seeds.iter().enumerate() {
            let folder = self.places.of_seed(seed, several);
            self.places.prepare(&folder).or_exit(Exit::HostCannot)?;
            let first = tasks.len();
            tasks.push(Some(index));
            let again = self.replays.has(index).then(|| {
                tasks.push(None);
                first + 1
            });
            runs.push(Run {
                tape: Tape::new(seed),
                folder,
                first,
                again,
            });
        }
        Ok((runs, tasks))
    }

    /// Writes what a run did, unless it only runs another one again, and keeps what reports need.
    fn keep(&self, run: Option<&Run>, mut outcome: Result<Outcome, TaskError>) -> Kept {
        let mut written = Written::default();
        if let Ok(outcome) = &mut outcome {
            let plan = &self.selected.compiled.plan;
            if let Some(run) = run {
                written = self.places.write_run(&run.folder, plan, outcome);
                self.record(run, outcome, &mut written);
            }
            trim(outcome);
        }
        Kept { outcome, written }
    }

    /// Leaves a recording of a run that failed, or of any if that is asked for, and none of an earlier one.
    fn record(&self, run: &Run, outcome: &Outcome, written: &mut Written) {
        let failed = outcome.judgements.iter().any(|j| j.failure.is_some());
        let whole = !matches!(outcome.end, End::Stopped(_));
        let recording = (whole && (failed || self.record)).then(|| {
            let compiled = &self.selected.compiled;
            let origin = Origin {
                file: &self.selected.file.display().to_string(),
                plan: &compiled.plan,
                origins: &compiled.origins,
                images: self.images,
                tape: &run.tape,
            };
            Recording::new(origin, outcome)
        });
        self.places
            .write_recording(&run.folder, recording.as_ref(), written);
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
            seed: run.tape.seed(),
            command: shell_line(&[
                "chaosrun",
                &file.display().to_string(),
                "--seed",
                &run.tape.seed().to_string(),
            ]),
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
