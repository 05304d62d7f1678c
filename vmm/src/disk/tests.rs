//! Tests of the disk model.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const SIZE: u64 = 64 * PAGE;

fn disk() -> Disk {
    Disk::blank("data", SIZE).unwrap()
}

fn through() -> Disk {
    Disk::new(DiskConfig {
        writeback: false,
        ..disk().config
    })
    .unwrap()
}

fn with(kind: DiskFaultKind) -> Disk {
    let mut disk = disk();
    disk.attach(&Tape::new(7), "n/disk0/faults");
    disk.arm(1, DiskFault::always(kind));
    disk
}

fn read(disk: &mut Disk, offset: u64, len: u64) -> Result<Vec<u8>, IoError> {
    let mut bytes = vec![0xee; len as usize];
    disk.read(offset, &mut bytes).map(|()| bytes)
}

fn lose_power(disk: &mut Disk, torn: Chance) {
    disk.power_loss(torn, &mut Tape::new(3).stream("n/power"));
}

#[test]
fn impossible_disks_are_refused() {
    assert_eq!(
        Disk::blank("d", 1000).unwrap_err(),
        DiskError::Size { size: 1000 }
    );
    assert_eq!(
        Disk::blank("d", 0).unwrap_err(),
        DiskError::Size { size: 0 }
    );
    for serial in ["a name of more than twenty", "with space", "ünicode"] {
        let refused = Disk::blank(serial, SIZE).unwrap_err();
        assert!(matches!(refused, DiskError::Serial { .. }), "{serial}");
    }
    let config = DiskConfig {
        base: Base::from_bytes(vec![1; 1024]),
        size: 512,
        ..disk().config
    };
    let refused = DiskError::Base {
        base: 1024,
        size: 512,
    };
    assert_eq!(Disk::new(config).unwrap_err(), refused);
}

#[test]
fn writes_lie_over_the_base_and_leave_it_as_it_is() {
    let base: Vec<u8> = (0..3 * PAGE + 700).map(|at| (at % 251) as u8).collect();
    let shared = Base::from_bytes(base.clone());
    let config = DiskConfig {
        base: shared.clone(),
        ..disk().config
    };
    let (mut left, mut right) = (
        Disk::new(config.clone()).unwrap(),
        Disk::new(config).unwrap(),
    );
    left.write(PAGE + 512, &[9; 1024], false).unwrap();
    let mut expected = base.clone();
    expected.resize(SIZE as usize, 0);
    assert_eq!(read(&mut right, 0, SIZE).unwrap(), expected);
    expected[PAGE as usize + 512..][..1024].fill(9);
    assert_eq!(read(&mut left, 0, SIZE).unwrap(), expected);
    left.flush().unwrap();
    assert_eq!(read(&mut left, 0, SIZE).unwrap(), expected);
    assert_eq!(left.pages_written(), 1);
}

#[test]
fn unaligned_and_outside_operations_fail() {
    let mut disk = disk();
    for (offset, len) in [
        (100, 512),
        (0, 100),
        (SIZE, 512),
        (SIZE - 512, 1024),
        (u64::MAX - 511, 512),
        (u64::MAX - 511, 1024),
    ] {
        assert_eq!(read(&mut disk, offset, len), Err(IoError), "{offset} {len}");
        let bytes = vec![1; len as usize];
        assert_eq!(disk.write(offset, &bytes, false), Err(IoError));
        assert_eq!(disk.zero(offset, len, false), Err(IoError));
    }
    assert_eq!(disk.pages_written(), 0);
}

#[test]
fn read_only_disks_refuse_writes() {
    let mut disk = Disk::new(DiskConfig {
        read_only: true,
        ..disk().config
    })
    .unwrap();
    assert_eq!(disk.write(0, &[1; 512], false), Err(IoError));
    assert_eq!(disk.zero(0, 512, false), Err(IoError));
    assert_eq!(read(&mut disk, 0, 512).unwrap(), [0; 512]);
}

