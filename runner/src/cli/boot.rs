//! `chaosrun boot KERNEL [INITRD]`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chaosrun_vmm::dlog::DlogError;
use chaosrun_vmm::engine::EngineError;
use chaosrun_vmm::machine::{Machine, StateHash, Stop};
use miette::Diagnostic;
use thiserror::Error;

use super::guest::{Guest, GuestArgs, exit_of_engine};
use super::session::{self, End, Limits, Listener, Summary};
use super::{Exit, Failure, OrExit, interrupt, units};
use crate::outcome::time::seconds_nanos;

/// Boot one machine, with its console on the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    /// End when the console shows this text; without it by then, that is a failure.
    #[arg(long, value_name = "TEXT")]
    until: Option<String>,
    /// End after this much virtual time.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    limit: Option<u64>,
    /// How often the machine's state is hashed, in virtual time.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = units::duration)]
    hash_every: u64,
    /// Write a determinism log, for `chaosrun dlog`.
    #[arg(long, value_name = "FILE")]
    dlog: Option<PathBuf>,
}

/// A run could not be finished, or ended in a way that is not the guest's normal end.
#[derive(Debug, Error, Diagnostic)]
pub(super) enum BootError {
    /// The machine stopped, and not because the guest wanted it to.
    #[error("the guest ended badly: {stop}")]
    #[diagnostic(
        code(chaosrun::boot::guest_died),
        help("the console shows what it did last; `--dlog FILE` records every exit")
    )]
    Died {
        /// How it stopped.
        stop: Stop,
    },
    /// The guest needs an instruction that the CPU lacks.
    #[error("the guest cannot go on: {stop}")]
    #[diagnostic(
        code(chaosrun::boot::unimplemented),
        help("this is a limit of chaosrun; please report the line above")
    )]
    Unimplemented {
        /// The instruction.
        stop: Stop,
    },
    /// The kernel panicked.
    #[error("the guest's kernel panicked")]
    #[diagnostic(code(chaosrun::boot::panic), help("the console shows the reason"))]
    Panicked,
    /// The text that was waited for did not come.
    #[error("the console did not show `{text}`: {why}")]
    #[diagnostic(
        code(chaosrun::boot::not_found),
        help("give it more time with `--for`, or wait for another text")
    )]
    NotFound {
        /// The text.
        text: String,
        /// Why no more is to come.
        why: String,
    },
    /// The engine failed.
    #[error("the machine cannot go on")]
    #[diagnostic(
        code(chaosrun::boot::engine),
        help(
            "this is a defect of chaosrun or a limit of this host; the exact engine has no such limits, \
             and `--allow-nondeterminism` lets a guest that does not exit go on"
        )
    )]
    Engine {
        /// What happened.
        source: EngineError,
    },
    /// The determinism log cannot be written.
    #[error("cannot write the determinism log `{}`", path.display())]
    #[diagnostic(
        code(chaosrun::dlog::unwritable),
        help("check the path and the free space")
    )]
    Log {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: DlogError,
    },
}

/// Prints the console and keeps the last hash.
struct Terminal {
    chain: Option<u128>,
    open: bool,
}

impl Listener for Terminal {
    fn console(&mut self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        // A reader that went away does not end the machine, but it need not be written to any more.
        self.open = self.open
            && stdout
                .write_all(bytes)
                .and_then(|()| stdout.flush())
                .is_ok();
    }

