//! Drivers that break the rules: nothing panics, nothing hangs, nothing outside the buffers changes.

use super::*;
use driver::{ENTRIES, NEEDS_RESET, STATUS};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT_FLAG: u16 = 4;
const RAM: u64 = 4 << 20;

/// A block device whose first descriptors are these: address, length, flags, next.
fn with_descriptors(descriptors: &[(u64, u32, u16, u16)]) -> (Rig, Ring) {
    let disk = Disk::blank("data", 1 << 20).unwrap();
    let mut rig = Rig::new(false, false, vec![disk], 0);
    let ring = set_up(&mut rig, 0, INDIRECT, 1, BASE).remove(0);
    for (index, (gpa, len, flags, next)) in (0..).zip(descriptors) {
        ring.describe(&mut rig, index, *gpa, *len, *flags, *next);
    }
    (rig, ring)
}

fn is_broken(rig: &mut Rig) -> bool {
    rig.finish();
    let broken = rig.read(0, STATUS) & NEEDS_RESET != 0;
    assert_eq!(broken, rig.read(0, driver::INTERRUPT) & 2 != 0);
    broken
}

#[test]
fn chains_that_make_no_sense_break_the_device() {
    let data = BASE + 0x1000;
    let table = BASE + 0x2000;
    type Case<'a> = (&'a str, &'a [(u64, u32, u16, u16)]);
    let cases: &[Case<'_>] = &[
        ("a loop", &[(data, 16, NEXT, 1), (data, 16, NEXT, 0)]),
        ("a descriptor that follows itself", &[(data, 16, NEXT, 0)]),
        ("next beyond the queue", &[(data, 16, NEXT, ENTRIES)]),
        (
            "a buffer behind RAM",
            &[(RAM, 16, NEXT, 1), (data, 1, WRITE, 0)],
        ),
        (
            "a buffer across RAM's end",
            &[(RAM - 8, 16, NEXT, 1), (data, 1, WRITE, 0)],
        ),
        (
            "an address that wraps",
            &[(u64::MAX - 3, 16, NEXT, 1), (data, 1, WRITE, 0)],
        ),
        ("4 GiB", &[(0, u32::MAX, NEXT, 1), (data, 1, WRITE, 0)]),
        ("nothing to write a status to", &[(data, 16, 0, 0)]),
        (
            "an empty status",
            &[(data, 16, NEXT, 1), (data, 0, WRITE, 0)],
        ),
        (
            "a short header",
            &[(data, 15, NEXT, 1), (data, 1, WRITE, 0)],
        ),
        (
            "reading behind writing",
            &[(data, 1, WRITE | NEXT, 1), (data, 16, 0, 0)],
        ),
        (
            "an indirect table that goes on",
            &[(table, 32, INDIRECT_FLAG | NEXT, 1)],
        ),
        ("an empty indirect table", &[(table, 0, INDIRECT_FLAG, 0)]),
        ("a ragged indirect table", &[(table, 17, INDIRECT_FLAG, 0)]),
        (
            "an indirect table behind RAM",
            &[(RAM, 32, INDIRECT_FLAG, 0)],
        ),
        ("a table in itself", &[(BASE, 16, INDIRECT_FLAG, 0)]),
    ];
    for (what, descriptors) in cases {
        let (mut rig, mut ring) = with_descriptors(descriptors);
        ring.offer(&mut rig, 0);
        ring.notify(&mut rig);
        assert!(is_broken(&mut rig), "{what}");
        assert_eq!(ring.used(&mut rig), None, "{what}");
        // It stays silent until it is reset, and then works again.
        ring.notify(&mut rig);
        let mut ring = set_up(&mut rig, 0, 0, 1, BASE).remove(0);
        let out = Buffer::Out(vec![0; 16]);
        ring.add(&mut rig, &[out, Buffer::In(512), Buffer::In(1)]);
        ring.notify(&mut rig);
        assert!(!is_broken(&mut rig), "{what}");
        assert_eq!(ring.used(&mut rig).map(|used| used.1), Some(513), "{what}");
    }
}

