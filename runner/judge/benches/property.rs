//! How long it takes to judge histories of 10,000 operations on one object, with 20 and 50 clients at once
//! and a twentieth of the operations without an answer; and how long Porcupine's published method takes,
//! as far as it gets in 300,000 steps.

use std::hint::black_box;

use chaosrun_judge::property::history::Operation;
use chaosrun_judge::property::linearizable::wing_gong;
use chaosrun_judge::property::sample::{simulated, simulated_txns};
use chaosrun_judge::property::{append_list, linearizable};
use chaosrun_language::plan::property::{ConsistencyLevel, HistoryModel};
use criterion::{Criterion, criterion_group, criterion_main};

/// How many operations a history has.
const OPERATIONS: usize = 10_000;

fn linearizability(c: &mut Criterion) {
    let mut group = c.benchmark_group("linearizable");
    group.sample_size(10);
    for (name, model) in [
        ("register", HistoryModel::Register),
        ("cas-register", HistoryModel::CasRegister),
        ("kv", HistoryModel::Kv),
        ("set", HistoryModel::Set),
        ("queue", HistoryModel::Queue),
    ] {
        for open in [5, 20, 50] {
            let good = simulated(model, OPERATIONS, open, 1);
            let mut bad = good.clone();
            let spoilt = spoil(model, &mut bad);
            let places: Vec<usize> = (0..good.len()).collect();
            for (kind, history) in [("an order", &good), ("no order", &bad)] {
                if kind == "no order" && !spoilt {
                    continue;
                }
                let verdict = linearizable::judge(model, "", history, &places);
                let told = match &verdict {
                    linearizable::Verdict::Holds => "holds".to_owned(),
                    linearizable::Verdict::Broken(broken) => broken.why.clone(),
                    linearizable::Verdict::Undecided(why) => format!("undecided: {why}"),
                };
                println!("{name}, {open} clients, {kind}: {told}");
                group.bench_function(format!("{name}, {open} clients, {kind}"), |b| {
                    b.iter(|| black_box(linearizable::judge(model, "", history, &places)));
                });
                let Ok((ops, edges)) = linearizable::of_value(model, history) else {
                    continue;
                };
                let plain = wing_gong::has_order(&ops, &edges, 300_000);
                println!("{name}, {open} clients, {kind}, Porcupine's method: {plain:?}");
                group.bench_function(
                    format!("{name}, {open} clients, {kind}, Porcupine's method"),
                    |b| b.iter(|| black_box(wing_gong::has_order(&ops, &edges, 300_000))),
                );
            }
        }
    }
    group.finish();
}

/// Lets a late read see what an earlier one saw. True if there were two to do it with.
fn spoil(model: HistoryModel, history: &mut [Operation]) -> bool {
    let read = if model == HistoryModel::Set {
        "contains"
    } else {
        "read"
    };
    let reads: Vec<usize> = (0..history.len())
        .filter(|at| history[*at].f == read && history[*at].returned.is_some())
        .collect();
    let Some(late) = reads.get(reads.len() * 3 / 4).copied() else {
        return false;
    };
    if model == HistoryModel::Set {
        return false;
    }
    let differs = |at: &&usize| history[**at].result != history[late].result;
    let Some(early) = reads[..reads.len() / 2].iter().rev().find(differs) else {
        return false;
    };
    history[late].result = history[*early].result.clone();
    true
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
