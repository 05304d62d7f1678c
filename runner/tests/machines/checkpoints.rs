//! Worlds of real kernels that go back to checkpoints, compared with those that never stop: in the middle of
//! a boot, with open connections, disks that are written to, faults in effect, nodes that stand still or are
//! down.

use std::collections::BTreeSet;

use chaosrun_vmm::disk::{DiskFault, DiskFaultKind};
use chaosrun_vmm::machine::Interleaving;
use chaosrun_vmm::tape::{Stream, Tape};
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{
    Boots, Chance, Checkpoint, Command, LinkFault, LinkFaultKind, NetworkConfig, World,
    WorldConfig, WorldEvent,
};

use super::guest::{MILLI, SECOND};
use super::world::node;

/// What runs in the nodes: connections, and writes to disks.
const SERVER: &str = "while :; do nc -l -p 7 | md5sum; done & \
     while :; do dd if=/dev/urandom of=/dev/vda bs=4k count=5 conv=fsync,notrunc; sleep 0.05; done";
const CLIENT: &str = "while :; do dd if=/dev/urandom bs=1k count=40 | nc 10.0.0.1 7; sleep 0.05; \
                      dd if=/dev/vda of=/dev/null bs=16k count=4; done";
const PINGER: &str = "while :; do ping -c 1 -W 1 10.0.0.1; date; done";

/// How a world is made.
#[derive(Clone, Copy)]
struct Setup {
    vcpus: [u32; 3],
    interleaving: Interleaving,
    compile_after: u8,
    seed: u64,
    jobs: usize,
}

impl Setup {
    fn config(self) -> WorldConfig {
        let mut network = NetworkConfig::new("lan");
        network.shape.jitter_ns = MILLI / 2;
        let commands = [SERVER, CLIENT, PINGER];
        let nodes = (0..3).map(|index| {
            let mut node = node(index, commands[index]);
            node.vcpus = self.vcpus[index];
            node.interleaving = self.interleaving;
            node.engine_options.compile_after = self.compile_after;
            node
        });
        WorldConfig {
            tape: Tape::new(self.seed),
            nodes: nodes.collect(),
            networks: vec![network],
            jobs: self.jobs,
            boots: Boots::fresh(),
        }
    }
}

/// What is done at a moment, if anything.
fn schedule(stream: &mut Stream) -> Vec<(u64, Option<Command>)> {
    let link = LinkFault {
        network: 0,
        from: vec![0],
        to: vec![1],
        kind: LinkFaultKind::Down,
    };
    let disk = DiskFault::always(DiskFaultKind::Slow {
        min: MILLI,
        max: 4 * MILLI,
    });
    let (node, torn) = (2, Chance::ALWAYS);
    let planned = [
        (300, Command::PowerLoss { node, torn }),
        (600, Command::Start { node }),
        (2000, Command::ArmLink { id: 1, fault: link }),
        (2200, Command::Pause { node: 1 }),
        (2400, Command::DisarmLink { id: 1 }),
        (
            2500,
            Command::ArmDisk {
                node: 0,
                disk: 0,
                id: 2,
                fault: disk,
            },
        ),
        (2600, Command::Resume { node: 1 }),
        (
            2800,
            Command::PowerLoss {
                node: 1,
                torn: Chance::NEVER,
            },
        ),
        (3000, Command::Start { node: 1 }),
    ];
    let mut moments: Vec<_> = planned
        .into_iter()
        .map(|(time, command)| (time * MILLI, Some(command)))
        .collect();
    moments.extend((0..25).map(|_| (stream.below(4 * SECOND), None)));
    moments.sort_by_key(|(time, _)| *time);
    moments
}

/// What a world shows at a moment: its state hash, and what happened since the one before.
#[derive(PartialEq, Eq)]
struct Shown {
    chain: u128,
    events: Vec<WorldEvent>,
}

fn pass(world: &mut World, (time, command): &(u64, Option<Command>)) -> Shown {
    while world.now().0 < *time {
        world.step(VirtTime(*time)).expect("the engines work");
    }
    let shown = Shown {
        chain: world.state_hash().unwrap().chain,
        events: world.take_events(),
    };
    if let Some(command) = command {
        world.command(command.clone()).unwrap();
    }
    shown
}

