//! Reads of whole sets, against trying all orders.

use super::*;
use crate::property::sample::{Numbers, operation};
use serde_json::{Value, json};

/// Judges adds, as (element, begin, end), and reads, as (list, begin, end).
fn verdict(adds: &[(u64, u64, Option<u64>)], reads: &[(Value, u64, u64)]) -> Verdict {
    let mut all = Vec::new();
    for (element, begin, end) in adds {
        all.push(operation("add", json!(element), Value::Null, *begin, *end));
    }
    let elements: Vec<Vec<usize>> = (0..all.len()).map(|at| vec![at]).collect();
    let elements: Vec<&[usize]> = elements.iter().map(Vec::as_slice).collect();
    for (list, begin, end) in reads {
        all.push(operation(
            "read",
            Value::Null,
            list.clone(),
            *begin,
            Some(*end),
        ));
    }
    let reads: Vec<usize> = (adds.len()..all.len()).collect();
    judge_whole("", &all, &elements, &reads)
}

#[test]
fn reads_of_the_whole_set_tell_of_every_element() {
    let adds = [(1, 0, Some(10)), (2, 20, Some(30)), (3, 5, None)];
    let holds = |reads: &[(Value, u64, u64)]| verdict(&adds, reads) == Verdict::Holds;
    let broken = |reads: &[(Value, u64, u64)]| matches!(verdict(&adds, reads), Verdict::Broken(_));
    assert!(holds(&[
        (json!([1]), 12, 14),
        (json!([1, 2]), 25, 26),
        (json!([2, 1]), 40, 50)
    ]));
    assert!(holds(&[(json!([]), 0, 3), (json!([3, 1.0]), 12, 14)]));
    assert!(broken(&[(json!([2]), 40, 50)]), "1 is lost");
    assert!(broken(&[(json!([1, 2, 4]), 40, 50)]), "nobody added 4");
    assert!(
        broken(&[(json!([1, 2]), 12, 14)]),
        "2 comes before it is added"
    );
    assert!(
        broken(&[(json!([1, 2, 3]), 40, 50), (json!([1, 2]), 60, 70)]),
        "3 is lost"
    );
    let undecided = verdict(&adds, &[(Value::Null, 40, 50)]);
    assert!(matches!(undecided, Verdict::Undecided(_)));
}

#[test]
fn two_reads_that_disagree_are_a_violation_though_each_element_has_an_order() {
    let adds = [(1, 0, Some(100)), (2, 0, Some(100))];
    let found = verdict(&adds, &[(json!([1]), 10, 90), (json!([2]), 10, 90)]);
    let Verdict::Broken(violation) = found else {
        panic!("{found:?}");
    };
    assert_eq!(violation.shown[1], (SMALLEST, vec![2, 3]));
    let agree = verdict(&adds, &[(json!([1]), 10, 90), (json!([1, 2]), 10, 90)]);
    assert_eq!(agree, Verdict::Holds);
}

#[test]
fn a_read_with_what_was_added_later_and_not_what_was_there_is_a_violation() {
    // The read has 3, which began after 2 had been added, and it does not have 2.
    let adds = [(2, 10, Some(20)), (3, 30, Some(40))];
    let found = verdict(&adds, &[(json!([3]), 5, 90)]);
    let Verdict::Broken(violation) = found else {
        panic!("{found:?}");
    };
    assert_eq!(violation.shown[1], (SMALLEST, vec![1, 0, 2]));
}

/// Some operations on a set of three elements.
fn small(numbers: &mut Numbers, has_removes: bool) -> Vec<Operation> {
    let count = 2 + numbers.below(6);
    let mut out = Vec::new();
    for _ in 0..count {
        let begin = numbers.below(12);
        let end = (numbers.below(6) > 0).then(|| begin + numbers.below(8));
        let element = json!(1 + numbers.below(3));
        let told = [Value::Null, json!(true), json!(false)][numbers.below(3) as usize].clone();
        let list: Vec<u64> = (1..4).filter(|_| numbers.below(2) == 0).collect();
        out.push(match numbers.below(if has_removes { 6 } else { 5 }) {
            0 | 1 => operation("add", element, told, begin, end),
            2 => {
                let told = json!(!matches!(told, Value::Bool(false)));
                operation("contains", element, told, begin, end)
            }
            3 | 4 => operation("read", Value::Null, json!(list), begin, end),
            _ => operation("remove", element, told, begin, end),
        });
    }
    out
}

/// Tries all orders.
fn has_order(ops: &[Operation], done: u32, set: &BTreeSet<Json>) -> bool {
    let left = |at: &usize| done & (1 << at) == 0;
    let sure = |at: &usize| left(at) && ops[*at].outcome == Outcome::Ok;
    let Some(first_end) = (0..ops.len())
        .filter(sure)
        .filter_map(|at| ops[at].returned)
        .map(|end| end.time_ns)
        .min()
    else {
        return true;
    };
    (0..ops.len())
        .filter(left)
        .filter(|at| ops[*at].invoked.time_ns <= first_end)
        .any(|at| {
            let op = &ops[at];
            let there = set.contains(&op.argument);
            let told = op.result.as_bool().filter(|_| sure(&at));
            let mut after = set.clone();
            let fits = match op.f.as_str() {
                "read" => {
                    let list = op.result.as_array().unwrap_or_default();
                    !sure(&at) || list.iter().cloned().collect::<BTreeSet<_>>() == *set
                }
                "contains" => told.is_none_or(|told| told == there),
                "add" => {
                    after.insert(op.argument.clone());
                    told.is_none_or(|told| told != there)
                }
                _ => {
                    after.remove(&op.argument);
                    told.is_none_or(|told| told == there)
                }
            };
            fits && has_order(ops, done | 1 << at, &after)
        })
}

fn judged(ops: &[Operation]) -> Verdict {
    let mut elements: BTreeMap<&Json, Vec<usize>> = BTreeMap::new();
    for (at, op) in ops.iter().enumerate().filter(|(_, op)| op.f != "read") {
        elements.entry(&op.argument).or_default().push(at);
    }
    let elements: Vec<&[usize]> = elements.values().map(Vec::as_slice).collect();
    let reads: Vec<usize> = (0..ops.len()).filter(|at| ops[*at].f == "read").collect();
    judge_whole("", ops, &elements, &reads)
}

#[test]
fn whole_sets_agree_with_trying_all_orders() {
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    for has_removes in [false, true] {
        let mut orders = [0, 0];
        for _ in 0..30_000 {
            let ops = small(&mut numbers, has_removes);
            let expected = has_order(&ops, 0, &BTreeSet::new());
            orders[usize::from(expected)] += 1;
            match judged(&ops) {
                Verdict::Holds => assert!(expected, "{ops:#?}"),
                Verdict::Broken(violation) => assert!(!expected, "{}: {ops:#?}", violation.why),
                Verdict::Undecided(why) => panic!("{why}: {ops:#?}"),
            }
        }
        assert!(orders[0] > 3_000 && orders[1] > 3_000, "{orders:?}");
    }
}
