//! What a network is made of.

use std::collections::BTreeSet;
use std::io::Write;

use super::shape::LinkShape;

/// What is different from a network's shape in one direction between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRule {
    /// Indices of the senders.
    pub from: Vec<usize>,
    /// Indices of the receivers.
    pub to: Vec<usize>,
    /// Whether nothing gets through.
    pub down: bool,
    /// The whole shape.
    pub shape: LinkShape,
}

/// Which nodes reach each other directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those with a pair (sender, receiver) of node indices.
    Pairs(BTreeSet<(usize, usize)>),
}

/// What a network's faults, losses and links that are down are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layer {
    /// Packets, as with a firewall's rules at the nodes: the frames by which machines find each other
    /// (ARP, IPv6 Neighbor Discovery) take the link's latency, and nothing else happens to them. Else
    /// cutting one direction would cut the other, whose senders could not find their receivers.
    #[default]
    Ip,
    /// All frames, as with a cable that is pulled.
    Ethernet,
}

/// A network.
pub struct NetworkConfig {
    /// Its name, which is part of the names of its streams of decisions.
    pub name: String,
    /// The largest packet in bytes, without the Ethernet header.
    pub mtu_bytes: u32,
    /// How links treat frames.
    pub shape: LinkShape,
    /// Exceptions; a later one wins.
    pub links: Vec<LinkRule>,
    /// Which nodes reach each other directly.
    pub reach: Reach,
    /// What is lost, delayed or damaged by its links and faults.
    pub layer: Layer,
    /// Where its traffic is written as a pcapng file, if anywhere.
    pub capture: Option<Box<dyn Write + Send>>,
}

impl NetworkConfig {
    /// A network of default links on which all nodes reach each other.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mtu_bytes: 1500,
            shape: LinkShape::default(),
            links: Vec::new(),
            reach: Reach::All,
            layer: Layer::default(),
            capture: None,
        }
    }
}