/// Runs a schedule once without stopping, and once with many jumps to where it was before.
fn round_trip(setup: Setup, stream: &mut Stream) {
    let schedule = schedule(stream);
    let mut whole = World::new(setup.config()).unwrap();
    let expected: Vec<Shown> = schedule
        .iter()
        .map(|moment| pass(&mut whole, moment))
        .collect();
    let chains: BTreeSet<u128> = expected.iter().map(|shown| shown.chain).collect();
    assert_eq!(
        chains.len(),
        schedule.len(),
        "there is something to compare"
    );
    let counters = whole.counters();
    assert!(
        counters.nodes[0].disks[0].flushes > 10 && counters.networks[0].switch.frames > 100,
        "disks and networks are busy: {counters:?}"
    );

    let mut world = World::new(setup.config()).unwrap();
    let mut kept: Vec<(usize, Checkpoint)> = Vec::new();
    let (mut at, mut jumps) = (0, 0);
    while at < schedule.len() {
        assert!(
            pass(&mut world, &schedule[at]) == expected[at],
            "moment {at} at {} ns, after {jumps} jumps",
            schedule[at].0
        );
        at += 1;
        if stream.below(2) == 0 {
            // At a moment of its own, so that it is in the middle of things.
            let next = schedule.get(at).map_or(u64::MAX, |moment| moment.0);
            let moment = world.now().0 + stream.below(20 * MILLI);
            if moment < next {
                world.step(VirtTime(moment)).unwrap();
            }
            kept.push((at, world.checkpoint().unwrap()));
        }
        if jumps < 20 && !kept.is_empty() && stream.below(2) == 0 {
            jumps += 1;
            let recent = kept.len() - kept.len().min(4);
            let span = (kept.len() - recent) as u64;
            let (to, checkpoint) = &kept[recent + stream.below(span) as usize];
            world.restore(checkpoint).unwrap();
            at = *to;
        }
    }
    assert!(jumps >= 10, "only {jumps} jumps");
    assert!(world.counters() == counters);
}

#[test]
fn kernels_that_go_back_do_the_same_again() {
    let mut stream = Tape::new(9).stream("checkpoints");
    let random = Interleaving::Random {
        min: 1000,
        max: 90_000,
    };
    let setup = Setup {
        vcpus: [1, 2, 1],
        interleaving: Interleaving::default(),
        compile_after: 24,
        seed: 1,
        jobs: 1,
    };
    round_trip(setup, &mut stream);
    round_trip(
        Setup {
            vcpus: [4, 1, 2],
            interleaving: random,
            seed: 2,
            jobs: 2,
            ..setup
        },
        &mut stream,
    );
    round_trip(
        Setup {
            vcpus: [1, 1, 1],
            compile_after: 0,
            seed: 3,
            ..setup
        },
        &mut stream,
    );
}

#[test]
fn forks_on_several_threads_share_what_they_have_and_disturb_nobody() {
    let setup = Setup {
        vcpus: [1, 2, 1],
        interleaving: Interleaving::default(),
        compile_after: 24,
        seed: 4,
        jobs: 1,
    };
    let mut parent = World::new(setup.config()).unwrap();
    pass(&mut parent, &(2 * SECOND, None));
    let checkpoint = parent.checkpoint().unwrap();
    let moments: Vec<(u64, Option<Command>)> = (1..8)
        .map(|number| (2 * SECOND + number * 70 * MILLI, None))
        .collect();
    let go_on = |world: &mut World| -> Vec<Shown> {
        moments.iter().map(|moment| pass(world, moment)).collect()
    };
    let fork = |seed| {
        let config = Setup { seed, ..setup }.config();
        let mut fork = World::fork(config, &checkpoint).unwrap();
        go_on(&mut fork)
    };
    let (same, expected, other) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| fork(4))).collect();
        let other = scope.spawn(|| fork(5));
        let expected = go_on(&mut parent);
        let same: Vec<Vec<Shown>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        (same, expected, other.join().unwrap())
    });
    assert!(same.iter().all(|shown| *shown == expected));
    assert!(
        other.last() != expected.last(),
        "another tape decides otherwise"
    );
    // And the parent can go back to where they began.
    parent.restore(&checkpoint).unwrap();
    assert!(go_on(&mut parent) == expected);
}
