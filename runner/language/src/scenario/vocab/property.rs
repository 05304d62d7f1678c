//! What must hold.

use super::{Key, Kind, Ref, Section, key};

const NAMED: &[Key] = &[key(
    "name",
    Kind::Text,
    "The message of the SDK assertion; with `console`, what the property is called.",
)];

const WHERE: &[Key] = &[
    key(
        "console",
        Kind::Pattern,
        "Looked for in the nodes' consoles: a piece of text, or `/a regular \
         expression/`. What there is of a line is looked at, too, as with `after \
         console=`.",
    ),
    key(
        "on",
        Kind::Names(Ref::Selector),
        "The nodes that are looked at.",
    )
    .default("all"),
];

const WHEN: &[Key] = &[
    key("within", Kind::Duration, "How long it may take.").default("10s"),
    key(
        "after",
        Kind::Choice(&["start", "quiet", "last-fault"]),
        "From when on: the start, the beginning of the quiet period, or the end of the \
         last fault before it.",
    )
    .default("quiet"),
];

const VALUE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "The name under which the guests publish the value.",
    )
    .required(),
    key(
        "on",
        Kind::Names(Ref::Selector),
        "The nodes that are compared.",
    )
    .default("all"),
];

macro_rules! section {
    ($id:ident, $name:literal, $args:expr, $variadic:literal, $doc:literal, [$($group:expr),+ $(,)?]) => {
        static $id: Section = Section {
            name: $name,
            doc: $doc,
            args: $args,
            variadic: $variadic,
            groups: &[$($group),+],
        };
    };
}

section!(
    ASSERTIONS,
    "assertions",
    &[],
    false,
    "Every SDK assertion of the guests counts, or some of them.",
    [&[
        key("only", Kind::Texts, "Only assertions with these messages."),
        key("except", Kind::Texts, "All but these."),
    ]]
);
section!(
    ALWAYS,
    "always",
    &["name"],
    false,
    "The SDK assertion of this name must hold whenever it is reached; or every line \
     of the selected consoles must show the pattern.",
    [NAMED, WHERE]
);
section!(
    NEVER,
    "never",
    &["name"],
    false,
    "The SDK assertion must never be reached; or the console must never show the pattern.",
    [NAMED, WHERE]
);
section!(
    SOMETIMES,
    "sometimes",
    &["name"],
    false,
    "The SDK assertion must hold at least once in all runs together; or the console \
     must show the pattern at least once.",
    [NAMED, WHERE]
);
section!(
    EVENTUALLY,
    "eventually",
    &["name"],
    false,
    "It must come to hold in time: the SDK assertion, or the pattern on every \
     selected console. This is how liveness is judged: where `after` is `quiet`, \
     only what happens in the quiet period counts. What need happen only once, such \
     as an election, is for `sometimes`, or for an `after` of `start`.",
    [NAMED, WHERE, WHEN]
);
section!(
    REACHABLE,
    "reachable",
    &["name"],
    false,
    "The SDK's reachability assertion of this name must be reached at least once in all runs together.",
    [NAMED]
);
section!(
    EXIT,
    "exit",
    &["on"],
    true,
    "How the guests' programs must end.",
    [&[
        key("on", Kind::Names(Ref::Selector), "The nodes.").default("all"),
        key(
            "process",
            Kind::Name(Ref::Process),
            "The guest on those nodes; by default all."
        ),
        key(
            "code",
            Kind::Ints(0, 255),
            "The exit codes that are allowed."
        )
        .default("0"),
        key(
            "required",
            Kind::Bool,
            "Whether the program must have ended when the run does."
        )
        .default("false"),
    ]]
);
section!(
    NO_PANIC,
    "no-panic",
    &["enabled"],
    false,
    "No kernel panics and no program dies by a signal that no fault sent. On by default.",
    [&[
        key("enabled", Kind::Bool, "Turns the check off with `#false`.").default("true"),
        key("on", Kind::Names(Ref::Selector), "The nodes.").default("all"),
    ]]
);
section!(
    NO_HANG,
    "no-hang",
    &["enabled"],
    false,
    "No node spins with interrupts off, or halts for ever, while nothing has been done to it. On by default.",
    [&[
        key("enabled", Kind::Bool, "Turns the check off with `#false`.").default("true"),
        key("within", Kind::Duration, "How long a node may be stuck.").default("10s"),
        key("on", Kind::Names(Ref::Selector), "The nodes.").default("all"),
    ]]
);
section!(
    PROGRESS,
    "progress",
    &["name"],
    false,
    "A published value must grow again in time once the faults are over.",
    [VALUE, WHEN]
);
section!(
    CONVERGE,
    "converge",
    &["name"],
    false,
    "A published value must become the same on all nodes in time.",
    [VALUE, WHEN]
);
section!(
    UNIQUE,
    "unique",
    &["name"],
    false,
    "At most one node may publish the value for each value of another, e.g. one leader per term.",
    [
        VALUE,
        &[key(
            "per",
            Kind::Text,
            "The published value that tells the cases apart, e.g. `term`."
        ),]
    ]
);
section!(
    MONOTONIC,
    "monotonic",
    &["name"],
    false,
    "A published value must never go down on a node.",
    [
        VALUE,
        &[
            key(
                "strict",
                Kind::Bool,
                "Whether it may not stay the same, either."
            )
            .default("false"),
            key(
                "across-restarts",
                Kind::Bool,
                "Whether it may not go down by a restart, either."
            )
            .default("true"),
        ]
    ]
);
section!(
    LINEARIZABLE,
    "linearizable",
    &["name"],
    false,
    "The history of operations of this name must be linearizable: some order of the \
     operations, which agrees with real time, explains every result. Numbers are \
     compared by value, whatever their size: `1` and `1.0` are equal. A violation \
     shows the smallest part of the history that no order explains. Of a `set`, \
     clients record `add`, `remove` and `contains` of an element, and `read`, whose \
     result is the list of all elements.",
    [&[
        key(
            "name",
            Kind::Text,
            "The name under which clients record their operations."
        )
        .required(),
        key(
            "model",
            Kind::Choice(&["register", "cas-register", "set", "queue", "kv"]),
            "What the object is."
        )
        .required(),
    ]]
);
section!(
    APPEND_LIST,
    "append-list",
    &["name"],
    false,
    "The history of transactions that append to lists and read them must be consistent.",
    [&[
        key(
            "name",
            Kind::Text,
            "The name under which clients record their transactions."
        )
        .required(),
        key(
            "level",
            Kind::Choice(&[
                "read-committed",
                "snapshot-isolation",
                "serializable",
                "strict-serializable"
            ]),
            "How consistent."
        )
        .default("strict-serializable"),
    ]]
);

