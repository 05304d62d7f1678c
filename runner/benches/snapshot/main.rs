//! What checkpoints cost: `cargo bench -p chaosrun --bench snapshot`.
//!
//! A machine that runs Linux and writes to a file in memory is put back after about 500 pages, at several
//! sizes of its RAM; and so is a world of four nodes that talk, after 100 ms of their time. Besides, it is
//! told how much memory a checkpoint of that world keeps.

use std::hint::black_box;
use std::time::{Duration, Instant};

use chaosrun_vmm::machine::{Machine, MachineConfig, Stop};
use chaosrun_vmm::tape::Tape;
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{Boots, NetworkConfig, NicConfig, NodeConfig, World, WorldConfig};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

#[path = "../../tests/machines/guest.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod guest;
#[path = "../../tests/machines/packages.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod packages;

use guest::{MILLI, QUIET, SECOND, busybox_root, pack, tiny};

/// Pages that a branch writes.
const PAGES: usize = 500;
const MIB: u64 = 1 << 20;
/// Checkpoints that are kept to see how much memory they take.
const KEPT: u64 = 200;

const WRITER: &str = "mkdir -p /tmp; echo ready; while :; do dd if=/dev/urandom of=/tmp/file bs=64k \
                      count=30 conv=notrunc 2>/dev/null; done";

/// What a machine that writes boots.
fn config(memory: u64, initrd: &[u8]) -> MachineConfig<'_> {
    MachineConfig {
        memory,
        initrd: Some(initrd),
        cmdline: QUIET.to_owned(),
        ..MachineConfig::new(tiny())
    }
}

/// A machine that has booted and writes.
fn writer(config: &MachineConfig<'_>) -> Machine {
    let mut machine = Machine::new(config).expect("it can be made");
    let mut console = String::new();
    while !console.contains("ready") {
        run(&mut machine, 50 * MILLI);
        console.push_str(&String::from_utf8_lossy(&machine.take_console()));
    }
    run(&mut machine, SECOND);
    machine
}

fn run(machine: &mut Machine, ns: u64) {
    let until = machine.now().after(ns);
    let stop = machine.run_until(until).expect("the engine works");
    assert_eq!(stop, Stop::Reached);
}

/// Runs until enough pages were written.
fn branch(machine: &mut Machine) -> usize {
    loop {
        run(machine, MILLI / 20);
        let pages = machine.pages_unsaved().expect("the engine works");
        if pages >= PAGES {
            return pages;
        }
    }
}

/// The time that `work` takes, over many repetitions of which each is prepared.
#[allow(
    clippy::disallowed_methods,
    reason = "a bench measures the host's time"
)]
fn timed<T>(
    subject: &mut T,
    times: u64,
    mut prepare: impl FnMut(&mut T),
    mut work: impl FnMut(&mut T),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        prepare(subject);
        let begin = Instant::now();
        work(subject);
        total += begin.elapsed();
    }
    total
}

fn machines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    group.sample_size(20);
    let initrd = pack(&busybox_root(WRITER));
    for size in [64, 128, 512, 2048] {
        let config = config(size * MIB, &initrd);
        let mut machine = writer(&config);
        // Forks share what RAM holds now until they write.
        machine.settle().expect("the engine works");
        let saved = machine.save().expect("it can be saved");
        let pages = branch(&mut machine);
        machine.restore(&saved).expect("it can be put back");
        let name =
            |what: &str| BenchmarkId::new(format!("{what}, {pages} pages"), format!("{size} MiB"));
        let restore = |machine: &mut Machine| machine.restore(&saved).expect("it can be put back");
        group.bench_function(name("restore"), |bencher| {
            bencher.iter_custom(|times| timed(&mut machine, times, |m| _ = branch(m), restore));
        });
        group.bench_function(name("save"), |bencher| {
            bencher.iter_custom(|times| {
                let prepare = |machine: &mut Machine| {
                    restore(machine);
                    branch(machine);
                };
                timed(&mut machine, times, prepare, |machine| {
                    black_box(machine.save().expect("it can be saved"));
                })
            });
        });
        branch(&mut machine);
        let ahead = machine.save().expect("it can be saved");
        restore(&mut machine);
        group.bench_function(name("fork"), |bencher| {
            // To drop the one before is no part of it.
            bencher
                .iter_with_large_drop(|| Machine::resume(&config, &ahead).expect("it can be made"));
        });
        group.bench_function(name("restore and 50 us of work"), |bencher| {
            bencher.iter(|| {
                restore(&mut machine);
                run(&mut machine, MILLI / 20);
            });
        });
    }
    group.finish();
}

