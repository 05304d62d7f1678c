//! Tests of block devices.

use super::*;
use crate::disk::{DiskConfig, DiskFault, DiskFaultKind};

const FLUSH: u32 = 1 << 9;
const CONFIG_WCE: u32 = 1 << 11;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH_CACHE: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

fn disk() -> Disk {
    Disk::blank("data", 1 << 20).unwrap()
}

/// A device in front of `disk`, whose driver takes these features.
fn device(disk: Disk, features: u32) -> (Rig, Ring) {
    let mut rig = Rig::new(false, false, vec![disk], 0);
    let ring = set_up(&mut rig, 0, features, 1, BASE).remove(0);
    (rig, ring)
}

fn header(kind: u32, sector: u64) -> Buffer {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(sector.to_le_bytes());
    Buffer::Out(bytes)
}

/// The places of a request: its head and the address of its data and status.
struct Placed {
    head: u16,
    data: u64,
    status: u64,
}

fn submit(rig: &mut Rig, ring: &mut Ring, kind: u32, sector: u64, data: Buffer) -> Placed {
    let (head, places) = ring.add(rig, &[header(kind, sector), data, Buffer::In(1)]);
    assert!(rig.ram.write(places[2], &[0xff]));
    ring.notify(rig);
    Placed {
        head,
        data: places[1],
        status: places[2],
    }
}

/// Lets a request complete and returns its status and the number of bytes written.
fn complete(
    rig: &mut Rig,
    ring: &mut Ring,
    kind: u32,
    sector: u64,
    data: Buffer,
) -> (u8, u32, Vec<u8>) {
    let len = match &data {
        Buffer::Out(bytes) => bytes.len(),
        Buffer::In(len) | Buffer::InAt(_, len) => *len as usize,
    };
    let placed = submit(rig, ring, kind, sector, data);
    rig.finish();
    let (head, written) = ring.used(rig).unwrap();
    assert_eq!(head, placed.head);
    let status = bytes_at(rig, placed.status, 1)[0];
    (status, written, bytes_at(rig, placed.data, len))
}

fn range(sector: u64, sectors: u32, flags: u32) -> Buffer {
    let mut bytes = sector.to_le_bytes().to_vec();
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    Buffer::Out(bytes)
}

fn lose_power(rig: &mut Rig) {
    rig.disks[0].power_loss(
        chaosrun_chance::Chance::NEVER,
        &mut Tape::new(1).stream("n/power"),
    );
}

#[test]
fn configuration_tells_capacity_sectors_and_limits() {
    let (rig, _) = device(disk(), 0);
    let word = |at: u64| rig.state.read(0, 0x100 + at, 4);
    assert_eq!((word(0), word(4)), (2048, 0));
    assert_eq!((word(12), word(20)), (126, 512));
    assert_eq!(rig.state.read(0, 0x120, 1), 1);
    assert_eq!(rig.state.read(0, 0x100, 8), 2048);
    assert_eq!((word(40), word(52)), (1, 1));
}

#[test]
fn features_follow_the_disk() {
    let config = |read_only, writeback| DiskConfig {
        serial: String::new(),
        size: 4096,
        base: crate::disk::Base::Blank,
        read_only,
        writeback,
    };
    let features = |read_only, writeback| {
        let disk = Disk::new(config(read_only, writeback)).unwrap();
        let mut rig = Rig::new(false, false, vec![disk], 0);
        offered(&mut rig, 0) & !INDIRECT
    };
    let (read_only, blocks) = (1 << 5, 1 << 2 | 1 << 6);
    let (cache, zeros) = (FLUSH | CONFIG_WCE, 1 << 13 | 1 << 14);
    assert_eq!(features(false, true), blocks | cache | zeros);
    assert_eq!(features(false, false), blocks | zeros);
    assert_eq!(features(true, false), blocks | read_only);
}

