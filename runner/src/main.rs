//! The `chaosrun` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaosrun::cli::main(std::env::args_os().collect())
}
