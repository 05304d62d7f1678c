//! The fabric by itself, without machines.

use std::sync::Arc;

use super::config::{Layer, LinkRule, NetworkConfig, Reach};
use super::*;
use crate::world::pcap::tests::{Shared, read};

mod faults;
mod layers;
mod shaping;

pub const MICRO: u64 = 1_000;
pub const MILLI: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

pub fn mac(node: usize) -> Mac {
    [0x52, 0x54, 0, 0, 0, node as u8]
}

pub const BROADCAST: Mac = [0xff; 6];

/// A frame whose last bytes are `mark`.
pub fn frame(to: Mac, from: Mac, mark: u32) -> Vec<u8> {
    let mut bytes = [&to[..], &from[..], &[0x88, 0xb5]].concat();
    bytes.resize(96, 0);
    bytes.extend(mark.to_be_bytes());
    bytes
}

pub struct Net {
    pub fabric: Fabric,
    nodes: usize,
}

impl Net {
    /// Nodes on one network.
    pub fn new(nodes: usize, config: NetworkConfig, seed: u64) -> Self {
        let members: Vec<Member> = (0..nodes)
            .map(|node| Member {
                name: format!("n{node}"),
                nics: vec![0],
            })
            .collect();
        let tape = Arc::new(Tape::new(seed));
        let fabric = Fabric::new(vec![config], &members, &tape);
        let mut net = Self { fabric, nodes };
        net.introduce();
        net
    }

    /// Lets the switch learn where everybody is, before the first moment that a test looks at.
    fn introduce(&mut self) {
        for node in 0..self.nodes {
            let short = [&BROADCAST[..], &mac(node)[..], &[0, 0]].concat();
            self.fabric.send(VirtTime(0), node, 0, short);
        }
        self.arrivals(u64::MAX);
        self.fabric.flight = Flight::new(self.nodes);
    }

    /// A frame with `mark` from one node to another at a moment.
    pub fn send(&mut self, time: u64, from: usize, to: usize, mark: u32) {
        let bytes = frame(mac(to), mac(from), mark);
        self.fabric.send(VirtTime(time), from, 0, bytes);
    }

    pub fn arm(&mut self, id: u64, from: &[usize], to: &[usize], kind: LinkFaultKind, now: u64) {
        let fault = LinkFault {
            network: 0,
            from: from.to_vec(),
            to: to.to_vec(),
            kind,
        };
        self.fabric.arm(id, fault, VirtTime(now));
    }

    /// What arrives before a moment: (time, receiver, bytes), in the order of nodes and time.
    pub fn arrivals(&mut self, before: u64) -> Vec<(u64, usize, Vec<u8>)> {
        let mut all = Vec::new();
        for node in 0..self.nodes {
            for arrival in self.fabric.take_arrivals(node, VirtTime(before)) {
                self.fabric.settle(&arrival.frame, true);
                all.push((arrival.time.0, node, arrival.frame.bytes.0.to_vec()));
            }
        }
        all
    }

    /// The same with the marks of the frames in place of all bytes.
    pub fn marks(&mut self, before: u64) -> Vec<(u64, usize, u32)> {
        let mark = |bytes: &[u8]| u32::from_be_bytes(bytes[96..].try_into().unwrap());
        let arrivals = self.arrivals(before).into_iter();
        arrivals
            .map(|(time, node, bytes)| (time, node, mark(&bytes)))
            .collect()
    }

    pub fn link(&self, from: usize, to: usize) -> LinkCounters {
        let names = (format!("n{from}"), format!("n{to}"));
        let network = self.fabric.counters().remove(0);
        let found = network
            .links
            .into_iter()
            .find(|pair| (&pair.from, &pair.to) == (&names.0, &names.1));
        found.expect("there is such a link").counters
    }
}

/// A network without delay worth mentioning.
pub fn quick() -> NetworkConfig {
    NetworkConfig {
        shape: LinkShape {
            latency_ns: MILLI,
            bandwidth_bps: u64::MAX,
            ..LinkShape::default()
        },
        ..NetworkConfig::new("lan")
    }
}

/// The time that [`FRAME`] bytes take without bandwidth: a nanosecond at least.
pub const QUICK: u64 = MILLI + 1;

#[test]
fn known_addresses_get_their_frames_and_nobody_else_does() {
    let mut net = Net::new(4, quick(), 1);
    net.send(5, 0, 2, 7);
    assert_eq!(net.marks(SECOND), [(5 + QUICK, 2, 7)]);
}

#[test]
fn broadcast_goes_to_all_but_the_sender() {
    let mut net = Net::new(4, quick(), 1);
    let bytes = frame(BROADCAST, mac(1), 9);
    net.fabric.send(VirtTime(0), 1, 0, bytes);
    let receivers: Vec<usize> = net.marks(SECOND).iter().map(|frame| frame.1).collect();
    assert_eq!(receivers, [0, 2, 3]);
}

