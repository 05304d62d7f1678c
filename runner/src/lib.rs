//! chaosrun's library: from a scenario's text to a report.

pub mod artifact;
pub mod cli;
pub mod defect;
pub mod filter;
pub mod plan;
pub mod property;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schema;
