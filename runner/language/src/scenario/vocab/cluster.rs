//! Kernels, guests and nodes.

use super::{Key, Kind, Ref, Section, key};

/// A kernel.
pub static KERNEL: Section = Section {
    name: "kernel",
    doc: "The kernel to boot: `debian` (Debian's current cloud kernel, unmodified, or \
        another of Debian's; on Ubuntu one of Ubuntu's), `tiny` (a small one that boots \
        faster), `tiny-kcov` (which reports its own coverage), `tiny-kvm` (which never \
        reads the time stamp counter, for the kvm engine), or a file.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key(
            "name",
            Kind::Text,
            "`debian`, `tiny`, `tiny-kcov` or `tiny-kvm`. \
             `debian:version=6.12*,suite=trixie` is `debian` with these keys in one \
             word, as the command line has it, e.g. for an axis of a matrix.",
        ),
        key(
            "package",
            Kind::Text,
            "For `debian`: the package that is the kernel or depends on it, e.g. \
             `linux-image-rt-amd64`, instead of `linux-image-cloud-amd64` (on Ubuntu \
             `linux-image-virtual`).",
        ),
        key(
            "version",
            Kind::Text,
            "For `debian`: the package's version, in which `*` stands for anything, \
             e.g. `6.12*`. The newest of those is taken, also of the kernels that \
             the package depended on earlier.",
        ),
        key(
            "suite",
            Kind::Text,
            "For `debian`: the suite of the archives that the host's apt uses, e.g. \
             `trixie`, `sid` or `bookworm-backports`, instead of the host's own. It \
             is resolved when it is first used; `chaosrun artifact list` tells when \
             there is a newer one, and `chaosrun artifact build` fetches it.",
        ),
        key(
            "path",
            Kind::Path,
            "A kernel of your own: a vmlinux (ELF) or a bzImage. Unless the guest has an init of its \
             own, it has to let programs use I/O ports (CONFIG_X86_IOPL_IOPERM).",
        ),
        key(
            "initrd",
            Kind::Path,
            "An initial RAM disk for that kernel; guests are added to it.",
        ),
    ]],
};

/// A file to add to a guest.
pub static FILE: Section = Section {
    name: "file",
    doc: "A file to add to the guest's file system.",
    args: &["path"],
    variadic: false,
    groups: &[&[
        key(
            "path",
            Kind::Text,
            "Where the guest sees it: an absolute path.",
        )
        .required(),
        key("from", Kind::Path, "The host's file whose content it has."),
        key("content", Kind::Text, "The content itself, for short ones."),
        key("mode", Kind::Text, "Permissions, in octal.").default("0644"),
    ]],
};

/// A program.
pub static GUEST: Section = Section {
    name: "guest",
    doc: "A program that nodes run, and what comes with it. It is one of: a cargo crate, \
        which chaosrun builds; a static binary; a whole initrd; a directory tree that \
        becomes the root file system; Debian packages, of which chaosrun makes such a \
        tree.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key("name", Kind::Name(Ref::Definition), "The guest's name."),
        key(
            "crate",
            Kind::Path,
            "A folder with a Cargo.toml; built statically for the guest.",
        ),
        key(
            "bin",
            Kind::Text,
            "Which binary of the crate; by default the only one, its `default-run`, \
             or the one named like the package.",
        ),
        key("features", Kind::Texts, "Cargo features to turn on.").many(),
        key("binary", Kind::Path, "A static executable."),
        key(
            "initrd",
            Kind::Path,
            "A whole initial RAM disk, whose /init is started as it is.",
        ),
        key(
            "directory",
            Kind::Path,
            "A directory tree that becomes the root file system.",
        ),
        key(
            "packages",
            Kind::Texts,
            "Debian packages, with a version or without (`redis-server=5:7.0.15-1`). \
             With the libraries that they depend on they become the root file \
             system. They are not installed: no script of theirs runs, and packages \
             of the base system are there only if they are named.",
        ),
        key(
            "command",
            Kind::Texts,
            "The program in the tree that is started, with its arguments; without a \
             slash it is looked for in `/usr/bin` and the like.",
        ),
        key("args", Kind::Texts, "Arguments of the program."),
        key("env", Kind::Map, "Environment variables.").many(),
        key("file", Kind::Block(&FILE), "A file to add.").many(),
        key(
            "restart",
            Kind::Choice(&["never", "on-failure", "always"]),
            "What the node's init does when the program exits.",
        )
        .default("never"),
    ]],
};

