//! Known anomalies, and small histories against a checker that tries all orders.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::judge;
use crate::property::history::{Operation, Outcome, Stamp};
use crate::property::json::Json;
use chaosrun_language::plan::property::ConsistencyLevel as Level;

const LEVELS: [Level; 4] = [
    Level::ReadCommitted,
    Level::SnapshotIsolation,
    Level::Serializable,
    Level::StrictSerializable,
];

/// A transaction with what it did, from a time to another.
fn txn(steps: Value, begin: u64, end: Option<u64>) -> Operation {
    let stamp = |time_ns| Stamp {
        time_ns,
        seq: time_ns,
    };
    Operation {
        node: "c1".into(),
        process: begin,
        f: "txn".into(),
        key: None,
        argument: steps.clone().into(),
        result: if end.is_some() { steps } else { Value::Null }.into(),
        invoked: stamp(begin),
        returned: end.map(stamp),
        outcome: if end.is_some() {
            Outcome::Ok
        } else {
            Outcome::Unknown
        },
    }
}

/// Concurrent transactions.
fn together(all: &[Value]) -> Vec<Operation> {
    all.iter()
        .map(|steps| txn(steps.clone(), 0, Some(100)))
        .collect()
}

/// The names of what each level finds.
fn names(history: &[Operation]) -> [&'static str; 4] {
    LEVELS.map(|level| match judge(history, level) {
        Ok(Some(anomaly)) => anomaly.name,
        Ok(None) => "",
        Err(_) => "undecided",
    })
}

#[test]
fn anomalies_are_found_from_the_level_on_that_forbids_them() {
    let cases: [(&str, Vec<Operation>, [&str; 4]); 7] = [
        (
            "writes in two orders",
            together(&[
                json!([["append", "x", 1], ["append", "y", 1]]),
                json!([["append", "x", 2], ["append", "y", 2]]),
                json!([["r", "x", [1, 2]]]),
                json!([["r", "y", [2, 1]]]),
            ]),
            ["G0"; 4],
        ),
        (
            "each reads the other's write",
            together(&[
                json!([["append", "x", 1], ["r", "y", [1]]]),
                json!([["append", "y", 1], ["r", "x", [1]]]),
            ]),
            ["G1c"; 4],
        ),
        (
            "a lost update",
            together(&[
                json!([["r", "x", []], ["append", "x", 1]]),
                json!([["r", "x", []], ["append", "x", 2]]),
                json!([["r", "x", [1, 2]]]),
            ]),
            ["", "G-single", "G-single", "G-single"],
        ),
        (
            "write skew",
            together(&[
                json!([["r", "x", []], ["append", "y", 1]]),
                json!([["r", "y", []], ["append", "x", 1]]),
            ]),
            ["", "", "G2-item", "G2-item"],
        ),
        (
            "a stale read",
            vec![
                txn(json!([["append", "x", 1]]), 0, Some(10)),
                txn(json!([["r", "x", []]]), 20, Some(30)),
            ],
            ["", "", "", "G-single-realtime"],
        ),
        (
            "two reads that differ",
            together(&[
                json!([["append", "x", 1]]),
                json!([["r", "x", []], ["r", "x", [1]]]),
            ]),
            ["", "internal", "internal", "internal"],
        ),
        (
            "nothing wrong",
            together(&[
                json!([["append", "x", 1], ["r", "x", [1]]]),
                json!([["r", "x", [1]], ["append", "x", 2]]),
            ]),
            [""; 4],
        ),
    ];
    for (case, history, expected) in cases {
        assert_eq!(names(&history), expected, "{case}");
    }
}

#[test]
fn dirty_reads_are_found_at_every_level() {
    let mut aborted = together(&[json!([["append", "x", 1]]), json!([["r", "x", [1]]])]);
    aborted[0].outcome = Outcome::Fail;
    assert_eq!(names(&aborted), ["G1a"; 4]);
    let intermediate = together(&[
        json!([["append", "x", 1], ["append", "x", 2]]),
        json!([["r", "x", [1]]]),
    ]);
    assert_eq!(names(&intermediate), ["G1b"; 4]);
    let garbage = together(&[json!([["r", "x", [1]]])]);
    assert_eq!(names(&garbage), ["garbage read"; 4]);
    let twice = together(&[json!([["append", "x", 1]]), json!([["r", "x", [1, 1]]])]);
    assert_eq!(names(&twice), ["duplicate"; 4]);
    let orders = together(&[
        json!([["append", "x", 1]]),
        json!([["append", "x", 2]]),
        json!([["r", "x", [1]]]),
        json!([["r", "x", [2]]]),
    ]);
    assert_eq!(names(&orders), ["incompatible order"; 4]);
}

#[test]
fn a_transaction_of_unknown_outcome_counts_once_it_is_read() {
    let history = [
        txn(json!([["append", "x", 1], ["append", "y", 1]]), 0, None),
        txn(json!([["r", "x", [1]]]), 10, Some(20)),
        txn(json!([["r", "y", []]]), 30, Some(40)),
    ];
    assert_eq!(names(&history)[3], "G-single-realtime");
    assert_eq!(names(&history[..1]), [""; 4]);
}

#[test]
fn what_is_no_transaction_is_undecided() {
    for steps in [
        json!(1),
        json!([1]),
        json!([["r", "x"]]),
        json!([["w", "x", 1]]),
    ] {
        assert_eq!(names(&[txn(steps, 0, Some(1))]), ["undecided"; 4]);
    }
    let twice = together(&[json!([["append", "x", 1]]), json!([["append", "x", 1]])]);
    assert_eq!(names(&twice), ["undecided"; 4]);
}

