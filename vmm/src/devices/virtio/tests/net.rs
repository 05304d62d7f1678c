//! Tests of network interfaces.

use super::*;
use crate::devices::virtio::net::NicCounters;

const MERGE: u32 = 1 << 15;
const CHECKSUM: u32 = 1;

fn nics(count: usize, features: u32) -> (Rig, Ring, Ring) {
    let mut rig = Rig::new(false, false, Vec::new(), count);
    let [receive, transmit] = set_up(&mut rig, 0, features, 2, BASE)
        .try_into()
        .ok()
        .unwrap();
    (rig, receive, transmit)
}

fn arrive(rig: &mut Rig, nic: usize, frame: &[u8]) {
    rig.with(|state, env, effects| state.receive_frame(nic, frame, env, effects));
}

fn counters(rig: &Rig) -> NicCounters {
    *rig.state.nics().next().unwrap().counters()
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

#[test]
fn configuration_has_the_address_and_a_link() {
    let mut rig = Rig::new(false, false, Vec::new(), 2);
    assert_eq!(rig.state.read(1, 0x100, 8), 0x0001_0100_0000_0002);
    assert_eq!(rig.state.read(1, 0x105, 1), 1);
    assert_eq!(rig.state.read(1, 0x106, 2), 1);
    assert_eq!(rig.state.read(1, 0xfff, 8), 0);
    let all = offered(&mut rig, 0) & 0x7fff;
    assert_eq!(all, 1 << 5 | CHECKSUM, "no offload but of checksums");
}

#[test]
fn frames_leave_without_the_header() {
    let (mut rig, _, mut transmit) = nics(1, 0);
    rig.effects();
    transmit.add(
        &mut rig,
        &[Buffer::Out(vec![0; 12]), Buffer::Out(frame(60))],
    );
    let mut joined = vec![0; 12];
    joined.extend(frame(1514));
    transmit.add(&mut rig, &[Buffer::Out(joined)]);
    transmit.notify(&mut rig);
    let frames: Vec<Effect> = [60, 1514]
        .map(|len| Effect::Frame {
            nic: 0,
            bytes: frame(len),
        })
        .into();
    assert_eq!(rig.effects()[..2], frames);
    assert!(transmit.used(&mut rig).is_some() && transmit.used(&mut rig).is_some());
    assert_eq!(counters(&rig).sent, 2);
}

/// Sends a frame with a header that asks for a checksum from byte `start` on, put at `offset` from there.
fn send_unfinished(rig: &mut Rig, ring: &mut Ring, frame: &[u8], start: u16, offset: u16) {
    let mut bytes = vec![0; 12];
    bytes[0] = 1;
    bytes[6..8].copy_from_slice(&start.to_le_bytes());
    bytes[8..10].copy_from_slice(&offset.to_le_bytes());
    bytes.extend(frame);
    ring.add(rig, &[Buffer::Out(bytes)]);
    ring.notify(rig);
}

fn sent(rig: &mut Rig) -> Vec<Vec<u8>> {
    let effects = rig.effects().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Frame { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect()
}

#[test]
fn checksums_are_completed_if_the_driver_negotiated_that_and_asks() {
    let (mut rig, _, mut transmit) = nics(1, CHECKSUM);
    rig.effects();
    // UDP from 10.1.0.1:4096 to 10.1.0.2:8192, with three bytes and the sum of the pseudo header.
    let mut packet = vec![0; 34];
    packet.extend([0x10, 0, 0x20, 0, 0, 11, 0x14, 0x21, b'a', b'b', b'c']);
    send_unfinished(&mut rig, &mut transmit, &packet, 34, 6);
    let mut whole = packet.clone();
    // The complement of 1000 + 2000 + 000b + 1421 + 6162 + 6300, folded.
    whole[40..42].copy_from_slice(&[0xf7, 0x70]);
    assert_eq!(sent(&mut rig), [whole]);
    // A sum whose complement is zero becomes the other zero.
    let mut ones = vec![0; 60];
    ones[58..].copy_from_slice(&[0xff, 0xff]);
    send_unfinished(&mut rig, &mut transmit, &ones, 40, 2);
    ones[42..44].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(sent(&mut rig), [ones]);
}

#[test]
fn checksums_that_were_not_negotiated_are_left_alone() {
    let (mut rig, _, mut transmit) = nics(1, 0);
    send_unfinished(&mut rig, &mut transmit, &frame(60), 34, 6);
    assert_eq!(sent(&mut rig), [frame(60)]);
}

#[test]
fn frames_with_a_checksum_outside_are_not_sent() {
    let (mut rig, _, mut transmit) = nics(1, CHECKSUM);
    for (start, offset) in [(34, 25), (61, 0), (59, 0), (0, 59), (0xffff, 0xffff)] {
        send_unfinished(&mut rig, &mut transmit, &frame(60), start, offset);
    }
    assert_eq!(sent(&mut rig), Vec::<Vec<u8>>::new());
    assert_eq!((counters(&rig).sent, counters(&rig).malformed), (0, 5));
    send_unfinished(&mut rig, &mut transmit, &frame(60), 58, 0);
    assert_eq!(counters(&rig).sent, 1);
}

#[test]
fn frames_of_impossible_lengths_are_not_sent() {
    let (mut rig, _, mut transmit) = nics(1, 0);
    for len in [4, 12, 12 + 13, 12 + 65_554] {
        transmit.add(&mut rig, &[Buffer::Out(vec![0; len])]);
    }
    transmit.notify(&mut rig);
    assert!(
        !rig.effects()
            .iter()
            .any(|effect| matches!(effect, Effect::Frame { .. }))
    );
    assert_eq!((counters(&rig).sent, counters(&rig).malformed), (0, 4));
}

#[test]
fn frames_arrive_behind_a_header_that_counts_one_buffer() {
    let (mut rig, mut receive, _) = nics(2, 0);
    let (head, places) = receive.add(&mut rig, &[Buffer::In(12), Buffer::In(1514)]);
    arrive(&mut rig, 1, &frame(60));
    assert_eq!(receive.used(&mut rig), None, "for another interface");
    arrive(&mut rig, 0, &frame(60));
    assert_eq!(receive.used(&mut rig), Some((head, 72)));
    let header = bytes_at(&mut rig, places[0], 12);
    assert_eq!(header, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(bytes_at(&mut rig, places[1], 60), frame(60));
    assert_eq!(rig.acknowledge(0), 1);
}

#[test]
fn frames_without_a_buffer_are_dropped_and_counted() {
    let (mut rig, mut receive, _) = nics(1, 0);
    arrive(&mut rig, 0, &frame(60));
    let (head, _) = receive.add(&mut rig, &[Buffer::In(100)]);
    arrive(&mut rig, 0, &frame(1000));
    arrive(&mut rig, 0, &frame(5));
    assert_eq!(receive.used(&mut rig), None);
    // The buffer that was too small for them is still there.
    arrive(&mut rig, 0, &frame(88));
    assert_eq!(receive.used(&mut rig), Some((head, 100)));
    assert_eq!((counters(&rig).received, counters(&rig).dropped), (1, 3));
}

#[test]
fn large_frames_take_several_buffers_of_a_driver_that_merges() {
    let (mut rig, mut receive, _) = nics(1, MERGE);
    let places: Vec<u64> = (0..4)
        .map(|_| receive.add(&mut rig, &[Buffer::In(1000)]).1[0])
        .collect();
    arrive(&mut rig, 0, &frame(5000));
    assert_eq!(receive.used(&mut rig), None);
    arrive(&mut rig, 0, &frame(2500));
    let used: Vec<u32> = (0..3).map(|_| receive.used(&mut rig).unwrap().1).collect();
    assert_eq!(used, [1000, 1000, 512]);
    assert_eq!(bytes_at(&mut rig, places[0], 12)[10..], [3, 0]);
    let mut got = bytes_at(&mut rig, places[0] + 12, 988);
    got.extend(bytes_at(&mut rig, places[1], 1000));
    got.extend(bytes_at(&mut rig, places[2], 512));
    assert_eq!(got, frame(2500));
    assert_eq!(counters(&rig).dropped, 1);
}

#[test]
fn frames_to_an_interface_that_is_not_set_up_are_dropped() {
    let mut rig = Rig::new(false, false, Vec::new(), 1);
    arrive(&mut rig, 0, &frame(60));
    arrive(&mut rig, 9, &frame(60));
    assert_eq!(counters(&rig).dropped, 1);
    assert_eq!(rig.effects(), []);
}
