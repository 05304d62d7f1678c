//! A guest that measures from inside of its machine what faults do to it, and tells it in SDK events.
//! `runner/tests/faults` compares what it tells with a fault and without.
//!
//! ```text
//! observer echo              answers datagrams, with its own clock
//! observer probe HOST        sends datagrams there at a steady pace, and tells of each answer
//! observer disk PATH         writes, reads and flushes a disk
//! observer crash PATH        writes a disk without flushing, and looks after a crash what is left
//! observer flush PATH        writes a disk with flushing, and looks after a crash what is left
//! observer watch NAME        samples clocks, timers, speed, memory and interrupts
//! observer family NAME       the same in three processes, of which two have left their parent
//! observer date              tells the time of day, as exactly as it can be compared
//! ```

mod clock;
mod date;
mod disk;
mod family;
mod network;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["echo"] => network::echo(),
        ["probe", host] => network::probe(host),
        ["disk", path] => disk::exercise(path),
        ["crash", path] => disk::crash(path, false),
        ["flush", path] => disk::crash(path, true),
        ["watch", name] => watch::watch(name),
        ["family", name] => family::family(name),
        ["date"] => date::tell(),
        _ => {
            eprintln!(
                "usage: observer echo | probe HOST | disk|crash|flush PATH | watch|family NAME | date"
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