/// A world of four nodes, three of which talk to the first and write to their disks.
fn world() -> World {
    let kernel: std::sync::Arc<[u8]> = tiny().into();
    let node = |index: u8| {
        let work = match index {
            0 => "while :; do nc -l -p 7 >/dev/null; done",
            _ => {
                "while :; do echo hello | nc -w 1 10.0.0.1 7; dd if=/dev/urandom of=/dev/vda bs=4k count=2 \
                 conv=fsync,notrunc 2>/dev/null; sleep 0.01; done"
            }
        };
        let shell = format!(
            "ip link set eth0 up; ip addr add 10.0.0.{}/24 dev eth0; {work}",
            index + 1
        );
        NodeConfig {
            initrd: Some(pack(&busybox_root(&shell)).into()),
            cmdline: QUIET.to_owned(),
            memory: 128 * MIB,
            disks: vec![chaosrun_vmm::disk::Disk::blank("data", MIB).expect("it is possible")],
            nics: vec![NicConfig {
                network: 0,
                mac: [0x52, 0x54, 0, 0, 0, index + 1],
            }],
            ..NodeConfig::new(&format!("n{}", index + 1), kernel.clone())
        }
    };
    let config = WorldConfig {
        tape: Tape::new(1),
        nodes: (0..4).map(node).collect(),
        networks: vec![NetworkConfig::new("lan")],
        jobs: 1,
        boots: Boots::fresh(),
    };
    let mut world = World::new(config).expect("it can be made");
    go_on(&mut world, 3 * SECOND);
    world
}

fn go_on(world: &mut World, ns: u64) {
    let until = VirtTime(world.now().0 + ns);
    while world.now() < until {
        world.step(until).expect("the engines work");
    }
    world.take_events();
}

fn worlds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("world of four nodes, after 100 ms");
    group.sample_size(10);
    let mut world = world();
    let checkpoint = world.checkpoint().expect("it can be saved");
    let restore = |world: &mut World| world.restore(&checkpoint).expect("it can be put back");
    group.bench_function("restore", |bencher| {
        bencher.iter_custom(|times| {
            timed(
                &mut world,
                times,
                |world| go_on(world, 100 * MILLI),
                restore,
            )
        });
    });
    group.bench_function("checkpoint", |bencher| {
        bencher.iter_custom(|times| {
            let prepare = |world: &mut World| {
                restore(world);
                go_on(world, 100 * MILLI);
            };
            timed(&mut world, times, prepare, |world| {
                black_box(world.checkpoint().expect("it can be saved"));
            })
        });
    });
    group.finish();

    let before = resident();
    let mut kept = Vec::new();
    for _ in 0..KEPT {
        go_on(&mut world, 100 * MILLI);
        kept.push(world.checkpoint().expect("it can be saved"));
    }
    let grown = resident().saturating_sub(before);
    println!(
        "{KEPT} checkpoints of it, 100 ms apart: {:.1} MiB, {:.0} KiB each",
        grown as f64 / MIB as f64,
        grown as f64 / 1024.0 / KEPT as f64
    );
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("its second word is a number");
    pages * 4096
}

criterion_group!(benches, machines, worlds);
criterion_main!(benches);
