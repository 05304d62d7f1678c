//! Histories of operations, as a client of the system under test sees them. Checkers on the host look
//! for an order of the operations that explains the results, as in `linearizable "kv"`.
//!
//! A process (a number of your choice, within one node and history) does one operation at a time:
//! [`invoke`], and then [`ok`] if it happened, [`fail`] if it certainly did not, or [`info`] if nobody
//! knows. After `info` the process must not go on; give its work to a new number.
//!
//! ```
//! use chaosrun_sdk::history;
//!
//! history::invoke("kv", 1, "write", Some("x"), &3);
//! // ... ask the server ...
//! history::ok("kv", 1, "write", Some("x"), &3);
//!
//! // The same with a guard, which records `info` if it is dropped, as by `?` or a panic.
//! let read = history::begin("kv", 1, "read", Some("x"), &());
//! read.ok(&3);
//! ```

use alloc::string::String;

use chaosrun_protocol::{Message, OpKind, Operation};
use serde::Serialize;

use crate::{ENABLED, json, transport};

/// An operation begins; `value` is its argument.
#[inline]
pub fn invoke(history: &str, process: u64, f: &str, key: Option<&str>, value: &impl Serialize) {
    record(OpKind::Invoke, history, process, f, key, value);
}

/// The operation happened; `value` is its result.
#[inline]
pub fn ok(history: &str, process: u64, f: &str, key: Option<&str>, value: &impl Serialize) {
    record(OpKind::Ok, history, process, f, key, value);
}

/// The operation did not happen, and never will.
#[inline]
pub fn fail(history: &str, process: u64, f: &str, key: Option<&str>, value: &impl Serialize) {
    record(OpKind::Fail, history, process, f, key, value);
}

/// The operation may have happened, or may happen later.
#[inline]
pub fn info(history: &str, process: u64, f: &str, key: Option<&str>, value: &impl Serialize) {
    record(OpKind::Info, history, process, f, key, value);
}

/// An operation begins, and ends with the guard.
#[must_use = "the operation ends when this is dropped"]
pub fn begin(
    history: &str,
    process: u64,
    f: &str,
    key: Option<&str>,
    value: &impl Serialize,
) -> Open {
    invoke(history, process, f, key, value);
    Open {
        history: history.into(),
        process,
        f: f.into(),
        key: key.map(Into::into),
        ended: false,
    }
}

/// An operation that has begun. Dropping it records that nobody knows how it ended.
#[derive(Debug)]
pub struct Open {
    history: String,
    process: u64,
    f: String,
    key: Option<String>,
    ended: bool,
}

impl Open {
    /// It happened; `value` is its result.
    pub fn ok(mut self, value: &impl Serialize) {
        self.end(OpKind::Ok, value);
    }

    /// It did not happen, and never will.
    pub fn fail(mut self, value: &impl Serialize) {
        self.end(OpKind::Fail, value);
    }

    /// It may have happened, or may happen later.
    pub fn info(mut self, value: &impl Serialize) {
        self.end(OpKind::Info, value);
    }

    fn end(&mut self, op: OpKind, value: &impl Serialize) {
        self.ended = true;
        let key = self.key.as_deref();
        record(op, &self.history, self.process, &self.f, key, value);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.ended {
            self.end(OpKind::Info, &());
        }
    }
}

#[inline]
fn record(
    op: OpKind,
    history: &str,
    process: u64,
    f: &str,
    key: Option<&str>,
    value: &impl Serialize,
) {
    if ENABLED {
        transport::send(Message::History(Operation {
            history: history.into(),
            process,
            op,
            f: f.into(),
            key: key.map(Into::into),
            value: json(value),
        }));
    }
}
