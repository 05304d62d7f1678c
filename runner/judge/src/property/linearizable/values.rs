//! What operations ask of an object's value: from what clients record to what the search needs.

use std::collections::BTreeMap;

use super::register::{ABSENT, Action, Guard};
use crate::property::history::{Operation, Outcome};
use crate::property::json::Json;
use chaosrun_language::plan::property::HistoryModel;

/// Numbers for values: equal JSON has equal numbers, and null is [`ABSENT`].
#[derive(Debug, Clone, Default)]
pub struct Values {
    numbers: BTreeMap<Json, u32>,
    texts: Vec<String>,
}

impl Values {
    /// The number of a value.
    pub fn number(&mut self, value: &Json) -> u32 {
        if value.is_null() {
            return ABSENT;
        }
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let next = self.texts.len() as u32 + 1;
        self.numbers.insert(value.clone(), next);
        self.texts.push(value.to_string());
        next
    }

    /// The value with a number, as JSON.
    #[must_use]
    pub fn text(&self, number: u32) -> &str {
        match (number as usize).checked_sub(1) {
            Some(at) => self.texts.get(at).map_or("?", String::as_str),
            None => "null",
        }
    }
}

/// What an operation means for an object that has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing can be learnt from it.
    Nothing,
    /// It takes effect.
    Sure(Action),
    /// It may take effect.
    Perhaps(Action),
}

/// What an operation means; an error says why it cannot be judged.
///
/// # Errors
/// If the model has no such operation, or its argument or result has the wrong form.
pub fn meaning(
    model: HistoryModel,
    operation: &Operation,
    values: &mut Values,
) -> Result<Meaning, String> {
    let action = match model {
        HistoryModel::Set => set(operation)?,
        _ => register(model, operation, values)?,
    };
    Ok(match (operation.outcome, action) {
        (Outcome::Fail, _) | (_, None) => Meaning::Nothing,
        (Outcome::Ok, Some(action)) => Meaning::Sure(action),
        // One that changes nothing, whether done or not, tells nothing.
        (Outcome::Unknown, Some(Action { put: None, .. })) => Meaning::Nothing,
        (Outcome::Unknown, Some(action)) => Meaning::Perhaps(action),
    })
}

/// What reads, writes and so on do; nothing if it tells nothing.
fn register(
    model: HistoryModel,
    operation: &Operation,
    values: &mut Values,
) -> Result<Option<Action>, String> {
    let known = operation.outcome == Outcome::Ok;
    let has_cas = model != HistoryModel::Register;
    let put = |guard, value| {
        let put = (guard != Guard::Is(value)).then_some(value);
        Some(Action { guard, put })
    };
    let look = |guard| Some(Action { guard, put: None });
    match operation.f.as_str() {
        "read" | "get" if known => Ok(look(Guard::Is(values.number(&operation.result)))),
        "read" | "get" => Ok(None),
        "write" | "put" | "set" => Ok(put(Guard::Any, values.number(&operation.argument))),
        "cas" if has_cas => {
            let Some(pair) = operation.argument.as_array() else {
                return Err(wrong_form(operation, "the argument has to be [old, new]"));
            };
            let [old, new] = pair else {
                return Err(wrong_form(operation, "the argument has to be [old, new]"));
            };
            let (old, new) = (values.number(old), values.number(new));
            if known && operation.result == Json::Bool(false) {
                Ok(look(Guard::IsNot(old)))
            } else {
                Ok(put(Guard::Is(old), new))
            }
        }
        "delete" | "remove" if model == HistoryModel::Kv => Ok(match &operation.result {
            Json::Bool(true) if known => put(Guard::IsNot(ABSENT), ABSENT),
            Json::Bool(false) if known => look(Guard::Is(ABSENT)),
            _ => put(Guard::Any, ABSENT),
        }),
        _ => Err(wrong_form(operation, "the model has no such operation")),
    }
}

/// The value of an element that is in a set.
pub const PRESENT: u32 = 1;

/// What operations on one element of a set do: each element is an object of its own.
fn set(operation: &Operation) -> Result<Option<Action>, String> {
    let known = operation.outcome == Outcome::Ok;
    let result = operation.result.as_bool().filter(|_| known);
    let (guard, put) = match (operation.f.as_str(), result) {
        ("add", Some(true)) => (Guard::Is(ABSENT), Some(PRESENT)),
        ("add", Some(false)) | ("contains", Some(true)) => (Guard::Is(PRESENT), None),
        ("add", None) => (Guard::Any, Some(PRESENT)),
        ("remove", Some(true)) => (Guard::Is(PRESENT), Some(ABSENT)),
        ("remove", Some(false)) | ("contains", Some(false)) => (Guard::Is(ABSENT), None),
        ("remove", None) => (Guard::Any, Some(ABSENT)),
        ("contains", None) if !known => return Ok(None),
        ("contains", None) => {
            return Err(wrong_form(operation, "the result has to be true or false"));
        }
        _ => return Err(wrong_form(operation, "the model has no such operation")),
    };
    Ok(Some(Action { guard, put }))
}

/// Why an operation cannot be judged.
pub fn wrong_form(operation: &Operation, why: &str) -> String {
    format!("{why}: {}", operation.line())
}