#[test]
fn longest_chain_is_as_long_as_the_queue() {
    let data = BASE + 0x1000;
    let chain = |len: u16| {
        let mut descriptors: Vec<_> = (1..=len)
            .map(|next| (data + u64::from(next) * 512, 512, NEXT | WRITE, next))
            .collect();
        descriptors[0] = (data, 16, NEXT, 1);
        descriptors.last_mut().unwrap().2 = WRITE;
        descriptors.last_mut().unwrap().1 = 1;
        descriptors
    };
    let (mut rig, mut ring) = with_descriptors(&chain(ENTRIES));
    ring.offer(&mut rig, 0);
    ring.notify(&mut rig);
    assert!(!is_broken(&mut rig));
    // One more by way of an indirect table.
    let (mut rig, mut ring) = with_descriptors(&[(BASE + 0x8000, 16 * 17, INDIRECT_FLAG, 0)]);
    for (index, (gpa, len, flags, next)) in (0..).zip(chain(ENTRIES + 1)) {
        let at = BASE + 0x8000 + 16 * index;
        driver::write_descriptor(&mut rig, at, gpa, len, flags, next);
    }
    ring.offer(&mut rig, 0);
    ring.notify(&mut rig);
    assert!(is_broken(&mut rig));
}

#[test]
fn available_ring_that_runs_ahead_breaks_the_device() {
    let (mut rig, ring) = with_descriptors(&[]);
    let index = (ENTRIES + 1).to_le_bytes();
    assert!(rig.ram.write(BASE + Ring::AVAILABLE + 2, &index));
    ring.notify(&mut rig);
    assert!(is_broken(&mut rig));
}

#[test]
fn request_that_is_under_way_cannot_be_made_again() {
    let data = BASE + 0x1000;
    let (mut rig, mut ring) = with_descriptors(&[(data, 16, NEXT, 1), (data + 512, 513, WRITE, 0)]);
    for _ in 0..2 {
        ring.offer(&mut rig, 0);
    }
    ring.notify(&mut rig);
    assert!(is_broken(&mut rig));
    assert_eq!(rig.state.deadline(), None);
}

#[test]
fn rings_behind_ram_break_the_device() {
    for register in [0x080, 0x090, 0x0a0] {
        let disk = Disk::blank("data", 1 << 20).unwrap();
        let mut rig = Rig::new(false, false, vec![disk], 0);
        let mut ring = set_up(&mut rig, 0, 0, 1, BASE).remove(0);
        rig.write(0, 0x044, 0);
        rig.write(0, register, RAM as u32);
        rig.write(0, 0x044, 1);
        let out = Buffer::Out(vec![0; 16]);
        ring.add(&mut rig, &[out, Buffer::In(512), Buffer::In(1)]);
        ring.notify(&mut rig);
        assert!(is_broken(&mut rig), "{register:#x}");
    }
}

#[test]
fn request_of_more_than_the_most_fails_without_doing_anything() {
    let (mut rig, mut ring) = with_descriptors(&[]);
    // Many descriptors of the same megabyte.
    ring.describe(&mut rig, 0, BASE + 0x1000, 16, NEXT, 1);
    for index in 1..12 {
        ring.describe(&mut rig, index, 0, 1 << 20, NEXT | WRITE, index + 1);
    }
    ring.describe(&mut rig, 12, BASE + 0x1100, 1, WRITE, 0);
    assert!(rig.ram.write(BASE + 0x1100, &[0xff]));
    ring.offer(&mut rig, 0);
    ring.notify(&mut rig);
    assert!(!is_broken(&mut rig));
    assert_eq!(ring.used(&mut rig), Some((0, 1)));
    assert_eq!(bytes_at(&mut rig, BASE + 0x1100, 1), [1]);
}

