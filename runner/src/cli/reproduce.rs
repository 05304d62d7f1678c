//! `chaosrun reproduce FILE` and `chaosrun info FILE`: what is done with recordings.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use super::artifact::open_store;
use super::boots::BootMode;
use super::guest::exit_of_engine;
use super::progress::Bars;
use super::{Exit, Failure, OrExit, cores, engines, interrupt, print};
use crate::artifact::node_image::{NodeImage, node_images};
use crate::outcome::model::Verdict;
use crate::outcome::time::{counted, human_duration};
use crate::plan::Origins;
use crate::recording::{self, FileError, Recording, Reproduced};
use crate::run::campaign::{Task, TaskError, campaign};
use crate::run::{End, Outcome};

/// The name of a recording in the folder of a run's reports.
pub(super) const NAME: &str = "recording.crr";

/// Run a recording again, and compare what comes of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A recording, or the folder of a run that has one.
    recording: PathBuf,
    /// How many threads to use; by default one per core. It has no effect on results.
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Whether a boot that was executed before is executed again. It has no effect on results.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    boot: BootMode,
}

/// Show what is in a recording.
#[derive(Debug, clap::Args)]
pub(super) struct InfoArgs {
    /// A recording, or the folder of a run that has one.
    recording: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A recording can't be run again, or gives something else.
#[derive(Debug, Error, Diagnostic)]
enum ReproduceError {
    /// It is not one.
    #[error("`{}` is no recording that can be run again", path.display())]
    #[diagnostic(
        code(chaosrun::recording::unusable),
        help(
            "a run that fails leaves `recording.crr` in its folder, and `--record` makes every run do so"
        )
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// This host has other artifacts.
    #[error("{what} is not what was recorded")]
    #[diagnostic(
        code(chaosrun::recording::other_artifacts),
        help(
            "the scenario, a program or a kernel has changed since; with what it was then, for instance in a \
             checkout of that commit, the recording can be run again"
        )
    )]
    OtherArtifacts {
        /// What is different.
        what: String,
    },
    /// The run failed.
    #[error("`{scenario}` could not be run")]
    #[diagnostic(code(chaosrun::recording::failed))]
    Failed {
        /// The scenario.
        scenario: String,
        /// Why.
        source: TaskError,
    },
    /// The run is another one.
    #[error("the run is not the recorded one from {} on", human_duration(*time_ns))]
    #[diagnostic(
        code(chaosrun::recording::diverged),
        help(
            "recorded by chaosrun {version}; another version of chaosrun may execute guests differently"
        )
    )]
    Diverged {
        /// When that was seen.
        time_ns: u64,
        /// Who recorded it.
        version: String,
    },
}

/// Reads a recording, or the one in a folder.
fn read(path: &Path) -> Result<Recording, Failure> {
    let path = match path.is_dir() {
        true => path.join(NAME),
        false => path.to_owned(),
    };
    recording::read(&path)
        .map_err(|source| ReproduceError::Unusable { path, source })
        .or_exit(Exit::Usage)
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut recording = read(&self.recording)?;
        engines::settle(&mut recording.plan)?;
        let images = images(&recording)?;
        let outcome = self.again(&recording, &images)?;
        if let End::Stopped(why) = &outcome.end {
            print(&format!(
                "{}: ended before its time: {why}\n",
                name(&recording)
            ));
            return Ok(Exit::Inconclusive);
        }
        compared(&recording, &outcome)
    }

    fn again(&self, recording: &Recording, images: &[NodeImage]) -> Result<Outcome, Failure> {
        let boots = self.boot.boots()?;
        let plan = &recording.plan;
        let task = Task {
            plan,
            images,
            tape: &recording.tape,
            engine_options: engines::StoppingArgs::default().options(),
            captures: None,
            boots: &boots,
            jumps: None,
        };
        let tasks = [task];
        let bars = Bars::new(plan, &tasks, true, interrupt::watch());
        let mut outcomes = campaign(&tasks, cores(self.jobs), &bars, &|_, outcome| outcome);
        drop(bars.finish());
        let outcome = outcomes.pop().flatten();
        let outcome = outcome.expect("a campaign of one run begins it");
        outcome.map_err(|source| {
            let exit = source.engine().map_or(Exit::HostCannot, exit_of_engine);
            let scenario = plan.name.clone();
            Failure::new(exit, ReproduceError::Failed { scenario, source })
        })
    }
}

