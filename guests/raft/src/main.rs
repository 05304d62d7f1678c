//! `chaosrun-raft` serves; `chaosrun-raft client` is a client that records what it sees.

use std::process::ExitCode;

use chaosrun_raft::client;
use chaosrun_raft::server::{self, ServerError};
use chaosrun_raft::settings::Settings;
use chaosrun_raft::storage::StorageError;
use chaosrun_sdk::lifecycle;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["server"] => match server::run(&settings) {
            Ok(never) => match never {},
            Err(error) => stop(&error),
        },
        ["client"] => client::run(&settings),
        _ => refuse(&"the only arguments are `server` and `client`"),
    }
}

fn refuse(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("raft: {reason}");
    ExitCode::from(2)
}

/// A server whose disk is damaged exits with 3, so that a supervisor can tell that from other reasons.
fn stop(error: &ServerError) -> ExitCode {
    eprintln!("raft: {error}");
    lifecycle::send_event("server-stopped", &error.to_string());
    match error {
        ServerError::Storage(StorageError::Damaged(_)) | ServerError::Rejected(_) => {
            lifecycle::send_event("storage-damaged", &error.to_string());
            ExitCode::from(3)
        }
        ServerError::Storage(_) => ExitCode::from(4),
        ServerError::Settings(_) | ServerError::NotAServer(_) => ExitCode::from(2),
        ServerError::Disk { .. } | ServerError::Network(_) => ExitCode::FAILURE,
    }
}