/// A guest on a node.
pub static GUEST_USE: Section = Section {
    name: "node.guest",
    doc: "A guest that the node runs, with what is special to this node. A node may run \
        several; each is a process that faults can aim at by the guest's name.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key("name", Kind::Name(Ref::Guest), "The guest's name.").required(),
        key("args", Kind::Texts, "Arguments, behind those of the guest."),
        key(
            "env",
            Kind::Map,
            "Environment variables, which replace those of the guest.",
        )
        .many(),
    ]],
};

/// A disk.
pub static DISK: Section = Section {
    name: "disk",
    doc: "A disk of the node. Writes are durable after a flush only, as on a real disk \
        with a volatile cache; a power loss forgets or tears the rest.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key(
            "name",
            Kind::Name(Ref::Definition),
            "The disk's name; the guest finds it as /dev/disk/by-id/virtio-NAME.",
        ),
        key(
            "size",
            Kind::Size,
            "How large it is; by default as large as its image or base.",
        ),
        key(
            "image",
            Kind::Path,
            "An image that is the disk's content at the start, of any size; it stays \
             in its file, which must not change while a run lasts.",
        ),
        key(
            "base",
            Kind::Path,
            "An image that several disks share; each keeps only what it writes.",
        ),
        key(
            "read-only",
            Kind::Bool,
            "Whether the guest can't write to it.",
        )
        .default("false"),
        key(
            "cache",
            Kind::Choice(&["writeback", "writethrough"]),
            "Whether writes wait in a volatile cache for a flush.",
        )
        .default("writeback"),
        key(
            "filesystem",
            Kind::Choice(&["ext4"]),
            "An empty file system on a disk without an image. The host needs mke2fs for it.",
        ),
        key(
            "mount",
            Kind::Text,
            "Where init mounts the disk's ext4 before it starts programs.",
        ),
    ]],
};

/// A node's place on a network.
pub static NIC: Section = Section {
    name: "node.network",
    doc: "A network that the node is on.",
    args: &["name"],
    variadic: false,
    groups: &[&[
        key("name", Kind::Name(Ref::Network), "The network's name."),
        key(
            "address",
            Kind::Text,
            "The node's IPv4 address; by default the next free one of the network's subnet.",
        ),
        key(
            "mac",
            Kind::Text,
            "The Ethernet address, e.g. \"52:54:00:00:00:01\"; by default made from the IPv4 address.",
        ),
    ]],
};

/// A node's clock.
pub static CLOCK: Section = Section {
    name: "clock",
    doc: "How the node's clocks differ from true (virtual) time from the start.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "skew",
            Kind::SignedDuration,
            "How far ahead (or, with a minus, behind) the clock is at power-on.",
        )
        .default("0"),
        key("drift", Kind::Drift, "How much faster (or slower) it runs.").default("0ppm"),
    ]],
};

/// How vcpus take turns.
pub static INTERLEAVE: Section = Section {
    name: "interleave",
    doc: "How the node's vcpus take turns: `round-robin` with a fixed number of \
        instructions each, or `random` with a number drawn for each turn.",
    args: &["mode"],
    variadic: false,
    groups: &[&[
        key(
            "mode",
            Kind::Choice(&["round-robin", "random"]),
            "Fixed or drawn turns.",
        )
        .default("round-robin"),
        key(
            "quantum",
            Kind::Int(1, 1_000_000_000),
            "Instructions per turn, for `round-robin`.",
        )
        .default("10000"),
        key(
            "min",
            Kind::Int(1, 1_000_000_000),
            "The shortest turn, in instructions, for `random`.",
        )
        .default("1"),
        key(
            "max",
            Kind::Int(1, 1_000_000_000),
            "The longest turn, in instructions, for `random`.",
        )
        .default("20000"),
    ]],
};

