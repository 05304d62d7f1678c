//! The plan: a scenario with every name resolved, every default explicit, and every file named by
//! the hash of its content. It has no floats and no unordered maps, so that its canonical JSON, and
//! with it its hash, is the same on every machine and from either language.
//!
//! Units are in the names: `_ns` is virtual nanoseconds, `_bytes` bytes, `_bps` bits per second.
//! All moments count from when all nodes are ready.

use std::collections::BTreeMap;

use chaosrun_chance::Chance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Faults;
use super::kernel::{KernelChoice, KernelName};
use super::property::Property;

/// The version of the plan's form. A reader refuses others.
pub const FORMAT: u32 = 1;

/// Everything that a run needs to know, apart from the seed and the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The version of this form, [`FORMAT`].
    pub format: u32,
    /// The scenario's name.
    pub name: String,
    /// Which combination of the matrix this is, or empty.
    pub variant: String,
    /// What the scenario is about.
    pub description: String,
    /// Labels of the scenario, sorted.
    pub tags: Vec<String>,
    /// Sets of nodes that faults, links and properties refer to, by the selector that made them.
    /// The nodes are in the order of [`Plan::nodes`].
    pub node_sets: BTreeMap<String, Vec<String>>,
    /// The programs that nodes run.
    pub guests: BTreeMap<String, Guest>,
    /// The networks, sorted by name.
    pub networks: Vec<Network>,
    /// The machines, in the order of the scenario, which is the order of merging their effects.
    pub nodes: Vec<Node>,
    /// When a node counts as started.
    pub ready: Ready,
    /// What goes wrong.
    pub faults: Faults,
    /// What must hold, sorted by name.
    pub properties: Vec<Property>,
    /// How long, and with which seeds.
    pub run: Run,
    /// How to search for other timelines, if asked to.
    pub explore: Option<Explore>,
    /// How the work is parted.
    pub shard: Shard,
}

/// A file or tree of files, named by hash. Where it is on this machine is not part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Artifact {
    /// The content itself is known.
    Content {
        /// BLAKE3 of the content, in hexadecimal; of a tree, of its canonical listing; of a disk image,
        /// of its length and of those of its blocks that are not all zeros.
        blake3: String,
        /// How long it is.
        size_bytes: u64,
    },
    /// Only how to make it is known: it has not been fetched or built yet.
    Recipe {
        /// What it is called, e.g. `debian`, or a crate's package name.
        name: String,
        /// BLAKE3 of everything that decides the result.
        blake3: String,
    },
}

impl Artifact {
    /// The hash that names it.
    #[must_use]
    pub fn hash(&self) -> &str {
        match self {
            Self::Content { blake3, .. } | Self::Recipe { blake3, .. } => blake3,
        }
    }
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// Which one.
    pub name: KernelName,
    /// Which of Debian's kernels, if it is not the current one.
    #[serde(default, skip_serializing_if = "KernelChoice::is_empty")]
    pub choice: KernelChoice,
    /// The image.
    pub image: Artifact,
    /// The initial RAM disk that comes with it.
    pub initrd: Option<Artifact>,
}

impl Kernel {
    /// What the artifact is called in the cache and on the command line, unless it is a file.
    #[must_use]
    pub fn artifact(&self) -> String {
        match self.choice.is_empty() {
            true => self.name.word().to_owned(),
            false => self.choice.name(),
        }
    }
}

/// What a guest is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Program {
    /// A cargo crate, which chaosrun builds.
    Crate {
        /// The package's sources.
        source: Artifact,
        /// Which binary.
        bin: String,
        /// Cargo features, sorted.
        features: Vec<String>,
    },
    /// A static executable.
    Binary {
        /// The file.
        file: Artifact,
    },
    /// A whole initial RAM disk.
    Initrd {
        /// The file.
        file: Artifact,
    },
    /// A directory tree.
    Directory {
        /// The tree.
        tree: Artifact,
    },
    /// Debian packages with what they depend on, as a directory tree.
    Packages {
        /// Their names, some with a version behind `=`; sorted.
        packages: Vec<String>,
        /// The tree.
        tree: Artifact,
    },
}

/// A program with what comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Guest {
    /// What it is made of.
    pub program: Program,
    /// The program inside of a tree or initrd, with arguments; empty for the default.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Files to add.
    pub files: Vec<AddedFile>,
    /// What init does when it exits.
    pub restart: RestartPolicy,
}

