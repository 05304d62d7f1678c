use super::sim::SimDisk;
use super::*;
use crate::protocol::{Command, Entry, Op, Request, Snapshot};
use crate::rng::Rng;

const SIZE: usize = 16 * 1024 + 4 * 256 * 1024;

fn open(disk: SimDisk) -> (Storage<SimDisk>, Recovered) {
    Storage::open(disk, Bugs::NONE).unwrap()
}

fn entry(index: u64, term: u64, size: usize) -> Record {
    let op = Op::Put {
        key: "k".into(),
        value: vec![index as u8; size],
    };
    let command = Command::Client(Request {
        session: 1,
        sequence: index,
        op,
    });
    Record::Entry {
        index,
        entry: Entry { term, command },
    }
}

fn vote(term: u64) -> Record {
    Record::Vote {
        term,
        voted_for: Some(term % 3 + 1),
    }
}

fn snapshot(index: u64, term: u64) -> Record {
    Record::Snapshot(Snapshot {
        index,
        term,
        digest: index,
        data: vec![7; 300],
    })
}

fn reopened(storage: Storage<SimDisk>, torn: bool, rng: &mut Rng) -> (Storage<SimDisk>, Recovered) {
    let mut disk = storage.into_device();
    disk.power_loss(torn, rng);
    open(disk)
}

#[test]
fn a_blank_disk_is_an_empty_node_and_stays_one() {
    let (storage, recovered) = open(SimDisk::new(SIZE));
    assert!(recovered.blank);
    assert_eq!(*storage.durable(), Durable::default());
    let (storage, recovered) = reopened(storage, false, &mut Rng::new(1));
    assert!(!recovered.blank);
    assert_eq!(*storage.durable(), Durable::default());
}

#[test]
fn a_disk_that_is_too_small_is_refused() {
    let error = Storage::open(SimDisk::new(512 * 1024), Bugs::NONE).unwrap_err();
    assert!(matches!(error, StorageError::TooSmall(524_288)), "{error}");
}

#[test]
fn what_was_acknowledged_survives_any_power_loss() {
    let mut generations = 0;
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let (mut storage, _) = open(SimDisk::new(SIZE));
        let (mut index, mut term) = (0, 0);
        for _ in 0..250 {
            let mut records = Vec::new();
            match rng.below(10) {
                0 => {
                    term += 1;
                    records.push(vote(term));
                }
                1 if index > storage.durable().snapshot.index => {
                    records.push(snapshot(index, term))
                }
                2 if index > storage.durable().snapshot.index + 2 => {
                    index -= 1;
                    records.push(entry(index, term, 700));
                }
                _ => {
                    for _ in 0..1 + rng.below(4) {
                        index += 1;
                        records.push(entry(index, term, rng.below(1500) as usize));
                    }
                }
            }
            storage.persist(&records).unwrap();
            if rng.chance(1, 16) {
                let before = storage.durable().clone();
                let (after, recovered) = reopened(storage, true, &mut rng);
                storage = after;
                assert!(*storage.durable() == before, "seed {seed}");
                assert!(
                    !recovered.dropped && recovered.repaired == 0,
                    "{recovered:?}"
                );
            }
        }
        generations = generations.max(storage.generation());
    }
    assert!(
        generations > 2,
        "no generation was long enough to be replaced"
    );
}

/// Persists `records` on a copy of the disk that loses power before the `within`th write or flush from
/// then on. Returns the disk and whether the records were acknowledged.
fn torn_persist(disk: &SimDisk, records: &[Record], within: u64, rng: &mut Rng) -> (SimDisk, bool) {
    let (mut storage, _) = open(disk.clone());
    storage.device.left = Some(rng.below(within) as u32);
    let acknowledged = storage.persist(records).is_ok();
    let mut disk = storage.into_device();
    disk.left = None;
    disk.power_loss(true, rng);
    (disk, acknowledged)
}

#[test]
fn a_block_under_way_is_there_whole_or_not_at_all() {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    storage.persist(&[vote(1), entry(1, 1, 10)]).unwrap();
    let before = storage.durable().clone();
    let disk = storage.into_device();
    let records = [entry(2, 1, 300), entry(3, 1, 300)];
    let mut after = before.clone();
    assert!(records.iter().all(|record| after.apply(record)));
    let (mut kept, mut lost, mut dropped, mut repaired) = (0, 0, 0, 0);
    for seed in 0..60 {
        let (torn, acknowledged) = torn_persist(&disk, &records, 4, &mut Rng::new(seed));
        let (storage, recovered) = open(torn);
        dropped += u64::from(recovered.dropped);
        repaired += recovered.repaired;
        if *storage.durable() == after {
            kept += 1;
        } else {
            assert!(*storage.durable() == before && !acknowledged, "seed {seed}");
            lost += 1;
        }
        // It goes on from there as if nothing had been.
        let next = storage.durable().last_index() + 1;
        let (mut storage, _) = reopened(storage, true, &mut Rng::new(seed));
        storage.persist(&[entry(next, 1, 10)]).unwrap();
        let (storage, recovered) = reopened(storage, true, &mut Rng::new(seed));
        assert_eq!(storage.durable().last_index(), next);
        assert_eq!(recovered.repaired, 0);
    }
    assert!(kept > 0 && lost > 0 && dropped > 0 && repaired > 0);
}

