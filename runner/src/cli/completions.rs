//! `chaosrun completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, Failure, print};

/// Print a script that completes chaosrun's command line in a shell.
///
/// For bash: `chaosrun completions bash > ~/.local/share/bash-completion/completions/chaosrun`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "chaosrun", &mut script);
        print(&String::from_utf8_lossy(&script));
        Ok(Exit::Passed)
    }
}