/// What init does when a program exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    Never,
    /// Starts it again if the exit code is not 0.
    OnFailure,
    /// Starts it again.
    Always,
}

/// A file to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedFile {
    /// Where the guest sees it.
    pub path: String,
    /// Its content.
    pub content: FileContent,
    /// Permission bits.
    pub mode: u32,
}

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileContent {
    /// Written in the scenario.
    Text(String),
    /// A file of the host.
    Artifact(Artifact),
}

/// What executes instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Whatever fits this host.
    Auto,
    /// The software CPU.
    Exact,
    /// The host's KVM.
    Kvm,
}

/// A guest on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// Which guest; also the name of the process.
    pub guest: String,
    /// Arguments, with those of the guest in front.
    pub args: Vec<String>,
    /// Environment: the guest's, the node's, this workload's; later ones have won.
    pub env: BTreeMap<String, String>,
}

/// How vcpus take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Interleave {
    /// A fixed number of instructions each.
    RoundRobin {
        /// Instructions per turn.
        quantum: u64,
    },
    /// A number drawn for each turn.
    Random {
        /// The shortest turn.
        min: u64,
        /// The longest turn.
        max: u64,
    },
}

/// A file system that chaosrun makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// ext4.
    Ext4,
}

/// Where a disk's first content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DiskSource {
    /// All zeros.
    Blank,
    /// An empty file system.
    Formatted {
        /// Which one.
        filesystem: Filesystem,
    },
    /// An image of its own.
    Image {
        /// The file.
        file: Artifact,
    },
    /// An image shared with other disks, over which writes are kept.
    Base {
        /// The file.
        file: Artifact,
    },
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// Its name, which is also the virtio serial number.
    pub name: String,
    /// Its size, a multiple of 512.
    pub size_bytes: u64,
    /// Its first content.
    pub source: DiskSource,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether writes wait in a volatile cache for a flush.
    pub writeback: bool,
    /// Where init mounts it, as ext4.
    pub mount: Option<String>,
}

/// A node's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nic {
    /// The network.
    pub network: String,
    /// IPv4 address, e.g. `10.1.0.1`.
    pub address: String,
    /// Bits of the network part of the address.
    pub prefix_len: u8,
    /// Ethernet address, e.g. `52:54:0a:01:00:01`.
    pub mac: String,
}

/// A node's clock at power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// Ahead of true time by this; negative is behind.
    pub skew_ns: i64,
    /// Faster than true time by so many billionths.
    pub drift_ppb: i64,
}

/// What is kept of a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Console {
    /// Whether it is written to a file.
    pub capture: bool,
    /// At most this much is kept.
    pub limit_bytes: u64,
    /// The kernel's `loglevel=`.
    pub loglevel: u8,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name, which is also its host name.
    pub name: String,
    /// RAM, a multiple of 4096.
    pub memory_bytes: u64,
    /// Processors.
    pub vcpus: u32,
    /// How they take turns.
    pub interleave: Interleave,
    /// Instructions per microsecond of virtual time.
    pub instructions_per_us: u64,
    /// What executes them.
    pub engine: Engine,
    /// Cores of the host to bind to; no effect on the result.
    pub pin: Vec<u32>,
    /// The kernel.
    pub kernel: Kernel,
    /// Words to add to its command line.
    pub cmdline: Vec<String>,
    /// Programs, in the order of starting them.
    pub workloads: Vec<Workload>,
    /// Files to add.
    pub files: Vec<AddedFile>,
    /// Disks, in the order of /dev/vda, /dev/vdb, ...
    pub disks: Vec<Disk>,
    /// Networks, in the order of eth0, eth1, ...
    pub nics: Vec<Nic>,
    /// Its clock.
    pub clock: Clock,
    /// Labels, sorted.
    pub tags: Vec<String>,
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// Its console.
    pub console: Console,
}

/// So many events in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In this time.
    pub per_ns: u64,
}

/// A span of time from which one is drawn; both ends are equal for a fixed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// The shortest.
    pub min_ns: u64,
    /// The longest, which can be drawn, too.
    pub max_ns: u64,
}

impl From<(u64, u64)> for Range {
    fn from((min_ns, max_ns): (u64, u64)) -> Self {
        Self { min_ns, max_ns }
    }
}

