//! What a world is made of.

use std::collections::BTreeSet;
use std::io::Write;

pub use super::fabric::{Chance, LinkShape, Mac};

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
            capture: None,
        }
    }
}
