//! A guest that does to its machine, and to whoever listens, what no program should.
//! `runner/tests/runs` looks at what becomes of the run.
//!
//! ```text
//! misbehave calm             behaves: says that it is ready, and then something every 50 ms
//! misbehave silent           never says that it is ready
//! misbehave quit CODE        exits at once
//! misbehave exit CODE        says that it is ready and exits
//! misbehave abort            ends by a signal
//! misbehave say TEXT         prints much, and TEXT on the last line, and exits
//! misbehave leave-behind     exits, and leaves a process behind that says later that it is ready
//! misbehave spin             says that it is ready and computes for ever
//! misbehave panic            panics the kernel
//! misbehave power-off        switches its machine off
//! misbehave console          prints for ever
//! misbehave network HOST     sends datagrams for ever, to a port where nobody listens
//! misbehave disk PATH        writes to a disk or a file until there is no room
//! misbehave memory           takes memory until there is none
//! misbehave garbage          calls the SDK port with nonsense
//! misbehave messages KIND    sends large SDK messages of a kind for ever, each with names of its own
//! ```

mod channel;
mod flood;
mod machine;

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

use chaosrun_sdk::lifecycle::{send_event, setup_complete};
use serde_json::json;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["exit" | "quit", code] = args.as_slice() {
        if args[0] == "exit" {
            setup_complete(&json!(null));
        }
        return ExitCode::from(code.parse().unwrap_or(2));
    }
    let done = match args.as_slice() {
        ["calm"] => calm(),
        ["silent"] => silent(),
        ["abort"] => std::process::abort(),
        ["say", text] => say(text),
        ["leave-behind"] => leave_behind(),
        ["left-behind"] => left_behind(),
        ["spin"] => machine::spin(),
        ["panic"] => machine::panic(),
        ["power-off"] => machine::power_off(),
        ["console"] => flood::console(),
        ["network", host] => flood::network(host),
        ["disk", path] => flood::disk(path),
        ["memory"] => flood::memory(),
        ["garbage"] => channel::garbage(),
        ["messages", kind] => channel::messages(kind),
        _ => Err(io::Error::other(
            "what it says on top of main.rs is what it can do",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("misbehave: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The node next door, which must not suffer.
fn calm() -> io::Result<()> {
    setup_complete(&json!(null));
    for number in 0u64.. {
        send_event("calm", &json!({ "number": number }));
        chaosrun_sdk::assert_sometimes!(number > 2, "the calm node goes on");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn silent() -> io::Result<()> {
    println!("misbehave: it will never be ready");
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// As much as waits in the kernel for a while, and then the text.
fn say(text: &str) -> io::Result<()> {
    let much = "misbehave: this is not what is waited for\n".repeat(50);
    io::stdout().write_all(format!("{much}{text}\n").as_bytes())
}

fn leave_behind() -> io::Result<()> {
    let own = std::env::current_exe()?;
    Command::new(own).arg("left-behind").spawn().map(drop)
}

fn left_behind() -> io::Result<()> {
    sleep(Duration::from_secs(1));
    begin();
    Ok(())
}

/// What each of the others begins with: ready, and some time for the other nodes to be, too.
fn begin() {
    setup_complete(&json!(null));
    sleep(Duration::from_millis(200));
}