    fn hash(&mut self, hash: StateHash) -> bool {
        self.chain = Some(hash.chain);
        true
    }
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let guest = Guest::load(self.guest)?;
        let mut machine = guest.machine()?;
        if let Some(path) = &self.dlog {
            start_log(&mut machine, path, &guest.title()).or_exit(Exit::Usage)?;
        }
        let limits = Limits {
            until: self.until,
            end: self.limit,
            hash_every: Some(self.hash_every),
        };
        let mut terminal = Terminal {
            chain: None,
            open: true,
        };
        let interrupted = interrupt::watch();
        let (result, wall) = timed(&mut machine, &limits, interrupted, &mut terminal);
        let log = machine.finish_log();
        let summary = result.map_err(|source| {
            Failure::new(exit_of_engine(&source), BootError::Engine { source })
        })?;
        for caveat in machine.caveats() {
            eprintln!("chaosrun: not deterministic by design: {caveat}");
        }
        eprintln!("{}", last_line(&machine, &summary, terminal.chain, wall));
        if let (Err(source), Some(path)) = (log, self.dlog) {
            return Err(Failure::new(
                Exit::HostCannot,
                BootError::Log { path, source },
            ));
        }
        judge(summary, limits.until)
    }
}

/// Runs the machine and measures how long that takes.
fn timed(
    machine: &mut Machine,
    limits: &Limits,
    interrupted: &AtomicBool,
    terminal: &mut Terminal,
) -> (Result<Summary, EngineError>, Duration) {
    #[allow(
        clippy::disallowed_methods,
        reason = "wall time is only told to the user"
    )]
    let start = std::time::Instant::now();
    let result = session::run(machine, limits, interrupted, terminal);
    (result, start.elapsed())
}

/// Starts a determinism log in a new file.
pub(super) fn start_log(machine: &mut Machine, path: &Path, title: &str) -> Result<(), BootError> {
    let failed = |source| BootError::Log {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(|error| failed(error.into()))?;
    machine
        .start_log(Box::new(BufWriter::new(file)), title)
        .map_err(failed)
}

/// How the guest ended, and what that means for the exit code.
fn judge(summary: Summary, until: Option<String>) -> Result<Exit, Failure> {
    let fail = |error| Err(Failure::new(Exit::PropertyFailed, error));
    match (summary.end, until) {
        (End::Stopped(stop @ Stop::Unimplemented(_)), _) => Err(Failure::new(
            Exit::Internal,
            BootError::Unimplemented { stop },
        )),
        (End::Found, _) => Ok(Exit::Passed),
        (End::Interrupted, _) => Ok(Exit::Inconclusive),
        _ if summary.panicked => fail(BootError::Panicked),
        (End::Stopped(stop @ (Stop::TripleFault { .. } | Stop::HaltedForever { .. })), _) => {
            fail(BootError::Died { stop })
        }
        (end, Some(text)) => fail(BootError::NotFound {
            text,
            why: described(&end),
        }),
        (_, None) => Ok(Exit::Passed),
    }
}

/// Why a run is over, in words.
pub(super) fn described(end: &End) -> String {
    match end {
        End::Found => "the text was found".to_owned(),
        End::TimeUp => "the time is up".to_owned(),
        End::Interrupted => "interrupted".to_owned(),
        End::Stopped(Stop::PowerOff) => "powered off".to_owned(),
        End::Stopped(Stop::Reset) => "reset".to_owned(),
        End::Stopped(Stop::TripleFault { .. }) => "triple fault".to_owned(),
        End::Stopped(Stop::HaltedForever { .. }) => "halted for ever".to_owned(),
        End::Stopped(Stop::Unimplemented(_)) => "unimplemented instruction".to_owned(),
        End::Stopped(Stop::Reached) => "stopped".to_owned(),
    }
}

/// The last line: how it ended, virtual time, instructions, wall time, and speed.
fn last_line(machine: &Machine, summary: &Summary, chain: Option<u128>, wall: Duration) -> String {
    let now = machine.now().as_nanos();
    let mut line = format!(
        "chaosrun: {}; virtual time {} s, {} instructions, wall time {:.3} s, {:.1} MIPS",
        described(&summary.end),
        seconds_nanos(now),
        machine.retired(),
        wall.as_secs_f64(),
        machine.retired() as f64 / wall.as_secs_f64().max(1e-9) / 1e6,
    );
    if let Some(chain) = chain {
        line += &format!(", state hash {chain:032x}");
    }
    if machine.console_lost() > 0 {
        line += &format!(", {} bytes of console output lost", machine.console_lost());
    }
    line
}
