//! The schemas of what chaosrun reads and writes, generated from its own types and vocabulary.
//!
//! The files are checked in under `schemas/`, so that editors and other programs can use them
//! without running chaosrun; a test fails when they are out of date.
//!
//! To add a schema, add a line to [`ALL`].

mod scenario_json;
mod scenario_kdl;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::plan::Plan;
use crate::report::{Document, Event};

/// One schema.
#[derive(Debug, Clone, Copy)]
pub struct SchemaFile {
    /// The name on the command line, as in `chaosrun schema report`.
    pub name: &'static str,
    /// The file under `schemas/`.
    pub file: &'static str,
    /// What it describes.
    pub describes: &'static str,
    generate: fn() -> String,
}

impl SchemaFile {
    /// Generates the schema's text, which ends with a line end.
    pub fn text(&self) -> String {
        (self.generate)()
    }
}

/// All schemas.
pub const ALL: &[SchemaFile] = &[
    SchemaFile {
        name: "scenario",
        file: "scenario.schema.json",
        describes: "a scenario in TOML",
        generate: scenario_json::generate,
    },
    SchemaFile {
        name: "scenario-kdl",
        file: "scenario.kdl-schema",
        describes: "a scenario in KDL, in the KDL Schema Language",
        generate: scenario_kdl::generate,
    },
    SchemaFile {
        name: "plan",
        file: "plan.schema.json",
        describes: "a plan, as `chaosrun plan --json` prints it",
        generate: of_type::<Plan>,
    },
    SchemaFile {
        name: "report",
        file: "report.schema.json",
        describes: "report.json",
        generate: of_type::<Document>,
    },
    SchemaFile {
        name: "event",
        file: "event.schema.json",
        describes: "one line of events.jsonl",
        generate: of_type::<Event>,
    },
];

/// The schema of that name.
pub fn find(name: &str) -> Option<&'static SchemaFile> {
    ALL.iter().find(|schema| schema.name == name)
}

/// The JSON Schema (draft 2020-12) of a type, as it is written.
fn of_type<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    pretty(
        &settings
            .into_generator()
            .into_root_schema_for::<T>()
            .to_value(),
    )
}

fn pretty(schema: &serde_json::Value) -> String {
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests;
