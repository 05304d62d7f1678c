//! Link faults: each does what it says to the frames that it concerns, only while it is armed, and
//! nothing to others.

use super::*;
use LinkFaultKind as Kind;

/// When and where frames arrive that are sent from every node to every other at each of some
/// moments: (sent, travelled, from, to).
fn all_pairs(
    net: &mut Net,
    moments: impl IntoIterator<Item = u64>,
) -> Vec<(u64, u64, usize, usize)> {
    let mut arrived = Vec::new();
    for moment in moments {
        for from in 0..3 {
            for to in (0..3).filter(|to| *to != from) {
                net.send(moment, from, to, (moment / MILLI) as u32 * 16 + from as u32);
            }
        }
        // What is long delayed is told at the end.
        arrived.extend(net.marks(moment + MILLI));
    }
    arrived.extend(net.marks(u64::MAX));
    let mut list: Vec<(u64, u64, usize, usize)> = arrived
        .into_iter()
        .map(|(time, to, mark)| {
            let sent = u64::from(mark / 16) * MILLI;
            (sent / MILLI, time - sent, (mark % 16) as usize, to)
        })
        .collect();
    list.sort_unstable();
    list
}

fn net() -> Net {
    Net::new(3, quick(), 21)
}

/// Arms `kind` on 0->1 from 10 ms to 20 ms while all talk for 30 ms, and tells how long the frames
/// of 0->1 travelled that were sent while it was armed. Nothing else may be touched.
fn while_armed(mut net: Net, kind: Kind) -> (Vec<u64>, LinkCounters) {
    let mut arrived = all_pairs(&mut net, (1..10).map(|n| n * MILLI));
    net.arm(1, &[0], &[1], kind, 10 * MILLI);
    // Frames are sent at each millisecond, and the fault ends just before the twentieth.
    arrived.extend(all_pairs(&mut net, (10..20).map(|n| n * MILLI)));
    net.fabric.disarm(1);
    arrived.extend(all_pairs(&mut net, (20..30).map(|n| n * MILLI)));
    let concerned = |f: &&(u64, u64, usize, usize)| (10..20).contains(&f.0) && (f.2, f.3) == (0, 1);
    let others: Vec<_> = arrived.iter().filter(|f| !concerned(f)).collect();
    assert_eq!(others.len(), 29 * 6 - 10, "others are touched");
    assert!(others.iter().all(|f| f.1 == QUICK), "others are touched");
    let times = arrived.iter().filter(concerned).map(|f| f.1).collect();
    (times, net.link(0, 1))
}

#[test]
fn down_lets_nothing_through_in_its_direction() {
    let (times, counters) = while_armed(net(), Kind::Down);
    assert!(times.is_empty());
    assert_eq!(counters.dropped_down, 10);
}

#[test]
fn latency_makes_frames_travel_longer() {
    let kind = Kind::Latency {
        by_ns: 5 * MILLI,
        jitter_ns: 0,
        overtake: false,
    };
    let (times, counters) = while_armed(net(), kind);
    assert_eq!(times, [QUICK + 5 * MILLI; 10]);
    assert_eq!(counters.delayed, 10);
}

#[test]
fn jitter_varies_how_long_frames_travel() {
    let kinds = [
        (
            Kind::Jitter {
                by_ns: MILLI / 2,
                overtake: false,
            },
            0,
        ),
        (
            Kind::Latency {
                by_ns: MILLI,
                jitter_ns: MILLI / 2,
                overtake: true,
            },
            MILLI,
        ),
    ];
    for (kind, least) in kinds {
        let (times, _) = while_armed(net(), kind);
        let (min, max) = (QUICK + least, QUICK + least + MILLI / 2);
        assert!(times.len() == 10 && times.iter().all(|time| (min..=max).contains(time)));
        assert!(
            times
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                > 5
        );
    }
}

