//! The checker against one that tries all orders, and against long histories.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Verdict, judge};
use crate::property::history::{Operation, Outcome};
use crate::property::json::Json;
use crate::property::sample::{apply, operation, simulated};
use chaosrun_language::plan::property::HistoryModel;

fn verdict(model: HistoryModel, operations: &[Operation]) -> Verdict {
    let places: Vec<usize> = (0..operations.len()).collect();
    judge(model, "", operations, &places)
}

/// Tries all orders.
fn has_order(model: HistoryModel, ops: &[Operation], done: u32, state: &[Json]) -> bool {
    let open = |at: usize| done & (1 << at) == 0;
    let sure_left = |at: &usize| open(*at) && ops[*at].outcome == Outcome::Ok;
    if !(0..ops.len()).any(|at| sure_left(&at)) {
        return true;
    }
    let first_end = (0..ops.len())
        .filter(sure_left)
        .filter_map(|at| ops[at].returned)
        .map(|end| end.time_ns)
        .min()
        .unwrap_or(u64::MAX);
    (0..ops.len()).any(|at| {
        open(at)
            && ops[at].invoked.time_ns <= first_end
            && apply(model, state, &ops[at])
                .is_some_and(|state| has_order(model, ops, done | 1 << at, &state))
    })
}

fn small_value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (1..4_u8).prop_map(|v| json!(v))]
}

fn told() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!(true)), Just(json!(false)), Just(Value::Null)]
}

fn an_operation(model: HistoryModel) -> BoxedStrategy<Operation> {
    let what = match model {
        HistoryModel::Set => {
            let f = prop::sample::select(vec!["add", "remove", "contains"]);
            (f, told())
                .prop_map(|(f, told)| {
                    let told = if f == "contains" && told.is_null() {
                        json!(true)
                    } else {
                        told
                    };
                    (f, json!("x"), told)
                })
                .boxed()
        }
        HistoryModel::Queue => prop_oneof![
            (1..4_u8).prop_map(|v| ("enqueue", json!(v), Value::Null)),
            small_value().prop_map(|v| ("dequeue", Value::Null, v)),
        ]
        .boxed(),
        _ => prop_oneof![
            3 => small_value().prop_map(|v| ("read", Value::Null, v)),
            3 => (1..4_u8).prop_map(|v| ("write", json!(v), Value::Null)),
            2 => (small_value(), 1..4_u8, told())
                .prop_map(|(old, new, told)| ("cas", json!([old, new]), told)),
            1 => told().prop_map(|told| ("delete", Value::Null, told)),
        ]
        .boxed(),
    };
    (what, 0..24_u64, 0..12_u64, 0..6_u8)
        .prop_map(|((f, argument, result), begin, length, unknown)| {
            let end = (unknown > 0).then_some(begin + length);
            operation(f, argument, result, begin, end)
        })
        .boxed()
}