#[test]
fn a_torn_block_is_accepted_by_the_planted_bug_only() {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    storage.persist(&[vote(1)]).unwrap();
    let disk = storage.into_device();
    let records = [entry(1, 1, 1900)];
    let mut right = Durable::default();
    assert!(right.apply(&vote(1)) && right.apply(&records[0]));
    let mut wrong = 0;
    for seed in 0..60 {
        let (torn, _) = torn_persist(&disk, &records, 4, &mut Rng::new(seed));
        let bugs = Bugs::with(Bug::TornTailAccepted);
        let (storage, _) = Storage::open(torn, bugs).unwrap();
        let durable = storage.durable();
        wrong += u32::from(durable.last_index() == 1 && *durable != right);
    }
    assert!(wrong > 0);
}

#[test]
fn unflushed_acknowledgements_are_lost_by_the_planted_bug_only() {
    for (bugs, expected) in [(Bugs::NONE, 1), (Bugs::with(Bug::AckBeforeFsync), 0)] {
        let (storage, _) = open(SimDisk::new(SIZE));
        let (mut storage, _) = Storage::open(storage.into_device(), bugs).unwrap();
        storage.flush_leftovers().unwrap();
        storage.persist(&[vote(1)]).unwrap();
        let (storage, _) = reopened(storage, false, &mut Rng::new(1));
        assert_eq!(storage.durable().term, expected);
    }
}

/// A disk with a few blocks, and where they are in the first copy.
fn written() -> (SimDisk, Durable, Vec<u64>) {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    let mut places = Vec::new();
    for index in 1..=5 {
        places.push(storage.layout.areas(storage.generation)[0] + storage.position);
        storage
            .persist(&[vote(index), entry(index, index, 600)])
            .unwrap();
    }
    let durable = storage.durable().clone();
    (storage.into_device(), durable, places)
}

#[test]
fn one_damaged_copy_is_repaired_wherever_it_is() {
    let (disk, durable, places) = written();
    let layout = Layout::new(SIZE as u64).unwrap();
    let mut damaged: Vec<u64> = places
        .iter()
        .flat_map(|at| [*at, *at + 2 * layout.area])
        .collect();
    damaged.extend(layout.areas(1));
    for at in damaged {
        let mut disk = disk.clone();
        disk.flip(at + 47, 3);
        let (storage, recovered) = open(disk);
        assert!(
            (recovered.repaired, storage.durable()) == (1, &durable),
            "{at}"
        );
        let (_, recovered) = open(storage.into_device());
        assert_eq!(recovered.repaired, 0);
    }
    for at in [1].map(Layout::superblocks).as_flattened() {
        let mut disk = disk.clone();
        disk.flip(*at, 0);
        assert!(*open(disk).0.durable() == durable);
    }
}

#[test]
fn damage_of_both_copies_before_the_end_stops_the_node() {
    let (disk, _, places) = written();
    let layout = Layout::new(SIZE as u64).unwrap();
    for at in &places[..4] {
        let mut disk = disk.clone();
        disk.flip(at + 60, 3);
        disk.flip(at + 2 * layout.area + 70, 3);
        let error = Storage::open(disk, Bugs::NONE).unwrap_err();
        assert!(error.to_string().starts_with("storage damaged"), "{error}");
    }
    let mut disk = disk;
    for at in layout.areas(1) {
        disk.flip(at, 0);
    }
    let error = Storage::open(disk, Bugs::NONE).unwrap_err();
    assert!(
        error.to_string().contains("generation 1 does not begin"),
        "{error}"
    );
}

#[test]
fn errors_are_tried_again_and_writes_that_went_elsewhere_too() {
    let (disk, durable, places) = written();
    let (mut storage, _) = open(disk);
    storage.device.fail_writes = 3;
    storage.device.fail_reads = 2;
    storage.device.fail_flushes = 1;
    storage.persist(&[vote(9)]).unwrap();
    assert_eq!(
        storage.troubles(),
        Troubles {
            errors: 6,
            rewrites: 0
        }
    );
    // The next write destroys a copy of an earlier block; the other copy of that is still there.
    storage.device.misdirect_to = Some(places[2]);
    storage.persist(&[vote(10)]).unwrap();
    assert_eq!(storage.troubles().rewrites, 1);
    let (storage, recovered) = reopened(storage, false, &mut Rng::new(1));
    assert_eq!(recovered.repaired, 1);
    assert_eq!(
        (storage.durable().term, &storage.durable().entries),
        (10, &durable.entries)
    );
}

#[test]
fn a_disk_that_keeps_failing_stops_the_node() {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    storage.device.fail_writes = 1000;
    let error = storage.persist(&[vote(1)]).unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::Failed {
                what: "writing",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_crash_while_a_generation_is_replaced_leaves_the_old_or_the_new_one() {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    let mut index = 0;
    while storage.position + 4096 < LONG {
        index += 1;
        storage.persist(&[entry(index, 1, 1900)]).unwrap();
        if index % 8 == 0 {
            storage.persist(&[snapshot(index, 1)]).unwrap();
        }
    }
    let before = storage.durable().clone();
    let generation = storage.generation();
    let disk = storage.into_device();
    let records: Vec<Record> = (1..=4).map(|i| entry(index + i, 1, 1900)).collect();
    let mut generations = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let (torn, acknowledged) = torn_persist(&disk, &records, 8, &mut Rng::new(seed));
        let (storage, _) = open(torn);
        generations.insert(storage.generation());
        let last = storage.durable().last_index();
        assert!(
            last == index + 4 || (last == index && !acknowledged),
            "{last}"
        );
        assert!(storage.durable().snapshot == before.snapshot);
    }
    assert_eq!(generations, [generation, generation + 1].into());
}

#[test]
fn records_that_leave_a_gap_are_refused() {
    let (mut storage, _) = open(SimDisk::new(SIZE));
    let error = storage.persist(&[entry(2, 1, 0)]).unwrap_err();
    assert!(matches!(error, StorageError::Misfit(_)), "{error}");
}