#[test]
fn power_loss_takes_what_was_not_flushed() {
    let mut disk = disk();
    disk.write(0, &[1; 4096], false).unwrap();
    disk.flush().unwrap();
    disk.write(0, &[2; 512], false).unwrap();
    disk.write(8192, &[3; 512], false).unwrap();
    assert_eq!(read(&mut disk, 0, 512).unwrap(), [2; 512]);
    lose_power(&mut disk, Chance::NEVER);
    assert_eq!(read(&mut disk, 0, 4096).unwrap(), [1; 4096]);
    assert_eq!(read(&mut disk, 8192, 512).unwrap(), [0; 512]);
    assert_eq!(disk.counters().lost_pages, 2);
}

#[test]
fn power_loss_takes_nothing_that_was_written_through() {
    let mut plain = through();
    plain.write(512, &[4; 1024], false).unwrap();
    plain.zero(1024, 512, false).unwrap();
    let mut cached = disk();
    cached.write(512, &[5; 512], false).unwrap();
    cached.write(512, &[4; 1024], true).unwrap();
    cached.zero(1024, 512, true).unwrap();
    for disk in [&mut plain, &mut cached] {
        lose_power(disk, Chance::NEVER);
        let bytes = read(disk, 512, 1024).unwrap();
        assert_eq!((bytes[0], bytes[511], bytes[512]), (4, 4, 0));
    }
}

#[test]
fn torn_pages_keep_whole_sectors_of_what_was_written() {
    let mut some_in_part = false;
    for seed in 0..20 {
        let mut disk = disk();
        disk.write(0, &[1; 4096], true).unwrap();
        disk.write(1024, &[2; 3072], false).unwrap();
        disk.power_loss(Chance::ALWAYS, &mut Tape::new(seed).stream("n/power"));
        let bytes = read(&mut disk, 0, 4096).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        for (sector, bytes) in bytes.chunks(512).enumerate() {
            assert!(bytes.iter().all(|byte| *byte == sectors[sector]));
        }
        assert_eq!(sectors[..2], [1, 1], "sectors that nobody wrote");
        assert!(sectors.contains(&2), "nothing was kept");
        some_in_part |= sectors[2..].contains(&1);
        assert_eq!(disk.counters().torn, 1);
    }
    assert!(some_in_part);
}

#[test]
fn a_share_of_the_unflushed_pages_is_torn() {
    let mut disk = Disk::blank("d", 1000 * PAGE).unwrap();
    for page in 0..1000 {
        disk.write(page * PAGE, &[1; 512], false).unwrap();
    }
    lose_power(&mut disk, Chance::new(1, 4));
    let torn = disk.counters().torn;
    assert!((180..320).contains(&torn), "{torn} of 1000");
    assert_eq!(disk.durable.len() as u64, torn);
}

#[test]
fn interrupted_writes_are_lost_unless_they_are_torn() {
    let mut whole = disk();
    whole.interrupt(0, vec![1; 4096]);
    assert_eq!(read(&mut whole, 0, 4096).unwrap(), [0; 4096]);
    // The same write when the power fails as well.
    lose_power(&mut whole, Chance::ALWAYS);
    let bytes = read(&mut whole, 0, 4096).unwrap();
    assert!(bytes[0] == 1 && bytes[4095] == 0 && bytes.is_sorted_by(|a, b| a >= b));

    let mut torn = with(DiskFaultKind::Torn);
    torn.interrupt(0, vec![1; 4096]);
    let bytes = read(&mut torn, 0, 4096).unwrap();
    assert!(bytes[0] == 1 && bytes[4095] == 0 && bytes.is_sorted_by(|a, b| a >= b));
    assert_eq!(torn.counters().torn, 1);
}

#[test]
fn errors_strike_their_own_operations_and_change_nothing() {
    let mut disk = with(DiskFaultKind::ReadError);
    disk.write(0, &[1; 512], false).unwrap();
    assert_eq!(read(&mut disk, 0, 512), Err(IoError));
    assert!(disk.disarm(1) && !disk.disarm(1));
    disk.arm(2, DiskFault::always(DiskFaultKind::WriteError));
    assert_eq!(disk.write(0, &[2; 512], false), Err(IoError));
    assert_eq!(disk.zero(0, 512, false), Err(IoError));
    assert_eq!(read(&mut disk, 0, 512).unwrap(), [1; 512]);
    let counters = disk.counters();
    assert_eq!((counters.read_errors, counters.write_errors), (1, 2));
}

