//! What is against a rule for good, and why.

use crate::allowed::Allowed;

/// Findings that are let through.
pub const EXCEPTIONS: &[Allowed] = &[
    up_from_cpu("cpu -> block"),
    up_from_cpu("cpu -> jit"),
    up_from_cpu("cpu -> op"),
];

const fn up_from_cpu(what: &'static str) -> Allowed {
    Allowed {
        rule: "order",
        what,
        paths: &["x86/src/cpu.rs"],
        why: "later parts add methods to the one CPU, which has fields for what belongs to them",
    }
}
