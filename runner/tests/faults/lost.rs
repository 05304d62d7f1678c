//! Faults that a node's init carries out, and that come when the node is down, boots, or goes down in
//! between; and what is said of those that do nothing.

use std::collections::BTreeSet;

use chaosrun::outcome::event::{EventKind, Fault, FaultStage};
use chaosrun::run::{End, Outcome};
use serde_json::Value;

use crate::pair::{MILLI, outcome, told_by};

const BASE: &str = r#"
scenario "lost" schema=1 {
    kernel "tiny"
    guest "worker" crate="observer" { args "family" "worker"; restart "always" }
    node "n1" { guest "worker"; memory "128MiB" }
    FAULTS
    run duration="3s" seed=1
}"#;

/// The samples of a process of this name: when, in milliseconds since all nodes were ready, and what.
fn samples(outcome: &Outcome, name: &str) -> Vec<(u64, Value)> {
    let ready = outcome.ready_ns.expect("it got ready");
    let mut samples = told_by(outcome, "n1", "sample");
    samples.retain(|(at, sample)| *at >= ready && sample["name"] == name);
    let since = |(at, sample): (u64, Value)| ((at - ready) / MILLI, sample);
    samples.into_iter().map(since).collect()
}

/// The names of the processes that said something between these milliseconds.
fn heard(outcome: &Outcome, from_ms: u64, to_ms: u64) -> Vec<&'static str> {
    let speaks = |name: &&&str| {
        let samples = samples(outcome, name);
        samples.iter().any(|(at, _)| (from_ms..to_ms).contains(at))
    };
    ALL.iter().filter(speaks).copied().collect()
}

const ALL: [&str; 3] = ["worker", "worker child", "worker daemon"];

/// The records about faults of this kind: the stage, when, and the fault.
fn records<'a>(outcome: &'a Outcome, kind: &str) -> Vec<(FaultStage, u64, &'a Fault)> {
    let ready = outcome.ready_ns.expect("it got ready");
    let events = outcome.events.iter();
    events
        .filter_map(|event| match &event.kind {
            EventKind::Fault(record) if record.fault.name == kind => {
                let stage = record.fault.details.stage?;
                Some((stage, (event.vtime_ns - ready) / MILLI, &record.fault))
            }
            _ => None,
        })
        .collect()
}

fn stages(outcome: &Outcome, kind: &str) -> Vec<FaultStage> {
    let records = records(outcome, kind);
    records.iter().map(|(stage, ..)| *stage).collect()
}

fn run(faults: &str) -> Outcome {
    let outcome = outcome(BASE, faults);
    assert_eq!(outcome.end, End::Complete);
    assert_eq!(outcome.unhealed, [""; 0]);
    outcome
}

#[test]
fn a_pause_begins_when_the_node_can_take_it_and_lasts_as_long_as_it_should() {
    for at in ["1050ms", "1210ms", "1230ms"] {
        let outcome = run(&format!(
            r#"at "1s" {{ kill "n1" restart-after="200ms" }}
               at "{at}" {{ process-pause "n1" for="600ms" }}"#
        ));
        let records = records(&outcome, "process-pause");
        let [(FaultStage::Begin, begin, _), (FaultStage::End, end, _)] = records[..] else {
            panic!("{at}: {records:?}");
        };
        assert!((1_201..1_600).contains(&begin), "{at}: {begin}");
        assert_eq!(end - begin, 600, "{at}");
        assert_eq!(heard(&outcome, begin + 30, end), [""; 0], "{at}");
        assert_eq!(heard(&outcome, end + 100, 3_000), ALL, "{at}");
    }
}

