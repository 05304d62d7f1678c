//! Networks and links.

use super::{Key, Kind, Ref, Section, key};

/// How a link treats frames; a network's are the defaults of its links.
const SHAPE: &[Key] = &[
    key(
        "latency",
        Kind::Duration,
        "How long a frame travels. The smallest latency of all links bounds how far \
         nodes may run apart, so that a larger one makes runs faster.",
    ),
    key(
        "jitter",
        Kind::Duration,
        "How much longer a frame may travel, drawn for each.",
    ),
    key(
        "overtake",
        Kind::Bool,
        "Whether frames overtake each other by the jitter, each late by a time of its own.",
    ),
    key(
        "bandwidth",
        Kind::Bandwidth,
        "Bits per second; what is faster waits in a queue.",
    ),
    key(
        "queue",
        Kind::Size,
        "How much may wait for the link; what is more is dropped.",
    ),
    key("loss", Kind::Ratio, "How many frames are lost."),
    key("duplicate", Kind::Ratio, "How many frames arrive twice."),
    key(
        "corrupt",
        Kind::Ratio,
        "How many frames arrive with a bit turned over.",
    ),
    key(
        "reorder",
        Kind::Ratio,
        "How many frames are overtaken by later ones.",
    ),
    key(
        "reorder-window",
        Kind::Duration,
        "How long such a frame is held back at most.",
    ),
];

/// A network.
pub static NETWORK: Section = Section {
    name: "network",
    doc: "An Ethernet that nodes are on, and how it treats frames.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key(
            "name",
            Kind::Name(Ref::Definition),
            "The network's name; its traffic is written to NAME.pcapng.",
        ),
        key(
            "latency",
            Kind::Duration,
            "How long a frame travels. The smallest latency of all links bounds how \
             far nodes may run apart, so that a larger one makes runs faster.",
        )
        .default("1ms"),
        key(
            "jitter",
            Kind::Duration,
            "How much longer a frame may travel, drawn for each.",
        )
        .default("0"),
        key(
            "overtake",
            Kind::Bool,
            "Whether each frame is late by a jitter of its own, so that frames \
             overtake each other, as with Linux's netem. Without it they keep their \
             order: one waits for the one before it, so that where many frames come \
             within the jitter's time nearly each takes all of it.",
        )
        .default("false"),
        key(
            "bandwidth",
            Kind::Bandwidth,
            "Bits per second; what is faster waits in a queue.",
        )
        .default("10Gbit"),
        key(
            "queue",
            Kind::Size,
            "How much may wait for a link; what is more is dropped.",
        )
        .default("1MiB"),
        key("loss", Kind::Ratio, "How many frames are lost.").default("0%"),
        key("duplicate", Kind::Ratio, "How many frames arrive twice.").default("0%"),
        key(
            "corrupt",
            Kind::Ratio,
            "How many frames arrive with a bit turned over.",
        )
        .default("0%"),
        key(
            "reorder",
            Kind::Ratio,
            "How many frames are overtaken by later ones.",
        )
        .default("0%"),
        key(
            "reorder-window",
            Kind::Duration,
            "How long such a frame is held back at most.",
        )
        .default("5ms"),
        key(
            "subnet",
            Kind::Text,
            "The network's IPv4 addresses, e.g. \"10.1.0.0/16\"; by default \
             10.N.0.0/16 for the N-th network.",
        ),
        key("mtu", Kind::Int(68, 9000), "The largest packet, in bytes.").default("1500"),
        key(
            "topology",
            Kind::Choice(&["mesh", "star", "ring", "line", "links"]),
            "Which nodes reach each other directly: all (`mesh`), all through the \
             hub (`star`), neighbours in the order of the file (`ring`, `line`), or \
             those with a `link` (`links`).",
        )
        .default("mesh"),
        key(
            "hub",
            Kind::Name(Ref::Selector),
            "The node in the middle of a star.",
        ),
        key(
            "layer",
            Kind::Choice(&["ip", "ethernet"]),
            "What losses, links that are down and faults are about: packets (`ip`), \
             as with rules of iptables at the nodes, where the frames by which \
             machines find each other (ARP, IPv6 Neighbor Discovery) pass; or all \
             frames (`ethernet`), as with a cable, where cutting one direction cuts \
             the other as soon as addresses are asked for.",
        )
        .default("ip"),
        key(
            "pcap",
            Kind::Bool,
            "Whether the traffic is written to a file.",
        )
        .default("true"),
        key(
            "link",
            Kind::Block(&LINK),
            "What is different between certain nodes.",
        )
        .many(),
    ]],
};

/// What is different between certain nodes.
pub static LINK: Section = Section {
    name: "link",
    doc: "What is different between certain nodes: in both directions between two, `link \
        \"n1\" \"n2\"`, or in one direction with `from` and `to`. Later links win.",
    args: &["between"],
    variadic: true,
    groups: &[
        &[
            key(
                "between",
                Kind::Names(Ref::Selector),
                "The two ends, for both directions.",
            ),
            key(
                "from",
                Kind::Names(Ref::Selector),
                "The sending end, for one direction.",
            ),
            key("to", Kind::Names(Ref::Selector), "The receiving end."),
            key("down", Kind::Bool, "Whether nothing gets through.").default("false"),
        ],
        SHAPE,
    ],
};
