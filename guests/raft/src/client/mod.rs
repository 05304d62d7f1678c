//! The client: a few workers that read, write and compare-and-set a few keys, and record what they asked
//! and what they were told as the history `kv`.
//!
//! A worker has one operation under way at a time. If nobody knows whether it happened, its number is
//! given up and the worker goes on with a new one, as histories want it.

mod link;
mod values;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use chaosrun_sdk::{lifecycle, random};
use serde_json::json;

use self::worker::Worker;
use crate::settings::Settings;

/// How long the client waits for the first answer before it counts as ready all the same.
const READY_AFTER: Duration = Duration::from_secs(10);

/// What the workers share.
#[derive(Debug, Default)]
struct Shared {
    /// How many operations were answered.
    answered: AtomicU64,
    /// Whether the client has said that it is ready.
    ready: AtomicBool,
}

impl Shared {
    /// Says, the first time, that the client is ready.
    fn ready(&self, why: &str) {
        if !self.ready.swap(true, std::sync::atomic::Ordering::Relaxed) {
            lifecycle::setup_complete(&json!({ "client": why }));
        }
    }
}

/// Works until the machine stops.
pub fn run(settings: &Settings) -> ExitCode {
    let shared = Arc::new(Shared::default());
    println!("raft: client of {} servers", settings.servers.len());
    // Values are different from those of the client's life before, if it is started again.
    let life = random::u64() & 0xffff;
    for number in 0..settings.workers {
        let worker = Worker::new(settings, number, life, Arc::clone(&shared));
        let spawned = thread::Builder::new()
            .stack_size(256 * 1024)
            .spawn(move || worker.work());
        if let Err(error) = spawned {
            eprintln!("raft: no thread for worker {number}: {error}");
            return ExitCode::FAILURE;
        }
    }
    thread::sleep(READY_AFTER);
    shared.ready("nobody answers");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
