//! Parts of histories in reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Operations of a history that no order explains, by themselves, each with the times that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryPart {
    /// The operations, by when they began.
    pub operations: Vec<HistoryOperation>,
    /// Whether no order explains them whatever there was before them; if not, none does because the object
    /// was new, or because nothing else in the history can have written what they saw.
    pub whatever_before: bool,
    /// Whether leaving out any one of them, or of a queue any one value, makes an order possible.
    pub minimal: bool,
}

/// An operation of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryOperation {
    /// The client's node.
    pub node: String,
    /// The client's number on its node.
    pub process: u64,
    /// What is done, as in `read`.
    pub f: String,
    /// What it is done to, if the client said so.
    pub key: Option<String>,
    /// What the client gave, as JSON in at most 200 bytes.
    pub argument: String,
    /// What the client got, as JSON in at most 200 bytes; nothing if it was not told that it was done.
    pub result: Option<String>,
    /// When it began, in nanoseconds of world time.
    pub invoked_ns: u64,
    /// When it ended; nothing if it is not known whether it was done.
    pub returned_ns: Option<u64>,
}
