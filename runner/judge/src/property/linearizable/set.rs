//! Sets that are also read as a whole, as Jepsen's are.
//!
//! A set's elements can be judged one by one, except that a read of the whole set tells of all of them
//! at one moment. So first each element is judged as if every read told of it alone; a violation there
//! is one.
//!
//! If nothing is ever removed, only this can be wrong besides, and it is looked for: two reads, each of
//! which has what the other one lacks; or a read with an element that was added later than one that it
//! lacks. With neither, the reads are a chain, each element can be added between two of them, and the
//! earliest moments that the beginnings allow are before all ends.
//!
//! If something is removed, each read is given a moment of its own, the earliest of its time; if each
//! element has an order with all reads at their moments, the whole has one. If that fails, all orders are
//! searched, as far as that goes, and what it does not find out is told as undecided.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::register::{self, Action, Edge, Guard};
use super::values::{Meaning, Values};
use super::{Facts, SMALLEST, Verdict, Violation, in_order, judge, values, wing_gong};
use crate::property::history::{Operation, Outcome, shown};
use crate::property::json::Json;
use chaosrun_language::plan::property::HistoryModel;

/// How many times a read may tell of an element, over all of both.
const MAX_TOLD: usize = 5_000_000;

/// How many steps a search of all orders takes at most, and how many words of what it tried it keeps.
const MAX_STEPS: u64 = 200_000;
const MAX_WORDS: u64 = 16 << 20;

/// A read of the whole set.
#[derive(Clone)]
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
    if matches!(apart, Verdict::Broken(_)) {
        return apart;
    }
    let removed = |place: &usize| removes(&operations[*place]);
    if !by_element.values().any(|places| places.iter().any(removed)) {
        let crossed =
            disagree(key, &reads).or_else(|| out_of_turn(key, operations, &by_element, &reads));
        return crossed.map_or(apart, |violation| Verdict::Broken(Box::new(violation)));
    }
    if !matches!(apart, Verdict::Holds) {
        return apart;
    }
    let moments = moments(&reads);
    match each(key, operations, &by_element, &reads, Some(&moments)) {
        Verdict::Broken(_) => searched(key, operations, &by_element, &reads),
        other => other,
    }
}