#[test]
fn a_pause_of_a_node_that_goes_down_is_over_and_the_next_life_has_none() {
    let outcome = run(r#"at "500ms" { process-pause "n1" for="1200ms" }
           at "1s" { kill "n1" restart-after="200ms" }"#);
    assert_eq!(heard(&outcome, 550, 1_200), [""; 0]);
    assert_eq!(heard(&outcome, 1_500, 1_700), ALL);
    assert_eq!(heard(&outcome, 1_700, 3_000), ALL);
    let records = records(&outcome, "process-pause");
    let [(FaultStage::Begin, 500, _), (FaultStage::End, 1_000, _)] = records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(told_by(&outcome, "n1", "command failed"), []);
}

#[test]
fn a_killed_program_comes_back_once_with_all_that_it_starts() {
    let outcome = run(r#"at "500ms" { process-kill "n1" restart-after="300ms" }"#);
    assert_eq!(heard(&outcome, 510, 800), [""; 0]);
    for name in ALL {
        let samples = samples(&outcome, name);
        let pids = |from: u64, to: u64| -> BTreeSet<i64> {
            let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
            within.filter_map(|(_, s)| s["pid"].as_i64()).collect()
        };
        let (before, after) = (pids(0, 500), pids(510, 3_000));
        assert_eq!((before.len(), after.len()), (1, 1), "{name}");
        assert!(before.is_disjoint(&after), "{name}");
    }
}

#[test]
fn a_whole_family_is_paused_and_killed_with_debians_kernel() {
    let base = BASE
        .replace("\"tiny\"", "\"debian\"")
        .replace("128MiB", "256MiB")
        .replace("\"3s\"", "\"6s\"");
    let outcome = outcome(
        &base,
        r#"at "1s" { process-pause "n1" for="1s" }
           at "3s" { process-kill "n1" restart-after="500ms" }"#,
    );
    assert_eq!(outcome.unhealed, [""; 0]);
    assert_eq!(heard(&outcome, 0, 1_000), ALL);
    assert_eq!(heard(&outcome, 1_030, 2_000), [""; 0]);
    assert_eq!(heard(&outcome, 2_000, 3_000), ALL);
    assert_eq!(heard(&outcome, 3_030, 3_500), [""; 0]);
    assert_eq!(heard(&outcome, 4_500, 6_000), ALL);
    for name in ALL {
        let pids = samples(&outcome, name);
        let pids: BTreeSet<i64> = pids.iter().filter_map(|(_, s)| s["pid"].as_i64()).collect();
        assert_eq!(pids.len(), 2, "{name}");
    }
}

#[test]
fn a_killed_program_is_back_when_the_quiet_begins() {
    let outcome = run(r#"at "500ms" { process-kill "n1" restart-after="1h" }
           quiet "1s""#);
    assert_eq!(heard(&outcome, 510, 2_000), [""; 0]);
    assert_eq!(heard(&outcome, 2_300, 3_000), ALL);
}

#[test]
fn overlapping_pauses_end_with_the_last() {
    let outcome = run(r#"at "500ms" { process-pause "n1" for="500ms" }
           at "700ms" { process-pause "n1" process="worker" for="800ms" }"#);
    assert_eq!(heard(&outcome, 530, 1_500), [""; 0]);
    assert_eq!(heard(&outcome, 1_600, 3_000), ALL);
}

#[test]
fn overlapping_pressures_give_back_what_each_took() {
    let outcome = run(
        r#"at "500ms" { memory-pressure "n1" take="24MiB" for="500ms" }
           at "600ms" { memory-pressure "n1" take="24MiB" for="1s" }"#,
    );
    let available = |from: u64, to: u64| -> i64 {
        let samples = samples(&outcome, "worker");
        let mut within = samples.iter().filter(|(at, _)| (from..to).contains(at));
        let (_, sample) = within.next().expect("there is a sample");
        sample["available_kib"].as_i64().expect("it is a number")
    };
    let (none, one) = (available(300, 500), available(1_300, 1_600));
    let (both, after) = (available(800, 1_000), available(1_900, 2_500));
    assert!(none - one > 12 << 10, "{none} {one}");
    assert!(one - both > 12 << 10, "{one} {both}");
    // The kernel keeps some MiB of free pages for each processor, which it does not count.
    assert!(none - after < 12 << 10, "{none} {after}");
}

#[test]
fn what_did_nothing_is_told_and_not_counted() {
    let outcome = run(r#"at "500ms" {
               memory-pressure "n1" take="80GiB" for="500ms"
               clock-jump "n1" by="-701280h"
           }
           at "1s" { kill "n1" }
           at "1100ms" { clock-skew "n1" by="1s" for="100ms" }
           at "1200ms" { process-restart "n1" }"#);
    for kind in ["memory-pressure", "clock-jump", "clock-skew"] {
        let stages = stages(&outcome, kind);
        assert!(
            stages.contains(&FaultStage::WithoutEffect),
            "{kind}: {stages:?}"
        );
        assert_eq!(outcome.faults.get(kind), Some(&0), "{kind}");
        let noted = |note: &&String| note.starts_with(&format!("{kind} had no effect on n1"));
        assert_eq!(outcome.notes.iter().filter(noted).count(), 1, "{kind}");
    }
    // It waits for a node that takes commands, and there is none to the end.
    assert_eq!(stages(&outcome, "process-restart"), [FaultStage::LeftOut]);
}
