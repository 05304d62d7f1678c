//! The schemas of reports and events.

use chaosrun_language::schema::SchemaFile;

use crate::outcome::{Document, Event};

/// The schemas of what is written about a run.
pub const ALL: &[SchemaFile] = &[
    SchemaFile::of_type::<Document>("report", "report.schema.json", "report.json"),
    SchemaFile::of_type::<Event>("event", "event.schema.json", "one line of events.jsonl"),
];

#[cfg(test)]
mod tests;
