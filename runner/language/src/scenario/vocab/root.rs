//! The scenario itself, how it is run, and how one file becomes several.

use super::cluster::{GUEST, KERNEL, NODE, TEMPLATE};
use super::fault::FAULTS;
use super::network::NETWORK;
use super::property::PROPERTIES;
use super::{Key, Kind, Ref, Section, key};

/// The keys that a scenario has, and a variant may change.
const BODY: &[Key] = &[
    key(
        "description",
        Kind::Text,
        "What the scenario is about, in a sentence; shown in reports.",
    ),
    key(
        "tag",
        Kind::Names(Ref::Tag),
        "Labels of the scenario, for `chaosrun list -E 'tag(=slow)'`.",
    )
    .many(),
    key(
        "kernel",
        Kind::Block(&KERNEL),
        "The kernel that every node boots, unless it names its own.",
    )
    .default("debian"),
    key(
        "engine",
        Kind::Choice(&["auto", "exact", "kvm"]),
        "What executes the nodes' instructions: the exact engine, this host's KVM, or what fits.",
    )
    .default("auto"),
    key("guest", Kind::Named(&GUEST), "A program that nodes run.").many(),
    key(
        "network",
        Kind::Named(&NETWORK),
        "A network that nodes are on.",
    )
    .many(),
    key(
        "template",
        Kind::Named(&TEMPLATE),
        "Settings that several nodes share.",
    )
    .many(),
    key(
        "node",
        Kind::Named(&NODE),
        "A machine of the cluster, or several alike.",
    )
    .many(),
    key(
        "ready",
        Kind::Block(&READY),
        "When a node counts as started. The times of the scenario begin when all are.",
    ),
    key("faults", Kind::Block(&FAULTS), "What goes wrong, and when."),
    key("properties", Kind::Block(&PROPERTIES), "What must hold."),
    key(
        "run",
        Kind::Block(&RUN),
        "How long a run is, and with which seeds.",
    ),
    key(
        "explore",
        Kind::Block(&EXPLORE),
        "How to search for other timelines, beyond one run per seed.",
    ),
    key(
        "shard",
        Kind::Block(&SHARD),
        "How to part the work among several CI jobs.",
    ),
];

/// A whole scenario.
pub static ROOT: Section = Section {
    name: "scenario",
    doc: "One test: a cluster, what goes wrong in it, and what must hold. In KDL it is \
        the node `scenario`; in TOML it is the file.",
    args: &["name"],
    variadic: false,
    groups: &[
        &[
            key(
                "name",
                Kind::Name(Ref::Definition),
                "The scenario's name; reports and output folders are named after it.",
            )
            .required(),
            key(
                "schema",
                Kind::Int(1, i64::MAX),
                "The version of this language that the file is written in; there is one so far.",
            )
            .required(),
            key(
                "include",
                Kind::Block(&INCLUDE),
                "Another file whose settings are taken over; what this file says itself wins.",
            )
            .many(),
            key(
                "matrix",
                Kind::Block(&MATRIX),
                "Several scenarios from one file.",
            ),
        ],
        BODY,
    ],
};

/// Another file.
pub static INCLUDE: Section = Section {
    name: "include",
    doc: "Takes over the settings of another file, in either language. Nodes, networks, \
        guests and disks are joined by their names, faults and properties are added, \
        and any other key of this file replaces the included one.",
    args: &["path"],
    variadic: false,
    groups: &[&[key("path", Kind::Path, "The file, relative to this one.").required()]],
};

/// When a node counts as started.
pub static READY: Section = Section {
    name: "ready",
    doc: "When a node counts as started: when its guest calls `setup_complete`, unless \
        something else is given here. The clock of the scenario is at zero when all \
        nodes are ready.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "within",
            Kind::Duration,
            "How long starting may take, in virtual time, before the run ends as an \
             error. It ends at once when a node can't become ready any more.",
        )
        .default("60s"),
        key(
            "console",
            Kind::Pattern,
            "Ready when the console shows this, for guests without the SDK: a piece \
             of text, or `/a regular expression/`, in a line or in a prompt whose \
             line does not end, as with `after console=`.",
        ),
        key(
            "event",
            Kind::Text,
            "Ready when the guest sends the SDK event of this name.",
        ),
        key(
            "after",
            Kind::Duration,
            "Ready this long after power-on, for guests that tell nothing.",
        ),
    ]],
};

