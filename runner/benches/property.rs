//! How long it takes to judge histories of 10,000 operations on one object.

use std::hint::black_box;

use chaosrun::plan::property::{ConsistencyLevel, HistoryModel};
use chaosrun::property::sample::{simulated, simulated_txns};
use chaosrun::property::{append_list, linearizable};
use criterion::{Criterion, criterion_group, criterion_main};

/// How many operations a history has.
const OPERATIONS: usize = 10_000;

fn linearizability(c: &mut Criterion) {
    let mut group = c.benchmark_group("linearizable");
    group.sample_size(10);
    for (name, model) in [
        ("kv", HistoryModel::Kv),
        ("set", HistoryModel::Set),
        ("queue", HistoryModel::Queue),
    ] {
        for open in [5, 10, 20] {
            let history = simulated(model, OPERATIONS, open, 1);
            let places: Vec<usize> = (0..history.len()).collect();
            group.bench_function(format!("{name}, {open} clients"), |b| {
                b.iter(|| {
                    let verdict = linearizable::judge(model, "", &history, &places);
                    assert_eq!(black_box(verdict), linearizable::Verdict::Holds);
                });
            });
        }
    }
    group.finish();
}

fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("append-list");
    group.sample_size(10);
    let history = simulated_txns(OPERATIONS, 10, 10, 1);
    for (name, level) in [
        ("serializable", ConsistencyLevel::Serializable),
        ("strict-serializable", ConsistencyLevel::StrictSerializable),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let found = append_list::judge(&history, level);
                assert_eq!(black_box(found), Ok(None));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, linearizability, transactions);
criterion_main!(benches);