/// What is done with a console.
pub static CONSOLE: Section = Section {
    name: "console",
    doc: "What is kept of the node's serial console.",
    args: &[],
    variadic: false,
    groups: &[&[
        key(
            "capture",
            Kind::Bool,
            "Whether it is written to `consoles/NODE.log`.",
        )
        .default("true"),
        key("limit", Kind::Size, "How much of it is kept at most.").default("16MiB"),
        key(
            "loglevel",
            Kind::Int(0, 8),
            "How much the kernel says: 0 (nothing) to 8 (everything).",
        )
        .default("4"),
    ]],
};

/// What a node or a template can say.
const MACHINE: &[Key] = &[
    key(
        "template",
        Kind::Names(Ref::Template),
        "Templates whose settings are taken over, in this order; later ones win, and \
         the node's own win over all.",
    ),
    key(
        "guest",
        Kind::Block(&GUEST_USE),
        "A guest that the node runs.",
    )
    .many(),
    key(
        "kernel",
        Kind::Block(&KERNEL),
        "The kernel of this node, if it is not the scenario's.",
    ),
    key(
        "cmdline",
        Kind::Text,
        "Words to add to the kernel's command line, where they win. `debian` has \
         `mitigations=off init_on_alloc=0 psi=0` there.",
    )
    .many(),
    key(
        "env",
        Kind::Map,
        "Environment variables for all guests of the node.",
    )
    .many(),
    key("file", Kind::Block(&FILE), "A file to add to the node.").many(),
    key("memory", Kind::Size, "RAM, a whole number of 4 KiB pages.").default("256MiB"),
    key(
        "vcpus",
        Kind::Int(1, 8),
        "How many processors the node has.",
    )
    .default("1"),
    key(
        "interleave",
        Kind::Block(&INTERLEAVE),
        "How the vcpus take turns.",
    ),
    key(
        "speed",
        Kind::Int(1, 100_000),
        "Instructions that a vcpu executes per microsecond of virtual time.",
    )
    .default("1000"),
    key("disk", Kind::Named(&DISK), "A disk.").many(),
    key(
        "network",
        Kind::Named(&NIC),
        "A network that the node is on.",
    )
    .many(),
    key(
        "clock",
        Kind::Block(&CLOCK),
        "How the node's clock differs from true time.",
    ),
    key(
        "tag",
        Kind::Names(Ref::Tag),
        "Labels that faults and properties can aim at: `tag=\"db\"`.",
    )
    .many(),
    key(
        "role",
        Kind::Names(Ref::Role),
        "What the node is in the system, e.g. `client`; faults spare no role by themselves.",
    )
    .many(),
    key(
        "console",
        Kind::Block(&CONSOLE),
        "What is kept of the console.",
    ),
    key(
        "engine",
        Kind::Choice(&["auto", "exact", "kvm"]),
        "The engine of this node, if it is not the scenario's.",
    ),
    key(
        "pin",
        Kind::Ints(0, 4095),
        "Cores of the host that the node's thread is bound to; no effect on the result.",
    ),
];

/// Settings for several nodes.
pub static TEMPLATE: Section = Section {
    name: "template",
    doc: "Settings that several nodes share. It has the keys of a node, except `replicas`.",
    args: &["name"],
    variadic: false,
    groups: &[
        &[key(
            "name",
            Kind::Name(Ref::Definition),
            "The template's name.",
        )],
        MACHINE,
    ],
};

/// A machine, or several.
pub static NODE: Section = Section {
    name: "node",
    doc: "A machine of the cluster. With several names, or with `replicas`, there are several alike.",
    args: &["name"],
    variadic: true,
    groups: &[
        &[
            key(
                "name",
                Kind::Names(Ref::Definition),
                "The name, or names. Letters, digits and `-`; it is also the host name.",
            ),
            key(
                "replicas",
                Kind::Int(1, 4096),
                "How many there are: `node \"n\" replicas=3` makes n1, n2 and n3.",
            ),
        ],
        MACHINE,
    ],
};