/// A run.
pub static RUN: Section = Section {
    name: "run",
    doc: "How long a run is, and with which seeds.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "duration",
            Kind::Duration,
            "How long the run is, in virtual time, from the moment when all nodes are ready.",
        )
        .default("30s"),
        key(
            "seed",
            Kind::Int(0, i64::MAX),
            "The seed that every random choice is drawn from.",
        )
        .default("1"),
        key(
            "seeds",
            Kind::SeedRange,
            "Several runs, one per seed, both ends included: \"1..20\".",
        ),
        key(
            "hash-every",
            Kind::Duration,
            "How often the state of the whole cluster is hashed, to prove that runs are identical.",
        )
        .default("100ms"),
        key(
            "stop-on-failure",
            Kind::Bool,
            "Whether the run ends at the first property that fails.",
        )
        .default("true"),
        key(
            "wall-limit",
            Kind::Duration,
            "How long the run may take on the host's clock before it ends as inconclusive.",
        )
        .default("10m"),
    ]],
};

/// The search for other timelines.
pub static EXPLORE: Section = Section {
    name: "explore",
    doc: "Searches for other timelines: forks the cluster at checkpoints and changes \
        faults, inputs or the interleaving of instructions.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "mode",
            Kind::Choice(&["hybrid", "faults", "inputs", "schedule", "random"]),
            "What is changed: fault schedules, the guests' random choices, the \
             interleaving of vcpus, all three in turn (`hybrid`), or the seed alone \
             (`random`).",
        )
        .default("hybrid"),
        key(
            "rounds",
            Kind::Int(1, 1_000_000_000),
            "How many rounds of forking and judging.",
        )
        .default("100"),
        key(
            "branches",
            Kind::Int(1, 65_536),
            "How many branches each round forks.",
        )
        .default("8"),
        key(
            "depth",
            Kind::Int(1, 65_536),
            "How many forks deep a branch may be.",
        )
        .default("64"),
        key(
            "coverage",
            Kind::Choices(&["cpu", "sancov", "kcov"]),
            "What counts as new ground: edges seen by the CPU itself, by the guest's \
             instrumentation, or by the kernel's.",
        )
        .default("cpu"),
        key("seed", Kind::Int(0, i64::MAX), "The seed of the search.").default("1"),
        key(
            "checkpoint-every",
            Kind::Duration,
            "How far apart the moments are that can be forked.",
        )
        .default("500ms"),
        key(
            "stop-after",
            Kind::Int(0, 1_000_000),
            "Stops after so many distinct findings; 0 goes on to the last round.",
        )
        .default("1"),
        key(
            "minimize",
            Kind::Bool,
            "Whether each finding is reduced to the fewest faults that still show it.",
        )
        .default("true"),
        key(
            "wall-limit",
            Kind::Duration,
            "How long the search may take on the host's clock.",
        )
        .default("1h"),
    ]],
};

/// Parting the work.
pub static SHARD: Section = Section {
    name: "shard",
    doc: "Parts the work among several CI jobs; each is started with `--partition hash:m/n`.",
    args: &["count"],
    variadic: false,
    groups: &[&[
        key("count", Kind::Int(1, 4096), "How many parts there are.").default("1"),
        key(
            "by",
            Kind::Choice(&["seed", "variant"]),
            "What is parted: the seeds, or the variants of the matrix.",
        )
        .default("seed"),
    ]],
};

/// Several scenarios from one file.
pub static MATRIX: Section = Section {
    name: "matrix",
    doc: "Several scenarios from one file: one per combination of the axes, and one per variant.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "axis",
            Kind::Block(&AXIS),
            "A setting and the values that it takes in turn.",
        )
        .many(),
        key(
            "exclude",
            Kind::Map,
            "A combination that is left out: the axes' names with the values.",
        )
        .many(),
        key(
            "variant",
            Kind::Named(&VARIANT),
            "A scenario of its own, with settings that replace those of the file.",
        )
        .many(),
    ]],
};

/// A setting that takes several values in turn.
pub static AXIS: Section = Section {
    name: "axis",
    doc: "A setting and the values that it takes in turn. The path names the keys from \
        the scenario inwards, e.g. `kernel.name`, `network.lan.loss`, `node.n1.memory`.",
    args: &["path", "values"],
    variadic: true,
    groups: &[&[
        key(
            "path",
            Kind::Text,
            "The setting, as keys and names parted by dots.",
        )
        .required(),
        key("values", Kind::Any, "The values.").required(),
        key(
            "name",
            Kind::Text,
            "What the axis is called in names of variants; by default the last part of the path.",
        ),
    ]],
};

/// A scenario of its own.
pub static VARIANT: Section = Section {
    name: "variant",
    doc: "A scenario of its own, made of the file's settings and those in this block, \
        which win. Joined as by `include`.",
    args: &["name"],
    variadic: false,
    groups: &[
        &[key(
            "name",
            Kind::Name(Ref::Definition),
            "The variant's name.",
        )],
        BODY,
    ],
};
