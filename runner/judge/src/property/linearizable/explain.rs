//! What a violation says and shows.

use std::collections::BTreeSet;

use super::register::{self, Guard, Op};
use super::values::Values;
use super::{Facts, SMALLEST, Violation, smallest};
use crate::outcome::time::counted;
use crate::property::history::{Operation, shown};
use chaosrun_language::plan::property::HistoryModel;

/// How many operations or values are shown of each sort, other than of the smallest part.
const MAX_SHOWN: usize = 12;
/// The label of the operations that wrote what the one saw that cannot be explained.
const WRITERS: &str = "what wrote the value that it saw";

/// A history with what it is to the search.
pub struct History<'a> {
    /// All operations.
    pub operations: &'a [Operation],
    /// By operation of the search, its place.
    pub kept: &'a [usize],
    /// The operations of the search.
    pub ops: &'a [Op],
}

/// A value as it is told.
pub fn value_text(model: HistoryModel, values: &Values, value: u32) -> &str {
    match (model, value) {
        (HistoryModel::Set, register::ABSENT) => "absent",
        (HistoryModel::Set, _) => "present",
        _ => values.text(value),
    }
}

/// A violation of which no small part is known, with the operations before it.
pub fn unexplained(object: &str, history: &History<'_>, near: usize) -> Violation {
    let operations = history.operations;
    let place = history.kept[near];
    let ended = |other: &usize| operations[*other].returned.is_some();
    let mut before: Vec<usize> = history.kept.iter().copied().filter(ended).collect();
    before.retain(|other| operations[*other].returned < operations[place].returned);
    before.sort_by_key(|at| operations[*at].returned);
    before.drain(..before.len().saturating_sub(MAX_SHOWN));
    Violation {
        object: object.to_owned(),
        why: "no order explains all results. The operation is shown at whose end that was \
              certain; no small part of the history was found that has no order"
            .to_owned(),
        operation: place,
        shown: vec![("operation", vec![place]), ("before", before)],
        part: None,
    }
}

/// A violation with the smallest part of the history that shows it.
pub fn explained(
    object: &str,
    history: &History<'_>,
    part: &smallest::Part,
    named: &dyn Fn(u32) -> String,
) -> Violation {
    let place = history.kept[part.unexplained];
    let mut shown = vec![
        ("operation", vec![place]),
        (
            SMALLEST,
            part.ops.iter().map(|at| history.kept[*at]).collect(),
        ),
    ];
    let writers = writers(history, part);
    if !writers.is_empty() {
        shown.push((WRITERS, writers));
    }
    Violation {
        object: object.to_owned(),
        why: reason(&history.operations[place], part, named),
        operation: place,
        shown,
        part: Some(Facts {
            whatever_before: part.any_start,
            minimal: part.minimal,
        }),
    }
}

/// The last operations that wrote what an unexplained one saw, as far as they are not in the part: that they
/// can't be what it saw follows from the part.
fn writers(history: &History<'_>, part: &smallest::Part) -> Vec<usize> {
    let Guard::Is(seen) = history.ops[part.unexplained].action.guard else {
        return Vec::new();
    };
    let place = history.kept[part.unexplained];
    let end = history.operations[place].returned;
    let inside: BTreeSet<usize> = part.ops.iter().copied().collect();
    let writes = |at: &usize| {
        history.ops[*at].action.put == Some(seen)
            && !inside.contains(at)
            && end.is_none_or(|end| history.operations[history.kept[*at]].invoked < end)
    };
    let all = (0..history.ops.len()).filter(writes);
    let mut all: Vec<usize> = all.map(|at| history.kept[at]).collect();
    all.sort_by_key(|place| history.operations[*place].invoked);
    all.drain(..all.len().saturating_sub(MAX_SHOWN));
    all
}

fn reason(operation: &Operation, part: &smallest::Part, named: &dyn Fn(u32) -> String) -> String {
    let known = part.values.iter().flatten().take(MAX_SHOWN);
    let mut texts: Vec<String> = known.map(|value| named(*value)).collect();
    if part.values.contains(&None) {
        texts.push("one that is asked for nowhere".to_owned());
    }
    let before = if texts.is_empty() {
        String::new()
    } else {
        let values = texts.join(" or ");
        format!("; before it, the value can only have been {values}")
    };
    let start = if part.any_start {
        "whatever the value was before them"
    } else {
        "given that there was no value before them"
    };
    let minimal = if part.minimal {
        "none of them can be left out"
    } else {
        "fewer may be enough"
    };
    let count = counted(part.ops.len() as u64, "operation has", "operations have");
    format!(
        "`{} {}` -> {} by {}/{} cannot be explained{before}. {count} no order, {start}; {minimal}",
        operation.f,
        shown(&operation.argument),
        shown(&operation.result),
        operation.node,
        operation.process,
    )
}
