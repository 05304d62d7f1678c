//! Guests that do to their code what a compiler likes least, compiled and interpreted: both do the same.
//!
//! They change their code while they execute it, at the borders of pages above all, with calls, branches and
//! other instructions that end with a page or span two. They execute pages at several addresses whose
//! hashes are equal, map other pages there, change pages and make them what they were, return to where they
//! were not called from, go to compatibility mode and to another address space, and do some of that step by
//! step. Two CPUs of a machine do that to each other; they are interrupted anywhere, and written to from
//! outside. Machines on two threads share what is compiled, which is forgotten now and then.
//!
//! Variables of the environment: `CHAOSRUN_HUNT_SEED` is the first program's seed, `CHAOSRUN_HUNT_COUNT` how
//! many programs there are; `CHAOSRUN_HUNT_SECONDS` is how much processor time the campaign takes:
//!
//! ```text
//! CHAOSRUN_HUNT_SECONDS=7200 cargo test -p chaosrun-x86 --release --test changing_code -- \
//!     --ignored --nocapture
//! ```

mod actions;
mod code;
mod drive;
mod guest;
#[path = "../system/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the harness has more than these guests need"
)]
mod harness;
mod layout;

use std::env;

use drive::{Numbers, hunt};

/// As many programs as take less than a minute of processor time.
const PROGRAMS: u64 = 400;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn guests_that_change_their_code_do_the_same_compiled() {
    let seed = number("CHAOSRUN_HUNT_SEED").unwrap_or(1);
    let count = number("CHAOSRUN_HUNT_COUNT").unwrap_or(PROGRAMS);
    let mut numbers = Numbers::default();
    for seed in seed..seed + count {
        numbers.add(&hunt(seed));
    }
    println!("{numbers:#?}");
    if count >= PROGRAMS {
        numbers.assert_all_happened();
    }
}

#[test]
#[ignore = "takes as much processor time as CHAOSRUN_HUNT_SECONDS says"]
fn campaign() {
    let seconds = number("CHAOSRUN_HUNT_SECONDS").expect("CHAOSRUN_HUNT_SECONDS is set");
    let first = number("CHAOSRUN_HUNT_SEED").unwrap_or(1_000_000);
    let mut numbers = Numbers::default();
    let mut told = 0;
    for seed in first.. {
        numbers.add(&hunt(seed));
        let spent = processor_seconds();
        if spent / 60 > told || spent >= seconds {
            told = spent / 60;
            println!("{spent} s of processor time, seeds {first} to {seed}: {numbers:?}");
        }
        if spent >= seconds {
            break;
        }
    }
    numbers.assert_all_happened();
    println!("the end: {numbers:#?}");
}

/// The processor time that this process has taken, in seconds.
fn processor_seconds() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes to `time` only.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every process has a clock");
    time.tv_sec as u64
}
