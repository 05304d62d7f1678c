//! From a plan and its images to a world.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaosrun_vmm::disk::{Base, Content, Disk, DiskConfig, DiskError};
use chaosrun_vmm::engine::{EngineKind, EngineOptions};
use chaosrun_vmm::machine::Interleaving;
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::world::config::{
    Layer, LinkRule, LinkShape, NetworkConfig, NicConfig, NodeConfig, Reach, WorldConfig,
};
use chaosrun_vmm::world::{Boots, Checkpoint, Crew, World, WorldError};

use crate::artifact::node_image::{DiskContent, DiskImage, NodeImage};
use crate::plan::Plan;
use crate::plan::model::{self, Engine, Interleave, Network, Node, Topology};

/// Why a cluster can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The world refuses.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A disk is not possible.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A capture file can't be made.
    #[error("can't write `{}`: {source}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The plan names something that does not exist in it.
    #[error("the plan is not consistent: {0}")]
    Plan(String),
}

/// What a world has of the host, which has no effect on what happens in it.
#[derive(Debug, Clone, Default)]
pub struct Means<'a> {
    /// What the nodes' engines are told.
    pub engine_options: EngineOptions,
    /// The folder for the traffic of networks, if it is recorded.
    pub captures: Option<&'a Path>,
    /// Threads that help.
    pub crew: Crew,
    /// The boots that need not be executed again.
    pub boots: Boots,
}

/// Makes the world of a plan, which runs on the thread that steps it.
///
/// # Errors
/// The world refuses the plan, or a capture file can't be made.
pub fn world(
    plan: &Plan,
    images: &[NodeImage],
    tape: &Tape,
    means: Means<'_>,
) -> Result<World, ClusterError> {
    make(plan, images, tape, means, None)
}

/// Makes the world of a plan as it was at a checkpoint of it. What is recorded of its networks is not.
///
/// # Errors
/// As [`world`].
pub fn fork(
    plan: &Plan,
    images: &[NodeImage],
    tape: &Tape,
    means: Means<'_>,
    from: &Checkpoint,
) -> Result<World, ClusterError> {
    let captures = None;
    make(plan, images, tape, Means { captures, ..means }, Some(from))
}

fn make(
    plan: &Plan,
    images: &[NodeImage],
    tape: &Tape,
    means: Means<'_>,
    from: Option<&Checkpoint>,
) -> Result<World, ClusterError> {
    let Means {
        engine_options,
        captures,
        crew,
        boots,
    } = means;
    let mut networks = Vec::new();
    for network in &plan.networks {
        networks.push(network_config(plan, network, captures)?);
    }
    let mut nodes = Vec::new();
    for (node, image) in plan.nodes.iter().zip(images) {
        nodes.push(NodeConfig {
            engine_options,
            ..node_config(plan, node, image)?
        });
    }
    let config = WorldConfig {
        nodes,
        networks,
        boots,
        tape: tape.clone(),
        jobs: 1,
    };
    match from {
        None => Ok(World::with_crew(config, &crew)?),
        Some(checkpoint) => {
            let mut world = World::fork(config, checkpoint)?;
            world.set_crew(&crew);
            Ok(world)
        }
    }
}

fn node_config(plan: &Plan, node: &Node, image: &NodeImage) -> Result<NodeConfig, ClusterError> {
    let mut nics = Vec::new();
    for nic in &node.nics {
        let network = plan
            .networks
            .iter()
            .position(|network| network.name == nic.network);
        let network = network.ok_or_else(|| {
            ClusterError::Plan(format!(
                "{} is on an unknown network {}",
                node.name, nic.network
            ))
        })?;
        nics.push(NicConfig {
            network,
            mac: mac(&nic.mac)?,
        });
    }
    Ok(NodeConfig {
        engine: match node.engine {
            Engine::Kvm => EngineKind::Kvm,
            // Where the host's KVM fits, whoever began the run has written that into the plan.
            Engine::Auto | Engine::Exact => EngineKind::Exact,
        },
        memory: node.memory_bytes,
        vcpus: node.vcpus,
        interleaving: match node.interleave {
            Interleave::RoundRobin { quantum } => Interleaving::RoundRobin { quantum },
            Interleave::Random { min, max } => Interleaving::Random { min, max },
        },
        rate: node.instructions_per_us,
        skew_ns: node.clock.skew_ns,
        drift_ppb: node.clock.drift_ppb,
        initrd: Some(Arc::clone(&image.initrd)),
        cmdline: image.cmdline.clone(),
        disks: image.disks.iter().map(disk).collect::<Result<_, _>>()?,
        control: true,
        entropy: true,
        identity: image.identity.clone(),
        pin: node.pin.clone(),
        nics,
        ..NodeConfig::new(&node.name, Arc::clone(&image.kernel))
    })
}

fn disk(disk: &DiskImage) -> Result<Disk, DiskError> {
    Disk::new(DiskConfig {
        serial: disk.name.clone(),
        size: disk.size_bytes,
        base: match &disk.content {
            DiskContent::Blank => Base::Blank,
            DiskContent::Bytes(bytes) => Base::from_bytes(Arc::clone(bytes)),
            DiskContent::File(file) => Base::Content(Arc::clone(file) as Arc<dyn Content>),
        },
        read_only: disk.read_only,
        writeback: disk.writeback,
    })
}