#[test]
fn request_completes_when_its_time_is_over_and_not_before() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    let placed = submit(&mut rig, &mut ring, WRITE, 8, Buffer::Out(vec![7; 4096]));
    assert_eq!(rig.state.deadline(), Some(rig.now.after(104_096)));
    rig.wait(104_095);
    assert_eq!(ring.used(&mut rig), None);
    assert_eq!(rig.effects(), []);
    rig.wait(1);
    assert_eq!(ring.used(&mut rig), Some((placed.head, 1)));
    assert_eq!(bytes_at(&mut rig, placed.status, 1), [0]);
    assert_eq!(rig.acknowledge(0), 1);
    let (status, written, bytes) = complete(&mut rig, &mut ring, READ, 8, Buffer::In(4096));
    assert_eq!((status, written), (0, 4097));
    assert_eq!(bytes, [7; 4096]);
}

#[test]
fn small_request_overtakes_a_large_one() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    let large = submit(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![1; 65_536]));
    rig.wait(1000);
    let small = submit(&mut rig, &mut ring, READ, 0, Buffer::In(512));
    rig.finish();
    let heads = [ring.used(&mut rig), ring.used(&mut rig)].map(|used| used.unwrap().0);
    assert_eq!(heads, [small.head, large.head]);
    assert_eq!(
        bytes_at(&mut rig, small.data, 1),
        [0],
        "read before the write"
    );
}

#[test]
fn flush_makes_writes_durable() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    for (sector, flushed) in [(0, true), (8, false)] {
        let data = Buffer::Out(vec![9; 512]);
        assert_eq!(complete(&mut rig, &mut ring, WRITE, sector, data).0, 0);
        if flushed {
            let result = complete(&mut rig, &mut ring, FLUSH_CACHE, 0, Buffer::In(4));
            assert_eq!(result.0, 0);
        }
    }
    lose_power(&mut rig);
    let mut byte = |sector: u64| complete(&mut rig, &mut ring, READ, sector, Buffer::In(512)).2[0];
    assert_eq!((byte(0), byte(8)), (9, 0));
}

#[test]
fn driver_without_flush_or_with_the_cache_off_writes_through() {
    for (features, cache, kept) in [
        (0, None, 9),
        (FLUSH, None, 0),
        (FLUSH | CONFIG_WCE, None, 0),
        (FLUSH | CONFIG_WCE, Some(0), 9),
        (FLUSH | CONFIG_WCE, Some(1), 0),
        (FLUSH, Some(0), 0),
    ] {
        let (mut rig, mut ring) = device(disk(), features);
        if let Some(mode) = cache {
            rig.state.write(0, 0x120, 1, mode, &mut rig.effects);
        }
        complete(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![9; 512]));
        lose_power(&mut rig);
        let read = complete(&mut rig, &mut ring, READ, 0, Buffer::In(512)).2;
        assert_eq!(read[0], kept, "{features:#x} {cache:?}");
    }
}

#[test]
fn serial_number_is_padded_with_zeros() {
    let (mut rig, mut ring) = device(disk(), 0);
    let (status, _, bytes) = complete(&mut rig, &mut ring, GET_ID, 0, Buffer::In(20));
    assert_eq!(status, 0);
    assert_eq!(bytes, b"data\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn discarded_and_zeroed_sectors_read_as_zeros() {
    for kind in [DISCARD, WRITE_ZEROES] {
        let (mut rig, mut ring) = device(disk(), FLUSH);
        complete(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![5; 8192]));
        assert_eq!(complete(&mut rig, &mut ring, kind, 0, range(1, 9, 0)).0, 0);
        let bytes = complete(&mut rig, &mut ring, READ, 0, Buffer::In(8192)).2;
        let expected: Vec<u8> = (0..16)
            .flat_map(|sector| [if (1..10).contains(&sector) { 0 } else { 5 }; 512])
            .collect();
        assert_eq!(bytes, expected);
    }
}