#[test]
fn range_and_number_limit_a_fault() {
    let mut disk = disk();
    disk.arm(
        1,
        DiskFault {
            times: Some(2),
            offset: 4096,
            length: Some(1024),
            ..DiskFault::always(DiskFaultKind::WriteError)
        },
    );
    let mut fails = |offset: u64| disk.write(offset, &[1; 512], false).is_err();
    let outcomes = [3584, 4096, 5120, 4608, 4096].map(&mut fails);
    assert_eq!(outcomes, [false, true, false, true, false]);
}

#[test]
fn chance_is_the_share_of_operations_that_are_struck() {
    let mut disk = disk();
    disk.arm(
        1,
        DiskFault {
            chance: Chance::new(1, 10),
            ..DiskFault::always(DiskFaultKind::ReadError)
        },
    );
    let failed = (0..2000)
        .filter(|_| read(&mut disk, 0, 512).is_err())
        .count();
    assert!((140..260).contains(&failed), "{failed} of 2000");
}

#[test]
fn misdirected_writes_land_elsewhere_on_the_disk() {
    for offset in [0, 4096, SIZE - 1024] {
        let mut disk = with(DiskFaultKind::Misdirected);
        disk.write(offset, &[7; 1024], false).unwrap();
        let all = read(&mut disk, 0, SIZE).unwrap();
        let written: Vec<usize> = (0..all.len()).filter(|at| all[*at] == 7).collect();
        assert_eq!(written.len(), 1024);
        assert_eq!(written[1023] - written[0], 1023);
        assert_ne!(written[0] as u64, offset);
        assert_eq!(disk.counters().misdirected, 1);
    }
}

#[test]
fn flipped_bits_stay_flipped_until_they_are_written_over() {
    for flushed in [false, true] {
        let mut disk = disk();
        disk.write(0, &[0xff; 8192], false).unwrap();
        if flushed {
            disk.flush().unwrap();
        }
        disk.arm(
            1,
            DiskFault {
                times: Some(1),
                ..DiskFault::always(DiskFaultKind::BitFlip { bits: 1 })
            },
        );
        let bytes = read(&mut disk, 4096, 512).unwrap();
        let zeros: u32 = bytes.iter().map(|byte| byte.count_zeros()).sum();
        assert_eq!(zeros, 1);
        assert_eq!(read(&mut disk, 4096, 512).unwrap(), bytes);
        disk.flush().unwrap();
        assert_eq!(read(&mut disk, 4096, 512).unwrap(), bytes);
        disk.write(4096, &[0xff; 512], false).unwrap();
        assert_eq!(read(&mut disk, 0, 8192).unwrap(), [0xff; 8192]);
    }
}

#[test]
fn lost_flush_makes_nothing_durable() {
    let mut disk = with(DiskFaultKind::LostFlush);
    disk.write(0, &[1; 512], false).unwrap();
    disk.flush().unwrap();
    let mut honest = disk.clone();
    honest.disarm(1);
    honest.flush().unwrap();
    for (disk, expected) in [(&mut disk, 0), (&mut honest, 1)] {
        lose_power(disk, Chance::NEVER);
        assert_eq!(read(disk, 0, 512).unwrap(), [expected; 512]);
        assert_eq!(disk.counters().lost_flushes, 1);
    }
}

#[test]
fn full_disk_takes_writes_to_known_pages_only() {
    let mut disk = disk();
    disk.write(0, &[1; 512], false).unwrap();
    disk.arm(1, DiskFault::always(DiskFaultKind::Full));
    disk.write(1024, &[2; 512], false).unwrap();
    assert_eq!(disk.write(3584, &[3; 1024], false), Err(IoError));
    assert_eq!(read(&mut disk, 0, 8192).unwrap()[3584..4608], [0; 1024]);
    assert_eq!(disk.counters().full, 1);
}