#[test]
fn topology_says_who_is_reached_directly() {
    let pairs = [(0, 1), (1, 0), (1, 2), (2, 1)].into_iter().collect();
    let config = NetworkConfig {
        reach: Reach::Pairs(pairs),
        ..quick()
    };
    let mut net = Net::new(3, config, 1);
    net.send(0, 0, 2, 1);
    net.send(0, 0, 1, 2);
    net.fabric
        .send(VirtTime(0), 0, 0, frame(BROADCAST, mac(0), 3));
    net.send(0, 1, 2, 4);
    let marks: Vec<(usize, u32)> = net.marks(SECOND).iter().map(|f| (f.1, f.2)).collect();
    assert_eq!(marks, [(1, 2), (1, 3), (2, 4)]);
    assert_eq!(net.fabric.counters()[0].switch.dropped_unreachable, 1);
}

#[test]
fn networks_are_separate_and_cards_have_their_places() {
    let members: Vec<Member> = [vec![0], vec![1, 0], vec![1]]
        .into_iter()
        .enumerate()
        .map(|(node, nics)| Member {
            name: format!("n{node}"),
            nics,
        })
        .collect();
    let configs = vec![NetworkConfig::new("a"), NetworkConfig::new("b")];
    let mut fabric = Fabric::new(configs, &members, &Arc::new(Tape::new(1)));
    fabric.send(VirtTime(0), 0, 0, frame(BROADCAST, mac(0), 1));
    let arrivals = fabric.take_arrivals(1, VirtTime(SECOND));
    assert_eq!(arrivals.len(), 1);
    assert_eq!(arrivals[0].nic, 1);
    assert!(fabric.take_arrivals(2, VirtTime(SECOND)).is_empty());
    // A card that the node does not have.
    fabric.send(VirtTime(0), 0, 3, frame(BROADCAST, mac(0), 1));
    assert_eq!(fabric.travelling(), 0);
}

#[test]
fn frames_that_are_too_short_or_too_long_are_dropped_and_counted() {
    let mut net = Net::new(2, quick(), 1);
    let sized = |length: usize| {
        let mut bytes = frame(mac(1), mac(0), 1);
        bytes.resize(length, 0);
        bytes
    };
    for length in [0, 13, 14, 1518, 1519, 60_000] {
        net.fabric.send(VirtTime(0), 0, 0, sized(length));
    }
    let lengths: Vec<usize> = net.arrivals(SECOND).iter().map(|f| f.2.len()).collect();
    assert_eq!(lengths, [14, 1518]);
    let switch = net.fabric.counters()[0].switch;
    assert_eq!((switch.dropped_short, switch.dropped_long), (2, 2));
}

#[test]
fn what_travels_is_bounded_whatever_the_latency() {
    let mut config = quick();
    config.shape.latency_ns = 3600 * SECOND;
    config.shape.queue_bytes = u64::MAX;
    config.mtu_bytes = 65_000;
    let mut net = Net::new(2, config, 1);
    let mut big = frame(mac(1), mac(0), 1);
    big.resize(64_000, 0);
    for time in 0..2000 {
        net.fabric.send(VirtTime(time), 0, 0, big.clone());
    }
    let travelling = net.fabric.travelling() as u64;
    assert_eq!(travelling, TRAVELLING_MAX_BYTES / 64_000);
    assert_eq!(net.link(0, 1).dropped_queue, 2000 - travelling);
    net.arrivals(u64::MAX);
    net.fabric.send(VirtTime(5000), 0, 0, big);
    assert_eq!(net.fabric.travelling(), 1);
}

#[test]
fn a_receiver_that_is_not_there_is_a_cause_of_its_own() {
    let mut net = Net::new(2, quick(), 1);
    net.send(0, 0, 1, 1);
    let arrival = net.fabric.take_arrivals(1, VirtTime(SECOND)).remove(0);
    net.fabric.settle(&arrival.frame, false);
    let before = net.link(0, 1);
    assert_eq!(before.dropped_receiver, 1);
    // The one before was the introduction.
    assert_eq!(before.sent - before.delivered, 1);
}

#[test]
fn lookahead_is_the_least_latency_to_those_that_are_up() {
    let rule = |from: usize, to: usize, latency_ns: u64, down: bool| LinkRule {
        from: vec![from],
        to: vec![to],
        down,
        shape: LinkShape {
            latency_ns,
            ..LinkShape::default()
        },
    };
    let mut config = quick();
    config.links = vec![
        rule(0, 1, 50 * MICRO, false),
        rule(0, 2, 0, false),
        rule(1, 0, 50 * MICRO, true),
    ];
    config.layer = Layer::Ethernet;
    let net = Net::new(3, config, 1);
    let lookahead = |node, up: &[usize]| net.fabric.lookahead(node, |other| up.contains(&other));
    assert_eq!(lookahead(0, &[0, 1, 2]), Some(LATENCY_MIN_NS));
    assert_eq!(lookahead(0, &[0, 1]), Some(50 * MICRO));
    assert_eq!(lookahead(0, &[0]), None);
    assert_eq!(lookahead(1, &[0, 2]), Some(MILLI));
    assert_eq!(lookahead(1, &[0]), None);
}