#[test]
fn wrong_requests_get_an_error_and_do_nothing() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    let (error, unsupported) = (1, 2);
    for (kind, sector, data, expected) in [
        (READ, 2048, Buffer::In(512), error),
        (READ, u64::MAX, Buffer::In(512), error),
        (READ, u64::MAX / 512, Buffer::In(1024), error),
        (READ, 0, Buffer::In(100), error),
        (WRITE, 2047, Buffer::Out(vec![1; 1024]), error),
        (WRITE, 0, Buffer::Out(vec![1; 511]), error),
        (77, 0, Buffer::In(512), unsupported),
        (2, 0, Buffer::In(512), unsupported),
        (DISCARD, 0, range(0, 8, 1), unsupported),
        (WRITE_ZEROES, 0, range(0, 8, 2), unsupported),
        (DISCARD, 0, range(2047, 2, 0), error),
        (DISCARD, 0, range(u64::MAX, 1, 0), error),
        (DISCARD, 0, range(0, u32::MAX, 0), error),
        (DISCARD, 0, Buffer::Out(vec![0; 15]), error),
        (DISCARD, 0, Buffer::Out(vec![0; 32]), error),
    ] {
        let (status, written, _) = complete(&mut rig, &mut ring, kind, sector, data.clone());
        assert_eq!((status, written), (expected, 1), "{kind} {sector} {data:?}");
    }
    assert_eq!(rig.disks[0].pages_written(), 0);
}

#[test]
fn faults_of_the_disk_are_errors_of_the_request() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    rig.disks[0].arm(1, DiskFault::always(DiskFaultKind::ReadError));
    let read = complete(&mut rig, &mut ring, READ, 0, Buffer::In(512));
    assert_eq!((read.0, read.1), (1, 1));
    rig.disks[0].arm(1, DiskFault::always(DiskFaultKind::WriteError));
    let data = Buffer::Out(vec![1; 512]);
    assert_eq!(complete(&mut rig, &mut ring, WRITE, 0, data).0, 1);
    rig.disks[0].disarm(1);
    assert_eq!(complete(&mut rig, &mut ring, READ, 0, Buffer::In(512)).0, 0);
}

#[test]
fn slow_disk_completes_later() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    let slow = DiskFaultKind::Slow {
        min: 5_000_000,
        max: 5_000_000,
    };
    rig.disks[0].arm(1, DiskFault::always(slow));
    submit(&mut rig, &mut ring, FLUSH_CACHE, 0, Buffer::In(4));
    assert_eq!(rig.state.deadline(), Some(rig.now.after(5_100_000)));
}

#[test]
fn reset_forgets_requests_under_way() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    submit(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![1; 512]));
    rig.write(0, driver::STATUS, 0);
    assert_eq!(rig.state.deadline(), None);
    assert_eq!(rig.read(0, driver::STATUS), 0);
    rig.wait(1_000_000);
    assert_eq!(ring.used(&mut rig), None);
    let mut ring = set_up(&mut rig, 0, FLUSH, 1, BASE).remove(0);
    assert_eq!(
        complete(&mut rig, &mut ring, READ, 0, Buffer::In(512)).2[0],
        0
    );
}

#[test]
fn end_of_the_machine_interrupts_writes_under_way() {
    for torn in [false, true] {
        let (mut rig, mut ring) = device(disk(), FLUSH);
        if torn {
            rig.disks[0].arm(1, DiskFault::always(DiskFaultKind::Torn));
        }
        submit(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![1; 2048]));
        rig.with(|state, env, _| state.interrupt_disks(env.memory, env.disks));
        let mut bytes = [0; 2048];
        rig.disks[0].peek(0, &mut bytes);
        assert_eq!(bytes[0] == 1, torn);
        assert_eq!(bytes[2047], 0);
    }
}

#[test]
fn header_status_and_data_may_lie_in_any_pieces() {
    let (mut rig, mut ring) = device(disk(), FLUSH);
    complete(&mut rig, &mut ring, WRITE, 0, Buffer::Out(vec![3; 1024]));
    let Buffer::Out(bytes) = header(READ, 0) else {
        unreachable!()
    };
    let (front, back) = bytes.split_at(5);
    let (_, places) = ring.add(
        &mut rig,
        &[
            Buffer::Out(front.to_vec()),
            Buffer::Out(back.to_vec()),
            Buffer::In(1000),
            // 24 bytes of data and the status.
            Buffer::In(25),
        ],
    );
    ring.notify(&mut rig);
    rig.finish();
    assert_eq!(ring.used(&mut rig).unwrap().1, 1025);
    assert_eq!(bytes_at(&mut rig, places[2], 1000), [3; 1000]);
    let mut last = [3; 25];
    last[24] = 0;
    assert_eq!(bytes_at(&mut rig, places[3], 25), last);
}
