//! Frames that travel, sorted by receiver, moment of arrival and number.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

use crate::time::VirtTime;

/// The bytes of a frame, which those that travel to several receivers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Arc<[u8]>);

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::new(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(ByteBuf::deserialize(deserializer)?.into_vec().into()))
    }
}

/// A frame that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Travelling {
    /// The index of the network.
    pub network: usize,
    /// The port of the sender.
    pub from: usize,
    /// The port of the receiver.
    pub to: usize,
    /// The frame as it will arrive.
    pub bytes: Payload,
}

/// Everything that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// By receiving node.
    nodes: Vec<BTreeMap<(VirtTime, u64), Travelling>>,
    /// The number of the next frame, by which those that arrive together keep their order.
    next: u64,
}

impl Flight {
    /// Nothing travels to any of `nodes` nodes.
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: vec![BTreeMap::new(); nodes],
            next: 0,
        }
    }

    /// `frame` arrives at `node` at `arrival`.
    pub fn add(&mut self, node: usize, arrival: VirtTime, frame: Travelling) {
        self.nodes[node].insert((arrival, self.next), frame);
        self.next += 1;
    }

    /// When the next frame arrives at `node`.
    pub fn first(&self, node: usize) -> Option<VirtTime> {
        self.nodes[node].keys().next().map(|(arrival, _)| *arrival)
    }

    /// Takes the next frame that arrives at `node` before `end`.
    pub fn pop(&mut self, node: usize, end: VirtTime) -> Option<(VirtTime, Travelling)> {
        let entry = self.nodes[node].first_entry()?;
        let (arrival, _) = *entry.key();
        (arrival < end).then(|| (arrival, entry.remove()))
    }

    /// How many frames travel.
    pub fn count(&self) -> usize {
        self.nodes.iter().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_the_form_of_a_sequence_and_comes_back() {
        for length in [0, 1, 127, 128, 9000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let written = postcard::to_allocvec(&Payload(bytes.clone().into())).unwrap();
            assert_eq!(written, postcard::to_allocvec(&bytes).unwrap());
            let read: Payload = postcard::from_bytes(&written).unwrap();
            assert_eq!(*read.0, *bytes);
        }
    }
}
