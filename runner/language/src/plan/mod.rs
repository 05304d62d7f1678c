//! Plans: a [`crate::scenario::Scenario`] with names resolved, files hashed and defaults explicit.

pub mod artifacts;
pub mod canonical;
pub mod fault;
pub mod human;
pub mod kernel;
mod lower;
pub mod model;
mod package_name;
pub mod property;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::scenario::diag::Diags;
use crate::scenario::source::Sources;
use crate::scenario::{Loaded, Scenario};

pub use artifacts::{Artifacts, NamesOnly};
pub use model::Plan;
pub use package_name::name_problem;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// What belongs to a plan, but not into it: it depends on the machine or on the language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// Where each property was written, by name. Built-in ones are not there.
    pub properties: BTreeMap<String, Location>,
    /// Where each trigger and generator was written, by name.
    pub faults: BTreeMap<String, Location>,
    /// Where each artifact of a file is on this host, by hash.
    pub files: BTreeMap<String, PathBuf>,
}

/// A plan with its origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// Where its parts come from.
    pub origins: Origins,
}

/// Makes a plan of one scenario. What is wrong is added to `diags`; the plan of a scenario with
/// errors has holes and must not be run.
#[must_use]
pub fn compile(
    scenario: &Scenario,
    sources: &Sources,
    files: &dyn Artifacts,
    diags: &mut Diags,
) -> Compiled {
    lower::lower(scenario, sources, files, diags)
}

/// Makes the plans of all scenarios of a file, if it has no errors.
#[must_use]
pub fn compile_all(loaded: &mut Loaded, files: &dyn Artifacts) -> Vec<Compiled> {
    let plans: Vec<Compiled> = loaded
        .scenarios
        .iter()
        .map(|s| lower::lower(s, &loaded.sources, files, &mut loaded.diags))
        .collect();
    if loaded.diags.has_errors() {
        Vec::new()
    } else {
        plans
    }
}
