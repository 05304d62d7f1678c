//! The language of scenarios: their text, the plans that they become, and the schemas of both.
//!
//! The order of the folders, each of which knows only those before it: `scenario`, `plan`, `schema`.
//! Nothing in here knows machines, or the files that a plan names but for their hashes: see
//! [`plan::Artifacts`].

pub mod plan;
pub mod scenario;
pub mod schema;
