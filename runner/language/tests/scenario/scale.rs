//! Large scenarios: the time grows with the size and not faster, and they are planned alike.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use chaosrun_language::plan::{NamesOnly, compile};
use chaosrun_language::scenario::load_text;
use chaosrun_language::scenario::source::Language;

/// A scenario of so many nodes and ten times as many faults.
fn large(nodes: usize) -> String {
    let mut text = String::from(
        "scenario \"large\" schema=1 {\n    kernel \"tiny\"\n    guest \"app\" \
         binary=\"app\"\n    network \"lan\"\n",
    );
    for n in 0..nodes {
        let _ = writeln!(
            text,
            "    node \"n{n}\" {{ guest \"app\"; memory \"64MiB\"; disk \"data\" \
             size=\"1MiB\"; network \"lan\"; tag \"t{}\" }}",
            n % 7
        );
    }
    text.push_str("    faults {\n");
    for f in 0..nodes * 10 {
        let fault = match f % 4 {
            0 => format!("kill \"n{}\" restart-after=\"100ms\"", f % nodes),
            1 => format!("pause tag=\"t{}\" any=1 for=\"100ms\"", f % 7),
            2 => format!(
                "loss \"lan\" from=\"n{}\" chance=\"5%\" for=\"1s\"",
                f % nodes
            ),
            _ => format!(
                "disk-slow \"data\" target=\"n{}\" by=\"5ms\" for=\"1s\"",
                f % nodes
            ),
        };
        let _ = writeln!(text, "        at \"{f}ms\" {{ {fault} }}");
    }
    let _ = writeln!(
        text,
        "        quiet \"10s\"\n    }}\n    properties {{ assertions }}\n    run duration=\"{}s\"\n}}",
        nodes / 10 + 60
    );
    text
}

/// How long this program has been on a processor, with the threads that it has ended: unlike wall time it
/// says little about what else the machine does.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    // User and system time, in ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

/// The best time of five to check and to plan.
fn times(text: &str) -> (Duration, Duration) {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let start = cpu_time();
        let mut loaded = load_text(text, Language::Kdl, "large.kdl", Path::new(""));
        let compiled = compile(
            &loaded.scenarios[0],
            &loaded.sources,
            &NamesOnly,
            &mut loaded.diags,
        );
        best.0 = best.0.min(cpu_time() - start);
        assert!(!loaded.diags.has_errors());
        assert_eq!(compiled.plan.hash().len(), 64);
        best.1 = best.1.min(cpu_time() - start);
    }
    best
}

#[test]
#[ignore = "measures time, which a busy machine distorts"]
fn time_grows_no_faster_than_the_size() {
    let (small, large_) = (times(&large(100)).1, times(&large(800)).1);
    // Eight times the size may take eight times as long; twice that leaves room for caches and noise.
    assert!(
        large_ < small * 20,
        "{small:?} for 100 nodes, {large_:?} for 800"
    );
}

/// Meant for `cargo test --release -- --ignored`: the bounds are for an optimised build.
#[test]
#[ignore = "measures an optimised build on a quiet machine"]
fn a_thousand_nodes_and_ten_thousand_faults_are_checked_in_two_seconds() {
    let (check, plan) = times(&large(1000));
    println!("check {check:?}, plan {plan:?}");
    assert!(
        check < Duration::from_secs(2) && plan < Duration::from_secs(3),
        "check {check:?}, plan {plan:?}"
    );
}
