//! Tests of the virtio devices with a driver that plays the guest.

mod block;
pub(crate) mod driver;
mod hostile;
mod net;

use super::*;
use crate::ram::map::VIRTIO_GSI;
use crate::tape::Tape;
use driver::{Buffer, Guest, INDIRECT, Rig, Ring, bytes_at, negotiate, offered, set_up};

const BASE: u64 = 0x10_0000;

fn rig() -> Rig {
    let disk = Disk::blank("data", 1 << 20).unwrap();
    Rig::new(true, true, vec![disk], 1)
}

#[test]
fn registers_tell_what_the_devices_are() {
    let mut rig = rig();
    let ids: Vec<u32> = (0..5).map(|slot| rig.read(slot, 0x008)).collect();
    assert_eq!(ids, [ID_CONSOLE, ID_ENTROPY, ID_BLOCK, ID_NET, u32::MAX]);
    for slot in 0..4 {
        assert_eq!(rig.read(slot, 0), u32::from_le_bytes(*b"virt"));
        assert_eq!(rig.read(slot, 4), 2);
        rig.write(slot, 0x014, 1);
        assert_eq!(rig.read(slot, 0x010), 1, "VERSION_1 and nothing beside it");
        rig.write(slot, 0x014, 2);
        assert_eq!(rig.read(slot, 0x010), 0);
    }
    // Registers are accessed as a whole.
    assert_eq!(rig.state.read(0, 0, 1), 0);
    assert_eq!(rig.state.read(0, 2, 4), 0);
}

#[test]
fn features_that_were_not_offered_and_old_drivers_are_refused() {
    let mut rig = rig();
    let features = offered(&mut rig, 2);
    assert!(negotiate(&mut rig, 2, features, 1));
    assert!(negotiate(&mut rig, 2, 0, 1));
    assert!(!negotiate(&mut rig, 2, features, 0));
    assert!(!negotiate(&mut rig, 2, features, 3));
    assert!(!negotiate(&mut rig, 2, features | 1 << 29, 1));
}

#[test]
fn random_numbers_are_those_of_the_stream() {
    let mut rig = rig();
    let mut ring = set_up(&mut rig, 1, 0, 1, BASE).remove(0);
    let (head, places) = ring.add(&mut rig, &[Buffer::In(12), Buffer::In(10)]);
    ring.notify(&mut rig);
    assert_eq!(ring.used(&mut rig), Some((head, 22)));
    let mut stream = Tape::new(1).stream("n/entropy");
    let expected: Vec<u8> = (0..3).flat_map(|_| stream.any().to_le_bytes()).collect();
    let mut bytes = bytes_at(&mut rig, places[0], 12);
    bytes.extend(bytes_at(&mut rig, places[1], 10));
    assert_eq!(bytes, expected[..22]);
    assert_eq!(rig.acknowledge(1), 1);
}

#[test]
fn control_bytes_wait_until_the_guest_has_buffers() {
    let mut rig = rig();
    rig.with(|state, env, effects| state.receive_control(b"one two", env, effects));
    let [mut receive, mut transmit] = set_up(&mut rig, 0, 0, 2, BASE).try_into().ok().unwrap();
    let (_, first) = receive.add(&mut rig, &[Buffer::In(3)]);
    let (_, second) = receive.add(&mut rig, &[Buffer::In(100)]);
    receive.notify(&mut rig);
    assert_eq!(receive.used(&mut rig).unwrap().1, 3);
    assert_eq!(receive.used(&mut rig).unwrap().1, 4);
    assert_eq!(bytes_at(&mut rig, first[0], 3), b"one");
    assert_eq!(bytes_at(&mut rig, second[0], 4), b" two");
    // With a buffer at hand, bytes arrive without a notification.
    receive.add(&mut rig, &[Buffer::In(100)]);
    rig.with(|state, env, effects| state.receive_control(b"!", env, effects));
    assert_eq!(receive.used(&mut rig).unwrap().1, 1);
    rig.effects();
    transmit.add(
        &mut rig,
        &[Buffer::Out(b"an".to_vec()), Buffer::Out(b"swer".to_vec())],
    );
    transmit.notify(&mut rig);
    assert_eq!(rig.effects(), [Effect::Control(b"answer".to_vec())]);
}

