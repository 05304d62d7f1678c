//! The language, from text to plan: examples, diagnostics, random scenarios, bad input, reference.

mod bad_input;
mod diagnostics;
mod golden;
mod kdl;
mod random;
mod reference;
mod scale;
mod suites;

use std::path::PathBuf;

use chaosrun_language::plan::{Compiled, NamesOnly, compile};
use chaosrun_language::scenario::Loaded;
use chaosrun_language::scenario::diag::{Rendering, render};

/// The workspace's folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Plans of a loaded file whose files are not looked at, and what is wrong with it.
fn plan(loaded: &mut Loaded) -> (Vec<Compiled>, String) {
    let plans = loaded
        .scenarios
        .iter()
        .map(|s| compile(s, &loaded.sources, &NamesOnly, &mut loaded.diags))
        .collect();
    let diags = std::mem::take(&mut loaded.diags).into_sorted();
    (
        plans,
        render(
            &loaded.sources,
            &diags,
            Rendering::Graphical {
                color: false,
                width: 100,
            },
        ),
    )
}

/// The canonical JSON of plans, one per line.
fn json(plans: &[Compiled]) -> String {
    plans
        .iter()
        .map(|p| p.plan.to_canonical_json() + "\n")
        .collect()
}
