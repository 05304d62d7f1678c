//! What a run found, written for people and for CI systems.
//!
//! There is one [model] and one writer per file format. A writer is a pure function of the model:
//! the same [`Document`] gives the same bytes, so that each writer is tested by snapshots and two
//! reports of one run can be compared by `diff`.

pub mod ctrf;
pub mod event;
pub mod events;
pub mod finding;
pub mod github;
pub mod history;
pub mod json;
pub mod junit;
pub mod model;
pub mod outputs;
pub mod summary;
pub mod terminal;
pub mod text;
pub mod time;
pub mod weight;
pub mod write;

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
pub use outputs::Outputs;
