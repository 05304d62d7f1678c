//! What is against a rule until somebody has put it right: since when it is written down here, and what it
//! waits for.
//!
//! An entry that is not needed any more fails the test, so that this list only gets shorter.

use crate::allowed::Allowed;

/// Findings that are let through.
pub const KNOWN: &[Allowed] = &[
    Allowed {
        rule: "columns",
        what: "line",
        paths: &[
            "plan/lower/action.rs",
            "run/cluster.rs",
            "run/director/kinds.rs",
            "run/director/tests.rs",
            "run/notes.rs",
            "x86/src/cpu.rs",
            "x86/src/memory.rs",
            "x86/src/mmu/mod.rs",
            "x86/src/run.rs",
        ],
        why: "2026-11-30: others are at work in these files; break the lines when they are done",
    },
    Allowed {
        rule: "functions",
        what: "run_attached",
        paths: &["x86/src/run.rs"],
        why: "2026-11-30: others are at work in this file; name a part when they are done",
    },
    Allowed {
        rule: "words",
        what: "goes round at",
        paths: &["run/record.rs"],
        why: "2026-11-30: others are at work in this file",
    },
];
