//! `chaosrun verify KERNEL [INITRD] -n N`: is a run a function of its inputs?

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use chaosrun_vmm::dlog::{self, Ignore, Reader};
use chaosrun_vmm::machine::StateHash;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use miette::Diagnostic;
use thiserror::Error;

use super::boot::{BootError, described, start_log};
use super::boots::BootMode;
use super::divergence;
use super::files::is_folder;
use super::guest::{Guest, GuestArgs, exit_of_engine};
use super::session::{self, End, Limits, Listener, Summary};
use super::{Exit, Failure, OrExit, interrupt, units, verify_scenario};
use crate::plan::artifacts::KERNELS;
use crate::run::compare::{Boot, Difference};

/// Run a scenario, or boot one machine, several times and compare the chains of state hashes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// How often the machine is booted.
    #[arg(short = 'n', long = "runs", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..))]
    runs: u32,
    /// End each run when the console shows this text.
    #[arg(long, value_name = "TEXT")]
    until: Option<String>,
    /// End each run after this much virtual time.
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = units::duration)]
    limit: u64,
    /// How often the machine's state is hashed, in virtual time.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = units::duration)]
    hash_every: u64,
    /// How many threads to use for a scenario; by default one per core. It has no effect on results.
    #[arg(short, long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Whether a boot that was executed before is executed again in each run of a scenario.
    #[arg(long, value_enum, default_value_t = BootMode::Fresh, value_name = "HOW")]
    boot: BootMode,
    /// Save all runs of a scenario but the first at random moments, drop them, and put them back.
    #[arg(long)]
    restore: bool,
}

/// What can be said of a scenario; all else it says itself.
const OF_A_SCENARIO: [&str; 9] = [
    "kernel",
    "seed",
    "runs",
    "jobs",
    "allow_nondeterminism",
    "patience",
    "interpret",
    "boot",
    "restore",
];
/// What a single machine has no use for.
const NOT_OF_A_MACHINE: [&str; 3] = ["jobs", "boot", "restore"];

/// Makes sure that no option was given that would have no effect on what is verified.
///
/// # Errors
/// One was.
pub(super) fn suits(command: &mut Command, given: &ArgMatches) -> Result<(), clap::Error> {
    let scenario = given
        .get_one::<String>("kernel")
        .is_some_and(|file| is_scenario(Path::new(file)));
    let is_idle = |option: &&Arg| {
        let name = option.get_id().as_str();
        let idle = if scenario {
            !OF_A_SCENARIO.contains(&name)
        } else {
            NOT_OF_A_MACHINE.contains(&name)
        };
        idle && given.value_source(name) == Some(ValueSource::CommandLine)
    };
    let Some(option) = command.get_arguments().find(is_idle) else {
        return Ok(());
    };
    let message = if scenario {
        format!("`{option}` is for a single machine; the scenario says it")
    } else {
        format!("`{option}` is for a scenario; this is a kernel")
    };
    Err(command.error(ErrorKind::ArgumentConflict, message))
}

/// Whether a path is that of a scenario or of a folder of them, and not of a kernel. The name of a kernel
/// wins over a folder of the same name.
fn is_scenario(file: &Path) -> bool {
    let extension = file.extension();
    let kernel = file.to_str().is_some_and(|name| KERNELS.contains(&name));
    extension.is_some_and(|extension| extension == "kdl" || extension == "toml")
        || (!kernel && is_folder(file))
}

/// The runs cannot be compared, or differ.
#[derive(Debug, Error, Diagnostic)]
enum VerifyError {
    /// Two runs differ.
    #[error("run {run} is not the same as run 1: {difference}")]
    #[diagnostic(
        code(chaosrun::verify::nondeterminism),
        help("this is a defect of chaosrun; please report it with the kernel and the options")
    )]
    Differs {
        /// The number of the run that differs.
        run: u32,
        /// The first difference.
        difference: String,
    },
    /// There is no place for the logs.
    #[error("cannot make a temporary directory")]
    #[diagnostic(
        code(chaosrun::verify::temporary),
        help("TMPDIR names the directory for it")
    )]
    Temporary {
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// The run of a machine.
type Run = Boot<Summary>;

/// Collects the hashes of a run, and ends it at the first one that differs from the reference.
struct Collector<'a> {
    reference: Option<&'a Run>,
    hashes: Vec<StateHash>,
    console: blake3::Hasher,
}

