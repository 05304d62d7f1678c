//! Windows, the exactness of arrivals, and what the result does not depend on.

use super::*;

/// A node that sends a frame with content `byte` to another at a moment.
fn sends(time: u64, from: usize, to: usize, byte: u8) -> (u64, Act) {
    (time, Act::Send(0, frame(mac(to), mac(from), &[byte])))
}

/// How long a frame of this many bytes takes on the default link.
fn travel(len: u64) -> u64 {
    MILLI + (len * 8).div_ceil(10)
}

#[test]
fn a_frame_arrives_at_the_exact_moment_whatever_the_receiver_does() {
    let idle = Script::new(1, vec![]);
    let sleepy = Script::new(1, vec![(30 * MILLI, Act::Flush)]);
    let busy = Script::new(1, (0..4000).map(|n| (n * 1111, Act::Flush)).collect());
    for receiver in [idle, sleepy, busy] {
        let sender = Script::new(0, vec![sends(1000, 0, 1, 42)]);
        let mut world = world(vec![sender, receiver], plain(), 1, 1);
        run_to(&mut world, 50 * MILLI);
        let messages = messages(&mut world);
        let expected = 1000 + travel(15);
        let within = expected..expected + 2 * STEP;
        assert!(
            messages.len() == 1 && within.contains(&messages[0].0),
            "{messages:?}"
        );
        assert!(
            messages[0].2.starts_with("frame Some(42) at 100"),
            "{messages:?}"
        );
    }
}

#[test]
fn windows_are_as_long_as_nobody_can_hear_of_another() {
    let lengths = |scripts: Vec<Script>, until: u64| {
        let mut world = world(scripts, plain(), 1, 1);
        let mut ends = Vec::new();
        while world.now() < VirtTime(until) {
            world.step(VirtTime(until)).unwrap();
            ends.push(world.now().0);
        }
        ends
    };
    let idle = || vec![Script::new(0, vec![]), Script::new(1, vec![])];
    // Nobody does anything: one window.
    assert_eq!(lengths(idle(), 3600 * SECOND), [3600 * SECOND]);
    // One wakes late, and then once more.
    let mut late = idle();
    late[0].acts = vec![(SECOND, Act::Flush), (2 * SECOND, Act::Flush)];
    let ends = [SECOND + MILLI, 2 * SECOND + MILLI, 5 * SECOND];
    assert_eq!(lengths(late, 5 * SECOND), ends);
    // Alone there is no latency to keep to, but a window has an end.
    let alone = vec![Script::new(
        0,
        (0..30 * MILLI)
            .step_by(1000)
            .map(|n| (n, Act::Flush))
            .collect(),
    )];
    assert_eq!(
        lengths(alone, 30 * MILLI),
        [10 * MILLI, 20 * MILLI, 30 * MILLI]
    );
    // Nobody has a window of nothing, however the steps are cut.
    assert!(lengths(idle(), 1).len() == 1);
}

/// Five nodes that talk without end, with a storm of faults in their way.
fn storm(seed: u64, jobs: usize) -> World {
    let often = Chance::new(1, 20);
    let network = NetworkConfig {
        shape: LinkShape {
            latency_ns: 50 * MICRO,
            jitter_ns: 20 * MICRO,
            bandwidth_bps: 100_000_000,
            loss: often,
            duplicate: often,
            corrupt: often,
            reorder: often,
            reorder_window_ns: 200 * MICRO,
            ..LinkShape::default()
        },
        ..plain()
    };
    let scripts = (0..5)
        .map(|index| Script {
            answers: true,
            seed,
            ..Script::new(index, vec![(index as u64, Act::Chatter(5, 60 * MICRO))])
        })
        .collect();
    world(scripts, network, seed, jobs)
}