/// What must hold.
pub static PROPERTIES: Section = Section {
    name: "properties",
    doc: "What must hold. Each becomes a test case of the report; `no-panic` and \
        `no-hang` are judged always, unless they are turned off.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "assertions",
            Kind::Block(&ASSERTIONS),
            "SDK assertions of the guests count.",
        ),
        key(
            "always",
            Kind::Block(&ALWAYS),
            "Holds whenever it is looked at.",
        )
        .many(),
        key("never", Kind::Block(&NEVER), "Never happens.").many(),
        key(
            "sometimes",
            Kind::Block(&SOMETIMES),
            "Happens at least once.",
        )
        .many(),
        key(
            "eventually",
            Kind::Block(&EVENTUALLY),
            "Comes to hold in time.",
        )
        .many(),
        key(
            "reachable",
            Kind::Block(&REACHABLE),
            "Is reached at least once.",
        )
        .many(),
        key("exit", Kind::Block(&EXIT), "Programs end as they should.").many(),
        key(
            "no-panic",
            Kind::Block(&NO_PANIC),
            "Nothing panics or crashes.",
        ),
        key("no-hang", Kind::Block(&NO_HANG), "Nothing hangs."),
        key(
            "progress",
            Kind::Block(&PROGRESS),
            "A value grows again after the faults.",
        )
        .many(),
        key(
            "converge",
            Kind::Block(&CONVERGE),
            "All nodes come to agree.",
        )
        .many(),
        key(
            "unique",
            Kind::Block(&UNIQUE),
            "At most one node at a time.",
        )
        .many(),
        key(
            "monotonic",
            Kind::Block(&MONOTONIC),
            "A value never goes down.",
        )
        .many(),
        key(
            "linearizable",
            Kind::Block(&LINEARIZABLE),
            "A history is linearizable.",
        )
        .many(),
        key(
            "append-list",
            Kind::Block(&APPEND_LIST),
            "A history of transactions is consistent.",
        )
        .many(),
    ]],
};