#[test]
fn bandwidth_narrows_and_does_not_widen() {
    // 100 bytes take 800 µs at 1 Mbit/s.
    let (times, _) = while_armed(net(), Kind::Bandwidth { bps: 1_000_000 });
    assert_eq!(times, [MILLI + 800 * MICRO; 10]);
    let mut config = quick();
    config.shape.bandwidth_bps = 1_000_000;
    let mut net = Net::new(3, config, 1);
    net.arm(1, &[0], &[1], Kind::Bandwidth { bps: u64::MAX }, 0);
    net.send(SECOND, 0, 1, 1);
    assert_eq!(net.marks(u64::MAX), [(SECOND + MILLI + 800 * MICRO, 1, 1)]);
}

#[test]
fn loss_corruption_and_duplication_hit_what_they_are_armed_for() {
    let (times, counters) = while_armed(
        net(),
        Kind::Loss {
            chance: Chance::new(1, 2),
        },
    );
    assert_eq!(times.len() as u64 + counters.dropped_loss, 10);
    assert!((1..10).contains(&counters.dropped_loss));

    let (times, counters) = while_armed(
        net(),
        Kind::Duplicate {
            chance: Chance::ALWAYS,
        },
    );
    assert_eq!((times.len(), counters.duplicated), (20, 10));

    let mut net = net();
    net.arm(
        1,
        &[0],
        &[1],
        Kind::Corrupt {
            chance: Chance::ALWAYS,
        },
        0,
    );
    for (from, to) in [(0, 1), (1, 0)] {
        net.send(SECOND, from, to, 5);
    }
    let good = [frame(mac(0), mac(1), 5), frame(mac(1), mac(0), 5)];
    let arrived = net.arrivals(u64::MAX);
    assert_eq!(arrived[0].2, good[0]);
    assert_ne!(arrived[1].2, good[1]);
    assert_eq!((net.link(0, 1).corrupted, net.link(1, 0).corrupted), (1, 0));
}

#[test]
fn reordering_lets_later_frames_overtake() {
    let kind = Kind::Reorder {
        chance: Chance::new(1, 2),
        window_ns: 4 * MILLI,
    };
    let (times, counters) = while_armed(net(), kind);
    assert!(
        times
            .iter()
            .all(|time| (QUICK..=QUICK + 4 * MILLI).contains(time))
    );
    let late = times.iter().filter(|time| **time > QUICK).count();
    assert!((1..10).contains(&late));
    assert_eq!(counters.reordered, late as u64);
}

#[test]
fn partitions_are_symmetric_one_way_or_of_many_groups() {
    let reached = |cuts: &[(&[usize], &[usize])]| {
        let mut net = net();
        for (id, (from, to)) in cuts.iter().enumerate() {
            net.arm(id as u64, from, to, Kind::Down, 0);
        }
        let arrived = all_pairs(&mut net, [0]).into_iter();
        arrived.map(|f| (f.2, f.3)).collect::<Vec<_>>()
    };
    assert_eq!(reached(&[]).len(), 6);
    assert_eq!(
        reached(&[(&[0], &[1, 2]), (&[1, 2], &[0])]),
        [(1, 2), (2, 1)]
    );
    let one_way = [(1, 0), (1, 2), (2, 0), (2, 1)];
    assert_eq!(reached(&[(&[0], &[1, 2])]), one_way);
    assert_eq!(reached(&[(&[0, 1, 2], &[0, 1, 2])]), []);
}

#[test]
fn frames_that_already_travel_arrive_through_a_partition() {
    let mut net = net();
    net.send(5, 0, 1, 1);
    net.arm(1, &[0], &[1], Kind::Down, 6);
    net.send(7, 0, 1, 2);
    assert_eq!(net.marks(u64::MAX), [(5 + QUICK, 1, 1)]);
}

