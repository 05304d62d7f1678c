//! A guest that measures from inside of its machine what faults do to it, and tells it in SDK events.
//! `runner/tests/faults` compares what it tells with a fault and without.
//!
//! ```text
//! observer echo              answers datagrams, with its own clock
//! observer probe HOST        sends datagrams there at a steady pace, and tells of each answer
//! observer shout HOST        sends datagrams there, and wants no answer
//! observer listen            tells of each datagram
//! observer disk PATH         writes, reads and flushes a disk
//! observer crash PATH        writes a disk without flushing, and looks after a crash what is left
//! observer flush PATH        writes a disk with flushing, and looks after a crash what is left
//! observer prompt TEXT       shows a text that no line end follows
//! observer space PATH        wants more of a file system in every way
//! observer watch NAME        samples clocks, timers, speed, memory and interrupts
//! observer family NAME       the same in three processes, of which two have left their parent
//! observer date              tells the time of day, as exactly as it can be compared
//! observer random            tells a random number of the kernel
//! ```

mod clock;
mod date;
mod disk;
mod family;
mod network;
mod random;
mod space;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use chaosrun_sdk::lifecycle::setup_complete;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["echo"] => network::echo(),
        ["probe", host] => network::probe(host),
        ["shout", host] => network::shout(host),
        ["listen"] => network::listen(),
        ["disk", path] => disk::exercise(path),
        ["crash", path] => disk::crash(path, false),
        ["flush", path] => disk::crash(path, true),
        ["prompt", text] => prompt(text),
        ["space", path] => space::ask(path),
        ["watch", name] => watch::watch(name),
        ["family", name] => family::family(name),
        ["date"] => date::tell(),
        ["random"] => random::tell(),
        _ => {
            eprintln!(
                "usage: observer echo | listen | probe|shout HOST | disk|crash|flush|space PATH | \
                 prompt TEXT | watch|family NAME | date | random"
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Shows a text, and waits for ever.
fn prompt(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())?;
    io::stdout().flush()?;
    setup_complete(&serde_json::json!(null));
    loop {
        std::thread::park();
    }
}
