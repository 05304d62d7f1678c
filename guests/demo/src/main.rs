//! A tour of the SDK: a program under test that uses every call of it once, and says why.
//!
//! It has two parts. A bank moves money between accounts (`bank.rs`), and threads hand numbers through a
//! lock-free queue (`queue.rs`). Both are correct, so that all assertions hold; change a line, and
//! chaosrun tells which one no longer does.
//!
//! ```text
//! demo [--iterations N] [--threads N]
//! ```

mod bank;
mod queue;

use std::process::ExitCode;

use chaosrun_sdk::{assert_reachable, assert_unreachable, init, lifecycle, publish};
use serde_json::json;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    iterations: u64,
    threads: u64,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("demo: {reason}");
            return ExitCode::from(2);
        }
    };

    // Any call of the SDK finds out by itself where the program runs. To call this first makes sure
    // that chaosrun knows all assertions, even if the program goes no further.
    println!("demo: messages go to {:?}", init());

    // Everything up to here is the program's start. A scenario's time begins, and its faults may come,
    // once every node has said this.
    lifecycle::setup_complete(&json!({
        "iterations": options.iterations,
        "threads": options.threads,
    }));

    bank::run(options.iterations);
    queue::run(options.threads, options.iterations);

    // A value that the host follows; a scenario can say `final "iterations" ...` or `progress ...`.
    publish("iterations", options.iterations);
    // A place that each run must come to. That one did is a test case of its own.
    assert_reachable!("the demo comes to its end");
    println!("demo: done");
    ExitCode::SUCCESS
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        iterations: 100,
        threads: 2,
    };
    while let Some(name) = arguments.next() {
        let mut number = || -> Result<u64, String> {
            let value = arguments.next().ok_or(format!("{name} needs a number"))?;
            value
                .parse()
                .map_err(|_| format!("{name} needs a number, not {value:?}"))
        };
        match name.as_str() {
            "--iterations" => options.iterations = number()?.max(1),
            "--threads" => options.threads = number()?.clamp(1, 64),
            other => {
                // A place that no run may come to: the scenario would be wrong, not the program.
                assert_unreachable!(
                    "the demo is given unknown options",
                    &json!({ "option": other })
                );
                return Err(format!("unknown option {other:?}"));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Options, String> {
        parse(words.iter().map(|word| word.to_string()))
    }

    #[test]
    fn options_are_read_and_bounded() {
        let options = parse_words(&["--iterations", "7", "--threads", "1000"]).unwrap();
        assert_eq!((options.iterations, options.threads), (7, 64));
        assert_eq!(parse_words(&[]).unwrap().iterations, 100);
    }

    #[test]
    fn wrong_options_are_told() {
        assert!(
            parse_words(&["--iterations"])
                .unwrap_err()
                .contains("needs a number")
        );
        assert!(
            parse_words(&["--threads", "x"])
                .unwrap_err()
                .contains("\"x\"")
        );
        assert!(parse_words(&["--speed"]).unwrap_err().contains("--speed"));
    }
}
