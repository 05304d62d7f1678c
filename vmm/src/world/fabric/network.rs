//! One network: a switch, its ports, and the links between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::{Layer, NetworkConfig, Reach};
use super::counters::{LinkCounters, SwitchCounters};
use super::fault::{Armed, ArmedState, LinkFault, Weather};
use super::flight::{Flight, Payload, Travelling};
use super::link::{DropCause, Link, LinkState, Passage};
use super::neighbour::finds_neighbours;
use super::shape::LATENCY_MIN_NS;
use super::switch::{Forward, HEADER, SwitchState, TAG};
use crate::tape::Tape;
use crate::time::VirtTime;
use crate::world::pcap::Capture;

/// A card of a node.
#[derive(Debug, Clone)]
pub struct Port {
    /// The index of the node.
    pub node: usize,
    /// The index of the card.
    pub nic: usize,
    /// The name of the node; a second card of it on the same network is called `NAME.1`.
    pub name: String,
}

/// What happened between two ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounters {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// What happened.
    pub counters: LinkCounters,
}

/// What happened on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCounters {
    /// The network's name.
    pub name: String,
    /// Before any link.
    pub switch: SwitchCounters,
    /// On the links, by sender and receiver in the order of the nodes.
    pub links: Vec<PairCounters>,
}

/// All of a network that has to be saved besides its configuration and the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    switch: SwitchState,
    counters: SwitchCounters,
    links: Vec<Option<LinkState>>,
    armed: BTreeMap<u64, ArmedState>,
    /// How many flaps were armed so far; each has a stream of its own.
    flaps: u64,
}

/// A network.
pub struct Network {
    name: String,
    tape: Arc<Tape>,
    frame_max: usize,
    layer: Layer,
    ports: Vec<Port>,
    /// By sender and receiver; none where the topology has no link.
    links: Vec<Option<Link>>,
    switch: SwitchState,
    counters: SwitchCounters,
    armed: BTreeMap<u64, Armed>,
    flaps: u64,
    capture: Option<Capture>,
}

