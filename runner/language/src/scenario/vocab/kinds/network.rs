//! Faults of networks: what becomes of frames.

use super::{COMMON, Key, Kind, LASTING, Ref, Section, key};

/// Which frames a network fault touches.
const FRAMES: &[Key] = &[
    key(
        "network",
        Kind::Name(Ref::Network),
        "The network; by default all.",
    ),
    key(
        "from",
        Kind::Names(Ref::Selector),
        "Only frames sent by these nodes.",
    )
    .default("all"),
    key(
        "to",
        Kind::Names(Ref::Selector),
        "Only frames to these nodes.",
    )
    .default("all"),
];

static SIDE: Section = Section {
    name: "side",
    doc: "The nodes of one side of a partition. Nodes on no side keep all their links.",
    args: &["node"],
    variadic: true,
    groups: &[&[key("node", Kind::Names(Ref::Selector), "The nodes.").required()]],
};

const CHANCE: &[Key] = &[key("chance", Kind::Ratio, "How many frames are hit.").required()];

/// Of the two kinds of jitter.
const OVERTAKE: Key = key(
    "overtake",
    Kind::Bool,
    "Whether each frame is late by a time of its own, so that frames overtake each \
     other, as with Linux's netem. Without it they keep their order: one waits for \
     the one before it, so that where many frames come within the jitter's time \
     nearly each takes all of it.",
)
.default("false");

fault!(
    PARTITION,
    "partition",
    &["network"],
    false,
    "Cuts a network between groups of nodes: the given sides, `groups` drawn ones, \
     or one node off from the rest. Neighbours stay known, as with iptables; see \
     `layer` of the network.",
    [
        &[
            key(
                "network",
                Kind::Name(Ref::Network),
                "The network; by default all."
            ),
            key("side", Kind::Block(&SIDE), "The nodes of one side.").many(),
            key(
                "groups",
                Kind::Int(2, 4096),
                "Into how many groups of drawn nodes."
            ),
            key(
                "isolate",
                Kind::Names(Ref::Selector),
                "Nodes that are cut off, each from all others: names, `any`, `minority`."
            ),
            key(
                "one-way",
                Kind::Bool,
                "Whether only frames from the first side (or the isolated nodes) to the others are cut."
            )
            .default("false"),
        ],
        LASTING,
        COMMON
    ]
);

fault!(
    HEAL,
    "heal",
    &["network"],
    false,
    "Ends network faults before their time.",
    [
        &[key(
            "network",
            Kind::Name(Ref::Network),
            "The network; by default all."
        ),],
        COMMON
    ]
);

fault!(
    LATENCY,
    "latency",
    &["network"],
    false,
    "Frames travel longer.",
    [
        FRAMES,
        &[
            key("by", Kind::Duration, "How much longer.").required(),
            key(
                "jitter",
                Kind::Duration,
                "How much more than that, drawn for each frame."
            )
            .default("0"),
            OVERTAKE,
        ],
        LASTING,
        COMMON
    ]
);

fault!(
    JITTER,
    "jitter",
    &["network"],
    false,
    "Frames travel longer by a time that is drawn for each.",
    [
        FRAMES,
        &[
            key("by", Kind::Duration, "The longest of those times.").required(),
            OVERTAKE,
        ],
        LASTING,
        COMMON
    ]
);

fault!(
    BANDWIDTH,
    "bandwidth",
    &["network"],
    false,
    "A network gets slow.",
    [
        FRAMES,
        &[key(
            "rate",
            Kind::Bandwidth,
            "How many bits per second are left."
        )
        .required(),],
        LASTING,
        COMMON
    ]
);

fault!(
    LOSS,
    "loss",
    &["network"],
    false,
    "Frames get lost.",
    [FRAMES, CHANCE, LASTING, COMMON]
);

fault!(
    CORRUPT,
    "corrupt",
    &["network"],
    false,
    "Frames arrive with a bit turned over.",
    [FRAMES, CHANCE, LASTING, COMMON]
);

fault!(
    REORDER,
    "reorder",
    &["network"],
    false,
    "Frames are overtaken by later ones.",
    [
        FRAMES,
        CHANCE,
        &[key(
            "window",
            Kind::Duration,
            "How long such a frame is held back at most."
        )
        .default("5ms"),],
        LASTING,
        COMMON
    ]
);

fault!(
    DUPLICATE,
    "duplicate",
    &["network"],
    false,
    "Frames arrive twice.",
    [FRAMES, CHANCE, LASTING, COMMON]
);

fault!(
    FLAP,
    "flap",
    &["network"],
    false,
    "Links go down and come up again, over and over.",
    [
        FRAMES,
        &[
            key(
                "down",
                Kind::DurationRange,
                "How long they are down each time."
            )
            .default("200ms"),
            key(
                "up",
                Kind::DurationRange,
                "How long they are up in between."
            )
            .default("500ms"),
        ],
        LASTING,
        COMMON
    ]
);

kinds! {
    /// What goes wrong with frames.
    NetworkKind {
        Partition = PARTITION, Harm, "Cuts a network between groups of nodes.";
        Heal = HEAL, Cure, "Ends network faults.";
        Latency = LATENCY, Harm, "Frames travel longer.";
        Jitter = JITTER, Harm, "Frames travel longer by a drawn time.";
        Bandwidth = BANDWIDTH, Harm, "A network gets slow.";
        Loss = LOSS, Harm, "Frames get lost.";
        Corrupt = CORRUPT, Harm, "Frames are damaged.";
        Reorder = REORDER, Harm, "Frames are overtaken.";
        Duplicate = DUPLICATE, Harm, "Frames arrive twice.";
        Flap = FLAP, Harm, "Links go down and up.";
    }
}