/// A day on a network where everything goes wrong: a hash of all that arrived, and the state.
fn stormy(net: &mut Net, from: u32, to: u32) -> Vec<(u64, usize, Vec<u8>)> {
    let mut all = Vec::new();
    for step in from..to {
        let time = u64::from(step) * 300 * MICRO;
        let (sender, receiver) = ((step % 3) as usize, (step / 3 % 3) as usize);
        if sender != receiver {
            net.send(time, sender, receiver, step);
        }
        if step == 40 {
            let flap = LinkFaultKind::Flap {
                down: (MILLI, 3 * MILLI),
                up: (MILLI, 9 * MILLI),
            };
            net.arm(1, &[0], &[1, 2], flap, time);
            net.arm(
                2,
                &[0, 1],
                &[2],
                LinkFaultKind::Loss {
                    chance: Chance::new(1, 4),
                },
                time,
            );
            let by_ns = 4 * MILLI;
            net.arm(
                3,
                &[2],
                &[0],
                LinkFaultKind::Jitter {
                    by_ns,
                    overtake: true,
                },
                time,
            );
        }
        all.extend(net.arrivals(time));
    }
    all
}

fn storm() -> NetworkConfig {
    let often = Chance::new(1, 5);
    NetworkConfig {
        shape: LinkShape {
            jitter_ns: MILLI,
            bandwidth_bps: 10_000_000,
            loss: often,
            duplicate: often,
            corrupt: often,
            reorder: often,
            ..LinkShape::default()
        },
        ..NetworkConfig::new("lan")
    }
}

#[test]
fn seeds_that_differ_give_weather_that_differs_and_equal_ones_the_same() {
    let run = |seed| {
        let mut net = Net::new(3, storm(), seed);
        let arrived = stormy(&mut net, 0, 600);
        (arrived, net.fabric.state())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn saved_state_goes_on_as_the_original_also_from_its_serial_form() {
    let mut original = Net::new(3, storm(), 5);
    stormy(&mut original, 0, 300);
    let bytes = postcard::to_allocvec(&original.fabric.state()).unwrap();
    let expected = stormy(&mut original, 300, 600);
    assert!(expected.len() > 100);

    let mut copy = Net::new(3, storm(), 5);
    let state: FabricState = postcard::from_bytes(&bytes).unwrap();
    copy.fabric.set_state(&state, &Arc::new(Tape::new(5)));
    assert_eq!(copy.fabric.state(), state);
    assert_eq!(stormy(&mut copy, 300, 600), expected);
    assert_eq!(copy.fabric.state(), original.fabric.state());
}

#[test]
fn frames_that_were_counted_are_delivered_dropped_or_travelling() {
    let mut net = Net::new(3, storm(), 3);
    stormy(&mut net, 0, 1000);
    let travelling = net.fabric.travelling() as u64;
    let links = net.fabric.counters().remove(0).links;
    let sum = |count: fn(&LinkCounters) -> u64| -> u64 {
        links.iter().map(|pair| count(&pair.counters)).sum()
    };
    let sent = sum(|link| link.sent) + sum(|link| link.duplicated);
    let known = sum(|link| link.delivered) + sum(LinkCounters::dropped) + travelling;
    // The introduction was forgotten while it travelled if it was slow.
    assert!(sent >= known && sent - known < 12, "{sent} {known}");
    assert!(sum(|link| link.corrupted) > 50);
    assert!(sum(|link| link.reordered) > 50);
}

#[test]
fn a_capture_has_every_frame_once_and_says_what_became_of_it() {
    let out = Shared::default();
    let mut config = quick();
    config.capture = Some(Box::new(out.clone()));
    let mut net = Net::new(3, config, 1);
    net.arm(1, &[0], &[1], LinkFaultKind::Down, 0);
    net.arm(
        2,
        &[0],
        &[2],
        LinkFaultKind::Duplicate {
            chance: Chance::ALWAYS,
        },
        0,
    );
    net.send(5, 0, 2, 1);
    let broadcast = frame(BROADCAST, mac(0), 2);
    net.fabric.send(VirtTime(6), 0, 0, broadcast.clone());
    net.fabric.send(VirtTime(7), 2, 0, vec![1, 2, 3]);
    net.fabric.send(VirtTime(8), 2, 0, frame(mac(1), mac(2), 4));
    let finished = net.fabric.finish_captures();
    assert!(
        finished
            .iter()
            .all(|(name, result)| name == "lan" && result.is_ok())
    );
    let frames = read(&out.bytes()).split_off(3);
    let seen: Vec<(&str, u64, &str)> = frames
        .iter()
        .map(|frame| (frame.interface.as_str(), frame.time, frame.comment.as_str()))
        .collect();
    let expected = [
        ("n0", 5, "n2: twice"),
        ("n0", 6, "n1: link down; n2: twice"),
        ("n2", 7, "dropped: shorter than an Ethernet header"),
        ("n2", 8, ""),
    ];
    assert_eq!(seen, expected);
    assert_eq!(frames[1].bytes, broadcast);
}
