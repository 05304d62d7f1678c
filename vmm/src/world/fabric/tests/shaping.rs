//! What the plan's own shape of a link does to frames, and that nothing else does it.

use super::*;

/// A network that is quick but for what `change` makes of it.
fn shaped(change: impl FnOnce(&mut LinkShape)) -> Net {
    let mut config = quick();
    change(&mut config.shape);
    Net::new(2, config, 11)
}

/// Sends `count` frames from node 0 to node 1, `apart` nanoseconds apart, and returns when and with
/// which mark each arrives.
fn stream(net: &mut Net, count: u32, apart: u64) -> Vec<(u64, u32)> {
    for mark in 0..count {
        net.send(SECOND + u64::from(mark) * apart, 0, 1, mark);
    }
    net.marks(u64::MAX).iter().map(|f| (f.0, f.2)).collect()
}

/// How long each frame that arrived has travelled, with its mark.
fn travelled(net: &mut Net, count: u32, apart: u64) -> Vec<u64> {
    let arrived = stream(net, count, apart).into_iter();
    arrived
        .map(|(time, mark)| time - SECOND - u64::from(mark) * apart)
        .collect()
}

#[test]
fn without_anything_special_all_frames_arrive_in_order_after_the_latency() {
    let mut net = shaped(|_| {});
    assert_eq!(travelled(&mut net, 500, 10), vec![QUICK; 500]);
    let counters = net.link(0, 1);
    let quiet = LinkCounters {
        sent: counters.sent,
        sent_bytes: counters.sent_bytes,
        delivered: counters.delivered,
        delivered_bytes: counters.delivered_bytes,
        ..LinkCounters::default()
    };
    assert_eq!(counters, quiet);
}

#[test]
fn latency_is_exact_and_at_least_the_minimum() {
    let mut net = shaped(|shape| shape.latency_ns = 37 * MILLI);
    assert_eq!(travelled(&mut net, 3, MILLI), [37 * MILLI + 1; 3]);
    let mut net = shaped(|shape| shape.latency_ns = 0);
    assert_eq!(travelled(&mut net, 3, MILLI), [LATENCY_MIN_NS + 1; 3]);
}

#[test]
fn jitter_delays_by_up_to_its_measure_and_keeps_the_order() {
    let mut net = shaped(|shape| shape.jitter_ns = 200 * MICRO);
    let far = travelled(&mut net, 1000, MILLI);
    assert!(
        far.iter()
            .all(|time| (QUICK..=QUICK + 200 * MICRO).contains(time))
    );
    assert!(far.iter().any(|time| *time < QUICK + 20 * MICRO));
    assert!(far.iter().any(|time| *time > QUICK + 180 * MICRO));
    assert!(net.link(0, 1).delayed > 900);

    let mut net = shaped(|shape| shape.jitter_ns = 200 * MICRO);
    let marks: Vec<u32> = stream(&mut net, 1000, 20).iter().map(|f| f.1).collect();
    assert_eq!(marks, (0..1000).collect::<Vec<u32>>());
}

#[test]
fn the_denser_frames_come_the_nearer_to_the_whole_jitter_each_is_in_order() {
    let average = |overtake: bool| {
        let mut net = shaped(|shape| {
            shape.jitter_ns = 200 * MICRO;
            shape.overtake = overtake;
        });
        let times = travelled(&mut net, 10_000, 200);
        (times.iter().sum::<u64>() / 10_000 - QUICK) / MICRO
    };
    // A thousand frames within the jitter's time: in order, nearly each waits for one that was drawn
    // near the end; by itself, each takes half of it on average.
    assert!(average(false) > 190, "{}", average(false));
    assert!((97..=103).contains(&average(true)), "{}", average(true));
}

#[test]
fn jitter_by_which_frames_overtake_is_drawn_for_each_by_itself() {
    let with = |overtake: bool| {
        let mut net = shaped(|shape| {
            shape.jitter_ns = 200 * MICRO;
            shape.overtake = overtake;
        });
        stream(&mut net, 1000, 20)
    };
    let free = with(true);
    let marks: Vec<u32> = free.iter().map(|f| f.1).collect();
    let overtaken = marks.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 300, "{overtaken}");
    // Frames that are far apart are late by the same times in both kinds: the draws are the same.
    let late = |overtake: bool| {
        let mut net = shaped(|shape| {
            shape.jitter_ns = 200 * MICRO;
            shape.overtake = overtake;
        });
        travelled(&mut net, 100, MILLI)
    };
    assert_eq!(late(true), late(false));
}

#[test]
fn bandwidth_spreads_frames_and_the_queue_drops_what_does_not_fit() {
    // 100 bytes take 80 µs; three frames fit behind the one that is being sent.
    let mut net = shaped(|shape| {
        shape.bandwidth_bps = 10_000_000;
        shape.queue_bytes = 400;
    });
    let times: Vec<u64> = stream(&mut net, 10, 0).iter().map(|f| f.0).collect();
    let expected: Vec<u64> = (1..=4).map(|n| SECOND + MILLI + n * 80 * MICRO).collect();
    assert_eq!(times, expected);
    let counters = net.link(0, 1);
    assert_eq!((counters.dropped_queue, counters.delayed), (6, 3));

    // The same frames with enough time between them neither wait nor are dropped.
    let mut net = shaped(|shape| {
        shape.bandwidth_bps = 10_000_000;
        shape.queue_bytes = 400;
    });
    let far = travelled(&mut net, 10, 80 * MICRO);
    assert_eq!(far, [MILLI + 80 * MICRO; 10]);
    assert_eq!(net.link(0, 1).delayed, 0);
}

