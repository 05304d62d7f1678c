//! The words of a verdict: what a run found, as data, and the texts, times and sizes that it is made of.
//!
//! Properties make these, and reports write them.

pub mod event;
pub mod finding;
pub mod history;
pub mod model;
pub mod summary;
pub mod text;
pub mod time;
pub mod weight;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use event::{Event, EventKind};
pub use finding::{FaultSchedule, FaultStep, Finding, FindingKind};
pub use history::{HistoryOperation, HistoryPart};
pub use model::{
    Attachment, Counts, Document, Evidence, ExitStatus, Exploration, FileLocation, Moment,
    NetworkSummary, NodeSummary, Origin, Property, PropertyKind, Report, RunInfo, SkippedProperty,
    ToolError, Verdict, WallClock,
};