/// What goes wrong in the storm: a command at a moment.
fn mishaps() -> Vec<(u64, Command)> {
    let fault = |kind| LinkFault {
        network: 0,
        from: vec![0, 1, 2],
        to: vec![2, 3, 4],
        kind,
    };
    let flap = LinkFaultKind::Flap {
        down: (100 * MICRO, 300 * MICRO),
        up: (100 * MICRO, 900 * MICRO),
    };
    let commands = vec![
        (
            700 * MICRO,
            Command::Drift {
                node: 1,
                ppb: 40_000_000,
            },
        ),
        (MILLI, Command::Pause { node: 2 }),
        (
            1_500 * MICRO,
            Command::ArmLink {
                id: 7,
                fault: fault(flap),
            },
        ),
        (2 * MILLI, Command::Resume { node: 2 }),
        (2_345_678, Command::Kill { node: 4 }),
        (
            3 * MILLI,
            Command::Drift {
                node: 1,
                ppb: -70_000_000,
            },
        ),
        (3 * MILLI, Command::Start { node: 4 }),
        (
            3_100_001,
            Command::Control {
                node: 0,
                bytes: vec![b'x'],
            },
        ),
        (4 * MILLI, Command::DisarmLink { id: 7 }),
        (4 * MILLI, Command::Start { node: 3 }),
        (
            5 * MILLI,
            Command::ArmLink {
                id: 8,
                fault: fault(LinkFaultKind::Down),
            },
        ),
        (
            6 * MILLI,
            Command::PowerLoss {
                node: 0,
                torn: Chance::new(1, 2),
            },
        ),
    ];
    commands
}

/// Runs the storm for eight milliseconds in steps of at most `cut`, with a state hash at each
/// millisecond, and returns all that is to be seen.
fn weathered(mut world: World, cut: u64) -> (Vec<StateHash>, Vec<WorldEvent>, Counters) {
    let (mut hashes, mut events) = (Vec::new(), Vec::new());
    let mut mishaps = mishaps().into_iter().peekable();
    for milli in 1..=8 {
        while world.now().0 < milli * MILLI {
            let due = mishaps.peek().map_or(u64::MAX, |(time, _)| *time);
            let until = (world.now().0 + cut).min(due).min(milli * MILLI);
            world.step(VirtTime(until)).unwrap();
            if world.now().0 == due {
                world.command(mishaps.next().unwrap().1).unwrap();
            }
            events.extend(world.take_events());
        }
        hashes.push(world.state_hash().unwrap());
    }
    (hashes, events, world.counters())
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    let one = weathered(storm(3, 1), u64::MAX / 4);
    assert!(one.1.len() > 1000, "{} events", one.1.len());
    let travelled: u64 = one.2.networks[0]
        .links
        .iter()
        .map(|l| l.counters.delivered)
        .sum();
    assert!(travelled > 1000, "{travelled} frames");
    for jobs in [2, 3, 4, 8] {
        let other = weathered(storm(3, jobs), u64::MAX / 4);
        assert_eq!(one.0, other.0, "{jobs}");
        assert!(one == other, "{jobs}");
    }
}

#[test]
fn where_steps_end_makes_no_difference() {
    let whole = weathered(storm(3, 1), u64::MAX / 4);
    for cut in [997, 10 * MICRO, 49_999, 50_001, 777_777] {
        let pieces = weathered(storm(3, 2), cut);
        for (a, b) in whole.0.iter().zip(&pieces.0) {
            assert_eq!(a.differences(b), Vec::<&str>::new(), "{cut}");
        }
        assert!(whole.1 == pieces.1, "{cut}");
    }
}

#[test]
fn equal_seeds_give_equal_worlds_and_different_ones_different() {
    let chain = |seed| {
        weathered(storm(seed, 1), u64::MAX / 4)
            .0
            .last()
            .unwrap()
            .chain
    };
    assert_eq!(chain(5), chain(5));
    assert_ne!(chain(5), chain(6));
}

#[test]
fn threads_can_be_added_and_taken_away_at_any_time() {
    let expected = weathered(storm(9, 1), 100 * MICRO).0;
    let mut world = storm(9, 4);
    world.set_jobs(1);
    world.set_jobs(3);
    assert_eq!(weathered(world, 100 * MICRO).0, expected);
}

#[test]
fn worlds_that_share_helpers_do_not_notice() {
    let expected = [4, 5].map(|seed| weathered(storm(seed, 1), 100 * MICRO).0);
    let crew = Crew::default();
    let run = |seed: u64| {
        let mut world = storm(seed, 1);
        world.set_crew(&crew);
        weathered(world, 100 * MICRO).0
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| crew.serve());
        }
        let other = scope.spawn(|| run(5));
        assert_eq!(run(4), expected[0]);
        assert_eq!(other.join().unwrap(), expected[1]);
        crew.dismiss();
    });
    assert_eq!(crew.serving(), 0);
    // Nobody helps any more, and nobody is waited for.
    assert_eq!(run(5), expected[1]);
}

