//! What is against a rule until somebody has put it right: since when it is written down here, and what it
//! waits for.
//!
//! An entry that is not needed any more fails the test, so that this list only gets shorter.

use crate::allowed::Allowed;

const fn known(
    rule: &'static str,
    what: &'static str,
    paths: &'static [&'static str],
    why: &'static str,
) -> Allowed {
    Allowed {
        rule,
        what,
        paths,
        why,
    }
}

/// Findings that are let through.
pub const KNOWN: &[Allowed] = &[
    known(
        "columns",
        "line",
        &[
            "cli/diagnostics.rs",
            "cli/mod.rs",
            "cli/run.rs",
            "run/cluster.rs",
            "run/director/tests.rs",
            "run/notes.rs",
            "run/prospects/tests.rs",
        ],
        "2026-11-30: goes with the split of a run into the world and the mind that judges it",
    ),
    known(
        "columns",
        "line",
        &[
            "plan/lower/action.rs",
            "plan/lower/fault.rs",
            "vocab/fault.rs",
            "vocab/kinds",
        ],
        "2026-11-30: goes when faults have one home",
    ),
    known(
        "columns",
        "line",
        &[
            "kdl/explain.rs",
            "kdl/scan.rs",
            "kdl/structure.rs",
            "tests/scenario/kdl.rs",
        ],
        "2026-11-30: goes with the reader of KDL that is our own",
    ),
    known(
        "columns",
        "line",
        &[
            "kvm/probe/lab.rs",
            "kvm/tests.rs",
            "jit/bind.rs",
            "jit/mod.rs",
            "mmu/mod.rs",
            "x86/src/run.rs",
        ],
        "2026-11-30: goes when the code cache leaves the memory",
    ),
    known(
        "fixtures",
        "file",
        &["report/tests/snapshots"],
        "2026-11-30: the writers' tests become tests of the crate judge",
    ),
    known(
        "functions",
        "faults",
        &["plan/lower/fault.rs"],
        "2026-11-30: goes when faults have one home",
    ),
    known(
        "functions",
        "network_action",
        &["director/draw.rs"],
        "2026-11-30: goes when faults have one home",
    ),
    known(
        "functions",
        "node_action",
        &["director/draw.rs"],
        "2026-11-30: goes when faults have one home",
    ),
    known(
        "functions",
        "details",
        &["director/words.rs"],
        "2026-11-30: goes when faults have one home",
    ),
    known(
        "functions",
        "arithmetic",
        &["jit/ops.rs"],
        "2026-11-30: a part of it wants a name",
    ),
    known(
        "functions",
        "run_attached",
        &["x86/src/run.rs"],
        "2026-11-30: goes when the code cache leaves the memory",
    ),
    known(
        "order",
        "code -> exec",
        &["code/block.rs", "code/build.rs"],
        "2026-11-30: building blocks belongs to `lower`, and the type of a handler to `code`",
    ),
    known(
        "order",
        "code -> lower",
        &["code/build.rs"],
        "2026-11-30: building blocks belongs to `lower`",
    ),
    known(
        "order",
        "code -> jit",
        &["code/build.rs", "code/cache.rs"],
        "2026-11-30: goes when the code cache leaves the memory",
    ),
    known(
        "order",
        "exec -> jit",
        &["exec/control.rs"],
        "2026-11-30: what asks for compilation belongs to `jit`",
    ),
    known(
        "order",
        "exec -> lower",
        &[
            "exec/branch.rs",
            "exec/fpu.rs",
            "exec/guard.rs",
            "exec/simd.rs",
        ],
        "2026-11-30: lowering moves to `lower`",
    ),
    known(
        "order",
        "memory -> code",
        &["x86/src/memory.rs"],
        "2026-11-30: goes when the code cache leaves the memory",
    ),
    known(
        "order",
        "memory -> jit",
        &["x86/src/memory.rs"],
        "2026-11-30: goes when the code cache leaves the memory",
    ),
    known(
        "order",
        "devices -> machine",
        &["devices/sdk/mod.rs", "devices/virtio/mod.rs"],
        "2026-11-30: the memory map moves to `ram`",
    ),
    known(
        "order",
        "engine -> machine",
        &["kvm/probe/lab.rs"],
        "2026-11-30: the memory map moves to `ram`",
    ),
    known(
        "order",
        "plan -> artifact",
        &[
            "plan/artefacts.rs",
            "plan/kernel.rs",
            "plan/lower/cluster.rs",
            "plan/tree.rs",
        ],
        "2026-11-30: names move to the plan, and hashing of trees to `artifact`",
    ),
    known(
        "order",
        "property -> report",
        &["src/property"],
        "2026-11-30: what both need becomes `outcome`",
    ),
    known(
        "order",
        "scenario -> plan",
        &["scenario/print.rs"],
        "2026-11-30: wording of durations and sizes moves to `scenario`",
    ),
    known(
        "order",
        "schema -> report",
        &["schema/mod.rs"],
        "2026-11-30: the report's schema moves to the report",
    ),
    known(
        "words",
        "artefact",
        &["runner", "schemas"],
        "2026-11-30: renamed at once when the crates are split, with the keys in reports and plans",
    ),
    known(
        "words",
        "can't be had",
        &["machine/config.rs", "machine/node.rs"],
        "2026-11-30: goes with the moves in the machine",
    ),
    known(
        "words",
        "goes round at",
        &["run/record.rs"],
        "2026-11-30: goes with the split of a run into the world and the mind that judges it",
    ),
];