/// How a link treats frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkShape {
    /// How long a frame travels.
    pub latency_ns: u64,
    /// How much longer it may travel.
    pub jitter_ns: u64,
    /// Whether frames overtake each other by that.
    pub overtake: bool,
    /// How much gets through.
    pub bandwidth_bps: u64,
    /// How much may wait.
    pub queue_bytes: u64,
    /// How many frames are lost.
    pub loss: Chance,
    /// How many arrive twice.
    pub duplicate: Chance,
    /// How many are damaged.
    pub corrupt: Chance,
    /// How many are overtaken.
    pub reorder: Chance,
    /// How long those are held back at most.
    pub reorder_window_ns: u64,
}

/// Which nodes reach each other directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Topology {
    /// All.
    Mesh,
    /// All through one.
    Star {
        /// The node in the middle.
        hub: String,
    },
    /// Neighbours in the order of the members, and the last with the first.
    Ring,
    /// Neighbours in the order of the members.
    Line,
    /// Those that a link rule names.
    Links,
}

/// What is different from the network's shape in one direction between nodes. Rules are applied in
/// order; a later one wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkRule {
    /// The senders: a node set.
    pub from: String,
    /// The receivers: a node set.
    pub to: String,
    /// Whether nothing gets through.
    pub down: bool,
    /// The whole shape, with what the rule does not change filled in from the network.
    pub shape: LinkShape,
}

/// What a network's losses and faults are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Packets; what finds neighbours (ARP, IPv6 Neighbor Discovery) passes.
    Ip,
    /// All frames.
    Ethernet,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its first address, e.g. `10.1.0.0`.
    pub subnet: String,
    /// Bits of the network part.
    pub prefix_len: u8,
    /// The largest packet.
    pub mtu_bytes: u32,
    /// Who reaches whom.
    pub topology: Topology,
    /// How links treat frames.
    pub shape: LinkShape,
    /// What losses and faults are about.
    pub layer: Layer,
    /// Exceptions.
    pub links: Vec<LinkRule>,
    /// The nodes on it, in the order of the plan's.
    pub members: Vec<String>,
    /// Whether traffic is written to a file.
    pub pcap: bool,
}

/// What is looked for in a console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// A piece of text.
    Text(String),
    /// A regular expression.
    Regex(String),
}

/// By what a node shows that it has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ReadySignal {
    /// Its guests call `setup_complete`; a node without guests counts as ready when it powers on.
    SetupComplete,
    /// Its console shows a pattern.
    Console {
        /// The pattern.
        pattern: Pattern,
    },
    /// A guest sends an SDK event.
    Event {
        /// Its name.
        name: String,
    },
    /// A time has passed since power-on.
    After {
        /// How long.
        after_ns: u64,
    },
}

/// When a node counts as started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// How long it may take from power-on.
    pub within_ns: u64,
    /// How it is seen.
    pub signal: ReadySignal,
}

/// How long, and with which seeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// From when all nodes are ready.
    pub duration_ns: u64,
    /// The first seed.
    pub seed_first: u64,
    /// The last seed.
    pub seed_last: u64,
    /// How often the state is hashed.
    pub hash_every_ns: u64,
    /// Whether the first failure ends the run.
    pub stop_on_failure: bool,
    /// How long it may take on the host's clock.
    pub wall_limit_ns: u64,
}

/// What exploration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExploreMode {
    /// All of the below in turn.
    Hybrid,
    /// Fault schedules.
    Faults,
    /// The guests' random choices.
    Inputs,
    /// The interleaving of vcpus.
    Schedule,
    /// The seed.
    Random,
}

/// The search for other timelines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explore {
    /// What is changed.
    pub mode: ExploreMode,
    /// How many rounds.
    pub rounds: u64,
    /// How many branches per round.
    pub branches: u64,
    /// How many forks deep.
    pub depth: u64,
    /// What counts as new ground, sorted: `cpu`, `kcov`, `sancov`.
    pub coverage: Vec<String>,
    /// The seed of the search.
    pub seed: u64,
    /// How far apart checkpoints are.
    pub checkpoint_every_ns: u64,
    /// Stops after so many findings; 0 never.
    pub stop_after: u64,
    /// Whether findings are reduced.
    pub minimize: bool,
    /// How long it may take on the host's clock.
    pub wall_limit_ns: u64,
}

/// How the work is parted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// How many parts.
    pub count: u64,
    /// What is parted.
    pub by: ShardBy,
}

/// What is parted among CI jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShardBy {
    /// The seeds.
    Seed,
    /// The variants of the matrix.
    Variant,
}
