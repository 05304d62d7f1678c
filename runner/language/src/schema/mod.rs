//! The schemas of scenarios and plans, generated from the vocabulary and from the types of plans, and
//! what makes a schema of any other type that is written.
//!
//! The files are checked in under `schemas/`, so that editors and other programs can use them
//! without running chaosrun; a test fails when they are out of date.
//!
//! To add a schema of the language, add a line to [`ALL`].

mod scenario_json;
mod scenario_kdl;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::plan::Plan;

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
    /// The schema of what is written of a type.
    #[must_use]
    pub const fn of_type<T: JsonSchema>(
        name: &'static str,
        file: &'static str,
        describes: &'static str,
    ) -> Self {
        Self {
            name,
            file,
            describes,
            generate: of_type::<T>,
        }
    }

    /// Generates the schema's text, which ends with a line end.
    pub fn text(&self) -> String {
        (self.generate)()
    }
}

/// The schemas of the language.
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
    SchemaFile::of_type::<Plan>(
        "plan",
        "plan.schema.json",
        "a plan, as `chaosrun plan --json` prints it",
    ),
];

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
