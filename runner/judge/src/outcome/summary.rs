//! Numbers about nodes, networks and the search, and the files beside a report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one node did, over all timelines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// How many virtual CPUs it has.
    pub vcpus: u32,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// The instructions it retired.
    pub instructions: u64,
    /// How often it was started.
    pub boots: u64,
    /// How often it was killed or lost power.
    pub crashes: u64,
    /// Lines on its console.
    pub console_lines: u64,
    /// Bytes read from its disks.
    pub disk_read_bytes: u64,
    /// Bytes written to its disks.
    pub disk_written_bytes: u64,
    /// How it ended, as in `running` or `exited with code 1`.
    pub end_state: String,
}

/// What one network carried, over all timelines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSummary {
    /// Its name.
    pub name: String,
    /// Frames that were sent.
    pub frames_sent: u64,
    /// Frames that arrived.
    pub frames_delivered: u64,
    /// Frames lost to loss, full queues or partitions.
    pub frames_dropped: u64,
    /// Bytes that arrived.
    pub bytes_delivered: u64,
}

/// How much was explored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exploration {
    /// The mode, as in `hybrid`.
    pub mode: String,
    /// Rounds that were done.
    pub rounds: u64,
    /// Checkpoints in the tree.
    pub checkpoints: u64,
    /// Edges of the guests' and kernels' code that were covered.
    pub edges: u64,
    /// The timeline after which nothing new was covered.
    pub last_new_timeline: u64,
}

/// A file that belongs to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// What it is, as in `console of n1`.
    pub name: String,
    /// Where it is: relative to the report, or absolute.
    pub path: String,
    /// Its media type.
    pub content_type: String,
}
