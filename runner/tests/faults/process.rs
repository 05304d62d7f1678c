//! Faults of processes, as they see them themselves, and as another process of the same node does not.

use std::collections::BTreeSet;

use crate::pair::{Seen, Told, faults};

const TWO: &str = r#"
scenario "processes" schema=1 {
    kernel "tiny"
    guest "worker" crate="observer" { args "watch" "worker"; restart "always" }
    guest "witness" crate="observer" { args "watch" "witness"; restart "always" }
    node "n1" { guest "worker"; guest "witness"; memory "64MiB" }
    FAULTS
    run duration="2s" seed=1
}"#;

fn samples(seen: &Seen, name: &str) -> Vec<Told> {
    let mut samples = seen.events("sample");
    samples.retain(|told| told.text("name") == name);
    assert!(!samples.is_empty(), "{name} says nothing");
    samples
}

fn pids(seen: &Seen, name: &str) -> usize {
    let samples = samples(seen, name);
    let pids: BTreeSet<i64> = samples.iter().map(|told| told.number("pid")).collect();
    pids.len()
}

/// The most milliseconds between two samples of a process.
fn silence(seen: &Seen, name: &str) -> u64 {
    let times: Vec<u64> = samples(seen, name).iter().map(|told| told.at_ms).collect();
    let pairs = times.iter().zip(times.iter().skip(1));
    pairs.map(|(a, b)| b - a).max().unwrap_or(u64::MAX)
}

/// The other process does not notice.
fn witness_is_calm(seen: &Seen) {
    assert_eq!(pids(seen, "witness"), 1);
    assert!(
        silence(seen, "witness") < 100,
        "{}",
        silence(seen, "witness")
    );
}

faults! { TWO;
    "process-kill" => a_killed_process_is_another_one_after_its_time,
    r#"at "500ms" { process-kill "n1" process="worker" restart-after="300ms" }"#,
    |with, without| {
        assert_eq!(pids(&with, "worker"), 2);
        assert!((300..450).contains(&silence(&with, "worker")), "{}", silence(&with, "worker"));
        witness_is_calm(&with);
        assert_eq!(pids(&without, "worker"), 1);
        assert!(silence(&without, "worker") < 100);
    }
    "process-restart" => a_restarted_process_is_another_one_at_once,
    r#"at "500ms" { process-restart "n1" process="worker" }"#,
    |with, without| {
        assert_eq!(pids(&with, "worker"), 2);
        assert!(silence(&with, "worker") < 150, "{}", silence(&with, "worker"));
        witness_is_calm(&with);
        assert_eq!(pids(&without, "worker"), 1);
    }
    "process-pause" => a_paused_process_sleeps_too_long_and_goes_on,
    // In the midst of a sleep, and not while it takes a sample, which is every 50 ms.
    r#"at "522ms" { process-pause "n1" process="worker" for="600ms" }"#,
    |with, without| {
        let latest = |seen: &Seen, name| {
            samples(seen, name).iter().map(|told| told.number("latest_us")).max()
        };
        assert!(latest(&with, "worker") > Some(590_000), "{:?}", latest(&with, "worker"));
        assert_eq!(pids(&with, "worker"), 1);
        witness_is_calm(&with);
        assert!(latest(&without, "worker") < Some(5_000), "{:?}", latest(&without, "worker"));
    }
}
