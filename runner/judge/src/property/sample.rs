//! Histories of objects that work, for tests and benchmarks.

use serde_json::{Value, json};

use super::history::{Operation, Outcome, Stamp};
use super::json::Json;
use chaosrun_language::plan::property::HistoryModel;

/// An operation of the only object, in nanoseconds. One without an end has an unknown outcome.
#[must_use]
pub fn operation(
    f: &str,
    argument: impl Into<Json>,
    result: impl Into<Json>,
    begin: u64,
    end: Option<u64>,
) -> Operation {
    let stamp = |time_ns| Stamp {
        time_ns,
        seq: time_ns,
    };
    Operation {
        node: "c1".into(),
        process: begin,
        f: f.into(),
        key: None,
        argument: argument.into(),
        result: result.into(),
        invoked: stamp(begin),
        returned: end.map(stamp),
        outcome: if end.is_some() {
            Outcome::Ok
        } else {
            Outcome::Unknown
        },
    }
}

/// What an object is after an operation; nothing if the operation does not fit. An operation of
/// unknown outcome may have any result.
#[must_use]
pub fn apply(model: HistoryModel, state: &[Json], op: &Operation) -> Option<Vec<Json>> {
    let sure = op.outcome == Outcome::Ok;
    let value = state.first().cloned().unwrap_or_default();
    let known = |is: bool| !sure || op.result.as_bool().is_none_or(|told| told == is);
    match (model, op.f.as_str()) {
        (HistoryModel::Queue, "enqueue") => {
            let mut state = state.to_vec();
            state.push(op.argument.clone());
            Some(state)
        }
        (HistoryModel::Queue, _) => match state.split_first() {
            None => (!sure || op.result.is_null()).then(Vec::new),
            Some((head, rest)) => (!sure || *head == op.result).then(|| rest.to_vec()),
        },
        (HistoryModel::Set, f) => {
            let inside = value == Json::Bool(true);
            let told = match f {
                "add" => !inside,
                _ => inside,
            };
            let after = match f {
                "add" => true,
                "remove" => false,
                _ => inside,
            };
            known(told).then(|| vec![Json::Bool(after)])
        }
        (_, "read") => (!sure || op.result == value).then(|| vec![value]),
        (_, "write") => Some(vec![op.argument.clone()]),
        (_, "delete") => known(!value.is_null()).then(|| vec![Json::Null]),
        (_, _) => {
            let pair = op.argument.as_array().unwrap();
            let fits = pair[0] == value;
            // Any answer but false means that it was done.
            let done = !sure || op.result != Json::Bool(false);
            match (fits, done) {
                (true, true) => Some(vec![pair[1].clone()]),
                (false, false) => Some(vec![value]),
                _ => None,
            }
        }
    }
}

/// A small generator of numbers; its quality does not matter.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A history of an object that works, with `open` clients; one operation in twenty has an unknown
/// outcome.
#[must_use]
pub fn simulated(model: HistoryModel, count: usize, open: u64, seed: u64) -> Vec<Operation> {
    let mut numbers = Numbers(seed | 1);
    let mut free_at = vec![0_u64; open as usize];
    // (moment of the effect, operation), to be executed in the order of their effects.
    let mut planned: Vec<(u64, Operation)> = Vec::new();
    for serial in 0..count {
        let client = (0..free_at.len()).min_by_key(|at| free_at[*at]).unwrap();
        let begin = free_at[client] + 1 + numbers.below(20);
        let effect = begin + numbers.below(50);
        let end = effect + numbers.below(50);
        free_at[client] = end + 1;
        let dice = numbers.below(10);
        let (f, argument) = match (model, dice) {
            (HistoryModel::Queue, _) if dice < 5 => ("enqueue", json!(serial)),
            (HistoryModel::Queue, _) => ("dequeue", Value::Null),
            (HistoryModel::Set, _) if dice < 3 => ("add", json!("x")),
            (HistoryModel::Set, _) if dice < 6 => ("remove", json!("x")),
            (HistoryModel::Set, _) => ("contains", json!("x")),
            (_, _) if dice < 4 => ("read", Value::Null),
            (_, _) if dice < 7 => ("write", json!(serial)),
            (HistoryModel::Register, _) => ("read", Value::Null),
            (HistoryModel::Kv, 7) => ("delete", Value::Null),
            (_, _) => ("cas", json!([numbers.below(count as u64), serial])),
        };
        let unknown = numbers.below(20) == 0;
        let mut op = operation(f, argument, Value::Null, begin, Some(end));
        if unknown {
            op.outcome = Outcome::Unknown;
            op.returned = None;
        }
        planned.push((effect, op));
    }
    planned.sort_by_key(|(effect, op)| (*effect, op.invoked));
    let mut state = Vec::new();
    for (_, op) in &mut planned {
        if op.outcome == Outcome::Unknown && numbers.below(2) == 0 {
            continue;
        }
        state = execute(model, &state, op);
    }
    let mut ops: Vec<Operation> = planned.into_iter().map(|(_, op)| op).collect();
    ops.sort_by_key(|op| op.invoked);
    ops
}

/// Executes an operation and writes its result into it.
fn execute(model: HistoryModel, state: &[Json], op: &mut Operation) -> Vec<Json> {
    let value = state.first().cloned().unwrap_or_default();
    let result = match (model, op.f.as_str()) {
        (HistoryModel::Queue, "dequeue") | (_, "read") => value,
        (HistoryModel::Set, "add") => Json::Bool(value != Json::Bool(true)),
        (HistoryModel::Set, _) => Json::Bool(value == Json::Bool(true)),
        (_, "delete") => Json::Bool(!value.is_null()),
        (_, "cas") => Json::Bool(op.argument.as_array().unwrap()[0] == value),
        _ => Json::Null,
    };
    let sure = op.outcome;
    op.result = result;
    op.outcome = Outcome::Ok;
    let after = apply(model, state, op).unwrap();
    op.outcome = sure;
    if sure == Outcome::Unknown {
        op.result = Json::Null;
    }
    after
}

/// A history of transactions that are executed one after the other while `open` clients wait for
/// them; each reads or appends up to four of `keys` lists, which are renewed when they get long.
#[must_use]
pub fn simulated_txns(count: usize, open: u64, keys: u64, seed: u64) -> Vec<Operation> {
    let mut numbers = Numbers(seed | 1);
    let mut lists: Vec<(usize, Vec<Value>)> = vec![(0, Vec::new()); keys as usize];
    let mut out = Vec::with_capacity(count);
    let mut serial = 0_u64;
    for at in 0..count {
        let effect = 1_000 + at as u64 * 10;
        let begin = effect - numbers.below(open * 5 + 1);
        let end = effect + numbers.below(open * 5 + 1);
        let mut steps = Vec::new();
        for _ in 0..=numbers.below(4) {
            let which = numbers.below(keys) as usize;
            let (age, list) = &mut lists[which];
            if list.len() > 60 {
                (*age, *list) = (*age + 1, Vec::new());
            }
            let key = json!(format!("{which}.{age}"));
            if numbers.below(2) == 0 {
                serial += 1;
                list.push(json!(serial));
                steps.push(json!(["append", key, serial]));
            } else {
                steps.push(json!(["r", key, list]));
            }
        }
        let mut txn = operation("txn", json!(steps), json!(steps), begin, Some(end));
        txn.process = at as u64;
        out.push(txn);
    }
    out
}
