//! Sets that are also read as a whole, as Jepsen's are.
//!
//! A set's elements can be judged one by one, except that a read of the whole set tells of all of them
//! at one moment. So first each element is judged as if every read told of it alone; a violation there
//! is one. Then each read is given a moment of its own, the earliest that the reads and writes allow; if
//! each element has an order with all reads at their moments, the whole has one.
//!
//! If nothing is ever removed, the moments are exact: of two lists one has to contain the other, the
//! smaller comes first, an element that is in a list was added before and one that is not was not. If
//! something is removed, other moments might do where these do not, and that is told as undecided.

use std::collections::{BTreeMap, BTreeSet};

use super::{SMALLEST, Verdict, Violation, judge, values};
use crate::plan::property::HistoryModel;
use crate::property::history::{Operation, Outcome, shown};
use crate::property::json::Json;

/// How many times a read may tell of an element, over all of both.
const MAX_TOLD: usize = 5_000_000;

/// A read of the whole set.
struct Read<'a> {
    place: usize,
    operation: &'a Operation,
    list: BTreeSet<&'a Json>,
}

/// Judges the set with a key: `elements` are the places of the operations on each element.
#[must_use]
pub fn judge_whole(
    key: &str,
    operations: &[Operation],
    elements: &[&[usize]],
    reads: &[usize],
) -> Verdict {
    let reads = match whole_reads(operations, reads) {
        Ok(reads) => reads,
        Err(why) => return Verdict::Undecided(why),
    };
    let mut by_element: BTreeMap<&Json, &[usize]> = BTreeMap::new();
    for places in elements {
        by_element.insert(&operations[places[0]].argument, places);
    }
    for read in &reads {
        for element in &read.list {
            by_element.entry(element).or_default();
        }
    }
    if by_element.len().saturating_mul(reads.len()) > MAX_TOLD {
        let (elements, reads) = (by_element.len(), reads.len());
        return Verdict::Undecided(format!(
            "{reads} reads of {elements} elements are more than can be compared"
        ));
    }
    let apart = each(key, operations, &by_element, &reads, None);
    if !matches!(apart, Verdict::Holds) {
        return apart;
    }
    let moments = match moments(key, operations, &by_element, &reads) {
        Ok(moments) => moments,
        Err(verdict) => return verdict,
    };
    match each(key, operations, &by_element, &reads, Some(&moments)) {
        Verdict::Broken(_) => Verdict::Undecided(
            "each element has an order, but no moments of the reads of the whole set were found that \
             suit all of them, which proves nothing"
                .to_owned(),
        ),
        other => other,
    }
}

fn whole_reads<'a>(operations: &'a [Operation], reads: &[usize]) -> Result<Vec<Read<'a>>, String> {
    let mut out = Vec::new();
    for place in reads {
        let operation = &operations[*place];
        if operation.outcome != Outcome::Ok {
            continue;
        }
        let Some(list) = operation.result.as_array() else {
            let why = "the result has to be the list of all elements";
            return Err(values::wrong_form(operation, why));
        };
        out.push(Read {
            place: *place,
            operation,
            list: list.iter().collect(),
        });
    }
    Ok(out)
}

