//! The network fabric: learning switches whose ports are the nodes' network cards, and between any
//! two ports one link in each direction with a shape, faults and counters of its own.
//!
//! A frame passes in this order: the switch decides whom it goes to; then, on each of those links by
//! itself, whether the link is up, whether the queue has room, when its bits have left, whether it is
//! lost, how much longer it travels, whether it is held back, doubled or damaged. A frame that
//! travels arrives, whatever is armed in the meantime, if its receiver runs then.
//!
//! Frames by which machines only find each other pass beside all of that (`neighbour`), unless the
//! network's layer is Ethernet: they take the link's latency, whether it is up or down, and no decision.

mod config;
mod counters;
mod fault;
mod flight;
mod link;
mod neighbour;
mod network;
mod shape;
mod streams;
mod switch;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use config::{Layer, LinkRule, NetworkConfig, Reach};
pub use counters::{LinkCounters, SwitchCounters};
pub use fault::{ArmedState, FLAP_MIN_NS, FlapState, LinkFault, LinkFaultKind};
pub use flight::{Flight, Payload, Travelling};
pub use link::{DropCause, LinkState};
pub use network::{NetworkCounters, NetworkState, PairCounters};
pub use shape::{
    BANDWIDTH_MAX_BPS, BANDWIDTH_MIN_BPS, Chance, LATENCY_MIN_NS, LinkShape, TRAVELLING_MAX_BYTES,
};
pub use switch::{Mac, SwitchState};

use super::pcap::Capture;
use crate::tape::Tape;
use crate::time::VirtTime;
use network::{Network, Port};

/// A node as the fabric sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The networks of its cards, in their order.
    pub nics: Vec<usize>,
}

/// A frame that has come to its receiver.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When.
    pub time: VirtTime,
    /// The card of the receiver.
    pub nic: usize,
    /// The frame.
    pub frame: Travelling,
}

/// All networks and what travels on them.
pub struct Fabric {
    networks: Vec<Network>,
    flight: Flight,
    /// Network and port of each card of each node.
    ports: Vec<Vec<(usize, usize)>>,
}

/// All of a fabric that has to be saved besides its configuration and the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FabricState {
    /// The networks.
    pub networks: Vec<NetworkState>,
    /// What travels.
    pub flight: Flight,
}

impl Fabric {
    /// The fabric at power-on. Each index in `members` and `configs` is one of a network or node.
    pub fn new(configs: Vec<NetworkConfig>, members: &[Member], tape: &Arc<Tape>) -> Self {
        let mut lists: Vec<Vec<Port>> = vec![Vec::new(); configs.len()];
        let mut ports = Vec::new();
        for (node, member) in members.iter().enumerate() {
            let mut own = Vec::new();
            for (nic, &network) in member.nics.iter().enumerate() {
                let list = &mut lists[network];
                let earlier = list.iter().filter(|port| port.node == node).count();
                let name = match earlier {
                    0 => member.name.clone(),
                    _ => format!("{}.{earlier}", member.name),
                };
                own.push((network, list.len()));
                list.push(Port { node, nic, name });
            }
            ports.push(own);
        }
        Self {
            networks: configs
                .into_iter()
                .zip(lists)
                .map(|(config, ports)| Network::new(config, ports, tape))
                .collect(),
            flight: Flight::new(members.len()),
            ports,
        }
    }

    /// A copy of the state.
    pub fn state(&self) -> FabricState {
        FabricState {
            networks: self.networks.iter().map(Network::state).collect(),
            flight: self.flight.clone(),
        }
    }

    /// Goes back to `state`, which is one of a fabric of the same configuration; later decisions are
    /// those of `tape`.
    pub fn set_state(&mut self, state: &FabricState, tape: &Arc<Tape>) {
        for (network, saved) in self.networks.iter_mut().zip(&state.networks) {
            network.set_state(saved, tape);
        }
        self.flight = state.flight.clone();
    }

    /// Card `nic` of `node` sends `bytes` at `time`. Frames must be sent in the order of time. A
    /// card that the node does not have sends nothing.
    pub fn send(&mut self, time: VirtTime, node: usize, nic: usize, bytes: Vec<u8>) {
        let Some(&(network, port)) = self.ports.get(node).and_then(|nics| nics.get(nic)) else {
            return;
        };
        self.networks[network].send(network, time, port, bytes, &mut self.flight);
    }

    /// Arms `fault` as number `id` of its network from `now` on, in place of one of this number. A
    /// network that there is not has no faults.
    pub fn arm(&mut self, id: u64, fault: LinkFault, now: VirtTime) {
        if let Some(network) = self.networks.get_mut(fault.network) {
            network.arm(id, fault, now);
        }
    }

    /// Ends the fault with number `id`, on whichever network it is.
    pub fn disarm(&mut self, id: u64) {
        for network in &mut self.networks {
            network.disarm(id);
        }
    }

    /// When the next frame arrives at `node`.
    pub fn next_arrival(&self, node: usize) -> Option<VirtTime> {
        self.flight.first(node)
    }

    /// Takes the frames that arrive at `node` before `end`, in their order. Whoever takes them says what
    /// became of each with [`Fabric::settle`].
    pub fn take_arrivals(&mut self, node: usize, end: VirtTime) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Some((time, frame)) = self.flight.pop(node, end) {
            let nic = self.networks[frame.network].nic(frame.to);
            arrivals.push(Arrival { time, nic, frame });
        }
        arrivals
    }

    /// The receiver took `frame`, or was not there to take it.
    pub fn settle(&mut self, frame: &Travelling, taken: bool) {
        self.networks[frame.network].arrived(frame, taken);
    }

    /// The least time in nanoseconds that a frame from `node` takes to any node of which `is_up` is
    /// true, or `None` if it reaches none.
    pub fn lookahead(&self, node: usize, is_up: impl Fn(usize) -> bool) -> Option<u64> {
        self.ports[node]
            .iter()
            .filter_map(|&(network, port)| self.networks[network].lookahead(port, &is_up))
            .min()
    }

    /// What happened on all networks.
    pub fn counters(&self) -> Vec<NetworkCounters> {
        self.networks.iter().map(Network::counters).collect()
    }

    /// How many frames travel.
    pub fn travelling(&self) -> usize {
        self.flight.count()
    }

    /// Ends the captures, and returns for each network that has one what became of it.
    pub fn finish_captures(&mut self) -> Vec<(String, std::io::Result<()>)> {
        self.networks
            .iter_mut()
            .filter_map(|network| {
                let capture = network.take_capture()?;
                Some((network.name().to_owned(), Capture::finish(capture)))
            })
            .collect()
    }
}
