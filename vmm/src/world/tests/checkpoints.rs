//! Worlds that go back to checkpoints, compared with those that never stop.

use super::*;
use crate::disk::{DiskFault, DiskFaultKind};
use crate::tape::Stream;

const NODES: usize = 4;
/// Moments at which something is done and everything is compared.
const MOMENTS: usize = 30;

/// Nodes that chatter, and write to their disks meanwhile.
fn chatterers() -> Vec<Script> {
    let script = |index| {
        let mut acts = vec![(index as u64, Act::Chatter(NODES, 60 * MICRO))];
        for number in 0..20 {
            let time = 300 * MICRO * (number + 1);
            acts.push((time, Act::Write(number % 9, number as u8 + 1)));
            if number % 4 == 3 {
                acts.push((time, Act::Flush));
            }
            acts.push((time + MICRO, Act::Read(number % 9)));
        }
        Script {
            answers: true,
            seed: 77,
            ..Script::new(index, acts)
        }
    };
    (0..NODES).map(script).collect()
}

/// A network on which every frame needs a decision.
fn jittery() -> NetworkConfig {
    let mut network = plain();
    network.shape.jitter_ns = 300 * MICRO;
    network
}

/// Something that is done to a world.
fn command(stream: &mut Stream) -> Command {
    let node = stream.below(NODES as u64) as usize;
    match stream.below(11) {
        0 => Command::Kill { node },
        1 => Command::PowerLoss {
            node,
            torn: Chance::ALWAYS,
        },
        2 | 3 => Command::Start { node },
        4 => Command::Pause { node },
        5 => Command::Resume { node },
        6 => Command::Drift {
            node,
            ppb: stream.below(1_000_000) as i64,
        },
        7 => Command::Control {
            node,
            bytes: b"hello".to_vec(),
        },
        8 => Command::ArmDisk {
            node,
            disk: 0,
            id: 1,
            fault: DiskFault::always(DiskFaultKind::ReadError),
        },
        9 => Command::DisarmDisk {
            node,
            disk: 0,
            id: 1,
        },
        _ => Command::MoveWall {
            node,
            moved_ns: stream.below(1000) as i64,
        },
    }
}

/// When what is done.
fn schedule(stream: &mut Stream) -> Vec<(u64, Command)> {
    let mut time = 0;
    let mut next = || {
        time += 1 + stream.below(600 * MICRO);
        (time, command(stream))
    };
    (0..MOMENTS).map(|_| next()).collect()
}

/// What a world has to show at a moment.
type Shown = (u128, Vec<WorldEvent>, Counters);

/// Goes on to a moment of the schedule, looks, and does what is to be done.
fn pass(world: &mut World, (time, command): &(u64, Command)) -> Shown {
    run_to(world, *time);
    let shown = (
        world.state_hash().unwrap().chain,
        world.take_events(),
        world.counters(),
    );
    world.command(command.clone()).unwrap();
    shown
}

#[test]
fn a_world_that_goes_back_is_the_same_as_one_that_never_stopped() {
    rounds(5, 40);
}

#[test]
#[ignore = "a campaign of minutes"]
fn a_thousand_worlds_that_go_back_are_the_same_as_those_that_never_stopped() {
    rounds(6, 1000);
}

/// Runs so many worlds without stopping, and once more with jumps.
fn rounds(choices: u64, count: u64) {
    let mut all = Tape::new(choices).stream("rounds");
    for seed in 0..count {
        let schedule = schedule(&mut all);
        let mut whole = world(chatterers(), jittery(), seed, 1);
        let expected: Vec<Shown> = schedule
            .iter()
            .map(|moment| pass(&mut whole, moment))
            .collect();
        let chains: std::collections::BTreeSet<u128> =
            expected.iter().map(|shown| shown.0).collect();
        assert_eq!(chains.len(), MOMENTS, "there is something to compare");

        let mut world = world(chatterers(), jittery(), seed, 1 + seed as usize % 2);
        let mut kept = vec![(0, world.checkpoint().unwrap())];
        let (mut at, mut jumps) = (0, 0);
        while at < MOMENTS {
            assert!(
                pass(&mut world, &schedule[at]) == expected[at],
                "seed {seed}: moment {at} after {jumps} jumps"
            );
            at += 1;
            if all.below(2) == 0 {
                kept.push((at, world.checkpoint().unwrap()));
            }
            if jumps < 20 && all.below(3) == 0 {
                jumps += 1;
                // Forward, too: whatever was kept is of one and the same timeline.
                let (to, checkpoint) = &kept[all.below(kept.len() as u64) as usize];
                world.restore(checkpoint).unwrap();
                at = *to;
            }
        }
        assert!(jumps > 0, "seed {seed}");
    }
}

#[test]
fn another_world_goes_on_from_a_checkpoint_by_its_own_tape() {
    let mut stream = Tape::new(6).stream("forks");
    let schedule = schedule(&mut stream);
    let (before, after) = schedule.split_at(MOMENTS / 2);
    let mut parent = world(chatterers(), jittery(), 1, 1);
    for moment in before {
        pass(&mut parent, moment);
    }
    let checkpoint = parent.checkpoint().unwrap();
    let fork = |tape| {
        let mut fork = world_off(chatterers(), jittery(), tape, 1);
        fork.restore(&checkpoint).unwrap();
        fork
    };
    let go_on = |mut world: World| -> Vec<Shown> {
        after
            .iter()
            .map(|moment| pass(&mut world, moment))
            .collect()
    };
    // On several threads, which disturb neither each other nor the parent.
    let same = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| go_on(fork(Tape::new(1)))))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap();
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let other = go_on(fork(Tape::new(2)));
    let expected = go_on(parent);
    assert!(same.iter().all(|shown| *shown == expected));
    assert!(other != expected, "another tape decides otherwise");
}

#[test]
fn windows_are_as_short_again_as_the_nodes_that_are_put_back_need() {
    let send = Act::Send(0, frame(mac(1), mac(0), &[2]));
    let scripts = vec![
        Script::new(0, vec![(3 * MILLI, send)]),
        Script::new(1, vec![]),
    ];
    let mut world = world(scripts, plain(), 1, 1);
    run_to(&mut world, MILLI);
    let checkpoint = world.checkpoint().unwrap();
    // Nobody can hear of node 0 now, so that it may run far.
    world.command(Command::Kill { node: 1 }).unwrap();
    run_to(&mut world, 2 * MILLI);
    world.restore(&checkpoint).unwrap();
    run_to(&mut world, 30 * MILLI);
    let heard = messages(&mut world);
    assert!(
        matches!(&heard[..], [(time, 1, _)] if (4 * MILLI..5 * MILLI).contains(time)),
        "{heard:?}"
    );
}

#[test]
fn a_world_that_was_put_back_in_part_can_only_be_dropped() {
    let mut scripts = chatterers();
    scripts[2].refuses = true;
    let mut world = world(scripts, plain(), 1, 1);
    run_to(&mut world, MILLI);
    let checkpoint = world.checkpoint().unwrap();
    assert!(matches!(
        world.restore(&checkpoint),
        Err(WorldError::Machine { node, .. }) if node == "n2"
    ));
    let poisoned = |result: Result<(), WorldError>| matches!(result, Err(WorldError::Poisoned));
    assert!(poisoned(world.step(VirtTime(2 * MILLI))));
    assert!(poisoned(world.command(Command::Kill { node: 0 })));
    assert!(poisoned(world.state_hash().map(drop)));
    assert!(poisoned(world.checkpoint().map(drop)));
    assert!(poisoned(world.restore(&checkpoint)));
}