#[test]
fn slow_disks_add_a_drawn_time() {
    let mut disk = disk();
    assert_eq!(disk.service_time(Operation::Read, 0, 4096), 104_096);
    disk.arm(
        1,
        DiskFault::always(DiskFaultKind::Slow {
            min: 1_000_000,
            max: 2_000_000,
        }),
    );
    for operation in [Operation::Read, Operation::Write, Operation::Flush] {
        let time = disk.service_time(operation, 0, 0);
        assert!((1_100_000..=2_100_000).contains(&time), "{time}");
    }
    assert_eq!(disk.counters().slowed, 3);
}

#[test]
fn discarding_what_was_never_written_costs_nothing() {
    let mut disk = Disk::blank("d", 1 << 40).unwrap();
    disk.write(8192, &[1; 4096], false).unwrap();
    disk.zero(512, (128 << 20) - 512, false).unwrap();
    // The page that was written, and the first, of which only a part is discarded.
    assert_eq!(disk.pages_written(), 2);
    assert_eq!(read(&mut disk, 0, 16384).unwrap(), [0; 16384]);
}

#[test]
fn another_machine_goes_on_with_the_decisions_of_the_disk() {
    let tape = Tape::new(5);
    let name = "n/disk0/faults";
    let mut disk = with(DiskFaultKind::BitFlip { bits: 3 });
    disk.attach(&tape, name);
    read(&mut disk, 0, 512).unwrap();
    let drawn = disk.stream.state().clone();
    disk.attach(&tape, name);
    assert_eq!(*disk.stream.state(), drawn);
    disk.attach(&tape, "other/disk0/faults");
    assert_eq!(disk.stream.state().next, 0);
}

/// A disk after `steps` drawn operations, and what it should hold: all bytes, and the durable ones.
fn driven(seed: u64, steps: u64) -> (Disk, Vec<u8>, Vec<u8>) {
    let base: Vec<u8> = (0..5 * PAGE + 512).map(|at| (at / 512) as u8).collect();
    driven_over(Base::from_bytes(base.clone()), &base, seed, steps)
}

/// The same over a base of these bytes.
fn driven_over(kept: Base, bytes: &[u8], seed: u64, steps: u64) -> (Disk, Vec<u8>, Vec<u8>) {
    let mut choices = Tape::new(seed).stream("choices");
    let mut disk = Disk::new(DiskConfig {
        base: kept,
        ..disk().config
    })
    .unwrap();
    let mut now = bytes.to_vec();
    now.resize(SIZE as usize, 0);
    let mut durable = now.clone();
    for _ in 0..steps {
        let sectors = choices.range(1, 40);
        let sector = choices.below(SIZE / SECTOR - sectors);
        let (offset, len) = (sector * SECTOR, (sectors * SECTOR) as usize);
        let range = offset as usize..offset as usize + len;
        let through = choices.below(4) == 0;
        match choices.below(5) {
            0 => {
                disk.flush().unwrap();
                durable.clone_from(&now);
                continue;
            }
            1 => {
                disk.zero(offset, len as u64, through).unwrap();
                now[range.clone()].fill(0);
            }
            _ => {
                let byte = choices.any() as u8;
                disk.write(offset, &vec![byte; len], through).unwrap();
                now[range.clone()].fill(byte);
            }
        }
        if through {
            durable[range.clone()].copy_from_slice(&now[range]);
        }
    }
    (disk, now, durable)
}

#[test]
fn drawn_operations_keep_what_a_plain_array_would() {
    for seed in 0..60 {
        let (mut disk, now, durable) = driven(seed, 80);
        assert_eq!(read(&mut disk, 0, SIZE).unwrap(), now, "seed {seed}");
        lose_power(&mut disk, Chance::NEVER);
        assert_eq!(read(&mut disk, 0, SIZE).unwrap(), durable, "seed {seed}");
    }
}

