//! chaosrun's library: from a scenario's text to a report.
//!
//! What needs no machines is in crates below this one: the language of scenarios and their plans
//! ([`chaosrun_language`]), and properties, verdicts and reports ([`chaosrun_judge`]).

pub mod artifact;
pub mod cli;
pub mod defect;
pub mod filter;
pub mod recording;
pub mod run;

pub use chaosrun_judge::{outcome, property, report};
pub use chaosrun_language::{plan, scenario};