fn agrees(model: HistoryModel, mut ops: Vec<Operation>) -> Result<(), TestCaseError> {
    ops.sort_by_key(|op| op.invoked);
    let expected = has_order(model, &ops, 0, &[]);
    match verdict(model, &ops) {
        Verdict::Holds => prop_assert!(expected, "no order, but it passes: {ops:#?}"),
        Verdict::Broken(v) => prop_assert!(!expected, "{} but: {ops:#?}", v.why),
        // Only queues in which dequeues of unknown outcome meet empty ones may stay undecided.
        Verdict::Undecided(why) => prop_assert!(model == HistoryModel::Queue, "{why}: {ops:#?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn values_agree_with_trying_all_orders(ops in vec(an_operation(HistoryModel::Kv), 1..9)) {
        agrees(HistoryModel::Kv, ops)?;
    }

    #[test]
    fn sets_agree_with_trying_all_orders(ops in vec(an_operation(HistoryModel::Set), 1..9)) {
        agrees(HistoryModel::Set, ops)?;
    }

    #[test]
    fn queues_agree_with_trying_all_orders(ops in vec(an_operation(HistoryModel::Queue), 1..8)) {
        agrees(HistoryModel::Queue, ops)?;
    }

    #[test]
    fn queues_of_distinct_values_agree_with_trying_all_orders(
        ops in vec(an_operation(HistoryModel::Queue), 1..8),
    ) {
        let mut next = 0;
        let ops = ops.into_iter().map(|mut op| {
            if op.f == "enqueue" {
                next += 1;
                op.argument = json!(next).into();
            }
            op
        });
        agrees(HistoryModel::Queue, ops.collect())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_really_happened_is_linearizable(seed in any::<u64>()) {
        for model in [HistoryModel::Kv, HistoryModel::Set, HistoryModel::Queue] {
            let ops = simulated(model, 300, 6, seed);
            match verdict(model, &ops) {
                Verdict::Holds => {}
                // Whether some other assignment of unknown dequeues works is not always known.
                Verdict::Undecided(_) if model == HistoryModel::Queue => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn a_stale_read_in_a_long_history_is_found() {
    let mut ops = simulated(HistoryModel::Kv, 3_000, 8, 7);
    let reads: Vec<usize> = (1_000..ops.len())
        .filter(|at| ops[*at].f == "read" && ops[*at].returned.is_some())
        .collect();
    let read = reads[reads.len() / 2];
    assert_eq!(verdict(HistoryModel::Kv, &ops), Verdict::Holds);
    // A value that was overwritten long ago.
    ops[read].result = json!(3).into();
    let Verdict::Broken(violation) = verdict(HistoryModel::Kv, &ops) else {
        panic!("not found");
    };
    assert_eq!(violation.operation, read);
    assert!(violation.why.contains("-> 3"), "{}", violation.why);
    let (label, part) = &violation.shown[1];
    assert_eq!(*label, super::SMALLEST);
    // Nobody wrote it, so that the read alone shows it.
    assert_eq!(part, &[read]);
}

/// Lets a late read see what an early one saw, which was certainly overwritten long before. Hands out
/// the late one.
fn spoil(ops: &mut [Operation]) -> usize {
    let reads: Vec<usize> = (0..ops.len())
        .filter(|at| ops[*at].f == "read" && ops[*at].returned.is_some())
        .filter(|at| !ops[*at].result.is_null())
        .collect();
    let (early, late) = (reads[reads.len() / 4], reads[reads.len() * 3 / 4]);
    assert_ne!(ops[early].result, ops[late].result);
    ops[late].result = ops[early].result.clone();
    late
}

#[test]
fn histories_of_many_clients_are_decided() {
    for model in [
        HistoryModel::Register,
        HistoryModel::CasRegister,
        HistoryModel::Kv,
    ] {
        for open in [20, 50] {
            let mut ops = simulated(model, 10_000, open, 1);
            let unknown = ops.iter().filter(|op| op.returned.is_none()).count();
            assert!((400..600).contains(&unknown), "{unknown}");
            assert_eq!(verdict(model, &ops), Verdict::Holds, "{model:?} {open}");
            let late = spoil(&mut ops);
            let Verdict::Broken(violation) = verdict(model, &ops) else {
                panic!("{model:?} {open}: not found");
            };
            let (label, part) = &violation.shown[1];
            assert_eq!(*label, super::SMALLEST, "{model:?} {open}");
            assert!(part.contains(&late), "{model:?} {open}: {late} in {part:?}");
            assert!(part.len() < 8, "{part:?}");
            assert!(violation.part.is_some_and(|facts| facts.minimal));
            let alone: Vec<Operation> = part.iter().map(|at| ops[*at].clone()).collect();
            assert!(matches!(verdict(model, &alone), Verdict::Broken(_)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_part_of_a_queue_has_no_order_and_has_one_without_any_of_its_values(
        ops in vec(an_operation(HistoryModel::Queue), 1..8),
        distinct in any::<bool>(),
    ) {
        let mut ops = ops;
        let mut next = 0;
        for op in ops.iter_mut().filter(|op| distinct && op.f == "enqueue") {
            next += 1;
            op.argument = json!(next).into();
        }
        ops.sort_by_key(|op| op.invoked);
        if let Verdict::Broken(violation) = verdict(HistoryModel::Queue, &ops) {
            let part = &violation.shown[0].1;
            let part: Vec<Operation> = part.iter().map(|at| ops[*at].clone()).collect();
            prop_assert!(!has_order(HistoryModel::Queue, &part, 0, &[]), "{part:#?} of {ops:#?}");
            let value = |op: &Operation| match op.f.as_str() {
                "enqueue" => (op.argument.clone(), 0),
                _ if op.outcome != Outcome::Ok => (json!("?").into(), 0),
                _ if op.result.is_null() => (Json::Null, op.invoked.seq),
                _ => (op.result.clone(), 0),
            };
            let unknown = part.iter().any(|op| op.f == "dequeue" && op.outcome != Outcome::Ok);
            for left_out in part.iter().map(value).filter(|_| !unknown) {
                let fewer = part.iter().filter(|op| value(op) != left_out).cloned();
                let fewer: Vec<Operation> = fewer.collect();
                prop_assert!(has_order(HistoryModel::Queue, &fewer, 0, &[]), "{fewer:#?} of {ops:#?}");
            }
        }
    }
}

#[test]
fn a_lost_value_of_a_long_queue_is_found() {
    let ops = simulated(HistoryModel::Queue, 3_000, 8, 7);
    let taken: Vec<usize> = (1_000..ops.len())
        .filter(|at| ops[*at].f == "dequeue" && !ops[*at].result.is_null())
        .collect();
    let (a, b) = (taken[10], taken[60]);
    let mut swapped = ops.clone();
    let (first, second) = (ops[a].result.clone(), ops[b].result.clone());
    swapped[a].result = second;
    swapped[b].result = first.clone();
    assert!(matches!(
        verdict(HistoryModel::Queue, &swapped),
        Verdict::Broken(_)
    ));
    let mut twice = ops;
    twice[b].result = first;
    let Verdict::Broken(violation) = verdict(HistoryModel::Queue, &twice) else {
        panic!("not found");
    };
    assert!(violation.why.contains("twice"), "{}", violation.why);
}

#[test]
fn what_the_model_does_not_know_is_undecided() {
    let ops = [operation("increment", json!(1), Value::Null, 0, Some(1))];
    for model in [
        HistoryModel::Register,
        HistoryModel::Set,
        HistoryModel::Queue,
    ] {
        assert!(matches!(verdict(model, &ops), Verdict::Undecided(_)));
    }
    let ops = [operation("cas", json!([1, 2]), Value::Null, 0, Some(1))];
    assert!(matches!(
        verdict(HistoryModel::Register, &ops),
        Verdict::Undecided(_)
    ));
    assert!(matches!(
        verdict(HistoryModel::CasRegister, &ops),
        Verdict::Broken(_)
    ));
}

#[test]
fn too_many_open_operations_are_undecided() {
    let ops: Vec<Operation> = (0..600)
        .map(|at| operation("write", json!(at), Value::Null, at, Some(1_000 + at)))
        .collect();
    assert!(matches!(
        verdict(HistoryModel::Register, &ops),
        Verdict::Undecided(_)
    ));
}

#[test]
fn operations_that_touch_are_concurrent() {
    let touching = [
        operation("write", json!(1), Value::Null, 0, Some(10)),
        operation("read", Value::Null, Value::Null, 10, Some(20)),
    ];
    assert_eq!(verdict(HistoryModel::Register, &touching), Verdict::Holds);
    let apart = [
        operation("write", json!(1), Value::Null, 0, Some(10)),
        operation("read", Value::Null, Value::Null, 11, Some(20)),
    ];
    assert!(matches!(
        verdict(HistoryModel::Register, &apart),
        Verdict::Broken(_)
    ));
}