/// What the nodes of a recording boot on this host, if that is what they booted then.
fn images(recording: &Recording) -> Result<Vec<NodeImage>, Failure> {
    let store = open_store()?;
    let origins = Origins {
        files: recording.files.clone(),
        ..Origins::default()
    };
    let images = node_images(&store, &recording.plan, &origins).or_exit(Exit::HostCannot)?;
    engines::suit(&recording.plan, &images)?;
    match recording.other_image(&images) {
        None => Ok(images),
        Some(what) => Err(ReproduceError::OtherArtifacts { what }).or_exit(Exit::HostCannot),
    }
}

/// What a run of a recording came to, compared with what was recorded.
fn compared(recording: &Recording, outcome: &Outcome) -> Result<Exit, Failure> {
    if let Reproduced::Differs { time_ns } = recording.compare(&outcome.chain) {
        let version = recording.chaosrun.clone();
        return Err(ReproduceError::Diverged { time_ns, version }).or_exit(Exit::Nondeterminism);
    }
    let hashes = counted(recording.chain.len() as u64, "state hash", "state hashes");
    let same = format!("{}: the recorded run, {hashes} equal", name(recording));
    let now = |name: &str| {
        let judged = outcome.judgements.iter().find(|j| j.name == name);
        judged.map(|j| j.verdict)
    };
    let changed: Vec<&str> = recording
        .verdicts
        .iter()
        .filter(|(name, verdict)| now(name) != Some(**verdict))
        .map(|(name, _)| name.as_str())
        .collect();
    if !changed.is_empty() {
        print(&format!(
            "{same}, and judged differently: {}\n",
            changed.join(", ")
        ));
        return Ok(Exit::Inconclusive);
    }
    let failed: Vec<&str> = recording.failed().collect();
    let verdict = match failed.is_empty() {
        true => "nothing fails, as recorded".to_owned(),
        false => format!("fails as recorded: {}", failed.join(", ")),
    };
    print(&format!("{same}; {verdict}\n"));
    Ok(Exit::Passed)
}

/// Which run it is.
fn name(recording: &Recording) -> String {
    format!("{} seed {}", recording.plan.name, recording.tape.seed())
}

impl InfoArgs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let recording = read(&self.recording)?;
        if self.json {
            let json = serde_json::to_string_pretty(&recording).unwrap_or_default();
            print(&(json + "\n"));
            return Ok(Exit::Passed);
        }
        let last = recording.chain.last().map_or(0, |link| link.chain);
        let lines = [
            ("run", name(&recording)),
            ("file", recording.file.clone()),
            ("plan", recording.plan.hash()),
            ("chaosrun", recording.chaosrun.clone()),
            ("length", human_duration(recording.end_ns)),
            ("instructions", recording.instructions.to_string()),
            (
                "state hash",
                format!("{last:032x}, the last of {}", recording.chain.len()),
            ),
            ("overrides", recording.tape.overrides().count().to_string()),
            ("verdicts", verdicts(&recording)),
        ];
        for (what, value) in lines {
            print(&format!("{what:<13} {value}\n"));
        }
        for image in &recording.images {
            let (kernel, initrd) = (short(&image.kernel), short(&image.initrd));
            print(&format!(
                "{:<13} {}: kernel {kernel}, initial RAM disk {initrd}\n",
                "node", image.node
            ));
        }
        for failed in recording.failed() {
            print(&format!("{:<13} {failed}\n", "fails"));
        }
        Ok(Exit::Passed)
    }
}

fn verdicts(recording: &Recording) -> String {
    let count = |verdict: Verdict| {
        let all = recording.verdicts.values();
        all.filter(|other| **other == verdict).count()
    };
    format!(
        "{} passed, {} failed, {} inconclusive",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Inconclusive)
    )
}

/// The beginning of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
