//! Properties as the plan has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Pattern;

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Property {
    /// A name that no other property has, the same in every run: the test case's name in reports.
    pub name: String,
    /// What must hold.
    pub check: Check,
}

/// What a property is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// The SDK assertion with this message.
    Assertion {
        /// The message.
        message: String,
    },
    /// The consoles of a node set.
    Console {
        /// What is looked for.
        pattern: Pattern,
        /// The nodes.
        on: String,
    },
}

/// From when on time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// When all nodes are ready.
    Start,
    /// The quiet period begins.
    Quiet,
    /// The last fault has ended.
    LastFault,
}

/// What an object is, for linearizability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryModel {
    /// Read and write.
    Register,
    /// Read, write and compare-and-set.
    CasRegister,
    /// Add, remove and contains.
    Set,
    /// Enqueue and dequeue.
    Queue,
    /// Get, put, delete and compare-and-set, per key.
    Kv,
}

/// How consistent transactions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyLevel {
    /// No dirty reads.
    ReadCommitted,
    /// Each transaction sees one moment.
    SnapshotIsolation,
    /// Some order explains everything.
    Serializable,
    /// Some order that agrees with real time explains everything.
    StrictSerializable,
}

/// What must hold. `on` names a node set, `_ns` are virtual nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "the fields repeat the documented keys of the language"
)]
pub enum Check {
    /// SDK assertions count: only these if there are any, and not those.
    Assertions {
        only: Vec<String>,
        except: Vec<String>,
    },
    /// Holds whenever it is looked at.
    Always { subject: Subject },
    /// Never happens.
    Never { subject: Subject },
    /// Happens at least once in all runs.
    Sometimes { subject: Subject },
    /// Comes to hold in time.
    Eventually {
        subject: Subject,
        within_ns: u64,
        after: Since,
    },
    /// Is reached at least once in all runs.
    Reachable { message: String },
    /// Programs end with one of these codes.
    Exit {
        on: String,
        process: Option<String>,
        codes: Vec<u32>,
        required: bool,
    },
    /// Nothing panics or crashes.
    NoPanic { on: String },
    /// Nothing hangs.
    NoHang { on: String, within_ns: u64 },
    /// A published value grows again.
    Progress {
        value: String,
        on: String,
        within_ns: u64,
        after: Since,
    },
    /// A published value becomes the same everywhere.
    Converge {
        value: String,
        on: String,
        within_ns: u64,
        after: Since,
    },
    /// At most one node publishes a value per value of another.
    Unique {
        value: String,
        on: String,
        per: Option<String>,
    },
    /// A published value never goes down.
    Monotonic {
        value: String,
        on: String,
        strict: bool,
        across_restarts: bool,
    },
    /// A history is linearizable.
    Linearizable {
        history: String,
        model: HistoryModel,
    },
    /// A history of appends and reads is consistent.
    AppendList {
        history: String,
        level: ConsistencyLevel,
    },
}