#[test]
fn faults_that_are_armed_together_combine() {
    let mut net = net();
    let latency = |by_ns| Kind::Latency {
        by_ns,
        jitter_ns: 0,
        overtake: false,
    };
    net.arm(1, &[0], &[1], latency(2 * MILLI), 0);
    net.arm(2, &[0], &[0, 1, 2], latency(3 * MILLI), 0);
    net.arm(3, &[0], &[1], Kind::Bandwidth { bps: 8_000_000 }, 0);
    net.arm(4, &[0], &[1], Kind::Bandwidth { bps: 1_000_000 }, 0);
    net.send(SECOND, 0, 1, 1);
    let expected = SECOND + MILLI + 5 * MILLI + 800 * MICRO;
    assert_eq!(net.marks(u64::MAX), [(expected, 1, 1)]);

    // Half and half leaves a quarter.
    net.arm(
        5,
        &[1],
        &[2],
        Kind::Loss {
            chance: Chance::new(1, 2),
        },
        0,
    );
    net.arm(
        6,
        &[1],
        &[2],
        Kind::Loss {
            chance: Chance::new(1, 2),
        },
        0,
    );
    for mark in 0..4000 {
        net.send(SECOND, 1, 2, mark);
    }
    let arrived = net.marks(u64::MAX).len();
    assert!((900..1100).contains(&arrived), "{arrived}");

    // A number that is armed again replaces the one before.
    net.arm(
        6,
        &[1],
        &[2],
        Kind::Loss {
            chance: Chance::ALWAYS,
        },
        0,
    );
    net.send(2 * SECOND, 1, 2, 1);
    assert_eq!(net.marks(u64::MAX), []);
}

#[test]
fn flapping_goes_down_and_up_in_drawn_phases_for_all_links_alike() {
    let mut net = net();
    let kind = Kind::Flap {
        down: (3 * MILLI, 5 * MILLI),
        up: (7 * MILLI, 12 * MILLI),
    };
    net.arm(1, &[0], &[1, 2], kind, 0);
    let arrived = all_pairs(&mut net, (0..2000).map(|n| n * MILLI));
    let up = |to: usize| -> Vec<bool> {
        let mut up = vec![false; 2000];
        for f in arrived.iter().filter(|f| (f.2, f.3) == (0, to)) {
            up[f.0 as usize] = true;
        }
        up
    };
    assert_eq!(up(1), up(2));
    let phases: Vec<(bool, usize)> = up(1)
        .chunk_by(|a, b| a == b)
        .map(|phase| (phase[0], phase.len()))
        .collect();
    assert!(!phases[0].0, "it begins with down");
    for (is_up, length) in &phases[..phases.len() - 1] {
        let range = if *is_up { 6..=13 } else { 2..=6 };
        assert!(range.contains(length), "{is_up} for {length} ms");
    }
    let lengths: std::collections::BTreeSet<usize> = phases.iter().map(|phase| phase.1).collect();
    assert!(lengths.len() > 5, "the phases are drawn");
    assert_eq!(
        net.link(0, 1).dropped_flap,
        up(1).iter().filter(|up| !**up).count() as u64
    );
    assert_eq!(net.link(1, 0).dropped_flap, 0);
}

#[test]
fn flapping_after_a_long_silence_ends() {
    let mut net = net();
    let kind = Kind::Flap {
        down: (0, 0),
        up: (0, 1),
    };
    net.arm(1, &[0], &[1], kind, 0);
    net.send(100 * SECOND, 0, 1, 1);
    net.send(u64::MAX, 0, 1, 1);
    assert!(net.link(0, 1).sent > 1);
}

#[test]
fn the_end_of_great_jitter_is_felt_at_once() {
    let mut net = net();
    net.arm(
        1,
        &[0],
        &[1],
        Kind::Jitter {
            by_ns: 1000 * SECOND,
            overtake: false,
        },
        0,
    );
    for time in 1..20 {
        net.send(time, 0, 1, 1);
    }
    net.fabric.disarm(1);
    net.send(30, 0, 1, 2);
    assert_eq!(net.marks(SECOND), [(30 + QUICK, 1, 2)]);
}

#[test]
fn a_fault_on_a_network_that_there_is_not_does_nothing() {
    let mut net = net();
    let fault = LinkFault {
        network: 7,
        from: vec![0],
        to: vec![1],
        kind: Kind::Down,
    };
    net.fabric.arm(1, fault, VirtTime(0));
    net.fabric.disarm(1);
    net.send(0, 0, 1, 1);
    assert_eq!(net.marks(u64::MAX).len(), 1);
}