impl Listener for Collector<'_> {
    fn console(&mut self, bytes: &[u8]) {
        self.console.update(bytes);
    }

    fn hash(&mut self, hash: StateHash) -> bool {
        let expected = self.reference.map(|run| run.hashes.get(self.hashes.len()));
        let equal = expected.is_none_or(|expected| expected == Some(&hash));
        self.hashes.push(hash);
        equal
    }
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let file = Path::new(&self.guest.kernel);
        if is_scenario(file) {
            let how = verify_scenario::How {
                runs: self.runs,
                seed: self.guest.seed,
                jobs: self.jobs,
                engine_options: self.guest.engine_options(),
                boot: self.boot,
                restore: self.restore,
            };
            return verify_scenario::verify(file, &how);
        }
        let guest = Guest::load(self.guest)?;
        let limits = Limits {
            until: self.until,
            end: Some(self.limit),
            hash_every: Some(self.hash_every),
        };
        let logs = tempfile::tempdir()
            .map_err(|source| VerifyError::Temporary { source })
            .or_exit(Exit::HostCannot)?;
        let (first_log, log) = (logs.path().join("first"), logs.path().join("other"));
        let first = one_run(&guest, &limits, None, &first_log)?;
        super::print(&line(1, &first));
        if first.interrupted {
            return Ok(Exit::Inconclusive);
        }
        for number in 2..=self.runs {
            let run = one_run(&guest, &limits, Some(&first), &log)?;
            if let Some(difference) = first.difference(&run) {
                // A run that was interrupted is shorter, but so far it was the same.
                if difference == Difference::Interrupted {
                    return Ok(Exit::Inconclusive);
                }
                let clause = difference.clause(|summary| described(&summary.end));
                let difference = format!("{clause}{}", detail(&first_log, &log));
                let error = VerifyError::Differs {
                    run: number,
                    difference,
                };
                return Err(Failure::new(Exit::Nondeterminism, error));
            }
            super::print(&line(number, &run));
        }
        super::print(&format!(
            "{} runs are identical in every state hash\n",
            self.runs
        ));
        match first.end.end {
            End::Stopped(stop @ chaosrun_vmm::machine::Stop::Unimplemented(_)) => Err(
                Failure::new(Exit::Internal, BootError::Unimplemented { stop }),
            ),
            _ => Ok(Exit::Passed),
        }
    }
}

/// Boots the guest once, with a determinism log.
fn one_run(
    guest: &Guest,
    limits: &Limits,
    reference: Option<&Run>,
    log: &Path,
) -> Result<Run, Failure> {
    let mut machine = guest.machine()?;
    start_log(&mut machine, log, &guest.title()).or_exit(Exit::HostCannot)?;
    let mut collector = Collector {
        reference,
        hashes: Vec::new(),
        console: blake3::Hasher::new(),
    };
    let summary = session::run(&mut machine, limits, interrupt::watch(), &mut collector)
        .map_err(|source| Failure::new(exit_of_engine(&source), BootError::Engine { source }))?;
    // The log only gives detail about a divergence; if it is incomplete, that detail is missing.
    let _ = machine.finish_log();
    Ok(Run {
        hashes: collector.hashes,
        console: collector.console.finalize(),
        retired: machine.retired(),
        interrupted: summary.end == End::Interrupted,
        end: summary,
    })
}

/// The first record in which the logs of two runs differ, if they can be read.
fn detail(first: &Path, other: &Path) -> String {
    let open = |path| Reader::new(BufReader::new(File::open(path).ok()?)).ok();
    let (Some(first), Some(other)) = (open(first), open(other)) else {
        return String::new();
    };
    match dlog::diff(first, other, Ignore::default()) {
        Ok(Some(found)) => format!("\n{}", divergence::describe(&found)),
        Ok(None) | Err(_) => String::new(),
    }
}

fn line(number: u32, run: &Run) -> String {
    let Run {
        hashes,
        end,
        retired,
        ..
    } = run;
    let (time, chain) = hashes
        .last()
        .map_or((0, 0), |hash| (hash.time.as_nanos(), hash.chain));
    format!(
        "run {number}: {} at {time} ns, {retired} instructions, {} state hashes, chain {chain:032x}\n",
        described(&end.end),
        hashes.len(),
    )
}
