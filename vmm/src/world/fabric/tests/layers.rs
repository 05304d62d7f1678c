//! Frames by which machines find each other, on networks of both layers.

use super::*;
use LinkFaultKind as Kind;
use neighbour::tests::icmpv6;

/// What asks for a neighbour: ARP in IPv4, Neighbor Discovery in IPv6.
fn requests() -> [Vec<u8>; 2] {
    let arp = [&BROADCAST[..], &mac(0)[..], &[8, 6], &[0; 28]].concat();
    let group = [0x33, 0x33, 0xff, 0, 0, 1];
    let solicitation = [&group[..], &mac(0)[..], &[0x86, 0xdd], &icmpv6(135, 255)].concat();
    [arp, solicitation]
}

/// How long a frame from node 0 travels to node 1, if it arrives as it was sent, and once.
fn travels(net: &mut Net, frame: &[u8]) -> Option<u64> {
    net.fabric.send(VirtTime(SECOND), 0, 0, frame.to_vec());
    let mut arrived = net.arrivals(u64::MAX);
    arrived.retain(|(_, to, bytes)| *to == 1 && bytes == frame);
    assert!(arrived.len() <= 1, "it came twice");
    arrived.first().map(|(time, ..)| time - SECOND)
}

/// Everything that may go wrong on the way from node 0 to node 1.
fn faults() -> Vec<Kind> {
    let chance = Chance::ALWAYS;
    vec![
        Kind::Down,
        Kind::Flap {
            down: (1000 * SECOND, 1000 * SECOND),
            up: (1, 1),
        },
        Kind::Loss { chance },
        Kind::Corrupt { chance },
        Kind::Duplicate { chance },
        Kind::Latency {
            by_ns: 10 * SECOND,
            jitter_ns: 0,
            overtake: false,
        },
        Kind::Jitter {
            by_ns: 1000 * SECOND,
            overtake: false,
        },
        Kind::Reorder {
            chance,
            window_ns: 1000 * SECOND,
        },
        Kind::Bandwidth { bps: 1 },
    ]
}

#[test]
fn no_fault_touches_what_finds_neighbours() {
    for kind in faults() {
        for request in requests() {
            let mut net = Net::new(3, quick(), 1);
            net.arm(1, &[0], &[1], kind, 0);
            // A packet before it fills the link, however narrow that is.
            net.send(SECOND, 0, 1, 7);
            assert_eq!(travels(&mut net, &request), Some(MILLI), "{kind:?}");
        }
    }
}

#[test]
fn on_a_network_of_cables_faults_hit_all_frames() {
    let config = || NetworkConfig {
        layer: Layer::Ethernet,
        ..quick()
    };
    for request in requests() {
        let mut net = Net::new(3, config(), 1);
        assert_eq!(travels(&mut net, &request), Some(QUICK));
        net.arm(1, &[0], &[1], Kind::Down, 0);
        assert_eq!(travels(&mut net, &request), None);
        assert_eq!(net.link(0, 1).dropped_down, 1);
    }
}

#[test]
fn a_link_that_is_down_lets_neighbours_find_each_other_unless_it_is_a_cable() {
    let config = |layer| NetworkConfig {
        links: vec![LinkRule {
            from: vec![0],
            to: vec![1],
            down: true,
            shape: LinkShape {
                loss: Chance::ALWAYS,
                latency_ns: 300 * MICRO,
                ..LinkShape::default()
            },
        }],
        layer,
        ..quick()
    };
    for request in requests() {
        let mut net = Net::new(2, config(Layer::Ip), 1);
        net.send(SECOND, 0, 1, 7);
        assert_eq!(net.marks(u64::MAX), [], "packets are cut");
        assert_eq!(travels(&mut net, &request), Some(300 * MICRO));
        // What may pass bounds how far nodes may run apart.
        assert_eq!(net.fabric.lookahead(0, |_| true), Some(300 * MICRO));
        let mut net = Net::new(2, config(Layer::Ethernet), 1);
        assert_eq!(travels(&mut net, &request), None);
        assert_eq!(net.fabric.lookahead(0, |_| true), None);
    }
}

#[test]
fn what_finds_neighbours_shifts_no_decision_about_packets() {
    let arrived = |asks: bool| {
        let mut net = Net::new(2, quick(), 9);
        net.arm(
            1,
            &[0],
            &[1],
            Kind::Loss {
                chance: Chance::new(1, 2),
            },
            0,
        );
        for mark in 0..200 {
            let time = SECOND + u64::from(mark) * MILLI;
            if asks {
                for request in requests() {
                    net.fabric.send(VirtTime(time), 0, 0, request);
                }
            }
            net.send(time, 0, 1, mark);
        }
        let packets = net.arrivals(u64::MAX).into_iter();
        packets
            .filter(|(.., bytes)| bytes[12..14] == [0x88, 0xb5])
            .map(|(time, _, bytes)| (time, bytes))
            .collect::<Vec<_>>()
    };
    let packets = arrived(false);
    assert!((60..140).contains(&packets.len()));
    assert_eq!(arrived(true), packets);
}

#[test]
fn a_flood_of_requests_takes_bounded_memory() {
    let mut net = Net::new(2, quick(), 1);
    let mut request = requests()[0].clone();
    request.resize(1500, 0);
    let most = TRAVELLING_MAX_BYTES / 1500;
    for _ in 0..most + 10 {
        net.fabric.send(VirtTime(SECOND), 0, 0, request.clone());
    }
    assert_eq!(net.fabric.travelling() as u64, most);
    assert_eq!(net.link(0, 1).dropped_queue, 10);
}