#[test]
fn control_bytes_beyond_a_mebibyte_are_dropped_and_counted() {
    let mut console = ConsoleState::default();
    console.receive(&vec![1; 1 << 20]);
    console.receive(&[2; 10]);
    assert_eq!(console.dropped(), 10);
}

#[test]
fn a_shared_line_is_asserted_while_one_of_its_devices_asserts() {
    let mut rig = Rig::new(false, true, Vec::new(), 8);
    // Device 0 and the last network interface share a line.
    let mut entropy = set_up(&mut rig, 0, 0, 1, BASE).remove(0);
    let mut net = set_up(&mut rig, 8, 0, 2, BASE + 0x4_0000).remove(1);
    rig.effects();
    let line = |asserted| Effect::Irq {
        line: VIRTIO_GSI,
        asserted,
    };
    entropy.add(&mut rig, &[Buffer::In(8)]);
    entropy.notify(&mut rig);
    assert_eq!(rig.effects(), [line(true)]);
    net.add(&mut rig, &[Buffer::Out(vec![0; 100])]);
    net.notify(&mut rig);
    assert!(!rig.effects().iter().any(|effect| *effect == line(true)));
    assert_eq!(rig.acknowledge(0), 1);
    assert_eq!(rig.effects(), []);
    assert_eq!(rig.acknowledge(8), 1);
    assert_eq!(rig.effects(), [line(false)]);
}

#[test]
fn driver_that_wants_no_interrupt_gets_none() {
    let mut rig = rig();
    let mut ring = set_up(&mut rig, 1, 0, 1, BASE).remove(0);
    assert!(rig.ram.write(ring.base + Ring::AVAILABLE, &[1, 0]));
    ring.add(&mut rig, &[Buffer::In(8)]);
    rig.effects();
    ring.notify(&mut rig);
    assert!(ring.used(&mut rig).is_some());
    assert_eq!(rig.effects(), []);
}

#[test]
fn requests_made_before_the_driver_is_ready_count_when_it_is() {
    let mut rig = rig();
    assert!(negotiate(&mut rig, 1, 0, 1));
    let mut ring = driver::make_queue(&mut rig, 1, 0, BASE);
    ring.add(&mut rig, &[Buffer::In(8)]);
    ring.notify(&mut rig);
    assert_eq!(ring.used(&mut rig), None);
    rig.write(1, driver::STATUS, driver::LIVE);
    assert!(ring.used(&mut rig).is_some());
}

#[test]
fn indirect_descriptors_are_followed() {
    let mut rig = rig();
    let mut ring = set_up(&mut rig, 1, INDIRECT, 1, BASE).remove(0);
    let table = BASE + 0x8000;
    let (first, second) = (BASE + 0x9000, BASE + 0xa000);
    driver::write_descriptor(&mut rig, table, first, 8, 3, 1);
    driver::write_descriptor(&mut rig, table + 16, second, 8, 2, 0);
    ring.describe(&mut rig, 0, table, 32, 4, 0);
    ring.offer(&mut rig, 0);
    ring.notify(&mut rig);
    assert_eq!(ring.used(&mut rig), Some((0, 16)));
    assert_ne!(bytes_at(&mut rig, second, 8), [0; 8]);
}

#[test]
fn queue_that_is_impossible_does_not_become_ready() {
    let mut rig = rig();
    for (size, address) in [(0, 0), (3, 0), (512, 0), (65_552, 0), (16, 8)] {
        assert!(negotiate(&mut rig, 1, 0, 1));
        rig.write(1, 0x038, size);
        rig.write(1, 0x080, address);
        rig.write(1, 0x044, 1);
        assert_eq!(rig.read(1, 0x044), 0, "{size} {address}");
    }
    // A queue that does not exist.
    rig.write(1, 0x030, 7);
    assert_eq!(rig.read(1, 0x034), 0);
    rig.write(1, 0x044, 1);
    assert_eq!(rig.read(1, 0x044), 0);
}

#[test]
fn rings_wrap_around_many_times() {
    let mut rig = rig();
    let mut ring = set_up(&mut rig, 1, 0, 1, BASE).remove(0);
    for round in 0..70_000 {
        let place = BASE + 0x10_0000;
        ring.add(&mut rig, &[Buffer::InAt(place, 1)]);
        ring.notify(&mut rig);
        assert_eq!(ring.used(&mut rig).map(|used| used.1), Some(1), "{round}");
    }
}
