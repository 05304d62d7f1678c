//! `chaosrun dlog dump|stats|diff`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use chaosrun_vmm::dlog::{self, DlogError, Ignore, Reader, Stats};
use miette::Diagnostic;
use thiserror::Error;

use super::{Exit, Failure, OrExit};

/// Read and compare determinism logs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// What is done with logs.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every record as a line of text.
    Dump {
        /// A log written by `--dlog`.
        log: PathBuf,
    },
    /// Count what a log contains.
    Stats {
        /// A log written by `--dlog`.
        log: PathBuf,
    },
    /// Find the first record at which two logs part; exit code 6 if they do.
    Diff {
        /// The left log.
        left: PathBuf,
        /// The right log.
        right: PathBuf,
        /// Compare what happened, but not the values, bytes, registers and hashes.
        #[arg(long)]
        ignore_payloads: bool,
        /// Do not compare virtual times and instruction counts.
        #[arg(long)]
        ignore_times: bool,
    },
}

/// A log cannot be used.
#[derive(Debug, Error, Diagnostic)]
#[error("cannot use the determinism log `{}`", path.display())]
#[diagnostic(
    code(chaosrun::dlog::unreadable),
    help("write one with `chaosrun boot KERNEL --dlog FILE`")
)]
struct Unreadable {
    path: PathBuf,
    source: DlogError,
}

type Log = Reader<BufReader<File>>;

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Dump { log } => dump(&log),
            Action::Stats { log } => {
                let stats = Stats::of(open(&log)?).map_err(unreadable(&log))?;
                super::print(&stats.to_string());
                Ok(Exit::Passed)
            }
            Action::Diff {
                left,
                right,
                ignore_payloads,
                ignore_times,
            } => {
                let ignore = Ignore {
                    payloads: ignore_payloads,
                    times: ignore_times,
                };
                diff(&left, &right, ignore)
            }
        }
    }
}

fn open(path: &Path) -> Result<Log, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path)(error.into()))?;
    Reader::new(BufReader::new(file)).map_err(unreadable(path))
}

fn unreadable(path: &Path) -> impl FnOnce(DlogError) -> Failure {
    let path = path.to_owned();
    move |source| Failure::new(Exit::Usage, Unreadable { path, source })
}

fn dump(path: &Path) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for record in open(path)? {
        let record = record.map_err(unreadable(path))?;
        // A reader that went away needs no more lines.
        if writeln!(out, "{record}").is_err() {
            break;
        }
    }
    let _ = out.flush();
    Ok(Exit::Passed)
}

fn diff(left: &Path, right: &Path, ignore: Ignore) -> Result<Exit, Failure> {
    // Which of the two logs an error is about is not told by it, so both are named.
    let both = PathBuf::from(format!("{}` or `{}", left.display(), right.display()));
    let found = dlog::diff(open(left)?, open(right)?, ignore)
        .map_err(|source| Unreadable { path: both, source })
        .or_exit(Exit::Usage)?;
    let Some(divergence) = found else {
        super::print("equal\n");
        return Ok(Exit::Passed);
    };
    super::print(&super::divergence::describe(&divergence));
    Ok(Exit::Nondeterminism)
}
