//! Nodes that talk to each other over TCP: each answer is what was asked, and they never stop trying.
//!
//! ```text
//! net                                    talk to all hosts of /etc/hosts, and answer them
//! net serve PORT                         answer
//! net ping HOST:PORT [COUNT]             ask, for ever or so often
//! net raw-serve ADDRESS/PREFIX PORT      the same over smoltcp on a raw socket of eth0,
//! net raw-ping ADDRESS/PREFIX HOST:PORT [COUNT]      with an IP address of its own
//! ```
//!
//! Publishes `messages`, the number of answers; sends the events `connected` and `disconnected`.

mod ask;
mod mesh;
mod message;
mod raw;
mod serve;

use std::process::ExitCode;

use chaosrun_sdk::lifecycle;
use serde_json::json;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("net: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    match words {
        [] => mesh::run(),
        ["serve", port] => serve::serve(serve::listen(number(port)?)?, ready),
        ["ping", target, rest @ ..] => ask::ping(target, count(rest)?),
        ["raw-serve", address, port] => raw::serve(address, number(port)?),
        ["raw-ping", address, target, rest @ ..] => raw::ping(address, target, count(rest)?),
        _ => Err(format!(
            "{words:?} is not understood; see the head of guests/net/src/main.rs"
        )),
    }
}

/// This node can be talked to.
fn ready() {
    lifecycle::setup_complete(&json!(null));
}

fn number(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| format!("{word:?} is no port"))
}

/// How many answers are wanted, if there is an end.
fn count(words: &[&str]) -> Result<Option<u64>, String> {
    match words {
        [] => Ok(None),
        [count] => {
            let count = count
                .parse()
                .map_err(|_| format!("{count:?} is no count"))?;
            Ok(Some(count))
        }
        [_, rest @ ..] => Err(format!("{rest:?} is too much")),
    }
}