/// Judges each element with what the reads tell of it; at the moments given, if there are some.
fn each(
    key: &str,
    operations: &[Operation],
    by_element: &BTreeMap<&Json, &[usize]>,
    reads: &[Read<'_>],
    moments: Option<&[u64]>,
) -> Verdict {
    let scale = moments.map_or(1, |_| scale(reads));
    let mut undecided = None;
    for (element, places) in by_element {
        let mut history = Vec::with_capacity(places.len() + reads.len());
        let mut from = Vec::with_capacity(places.len() + reads.len());
        for place in *places {
            let mut operation = operations[*place].clone();
            operation.invoked.time_ns = operation.invoked.time_ns.saturating_mul(scale);
            if let Some(end) = &mut operation.returned {
                end.time_ns = end.time_ns.saturating_mul(scale);
            }
            history.push(operation);
            from.push(*place);
        }
        for (at, read) in reads.iter().enumerate() {
            let mut told = Operation {
                f: "contains".to_owned(),
                argument: (*element).clone(),
                result: Json::Bool(read.list.contains(element)),
                node: read.operation.node.clone(),
                key: None,
                ..*read.operation
            };
            if let (Some(moments), Some(end)) = (moments, &mut told.returned) {
                told.invoked.time_ns = moments[at];
                end.time_ns = moments[at];
            }
            history.push(told);
            from.push(read.place);
        }
        let all: Vec<usize> = (0..history.len()).collect();
        let object = format!("{key} {element}");
        match judge(HistoryModel::Set, &object, &history, &all) {
            Verdict::Holds => {}
            Verdict::Undecided(why) => undecided = undecided.or(Some(why)),
            Verdict::Broken(mut broken) => {
                broken.operation = from[broken.operation];
                for (_, places) in &mut broken.shown {
                    places.iter_mut().for_each(|place| *place = from[*place]);
                }
                return Verdict::Broken(broken);
            }
        }
    }
    undecided.map_or(Verdict::Holds, Verdict::Undecided)
}

/// How many moments a nanosecond has, so that no two reads are at the same one.
const fn scale(reads: &[Read<'_>]) -> u64 {
    reads.len() as u64 + 2
}

/// The earliest moments of the reads, in parts of nanoseconds.
fn moments(
    key: &str,
    operations: &[Operation],
    by_element: &BTreeMap<&Json, &[usize]>,
    reads: &[Read<'_>],
) -> Result<Vec<u64>, Verdict> {
    let removes = |place: &usize| operations[*place].f == "remove";
    let only_adds = !by_element.values().any(|places| places.iter().any(removes));
    let mut order: Vec<usize> = (0..reads.len()).collect();
    order.sort_by_key(|at| {
        let read = &reads[*at];
        let size = if only_adds { read.list.len() } else { 0 };
        (size, read.operation.invoked, read.place)
    });
    let scale = scale(reads);
    let mut out = vec![0; reads.len()];
    let mut last: Option<usize> = None;
    for at in order {
        let read = &reads[at];
        let mut moment = read.operation.invoked.time_ns.saturating_mul(scale);
        if let Some(last) = last {
            if only_adds && !reads[last].list.is_subset(&read.list) {
                return Err(disagree(key, &reads[last], read));
            }
            moment = moment.max(out[last] + 1);
        }
        for element in read.list.iter().filter(|_| only_adds) {
            let places = by_element.get(*element).copied().unwrap_or_default();
            let begin = places
                .iter()
                .map(|place| operations[*place].invoked.time_ns)
                .min();
            moment = moment.max(begin.unwrap_or(0).saturating_mul(scale));
        }
        out[at] = moment;
        last = Some(at);
    }
    Ok(out)
}

fn disagree(key: &str, first: &Read<'_>, second: &Read<'_>) -> Verdict {
    let missing = |of: &Read<'_>, inside: &Read<'_>| {
        let element = of.list.difference(&inside.list).next();
        element.map_or_else(String::new, |element| shown(element))
    };
    let why = format!(
        "of two reads of the whole set, one has {} and not {}, and the other one the reverse, though \
         nothing was ever removed",
        missing(first, second),
        missing(second, first),
    );
    Verdict::Broken(Box::new(Violation {
        object: key.to_owned(),
        why,
        operation: second.place,
        shown: vec![(SMALLEST, vec![first.place, second.place])],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::sample::operation;
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
        let broken =
            |reads: &[(Value, u64, u64)]| matches!(verdict(&adds, reads), Verdict::Broken(_));
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
        assert_eq!(violation.shown, [(SMALLEST, vec![2, 3])]);
        let agree = verdict(&adds, &[(json!([1]), 10, 90), (json!([1, 2]), 10, 90)]);
        assert_eq!(agree, Verdict::Holds);
    }

    #[test]
    fn what_no_moment_suits_is_no_pass() {
        // The read has 3, which began after 2 had been added, and it does not have 2.
        let adds = [(2, 10, Some(20)), (3, 30, Some(40))];
        let found = verdict(&adds, &[(json!([3]), 5, 90)]);
        assert!(!matches!(found, Verdict::Holds), "{found:?}");
    }
}