#[test]
fn digest_does_not_depend_on_when_it_was_asked_for() {
    let (mut asked_once, ..) = driven(1, 50);
    let (mut asked_often, ..) = driven(1, 49);
    assert_ne!(asked_once.digest(), asked_often.digest());
    let (mut last, ..) = driven(1, 50);
    for _ in 0..3 {
        assert_eq!(last.digest(), asked_once.digest());
    }
    // One more bit, on the medium or only in the cache, is another state.
    let mut other = last.clone();
    other.write(0, &[0x5a; 512], false).unwrap();
    last.write(0, &[0x5a; 512], true).unwrap();
    assert_ne!(other.digest(), last.digest());
}

/// A base that is not in memory: `bytes` at `at`, and zeros on all sides, of which it knows.
struct Sparse {
    at: u64,
    bytes: Vec<u8>,
    len: u64,
    fetched: AtomicU64,
}

impl Sparse {
    fn new(at: u64, bytes: Vec<u8>, len: u64) -> Arc<Self> {
        Arc::new(Self {
            at,
            bytes,
            len,
            fetched: AtomicU64::new(0),
        })
    }

    /// How often something was read.
    fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }
}

impl Content for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        for (at, byte) in (offset..).zip(into) {
            let known = at.checked_sub(self.at).map(|at| at as usize);
            *byte = known
                .and_then(|at| self.bytes.get(at))
                .copied()
                .unwrap_or(0);
        }
    }

    fn zeros_until(&self, offset: u64) -> u64 {
        let end = self.at + self.bytes.len() as u64;
        if offset < self.at {
            self.at
        } else if offset >= end {
            self.len
        } else {
            offset
        }
    }
}

#[test]
fn how_a_base_is_kept_makes_no_difference() {
    let mut base = vec![0; (5 * PAGE + 512) as usize];
    base[PAGE as usize + 700..3 * PAGE as usize].fill(7);
    let fetched = Sparse::new(
        PAGE + 700,
        base[PAGE as usize + 700..3 * PAGE as usize].to_vec(),
        base.len() as u64,
    );
    for seed in 0..20 {
        let (mut kept, now, durable) = driven_over(Base::from_bytes(base.clone()), &base, seed, 80);
        let content = Base::Content(Arc::clone(&fetched) as Arc<dyn Content>);
        let (mut other, ..) = driven_over(content, &base, seed, 80);
        assert_eq!(kept.pages_written(), other.pages_written(), "seed {seed}");
        assert_eq!(kept.digest(), other.digest(), "seed {seed}");
        for disk in [&mut kept, &mut other] {
            assert_eq!(read(disk, 0, SIZE).unwrap(), now, "seed {seed}");
            lose_power(disk, Chance::NEVER);
            assert_eq!(read(disk, 0, SIZE).unwrap(), durable, "seed {seed}");
        }
        assert_eq!(kept.digest(), other.digest(), "seed {seed}");
    }
}

#[test]
fn a_terabyte_of_zeros_costs_nothing_to_have_to_hash_and_to_discard() {
    const TERABYTE: u64 = 1 << 40;
    let content = Sparse::new(TERABYTE / 2, vec![1; 2 * PAGE as usize], TERABYTE);
    let mut disk = Disk::new(DiskConfig {
        base: Base::Content(Arc::clone(&content) as Arc<dyn Content>),
        size: TERABYTE,
        ..disk().config
    })
    .unwrap();
    disk.digest();
    let step = 1 << 27;
    for offset in (0..TERABYTE).step_by(step) {
        disk.zero(offset, step as u64, false).unwrap();
        disk.flush().unwrap();
        disk.digest();
    }
    // Only the two pages with something in them are remembered, and looked at: once to see that, and
    // once when what lies over them is flushed.
    assert_eq!(disk.pages_written(), 2);
    assert_eq!(content.fetched(), 4);
    assert_eq!(read(&mut disk, TERABYTE / 2, 2 * PAGE).unwrap(), [0; 8192]);
}

#[test]
#[should_panic(expected = "are not sectors of a disk")]
fn nothing_is_ever_stored_behind_the_end() {
    let mut disk = Disk::blank("d", 8 * SECTOR).unwrap();
    disk.store(8 * SECTOR, &[1; SECTOR as usize], true);
}