#[test]
fn a_link_without_a_queue_carries_one_frame_at_a_time() {
    let mut net = shaped(|shape| {
        shape.bandwidth_bps = 10_000_000;
        shape.queue_bytes = 0;
    });
    let marks: Vec<u32> = stream(&mut net, 8, 40 * MICRO)
        .iter()
        .map(|f| f.1)
        .collect();
    assert_eq!(marks, [0, 2, 4, 6]);
}

#[test]
fn directions_and_pairs_have_bandwidth_of_their_own() {
    let mut config = quick();
    config.shape.bandwidth_bps = 10_000_000;
    let mut net = Net::new(3, config, 1);
    net.send(SECOND, 0, 1, 1);
    net.send(SECOND, 1, 0, 2);
    net.send(SECOND, 0, 2, 3);
    let times: Vec<u64> = net.marks(u64::MAX).iter().map(|f| f.0).collect();
    assert_eq!(times, [SECOND + MILLI + 80 * MICRO; 3]);
}

#[test]
fn loss_drops_its_part_and_says_so() {
    let mut net = shaped(|shape| shape.loss = Chance::new(1, 10));
    let arrived = stream(&mut net, 10_000, MICRO).len();
    assert!((8_850..9_150).contains(&arrived), "{arrived}");
    assert_eq!(net.link(0, 1).dropped_loss, 10_000 - arrived as u64);
    assert_eq!(
        stream(&mut shaped(|shape| shape.loss = Chance::ALWAYS), 50, 1),
        []
    );
}

#[test]
fn duplicates_arrive_together_with_their_originals() {
    let mut net = shaped(|shape| shape.duplicate = Chance::new(1, 4));
    let arrived = stream(&mut net, 4000, MICRO);
    let doubled = arrived.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((900..1100).contains(&doubled), "{doubled}");
    assert_eq!(arrived.len(), 4000 + doubled);
    assert_eq!(net.link(0, 1).duplicated, doubled as u64);
}

#[test]
fn corruption_turns_over_one_bit_anywhere_in_its_part_of_frames() {
    let mut net = shaped(|shape| shape.corrupt = Chance::new(1, 2));
    for time in 0..4000 {
        net.send(SECOND + time, 0, 1, 77);
    }
    let original = frame(mac(1), mac(0), 77);
    let (mut hit, mut places) = (0, std::collections::BTreeSet::new());
    for (_, _, bytes) in net.arrivals(u64::MAX) {
        let differ = bytes.iter().zip(&original).enumerate();
        let bits: Vec<(usize, u8)> = differ
            .filter(|(_, (a, b))| a != b)
            .map(|(at, (a, b))| (at, a ^ b))
            .collect();
        assert!(bits.len() <= 1 && bits.iter().all(|bit| bit.1.is_power_of_two()));
        hit += bits.len() as u64;
        places.extend(bits);
    }
    assert!((1850..2150).contains(&hit), "{hit}");
    assert!(places.len() > 700, "{} of 800 bits", places.len());
    assert_eq!(net.link(0, 1).corrupted, hit);
}

#[test]
fn reordered_frames_are_overtaken_and_only_they_are_late() {
    let mut net = shaped(|shape| {
        shape.reorder = Chance::new(1, 10);
        shape.reorder_window_ns = 50 * MICRO;
    });
    let arrived = stream(&mut net, 5000, 10 * MICRO);
    let mut late = 0;
    for (time, mark) in &arrived {
        let travelled = time - SECOND - u64::from(*mark) * 10 * MICRO;
        assert!((QUICK..=QUICK + 50 * MICRO).contains(&travelled));
        late += u64::from(travelled > QUICK);
    }
    assert!((430..570).contains(&late), "{late}");
    assert_eq!(
        (net.link(0, 1).reordered, net.link(0, 1).delayed),
        (late, 0)
    );
    assert!(arrived.windows(2).any(|pair| pair[0].1 > pair[1].1));
}

#[test]
fn rules_change_single_directions_and_later_ones_win() {
    let rule = |from: &[usize], to: &[usize], latency_ns: u64, down: bool| LinkRule {
        from: from.to_vec(),
        to: to.to_vec(),
        down,
        shape: LinkShape {
            latency_ns,
            ..quick().shape
        },
    };
    let mut config = quick();
    config.links = vec![
        rule(&[0], &[1, 2], 5 * MILLI, false),
        rule(&[0], &[2], 9 * MILLI, false),
        rule(&[2], &[0], 0, true),
    ];
    let mut net = Net::new(3, config, 1);
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2)] {
        net.send(SECOND, from, to, from as u32);
    }
    let arrived: Vec<(u64, usize, u32)> = net
        .marks(u64::MAX)
        .iter()
        .map(|f| ((f.0 - SECOND) / MILLI, f.1, f.2))
        .collect();
    assert_eq!(arrived, [(1, 0, 1), (5, 1, 0), (1, 2, 1), (9, 2, 0)]);
    assert!(net.link(2, 0).dropped_down > 0);
}

#[test]
fn a_decision_of_the_tape_can_be_overridden_for_one_frame() {
    let mut config = quick();
    config.shape.loss = Chance::new(1, 1_000_000_000);
    let mut tape = Tape::new(1);
    tape.set("net/lan/n0->n1/loss", 2, 0);
    let members = ["n0", "n1"].map(|name| Member {
        name: name.to_owned(),
        nics: vec![0],
    });
    let mut fabric = Fabric::new(vec![config], &members, &Arc::new(tape));
    for mark in 0..5 {
        fabric.send(VirtTime(0), 0, 0, frame(BROADCAST, mac(0), mark));
    }
    let arrivals = fabric.take_arrivals(1, VirtTime(SECOND));
    let marks: Vec<u8> = arrivals.iter().map(|a| a.frame.bytes.0[99]).collect();
    assert_eq!(marks, [0, 1, 3, 4]);
}
