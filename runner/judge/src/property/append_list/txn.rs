//! Transactions of appends and reads, as clients record them.

use std::collections::BTreeMap;

use crate::property::history::{Operation, Outcome};
use crate::property::json::Json;

/// A step of a transaction. Keys and values are numbers that [`Names`] gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Micro {
    /// Appends a value to a list.
    Append {
        /// The list.
        key: u32,
        /// The value.
        value: u32,
    },
    /// Reads a list.
    Read {
        /// The list.
        key: u32,
        /// What was in it, if that is known.
        list: Option<Vec<u32>>,
    },
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// Which operation of the history it is.
    pub op: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Its steps, in order.
    pub micros: Vec<Micro>,
    /// When it began, in nanoseconds of world time.
    pub begin_ns: u64,
    /// When it ended, if it was done.
    pub end_ns: Option<u64>,
}

impl Txn {
    /// What it appended to a list, in order.
    pub fn appends(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.micros.iter().filter_map(|micro| match micro {
            Micro::Append { key, value } => Some((*key, *value)),
            Micro::Read { .. } => None,
        })
    }

    /// What it read, in order, as far as that is known.
    pub fn reads(&self) -> impl Iterator<Item = (u32, &[u32])> {
        self.micros.iter().filter_map(|micro| match micro {
            Micro::Read {
                key,
                list: Some(list),
            } => Some((*key, list.as_slice())),
            _ => None,
        })
    }
}

/// Numbers for keys and values, which may be any JSON.
#[derive(Debug, Clone, Default)]
pub struct Names {
    numbers: BTreeMap<Json, u32>,
    texts: Vec<String>,
}

impl Names {
    fn number(&mut self, value: &Json) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let next = self.texts.len() as u32;
        self.numbers.insert(value.clone(), next);
        self.texts.push(match value {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        });
        next
    }

    /// The name of a number.
    #[must_use]
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("?", String::as_str)
    }

    /// A list's text, of which only the end is shown if it is long.
    #[must_use]
    pub fn list(&self, list: &[u32]) -> String {
        let from = list.len().saturating_sub(12);
        let texts: Vec<&str> = list[from..].iter().map(|value| self.text(*value)).collect();
        let dots = if from > 0 { "…, " } else { "" };
        format!("[{dots}{}]", texts.join(", "))
    }
}

/// The transaction that an operation is.
///
/// # Errors
/// If it is none, with the reason.
pub fn parse(op: usize, operation: &Operation, names: &mut Names) -> Result<Txn, String> {
    let wrong = |why: &str| format!("{why}: {}", operation.line());
    let steps = match operation.outcome {
        Outcome::Ok if !operation.result.is_null() => &operation.result,
        _ => &operation.argument,
    };
    let Json::Array(steps) = steps else {
        return Err(wrong("a transaction has to be a list of steps"));
    };
    let mut micros = Vec::with_capacity(steps.len());
    for step in steps {
        let step = step.as_array();
        let Some([Json::String(f), key, value]) = step else {
            return Err(wrong("a step has to be [\"append\" or \"r\", key, value]"));
        };
        let key = names.number(key);
        micros.push(match (f.as_str(), value) {
            ("append", Json::Null) => return Err(wrong("null cannot be appended")),
            ("append", value) => Micro::Append {
                key,
                value: names.number(value),
            },
            ("r" | "read", Json::Array(list)) => Micro::Read {
                key,
                list: Some(list.iter().map(|value| names.number(value)).collect()),
            },
            // A list that was never appended to may be null.
            ("r" | "read", Json::Null) => Micro::Read {
                key,
                list: (operation.outcome == Outcome::Ok).then(Vec::new),
            },
            _ => return Err(wrong("a step is neither an append nor a read of a list")),
        });
    }
    Ok(Txn {
        op,
        outcome: operation.outcome,
        micros,
        begin_ns: operation.invoked.time_ns,
        end_ns: operation.returned.map(|end| end.time_ns),
    })
}