#[test]
fn a_thread_that_serves_runs_nodes_beside_the_worlds_own() {
    let meeting = Meeting::default();
    let script = |index| {
        let warm = (0..10).map(|n| (n * MILLI, Act::Flush));
        let meets = (10 * MILLI, Act::Meet(meeting.clone()));
        Script::new(index, warm.chain([meets]).collect())
    };
    let crew = Crew::default();
    std::thread::scope(|scope| {
        scope.spawn(|| crew.serve());
        while crew.serving() == 0 {
            std::thread::yield_now();
        }
        let mut world = world(vec![script(0), script(1)], plain(), 1, 1);
        world.set_crew(&crew);
        run_to(&mut world, 20 * MILLI);
        crew.dismiss();
        assert_eq!(texts(&mut world, 0), ["both are here"]);
    });
}

#[test]
fn events_come_in_the_order_of_time_and_node() {
    let (_, events, _) = weathered(storm(2, 2), u64::MAX / 4);
    let keys: Vec<_> = events
        .iter()
        .map(|event| (event.time, event.node))
        .collect();
    assert!(keys.is_sorted());
}

#[test]
fn state_hash_names_the_part_that_differs() {
    let hash = |content: u8| {
        let scripts = vec![
            Script::new(0, vec![sends(5, 0, 1, content)]),
            Script::new(1, vec![]),
        ];
        let mut world = world(scripts, plain(), 1, 1);
        run_to(&mut world, MILLI / 2);
        world.state_hash().unwrap()
    };
    assert_eq!(hash(1).differences(&hash(1)), Vec::<&str>::new());
    assert_eq!(hash(1).differences(&hash(3)), ["travelling"]);
}

#[test]
fn what_cannot_be_configured_is_refused() {
    let node = |index: usize| blueprint(Script::new(index, vec![]));
    let tape = Arc::new(Tape::new(1));
    let none = World::assemble(vec![node(0)], vec![], &tape, Pool::new(1)).map(drop);
    assert!(matches!(
        none,
        Err(WorldError::NoNetwork { network: 0, .. })
    ));
    let same =
        World::assemble(vec![node(3), node(3)], vec![plain()], &tape, Pool::new(1)).map(drop);
    assert_eq!(
        same.unwrap_err().to_string(),
        "there are two nodes called `n3`"
    );
    let same =
        World::assemble(vec![node(0)], vec![plain(), plain()], &tape, Pool::new(1)).map(drop);
    assert!(matches!(
        same,
        Err(WorldError::Twice {
            what: "networks",
            ..
        })
    ));
    assert!(World::assemble(vec![], vec![], &tape, Pool::new(0)).is_ok());
}

#[test]
fn an_engine_that_fails_takes_only_its_node_down() {
    for jobs in [1, 2] {
        let scripts = vec![
            Script::new(0, vec![(MILLI, Act::Fail)]),
            Script::new(1, (0..9).map(|n| (n * MILLI, Act::Read(0))).collect()),
        ];
        let mut world = world(scripts, plain(), 1, jobs);
        let mut errors = Vec::new();
        while world.now().0 < SECOND {
            errors.extend(
                world
                    .step(VirtTime(SECOND))
                    .err()
                    .map(|error| error.to_string()),
            );
        }
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("node `n0`: "), "{errors:?}");
        assert_eq!(world.status(0), Some(Status::Down));
        assert_eq!(texts(&mut world, 1).len(), 9);
    }
}

#[test]
#[should_panic(expected = "scripted")]
fn a_panic_on_another_thread_is_a_panic_here() {
    let busy = |index, act: Act| {
        let warm = (0..100).map(|n| (n * MICRO, Act::Flush));
        Script::new(index, warm.chain([(MILLI / 2, act)]).collect())
    };
    let scripts = vec![
        busy(0, Act::Panic),
        busy(1, Act::Panic),
        busy(2, Act::Flush),
    ];
    let mut world = world(scripts, plain(), 1, 3);
    for moment in 1..200 {
        world.step(VirtTime(moment * 5 * MICRO)).unwrap();
    }
}