impl Network {
    /// A network at power-on.
    pub fn new(config: NetworkConfig, ports: Vec<Port>, tape: &Arc<Tape>) -> Self {
        let mut links = Vec::with_capacity(ports.len() * ports.len());
        for from in &ports {
            for to in &ports {
                links.push(make_link(&config, from, to, tape));
            }
        }
        let capture = config.capture.map(|out| {
            let names = ports.iter().map(|port| port.name.as_str());
            Capture::new(out, names)
        });
        Self {
            frame_max: config.mtu_bytes as usize + HEADER + TAG,
            layer: config.layer,
            name: config.name,
            tape: Arc::clone(tape),
            ports,
            links,
            switch: SwitchState::default(),
            counters: SwitchCounters::default(),
            armed: BTreeMap::new(),
            flaps: 0,
            capture,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A copy of the state.
    pub fn state(&self) -> NetworkState {
        let armed = self.armed.iter().map(|(id, armed)| (*id, armed.state()));
        NetworkState {
            switch: self.switch.clone(),
            counters: self.counters,
            links: self
                .links
                .iter()
                .map(|link| link.as_ref().map(Link::state))
                .collect(),
            armed: armed.collect(),
            flaps: self.flaps,
        }
    }

    /// Goes back to `state`; later decisions are those of `tape`.
    pub fn set_state(&mut self, state: &NetworkState, tape: &Arc<Tape>) {
        self.tape = Arc::clone(tape);
        self.switch = state.switch.clone();
        self.counters = state.counters;
        for (link, saved) in self.links.iter_mut().zip(&state.links) {
            if let (Some(link), Some(saved)) = (link, saved) {
                link.set_state(saved, tape);
            }
        }
        let resumed = state.armed.iter();
        self.armed = resumed
            .map(|(id, armed)| (*id, Armed::resume(armed, tape)))
            .collect();
        self.flaps = state.flaps;
    }

    /// Arms a fault.
    pub fn arm(&mut self, id: u64, fault: LinkFault, now: VirtTime) {
        let (name, tape, flaps) = (&self.name, &self.tape, &mut self.flaps);
        let armed = Armed::new(fault, now, || {
            *flaps += 1;
            tape.stream(&format!("net/{name}/flap/{flaps}"))
        });
        self.armed.insert(id, armed);
    }

    /// Ends a fault.
    pub fn disarm(&mut self, id: u64) {
        self.armed.remove(&id);
    }

    /// The card that a port is.
    pub fn nic(&self, port: usize) -> usize {
        self.ports[port].nic
    }

    /// The least time in nanoseconds that a frame from `port` takes to a node that is up. What finds
    /// neighbours passes links that are down, too.
    pub fn lookahead(&self, port: usize, is_up: impl Fn(usize) -> bool) -> Option<u64> {
        let count = self.ports.len();
        (0..count)
            .filter(|to| is_up(self.ports[*to].node))
            .filter_map(|to| self.links[port * count + to].as_ref()?.latency(self.layer))
            .min()
    }

    /// What happened so far.
    pub fn counters(&self) -> NetworkCounters {
        let count = self.ports.len();
        let pair = |(index, link): (usize, &Option<Link>)| {
            Some(PairCounters {
                from: self.ports[index / count].name.clone(),
                to: self.ports[index % count].name.clone(),
                counters: link.as_ref()?.counters(),
            })
        };
        NetworkCounters {
            name: self.name.clone(),
            switch: self.counters,
            links: self.links.iter().enumerate().filter_map(pair).collect(),
        }
    }

    /// Takes the capture, which ends with that.
    pub fn take_capture(&mut self) -> Option<Capture> {
        self.capture.take()
    }

    /// A frame that travelled has come to its receiver.
    pub fn arrived(&mut self, frame: &Travelling, taken: bool) {
        let index = frame.from * self.ports.len() + frame.to;
        if let Some(link) = &mut self.links[index] {
            link.arrived(frame.bytes.0.len() as u64, taken);
        }
    }

    /// `port` sends `bytes` at `now`; this network has the number `own`.
    pub fn send(
        &mut self,
        own: usize,
        now: VirtTime,
        port: usize,
        bytes: Vec<u8>,
        flight: &mut Flight,
    ) {
        self.counters.frames += 1;
        self.counters.bytes += bytes.len() as u64;
        let mut remarks = Remarks::new(self.capture.is_some());
        let bytes: Arc<[u8]> = bytes.into();
        match self.receivers(port, &bytes) {
            Err(remark) => remarks.add(remark),
            Ok(receivers) => {
                let spared = self.layer == Layer::Ip && finds_neighbours(&bytes);
                for to in receivers {
                    let fate = self.carry(now, port, to, bytes.len() as u64, spared);
                    remarks.add_fate(&self.ports[to].name, &fate);
                    if let Ok(passage) = fate {
                        // Nodes run apart for as long: its receiver may be there already.
                        assert!(
                            passage.arrival >= now.after(LATENCY_MIN_NS),
                            "a frame of {now:?} arrives at {:?}",
                            passage.arrival
                        );
                        let frame = Travelling {
                            network: own,
                            from: port,
                            to,
                            bytes: damaged(&bytes, &passage.flipped),
                        };
                        let node = self.ports[to].node;
                        if passage.doubled {
                            flight.add(node, passage.arrival, frame.clone());
                        }
                        flight.add(node, passage.arrival, frame);
                    }
                }
            }
        }
        if let Some(capture) = &mut self.capture {
            capture.frame(now, port, &bytes, &remarks.text);
        }
    }

    /// The ports that a frame from `port` goes to, or why it goes to none.
    fn receivers(&mut self, port: usize, bytes: &[u8]) -> Result<Vec<usize>, &'static str> {
        if bytes.len() < HEADER {
            self.counters.dropped_short += 1;
            return Err("dropped: shorter than an Ethernet header");
        }
        if bytes.len() > self.frame_max {
            self.counters.dropped_long += 1;
            return Err("dropped: longer than the MTU allows");
        }
        let count = self.ports.len();
        let forward = self.switch.forward(port, bytes);
        let linked = |to: &usize| self.links[port * count + to].is_some();
        let receivers: Vec<usize> = match forward {
            Forward::Port(to) => Some(to).into_iter().filter(linked).collect(),
            Forward::Flood => (0..count).filter(linked).collect(),
        };
        self.counters.flooded += u64::from(forward == Forward::Flood);
        if receivers.is_empty() {
            self.counters.dropped_unreachable += 1;
            return Err("dropped: nobody is reached directly");
        }
        Ok(receivers)
    }

    /// What becomes of a frame on the link between two ports, which there is. A spared one is not
    /// touched by anything but the link's latency.
    fn carry(
        &mut self,
        now: VirtTime,
        port: usize,
        to: usize,
        len: u64,
        spared: bool,
    ) -> Result<Passage, DropCause> {
        let link = self.links[port * self.ports.len() + to].as_mut();
        let link = link.ok_or(DropCause::Down)?;
        if spared {
            return link.pass(now, len);
        }
        let (sender, receiver) = (self.ports[port].node, self.ports[to].node);
        let mut weather = Weather::default();
        for armed in self.armed.values_mut() {
            armed.add_to(&mut weather, now, sender, receiver);
        }
        link.carry(now, len, &weather)
    }
}

/// The link from one port to another, unless the topology has none.
fn make_link(config: &NetworkConfig, from: &Port, to: &Port, tape: &Arc<Tape>) -> Option<Link> {
    let apart = from.node != to.node;
    let reached = match &config.reach {
        Reach::All => true,
        Reach::Pairs(pairs) => pairs.contains(&(from.node, to.node)),
    };
    if !apart || !reached {
        return None;
    }
    let (mut shape, mut down) = (config.shape, false);
    for rule in &config.links {
        if rule.from.contains(&from.node) && rule.to.contains(&to.node) {
            (shape, down) = (rule.shape, rule.down);
        }
    }
    let prefix = format!("net/{}/{}->{}", config.name, from.name, to.name);
    Some(Link::new(shape, down, prefix, tape))
}

/// The frame with some bits turned over.
fn damaged(bytes: &Arc<[u8]>, flipped: &[u64]) -> Payload {
    if flipped.is_empty() {
        return Payload(Arc::clone(bytes));
    }
    let mut copy = bytes.to_vec();
    for bit in flipped {
        copy[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
    Payload(copy.into())
}

/// What a capture says about a frame besides its bytes: everything that is not just delivery.
struct Remarks {
    wanted: bool,
    text: String,
}

impl Remarks {
    fn new(wanted: bool) -> Self {
        Self {
            wanted,
            text: String::new(),
        }
    }

    fn add(&mut self, remark: &str) {
        if self.wanted {
            if !self.text.is_empty() {
                self.text.push_str("; ");
            }
            self.text.push_str(remark);
        }
    }

    fn add_fate(&mut self, receiver: &str, fate: &Result<Passage, DropCause>) {
        if !self.wanted {
            return;
        }
        match fate {
            Err(cause) => self.add(&format!("{receiver}: {}", cause.word())),
            Ok(passage) => {
                if passage.held_ns > 0 {
                    self.add(&format!("{receiver}: held back {} ns", passage.held_ns));
                }
                if passage.doubled {
                    self.add(&format!("{receiver}: twice"));
                }
                for bit in &passage.flipped {
                    let (byte, bit) = (bit / 8, bit % 8);
                    self.add(&format!("{receiver}: bit {bit} of byte {byte} turned over"));
                }
            }
        }
    }
}
