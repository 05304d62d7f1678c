//! The command line: one file per subcommand, each of them thin.
//!
//! To add a subcommand, write a file with an `Args` struct (derive [`clap::Args`]) that has
//! `fn run(self) -> Result<Exit, Failure>`, name the module below, and add one variant to
//! [`Command`] and one arm to [`Command::run`].

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

mod artifact;
mod boot;
mod boots;
mod check;
mod color;
mod completions;
mod diagnostics;
mod divergence;
mod dlog;
mod doctor;
mod engines;
mod exit;
mod explain;
mod files;
mod fmt;
mod guest;
mod interrupt;
mod list;
mod out;
mod outputs;
mod plan;
mod progress;
mod reproduce;
mod run;
mod schema;
mod session;
mod sweep;
mod units;
mod verify;
mod verify_scenario;

pub use exit::{Exit, Failure, OrExit};

use crate::defect;

/// Deterministic simulation testing of whole clusters of Linux machines.
#[derive(Debug, Parser)]
#[command(name = "chaosrun", version, propagate_version = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What chaosrun can be told to do.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Plan(plan::Args),
    Fmt(fmt::Args),
    Explain(explain::Args),
    List(list::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Boot(boot::Args),
    Verify(verify::Args),
    Reproduce(reproduce::Args),
    Info(reproduce::InfoArgs),
    Artifact(artifact::Args),
    Dlog(dlog::Args),
    Doctor(doctor::Args),
}

impl Command {
    /// Hands over to the subcommand.
    fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Run(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Plan(args) => args.run(),
            Self::Fmt(args) => args.run(),
            Self::Explain(args) => args.run(),
            Self::List(args) => args.run(),
            Self::Schema(args) => args.run(),
            Self::Completions(args) => args.run(),
            Self::Boot(args) => args.run(),
            Self::Verify(args) => args.run(),
            Self::Reproduce(args) => args.run(),
            Self::Info(args) => args.run(),
            Self::Artifact(args) => args.run(),
            Self::Dlog(args) => args.run(),
            Self::Doctor(args) => args.run(),
        }
    }
}

/// Parses `args` (with the program's name first), runs the subcommand and tells the process's exit
/// code. Errors are shown on stderr; stdout has nothing but what the subcommand is asked for.
pub fn main(args: Vec<OsString>) -> ExitCode {
    defect::install(&args, progress::say, exit_at_once);
    let cli = match parse(with_implied_run(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Clap prints help and the version to stdout and calls that an error, too.
            let shown = error.print();
            return match (error.use_stderr(), shown) {
                (false, Ok(())) => Exit::Passed.into(),
                _ => Exit::Usage.into(),
            };
        }
    };
    guarded(|| cli.command.run()).into()
}

/// Runs a subcommand, shows its error, and tells how the program ends. A panic is a defect, of which
/// people are told already, and the exit code has to tell it apart, even if whoever caught it got over
/// it.
pub(crate) fn guarded(run: impl FnOnce() -> Result<Exit, Failure>) -> Exit {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(Exit::Passed)) if defect::happened() => Exit::Internal,
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            progress::say(&format!("{:?}", failure.report));
            failure.exit
        }
        Err(_) => Exit::Internal,
    }
}

/// Ends the process where a thread cannot go on.
fn exit_at_once() -> ! {
    crate::artifact::end_programs();
    std::process::exit(Exit::Internal as i32)
}

/// Clap's parsing, and what a subcommand adds to its rules.
fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    if let Some(("verify", given)) = matches.subcommand() {
        let verify = command.find_subcommand_mut("verify");
        verify.map_or(Ok(()), |verify| verify::suits(verify, given))?;
    }
    Cli::from_arg_matches(&matches)
}

/// Prints to stdout. A reader that went away (as in `chaosrun list | head`) is no error.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// How many threads to use: so many, or one per core.
fn cores(jobs: Option<NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    jobs.map_or_else(all, NonZeroUsize::get)
}

/// The columns of the terminal that stdout is, if it is one.
fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(width.0.into())
}

/// `chaosrun FILE...` means `chaosrun run FILE...`: inserts the word when the first argument is the
/// name of a scenario file, or of a folder and of no subcommand.
fn with_implied_run(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_scenario = args.get(1).is_some_and(|first| {
        let extension = Path::new(first).extension();
        extension.is_some_and(|extension| extension == "kdl" || extension == "toml")
            || (files::is_folder(Path::new(first)) && !is_subcommand(first))
    });
    if is_scenario {
        args.insert(1, "run".into());
    }
    args
}

fn is_subcommand(word: &OsStr) -> bool {
    let command = Cli::command();
    word == "help" || command.get_subcommands().any(|c| word == c.get_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_scenario_file_as_first_argument_implies_run() {
        assert_eq!(
            with_implied_run(words("chaosrun a.kdl b.kdl")),
            words("chaosrun run a.kdl b.kdl")
        );
        assert_eq!(
            with_implied_run(words("chaosrun dir/a.toml")),
            words("chaosrun run dir/a.toml")
        );
    }

    #[test]
    fn a_folder_as_first_argument_implies_run_unless_it_is_called_like_a_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        assert_eq!(
            with_implied_run(words(&format!("chaosrun {path} --seed 1"))),
            words(&format!("chaosrun run {path} --seed 1"))
        );
        assert!(is_subcommand(OsStr::new("run")) && is_subcommand(OsStr::new("help")));
        assert!(!is_subcommand(OsStr::new("./run")));
    }

    #[test]
    fn other_first_arguments_are_left_alone() {
        assert_eq!(
            with_implied_run(words("chaosrun boot a.kdl")),
            words("chaosrun boot a.kdl")
        );
        assert_eq!(with_implied_run(words("chaosrun")), words("chaosrun"));
    }
}