/// Reads `52:54:0a:01:00:01`.
fn mac(text: &str) -> Result<[u8; 6], ClusterError> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    let mac = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    mac.ok_or_else(|| ClusterError::Plan(format!("{text} is no Ethernet address")))
}

fn network_config(
    plan: &Plan,
    network: &Network,
    captures: Option<&Path>,
) -> Result<NetworkConfig, ClusterError> {
    let index: BTreeMap<&str, usize> = plan
        .nodes
        .iter()
        .enumerate()
        .map(|(i, node)| (node.name.as_str(), i))
        .collect();
    let set = |name: &str| -> Vec<usize> {
        let names = plan
            .node_sets
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default();
        names
            .iter()
            .filter_map(|name| index.get(name.as_str()).copied())
            .collect()
    };
    let links: Vec<LinkRule> = network
        .links
        .iter()
        .map(|rule| LinkRule {
            from: set(&rule.from),
            to: set(&rule.to),
            down: rule.down,
            shape: shape(&rule.shape),
        })
        .collect();
    let members: Vec<usize> = network
        .members
        .iter()
        .filter_map(|name| index.get(name.as_str()).copied())
        .collect();
    Ok(NetworkConfig {
        mtu_bytes: network.mtu_bytes,
        shape: shape(&network.shape),
        layer: match network.layer {
            model::Layer::Ip => Layer::Ip,
            model::Layer::Ethernet => Layer::Ethernet,
        },
        reach: reach(&network.topology, &members, &index, &links),
        links,
        capture: match captures.filter(|_| network.pcap) {
            Some(folder) => Some(capture(folder, &network.name)?),
            None => None,
        },
        ..NetworkConfig::new(&network.name)
    })
}

/// The most bytes of a network's traffic that are recorded. A flood would fill the host's disk.
pub(super) const CAPTURE_MAX: u64 = 256 << 20;

/// A file that takes whole blocks up to a number of bytes, and nothing after the first that does not fit.
struct Capped<W> {
    out: W,
    left: u64,
}

impl<W: Write> Capped<W> {
    fn new(out: W, most: u64) -> Self {
        Self { out, left: most }
    }
}

impl<W: Write> Write for Capped<W> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.write_all(block).map(|()| block.len())
    }

    fn write_all(&mut self, block: &[u8]) -> io::Result<()> {
        match self.left.checked_sub(block.len() as u64) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                self.out.flush()?;
                return Err(io::Error::other(IsCut));
            }
        }
        self.out.write_all(block)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// There is more traffic than is recorded.
#[derive(Debug, thiserror::Error)]
#[error("there is more of it than is recorded")]
struct IsCut;

/// Whether a recording ended because it is as long as it may be, and not by a failure of the host.
pub(super) fn is_cut(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<IsCut>())
}

fn capture(folder: &Path, name: &str) -> Result<Box<dyn Write + Send>, ClusterError> {
    let path = folder.join(format!("{name}.pcapng"));
    match File::create(&path) {
        Ok(file) => Ok(Box::new(Capped::new(BufWriter::new(file), CAPTURE_MAX))),
        Err(source) => Err(ClusterError::Capture { path, source }),
    }
}

fn shape(shape: &model::LinkShape) -> LinkShape {
    LinkShape {
        latency_ns: shape.latency_ns,
        jitter_ns: shape.jitter_ns,
        overtake: shape.overtake,
        bandwidth_bps: shape.bandwidth_bps,
        queue_bytes: shape.queue_bytes,
        loss: shape.loss,
        duplicate: shape.duplicate,
        corrupt: shape.corrupt,
        reorder: shape.reorder,
        reorder_window_ns: shape.reorder_window_ns,
    }
}

/// Which members reach each other directly.
fn reach(
    topology: &Topology,
    members: &[usize],
    index: &BTreeMap<&str, usize>,
    links: &[LinkRule],
) -> Reach {
    let mut pairs = BTreeSet::new();
    let mut both = |a: usize, b: usize| {
        pairs.insert((a, b));
        pairs.insert((b, a));
    };
    match topology {
        Topology::Mesh => return Reach::All,
        Topology::Star { hub } => {
            let hub = index.get(hub.as_str()).copied();
            for member in members {
                if let Some(hub) = hub.filter(|hub| hub != member) {
                    both(hub, *member);
                }
            }
        }
        Topology::Ring | Topology::Line => {
            for neighbours in members.windows(2) {
                both(neighbours[0], neighbours[1]);
            }
            if let (Topology::Ring, [first, .., last]) = (topology, members) {
                both(*first, *last);
            }
        }
        Topology::Links => {
            for rule in links {
                for from in &rule.from {
                    for to in rule.to.iter().filter(|to| *to != from) {
                        pairs.insert((*from, *to));
                    }
                }
            }
        }
    }
    Reach::Pairs(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capped_file_has_whole_blocks_and_says_that_it_is_cut() {
        let mut file = Capped::new(Vec::new(), 10);
        file.write_all(b"1234").expect("there is room");
        file.write_all(b"5678").expect("there is room");
        let error = file.write_all(b"9abc").expect_err("there is none");
        assert!(is_cut(&error));
        assert!(file.write_all(b"d").is_err());
        assert_eq!(file.out, b"12345678");
    }

    #[test]
    fn a_full_disk_is_no_cut() {
        assert!(!is_cut(&io::Error::from(io::ErrorKind::StorageFull)));
        assert!(!is_cut(&io::Error::other("something else")));
    }
}