/// Lets a driver do what `choices` says: sensible for the most part, so that it gets far.
fn act(rig: &mut Rig, choices: &mut Stream) {
    let slot = choices.below(rig.state.len() as u64 + 1) as usize;
    match choices.below(16) {
        0..=3 => {
            let registers = [
                0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x90, 0xa0,
            ];
            let offset = registers[choices.below(registers.len() as u64) as usize];
            let values = [
                0,
                1,
                3,
                11,
                15,
                16,
                4096,
                0x1000,
                0x1400,
                0x1800,
                64,
                u32::MAX,
            ];
            let value = values[choices.below(values.len() as u64) as usize];
            rig.write(slot, offset, value);
        }
        4 => {
            let (offset, size) = (choices.below(0x1000), 1 << choices.below(4));
            let value = choices.any();
            rig.state.write(slot, offset, size, value, &mut rig.effects);
            rig.state.read(slot, offset, size);
        }
        5..=8 => scribble(rig, choices),
        9 => rig.wait(choices.below(300_000)),
        10 => {
            let frame = vec![1; choices.below(70_000) as usize];
            rig.with(|state, env, effects| state.receive_frame(0, &frame, env, effects));
        }
        11 => {
            let bytes = vec![2; choices.below(3000) as usize];
            rig.with(|state, env, effects| state.receive_control(&bytes, env, effects));
        }
        12 => {
            if slot < rig.state.len() && negotiate(rig, slot, choices.any() as u32, 1) {
                rig.write(slot, STATUS, driver::LIVE);
            } else if slot < rig.state.len() && negotiate(rig, slot, 0, 1) {
                for queue in 0..2 {
                    rig.write(slot, 0x030, queue);
                    if rig.read(slot, 0x034) != 0 {
                        driver::make_queue(rig, slot, queue, 0x1000);
                    }
                }
                rig.write(slot, STATUS, driver::LIVE);
            }
        }
        _ => {
            // Requests in the rings at the usual place, which all devices may share.
            let ahead = choices.below(4) as u16;
            let mut index = [0; 2];
            assert!(rig.ram.read(0x1000 + Ring::AVAILABLE + 2, &mut index));
            let next = u16::from_le_bytes(index).wrapping_add(ahead);
            assert!(
                rig.ram
                    .write(0x1000 + Ring::AVAILABLE + 2, &next.to_le_bytes())
            );
            rig.write(slot, driver::NOTIFY, choices.below(3) as u32);
        }
    }
}

/// Writes a descriptor or a head of the rings at the usual place.
fn scribble(rig: &mut Rig, choices: &mut Stream) {
    let entry = choices.below(16);
    if choices.below(4) == 0 {
        let head = (choices.below(17) as u16).to_le_bytes();
        assert!(
            rig.ram
                .write(0x1000 + Ring::AVAILABLE + 4 + 2 * entry, &head)
        );
        return;
    }
    let places = [
        0,
        0x1000,
        0x1400,
        0x3000,
        0x8000,
        RAM - 512,
        RAM,
        u64::MAX - 100,
    ];
    let gpa = places[choices.below(places.len() as u64) as usize] + choices.below(64);
    let lengths = [
        0,
        1,
        12,
        16,
        20,
        32,
        512,
        513,
        4096,
        65_536,
        1 << 20,
        u32::MAX,
    ];
    let len = lengths[choices.below(lengths.len() as u64) as usize];
    let flags =
        [0, NEXT, WRITE, NEXT | WRITE, INDIRECT_FLAG, 7, u16::MAX][choices.below(7) as usize];
    let next = choices.below(18) as u16;
    driver::write_descriptor(rig, 0x1000 + 16 * entry, gpa, len, flags, next);
}

/// What is left of a drawn driver's doings.
fn drawn(seed: u64, steps: u32) -> (Vec<u8>, u128, usize) {
    let disk = Disk::blank("data", 1 << 20).unwrap();
    let mut rig = Rig::new(true, true, vec![disk], 1);
    let mut choices = Tape::new(seed).stream("hostile");
    let mut effects = 0;
    for _ in 0..steps {
        act(&mut rig, &mut choices);
        effects += rig.effects().len();
    }
    rig.finish();
    let digest = rig.disks[0].digest();
    (postcard::to_allocvec(&rig.state).unwrap(), digest, effects)
}

#[test]
fn drawn_drivers_end_alike_and_never_panic() {
    let mut busy = 0;
    for seed in 0..150 {
        let first = drawn(seed, 400);
        busy += usize::from(first.2 > 20);
        if seed % 10 == 0 {
            assert_eq!(first, drawn(seed, 400), "seed {seed}");
        }
    }
    assert!(busy > 50, "only {busy} drivers got anything done");
}