#[test]
fn the_proof_names_each_step_of_the_cycle() {
    let history = together(&[
        json!([["r", "x", []], ["append", "y", 1]]),
        json!([["r", "y", []], ["append", "x", 1]]),
    ]);
    let anomaly = judge(&history, Level::Serializable).unwrap().unwrap();
    assert_eq!(anomaly.txns.len(), 2);
    assert_eq!(
        anomaly.proof,
        [
            "T1 before T2: T1 read x without 1 of T2 (rw)",
            "T2 before T1: T2 read y without 1 of T1 (rw)",
        ]
    );
}

type Lists = BTreeMap<String, Vec<Json>>;

/// Executes a transaction on lists; nothing if what it read is not there.
fn execute(lists: &Lists, operation: &Operation) -> Option<Lists> {
    let mut lists = lists.clone();
    for step in operation.argument.as_array().unwrap() {
        let step = step.as_array().unwrap();
        let list = lists.entry(step[1].to_string()).or_default();
        if step[0] == Json::String("append".into()) {
            list.push(step[2].clone());
        } else if operation.outcome == Outcome::Ok && step[2].as_array() != Some(list.as_slice()) {
            return None;
        }
    }
    Some(lists)
}

/// Tries all serial orders.
fn is_serializable(all: &[Operation], done: u32, lists: &Lists, strict: bool) -> bool {
    let left = |at: &usize| done & (1 << at) == 0 && all[*at].outcome == Outcome::Ok;
    if !(0..all.len()).any(|at| left(&at)) {
        return true;
    }
    let ends = (0..all.len())
        .filter(left)
        .filter_map(|at| all[at].returned);
    let first_end = ends.map(|end| end.time_ns).min().unwrap_or(u64::MAX);
    (0..all.len()).any(|at| {
        let in_time = !strict || all[at].invoked.time_ns <= first_end;
        let open = done & (1 << at) == 0 && all[at].outcome != Outcome::Fail;
        open && in_time
            && execute(lists, &all[at])
                .is_some_and(|lists| is_serializable(all, done | 1 << at, &lists, strict))
    })
}

/// Steps, which append to or read a key; how long before its effect a transaction begins, how long after
/// it it ends, and whether its end is known.
type Shape = (Vec<(bool, u8)>, u64, u64, u8);

/// A history that some serial order explains, with the order of effects being that of the vector.
fn serial(shapes: &[Shape]) -> Vec<Operation> {
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut next = 0;
    let mut out = Vec::new();
    for (at, (steps, before, after, luck)) in shapes.iter().enumerate() {
        let mut done = Vec::new();
        for (append, key) in steps {
            let key = json!(format!("k{key}"));
            let list = lists.entry(key.to_string()).or_default();
            if *append {
                next += 1;
                list.push(json!(next));
                done.push(json!(["append", key, next]));
            } else {
                done.push(json!(["r", key, list]));
            }
        }
        let effect = at as u64 * 10 + 100;
        let end = (*luck > 0).then_some(effect + after);
        out.push(txn(json!(done), effect - before, end));
    }
    out
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let step = (any::<bool>(), 0..3_u8);
    let steps = prop::collection::vec(step, 1..4);
    prop::collection::vec((steps, 0..40_u64, 0..40_u64, 0..8_u8), 1..7)
}

/// Spoils one read of a history.
fn spoil(history: &mut [Operation], which: usize, how: u8) {
    let mut reads = Vec::new();
    for (at, operation) in history.iter().enumerate() {
        for (step, value) in operation.argument.as_array().unwrap().iter().enumerate() {
            if value.as_array().unwrap()[0] == Json::String("r".into())
                && operation.outcome == Outcome::Ok
            {
                reads.push((at, step));
            }
        }
    }
    let Some((at, step)) = reads.get(which % reads.len().max(1)).copied() else {
        return;
    };
    let mut steps = history[at].argument.clone();
    let Json::Array(inside) = &mut steps else {
        return;
    };
    let Json::Array(read) = &mut inside[step] else {
        return;
    };
    let Json::Array(list) = &mut read[2] else {
        return;
    };
    match how {
        0 => drop(list.pop()),
        1 => list.reverse(),
        _ => list.truncate(list.len() / 2),
    }
    history[at].argument = steps.clone();
    history[at].result = steps;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn what_a_serial_order_explains_passes(shapes in shapes()) {
        let history = serial(&shapes);
        prop_assert_eq!(names(&history), [""; 4]);
    }

    #[test]
    fn a_spoilt_history_passes_only_if_an_order_explains_it(
        shapes in shapes(), which in any::<prop::sample::Index>(), how in 0..3_u8,
    ) {
        let mut history = serial(&shapes);
        spoil(&mut history, which.index(64), how);
        for (level, strict) in [(Level::Serializable, false), (Level::StrictSerializable, true)] {
            let found = judge(&history, level).unwrap();
            let explained = is_serializable(&history, 0, &Lists::new(), strict);
            prop_assert_eq!(found.is_none(), explained, "{:?} {:#?}", found, history);
        }
    }

    #[test]
    fn a_stronger_level_forbids_all_that_a_weaker_one_does(
        shapes in shapes(), which in any::<prop::sample::Index>(), how in 0..3_u8,
    ) {
        let mut history = serial(&shapes);
        spoil(&mut history, which.index(64), how);
        let found = names(&history).map(|name| !name.is_empty());
        prop_assert!(found.is_sorted(), "{:?}", found);
    }
}