/// Whether an operation may have removed an element.
fn removes(operation: &Operation) -> bool {
    let told_no = operation.outcome == Outcome::Ok && operation.result == Json::Bool(false);
    operation.f == "remove" && operation.outcome != Outcome::Fail && !told_no
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
fn moments(reads: &[Read<'_>]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..reads.len()).collect();
    order.sort_by_key(|at| (reads[*at].operation.invoked, reads[*at].place));
    let scale = scale(reads);
    let mut out = vec![0; reads.len()];
    let mut last = 0;
    for at in order {
        let begin = reads[at].operation.invoked.time_ns.saturating_mul(scale);
        last = begin.max(last + 1);
        out[at] = last;
    }
    out
}

/// Two reads of which each has what the other one lacks, where nothing is ever removed.
fn disagree(key: &str, reads: &[Read<'_>]) -> Option<Violation> {
    let mut order: Vec<&Read<'_>> = reads.iter().collect();
    order.sort_by_key(|read| (read.list.len(), read.operation.invoked, read.place));
    let pair = order
        .windows(2)
        .find(|pair| !pair[0].list.is_subset(&pair[1].list))?;
    let missing = |of: &Read<'_>, inside: &Read<'_>| {
        let element = of.list.difference(&inside.list).next();
        element.map_or_else(String::new, |element| shown(element))
    };
    let why = format!(
        "of two reads of the whole set, one has {} and not {}, and the other one the reverse, though \
         nothing was ever removed",
        missing(pair[0], pair[1]),
        missing(pair[1], pair[0]),
    );
    let last = pair.iter().max_by_key(|read| read.operation.returned)?;
    Some(crossed(
        key,
        why,
        last.place,
        vec![pair[0].place, pair[1].place],
    ))
}

fn crossed(key: &str, why: String, operation: usize, part: Vec<usize>) -> Violation {
    Violation {
        object: key.to_owned(),
        why,
        operation,
        shown: vec![("operation", vec![operation]), (SMALLEST, part)],
        part: Some(Facts {
            whatever_before: false,
            minimal: true,
        }),
    }
}

/// A read with an element that was certainly not there yet when one that it lacks certainly was, where
/// nothing is ever removed.
fn out_of_turn(
    key: &str,
    operations: &[Operation],
    by_element: &BTreeMap<&Json, &[usize]>,
    reads: &[Read<'_>],
) -> Option<Violation> {
    let absent: BTreeMap<&Json, (u64, Vec<usize>)> = by_element
        .iter()
        .filter_map(|(element, places)| Some((*element, absent_until(operations, places)?)))
        .collect();
    let present: Vec<(u64, usize, &Json)> = by_element
        .iter()
        .filter_map(|(element, places)| {
            let (moment, place) = present_from(operations, places)?;
            Some((moment, place, *element))
        })
        .collect();
    for read in reads {
        let late = read
            .list
            .iter()
            .filter_map(|element| absent.get_key_value(*element));
        let late = late.max_by_key(|(_, (moment, _))| *moment);
        let early = present
            .iter()
            .filter(|(.., element)| !read.list.contains(element));
        let early = early.min_by_key(|(moment, ..)| *moment);
        if let (Some((late, (begin, adds))), Some((end, place, early))) = (late, early)
            && end < begin
        {
            let why = format!(
                "a read of the whole set has {} and not {}, which was there before the other one was \
                 added, though nothing was ever removed",
                shown(late),
                shown(early),
            );
            let mut part = adds.clone();
            part.extend([*place, read.place]);
            return Some(crossed(key, why, read.place, part));
        }
    }
    None
}

/// Until when an element that is never removed was certainly not there, with the operations that show it;
/// nothing if it never was.
fn absent_until(operations: &[Operation], places: &[usize]) -> Option<(u64, Vec<usize>)> {
    let begin = |place: &usize| operations[*place].invoked.time_ns;
    let told = |place: &usize| {
        let operation = &operations[*place];
        let result = operation.result.as_bool();
        result.filter(|_| operation.outcome == Outcome::Ok)
    };
    let is = |place: &usize, f: &str| operations[*place].f == f;
    let mut adds: Vec<usize> = places
        .iter()
        .copied()
        .filter(|place| is(place, "add"))
        .collect();
    adds.retain(|place| operations[*place].outcome != Outcome::Fail);
    let first = adds.iter().map(begin).min()?;
    // What found it absent did so before it was added.
    let absent = places.iter().filter(|place| match told(place) {
        Some(true) => is(place, "add"),
        Some(false) => is(place, "contains") || is(place, "remove"),
        None => false,
    });
    match absent.max_by_key(|place| begin(place)) {
        Some(place) if begin(place) >= first => Some((begin(place), vec![*place])),
        _ => Some((first, adds)),
    }
}

/// When an element that is never removed was certainly there, with the operation that shows it.
fn present_from(operations: &[Operation], places: &[usize]) -> Option<(u64, usize)> {
    let shows = |place: &&usize| {
        let operation = &operations[**place];
        operation.outcome == Outcome::Ok
            && (operation.f == "add"
                || (operation.f == "contains" && operation.result == Json::Bool(true)))
    };
    let shown = places.iter().filter(shows);
    shown
        .filter_map(|place| Some((operations[*place].returned?.time_ns, *place)))
        .min()
}

/// Searches all orders.
fn searched(
    key: &str,
    operations: &[Operation],
    by_element: &BTreeMap<&Json, &[usize]>,
    reads: &[Read<'_>],
) -> Verdict {
    match order_of(operations, by_element, reads) {
        Ok(Some(true)) => return Verdict::Holds,
        Ok(Some(false)) => {}
        Ok(None) => {
            let why = "each element has an order, but whether all of them have one with the reads of the \
                       whole set was not found out in the steps that there are";
            return Verdict::Undecided(why.to_owned());
        }
        Err(why) => return Verdict::Undecided(why),
    }
    // A set of which some elements are not looked at is a set of the others, and a read changes nothing.
    let mut elements = by_element.clone();
    for element in by_element.keys() {
        let mut fewer = elements.clone();
        fewer.remove(element);
        if order_of(operations, &fewer, reads) == Ok(Some(false)) {
            elements = fewer;
        }
    }
    let mut left: Vec<Read<'_>> = reads.to_vec();
    for read in reads {
        let fewer = left.iter().filter(|other| other.place != read.place);
        let fewer: Vec<Read<'_>> = fewer.cloned().collect();
        if order_of(operations, &elements, &fewer) == Ok(Some(false)) {
            left = fewer;
        }
    }
    let names: Vec<String> = elements.keys().map(|element| shown(element)).collect();
    let why = format!(
        "each element has an order, but {} have none together with the reads of the whole set",
        names.join(" and ")
    );
    let mut part: Vec<usize> = elements
        .values()
        .flat_map(|places| places.iter().copied())
        .collect();
    part.extend(left.iter().map(|read| read.place));
    let last = left.iter().max_by_key(|read| read.operation.returned);
    let last = last.map_or(reads[0].place, |read| read.place);
    let mut violation = crossed(key, why, last, part);
    violation.part = violation.part.map(|facts| Facts {
        minimal: false,
        ..facts
    });
    Verdict::Broken(Box::new(violation))
}

/// Whether these elements and reads have an order; nothing if that was not found out.
fn order_of(
    operations: &[Operation],
    by_element: &BTreeMap<&Json, &[usize]>,
    reads: &[Read<'_>],
) -> Result<Option<bool>, String> {
    let mut kept = Vec::new();
    let mut optional = Vec::new();
    // What each does: to which element, or which of them are there.
    let mut does: Vec<Result<(usize, Action), Vec<u64>>> = Vec::new();
    for (at, places) in by_element.values().enumerate() {
        for place in *places {
            let operation = &operations[*place];
            let (action, perhaps) =
                match values::meaning(HistoryModel::Set, operation, &mut Values::default())? {
                    Meaning::Nothing => continue,
                    Meaning::Sure(action) => (action, false),
                    Meaning::Perhaps(action) => (action, true),
                };
            kept.push(*place);
            optional.push(perhaps);
            does.push(Ok((at, action)));
        }
    }
    let words = by_element.len().div_ceil(64);
    for read in reads {
        let mut list = vec![0_u64; words];
        for (at, element) in by_element.keys().enumerate() {
            list[at / 64] |= u64::from(read.list.contains(element)) << (at % 64);
        }
        kept.push(read.place);
        optional.push(false);
        does.push(Err(list));
    }
    let edges = in_order(operations, &kept, &optional);
    let edge = |(at, ends)| {
        if ends {
            Edge::Return(at)
        } else {
            Edge::Invoke(at)
        }
    };
    let edges: Vec<Edge> = edges.into_iter().map(edge).collect();
    // What was tried is remembered, at some bytes for each operation and element.
    let steps = MAX_STEPS.min(MAX_WORDS / (words + kept.len() / 64 + 8) as u64);
    let start = vec![0_u64; words];
    Ok(wing_gong::search(
        &optional,
        &edges,
        steps,
        start,
        |op, set| match &does[op] {
            Err(list) => (list == set).then(|| set.clone()),
            Ok((at, action)) => {
                let there = set[at / 64] >> (at % 64) & 1 == 1;
                let value = if there {
                    values::PRESENT
                } else {
                    register::ABSENT
                };
                let can = match action.guard {
                    Guard::Any => true,
                    Guard::Is(wanted) => value == wanted,
                    Guard::IsNot(unwanted) => value != unwanted,
                };
                can.then(|| {
                    let mut set = set.clone();
                    match action.put {
                        Some(register::ABSENT) => set[at / 64] &= !(1 << (at % 64)),
                        Some(_) => set[at / 64] |= 1 << (at % 64),
                        None => {}
                    }
                    set
                })
            }
        },
    ))
}
