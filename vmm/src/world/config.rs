//! What a world is made of.

use std::sync::Arc;

use chaosrun_x86::CpuModel;

use super::boots::Boots;
pub use super::fabric::{Chance, Layer, LinkRule, LinkShape, Mac, NetworkConfig, Reach};
use crate::devices::rtc;
use crate::disk::Disk;
use crate::engine::{EngineKind, EngineOptions};
use crate::machine::{Interleaving, MachineConfig};
use crate::tape::Tape;

/// A node's network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NicConfig {
    /// The index of the network.
    pub network: usize,
    /// The Ethernet address.
    pub mac: Mac,
}

/// A node: everything that is needed to make its machine, again and again.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Its name, which is part of the names of its streams of decisions. From the second life on,
    /// those of its machine begin with `NAME#2`, `NAME#3` and so on, so that a node does not repeat
    /// after a restart what it did before.
    pub name: String,
    /// What executes its instructions.
    pub engine: EngineKind,
    /// The engine's settings.
    pub engine_options: EngineOptions,
    /// An ELF executable or a bzImage.
    pub kernel: Arc<[u8]>,
    /// The initial RAM disk.
    pub initrd: Option<Arc<[u8]>>,
    /// The kernel's command line.
    pub cmdline: String,
    /// RAM in bytes.
    pub memory: u64,
    /// The number of vCPUs, 1 to 8.
    pub vcpus: u32,
    /// The identity of the processors.
    pub model: CpuModel,
    /// How the vCPUs take turns.
    pub interleaving: Interleaving,
    /// Instructions per microsecond of the node's time.
    pub rate: u64,
    /// What a true CMOS clock shows when the world begins, in Unix seconds.
    pub epoch: i64,
    /// How far the node's date is ahead of that, in nanoseconds. CMOS clocks show whole seconds, so that the
    /// kernel sees a fraction only when a program, which has asked at the SDK's port, sets its clock.
    pub skew_ns: i64,
    /// How many billionths the node's clock runs fast.
    pub drift_ppb: i64,
    /// Its disks when the world begins, in the order of /dev/vda, /dev/vdb and so on.
    pub disks: Vec<Disk>,
    /// Its network cards, in the order of eth0, eth1 and so on.
    pub nics: Vec<NicConfig>,
    /// Whether there is a control console, /dev/hvc0.
    pub control: bool,
    /// Whether there is a source of random numbers, /dev/hwrng.
    pub entropy: bool,
    /// What the machine tells a guest that asks who it is; see [`MachineConfig::identity`].
    pub identity: Option<Arc<[u8]>>,
    /// Numbers of the host's processors that execute it; none for any. No effect on results.
    pub pin: Vec<u32>,
}

impl NodeConfig {
    /// A node with the defaults of a machine, without disks, cards and other devices.
    pub fn new(name: &str, kernel: Arc<[u8]>) -> Self {
        let defaults = MachineConfig::new(&[]);
        Self {
            name: name.to_owned(),
            engine: defaults.engine,
            engine_options: defaults.engine_options,
            kernel,
            initrd: None,
            cmdline: String::new(),
            memory: defaults.memory,
            vcpus: defaults.vcpus,
            model: defaults.model,
            interleaving: defaults.interleaving,
            rate: defaults.rate,
            epoch: rtc::DEFAULT_EPOCH,
            skew_ns: 0,
            drift_ppb: 0,
            disks: Vec::new(),
            nics: Vec::new(),
            control: false,
            entropy: false,
            identity: None,
            pin: Vec::new(),
        }
    }
}

/// A world.
pub struct WorldConfig {
    /// Seed and overrides of all decisions.
    pub tape: Tape,
    /// The nodes, in the order in which what they do at one moment is merged.
    pub nodes: Vec<NodeConfig>,
    /// The networks.
    pub networks: Vec<NetworkConfig>,
    /// Which boots are known; no effect on results.
    pub boots: Boots,
    /// How many nodes run at once; no effect on results.
    pub jobs: usize,
}
