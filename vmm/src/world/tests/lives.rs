//! Nodes that are killed, restarted, paused, slowed down and whose clocks run wrong.

use super::*;
use crate::disk::{DiskFault, DiskFaultKind};

/// A node that reads a sector at once and writes it later, with and without a flush.
fn writer() -> Script {
    let acts = vec![
        (0, Act::Read(0)),
        (0, Act::Read(1)),
        (10 * MICRO, Act::Write(0, 5)),
        (20 * MICRO, Act::Flush),
        (30 * MICRO, Act::Write(1, 6)),
    ];
    Script::new(0, acts)
}

/// What a node reads after `command` (and a start), having written a sector with a flush and one
/// without.
fn read_after(command: Command) -> Vec<String> {
    let mut world = world(vec![writer()], plain(), 1, 1);
    run_to(&mut world, MILLI);
    messages(&mut world);
    world.command(command).unwrap();
    run_to(&mut world, 2 * MILLI);
    if world.status(0) == Some(Status::Down) {
        world.command(Command::Start { node: 0 }).unwrap();
    }
    run_to(&mut world, 2 * MILLI + 5 * MICRO);
    texts(&mut world, 0).split_off(0)
}

#[test]
fn killed_nodes_keep_what_was_flushed_and_nothing_else() {
    let read = read_after(Command::Kill { node: 0 });
    assert_eq!(read, ["read Ok(()) 5 512", "read Ok(()) 0 0"]);
}

#[test]
fn reset_nodes_keep_what_the_disk_had_taken() {
    let read = read_after(Command::Start { node: 0 });
    assert_eq!(read[..2], ["read Ok(()) 5 512", "read Ok(()) 6 512"]);
}

#[test]
fn power_loss_keeps_parts_of_what_was_not_flushed_only_when_it_tears() {
    let power_loss = |torn| read_after(Command::PowerLoss { node: 0, torn });
    assert_eq!(
        power_loss(Chance::new(0, 1)),
        ["read Ok(()) 5 512", "read Ok(()) 0 0"]
    );
    // The only unflushed page has one written sector, so that the part is all of it.
    assert_eq!(
        power_loss(Chance::new(1, 1)),
        ["read Ok(()) 5 512", "read Ok(()) 6 512"]
    );
}

#[test]
fn a_power_loss_after_a_kill_finds_nothing_more_to_lose() {
    let mut world = world(vec![writer()], plain(), 1, 1);
    run_to(&mut world, MILLI);
    world.command(Command::Kill { node: 0 }).unwrap();
    let torn = Chance::ALWAYS;
    world.command(Command::PowerLoss { node: 0, torn }).unwrap();
    world.command(Command::Start { node: 0 }).unwrap();
    messages(&mut world);
    run_to(&mut world, MILLI + 5 * MICRO);
    assert_eq!(texts(&mut world, 0)[1], "read Ok(()) 0 0");
    assert_eq!(world.counters().nodes[0].kills, 1);
}

#[test]
fn lives_are_told_and_each_begins_where_the_clock_is() {
    let script = Script::new(0, vec![(100, Act::Stop(Stop::PowerOff))]);
    let calls = Arc::clone(&script.calls);
    let mut world = world(vec![script], plain(), 1, 1);
    run_to(&mut world, MILLI);
    world.command(Command::Start { node: 0 }).unwrap();
    run_to(&mut world, 2 * MILLI);
    let events: Vec<(u64, WorldEventKind)> = world
        .take_events()
        .into_iter()
        .map(|event| (event.time.0, event.kind))
        .collect();
    let expected = [
        (0, WorldEventKind::Started),
        (100, WorldEventKind::Stopped(Stop::PowerOff)),
        (MILLI, WorldEventKind::Started),
        (MILLI + 100, WorldEventKind::Stopped(Stop::PowerOff)),
    ];
    assert_eq!(events, expected);
    assert_eq!(world.status(0), Some(Status::Down));
    let counters = world.counters().nodes.remove(0);
    assert_eq!((counters.starts, counters.stops, counters.kills), (2, 2, 0));
    let calls = calls.lock().unwrap();
    assert!(
        calls.contains(&"life 0 at 0".to_owned())
            && calls.contains(&"life 1 at 1000000".to_owned())
    );
}

/// A talker that sends a frame to node 1 every 100 µs.
fn talker() -> Script {
    let send = |n: u64| {
        let bytes = frame(mac(1), mac(0), &[n as u8]);
        (n * 100 * MICRO, Act::Send(0, bytes))
    };
    Script::new(0, (1..=100).map(send).collect())
}

#[test]
fn frames_to_a_node_that_is_down_are_dropped_and_counted() {
    let mut world = world(vec![talker(), Script::new(1, vec![])], plain(), 1, 1);
    run_to(&mut world, 3 * MILLI);
    world.command(Command::Kill { node: 1 }).unwrap();
    run_to(&mut world, 6 * MILLI);
    world.command(Command::Start { node: 1 }).unwrap();
    run_to(&mut world, 20 * MILLI);
    let got = texts(&mut world, 1).len() as u64;
    let counters = world.counters().networks[0].links[0].counters;
    assert_eq!(counters.sent, 100);
    assert_eq!(counters.delivered, got);
    assert_eq!((counters.dropped_receiver, got), (30, 70));
}

#[test]
fn a_paused_node_does_nothing_and_then_gets_what_came_at_once() {
    let mut world = world(
        vec![talker(), Script::new(1, vec![(4 * MILLI, Act::Read(0))])],
        plain(),
        1,
        1,
    );
    run_to(&mut world, 3 * MILLI);
    world.command(Command::Pause { node: 1 }).unwrap();
    world.command(Command::Pause { node: 1 }).unwrap();
    messages(&mut world);
    let bytes = b"hello".to_vec();
    world.command(Command::Control { node: 1, bytes }).unwrap();
    run_to(&mut world, 6 * MILLI);
    assert!(messages(&mut world).is_empty());
    assert_eq!(world.status(1), Some(Status::Paused));
    world.command(Command::Resume { node: 1 }).unwrap();
    world.command(Command::Resume { node: 1 }).unwrap();
    run_to(&mut world, 6 * MILLI + 50 * MICRO);
    let messages = messages(&mut world);
    assert!(messages.iter().all(|message| message.0 >= 6 * MILLI));
    // The control message, 30 frames, a timer that is late, and a frame that comes afterwards.
    assert_eq!(messages.len(), 33);
    assert!(
        messages
            .iter()
            .any(|message| message.2 == "control hello at 6000000")
    );
    assert!(messages.iter().any(|message| message.2.starts_with("read")));
    assert_eq!(world.counters().nodes[1].pauses, 1);
    run_to(&mut world, SECOND);
    // None is lost: 19 came before, and 31 are above.
    assert_eq!(texts(&mut world, 1).len(), 50);
}

#[test]
fn what_waits_for_a_paused_node_is_bounded() {
    let flood = |n: u64| {
        (
            n * 10 * MICRO,
            Act::Send(0, frame(mac(1), mac(0), &[1; 1400])),
        )
    };
    let flooder = Script::new(0, (0..2000).map(flood).collect());
    let mut world = world(vec![flooder, Script::new(1, vec![])], plain(), 1, 1);
    world.command(Command::Pause { node: 1 }).unwrap();
    run_to(&mut world, SECOND);
    world.command(Command::Resume { node: 1 }).unwrap();
    run_to(&mut world, 2 * SECOND);
    let got = texts(&mut world, 1).len() as u64;
    let counters = world.counters();
    assert!((700..=1000).contains(&got), "{got}");
    assert_eq!(counters.nodes[1].inputs_lost, 2000 - got);
    assert_eq!(
        counters.networks[0].links[0].counters.dropped_receiver,
        2000 - got
    );
}

#[test]
fn a_killed_node_forgets_what_waited_for_it() {
    let mut world = world(vec![Script::new(0, vec![])], plain(), 1, 1);
    world.command(Command::Pause { node: 0 }).unwrap();
    let bytes = b"old".to_vec();
    world.command(Command::Control { node: 0, bytes }).unwrap();
    world.command(Command::Kill { node: 0 }).unwrap();
    world.command(Command::Start { node: 0 }).unwrap();
    run_to(&mut world, MILLI);
    world.command(Command::Resume { node: 0 }).unwrap();
    run_to(&mut world, 2 * MILLI);
    assert!(texts(&mut world, 0).is_empty());
}

#[test]
fn drift_moves_what_a_node_does_in_world_time_and_back() {
    let script = Script::new(
        0,
        (0..10).map(|n| (n * 100 * MILLI, Act::Read(0))).collect(),
    );
    let mut world = world(vec![script], plain(), 1, 1);
    run_to(&mut world, 50 * MILLI);
    world
        .command(Command::Drift {
            node: 0,
            ppb: 250_000_000,
        })
        .unwrap();
    run_to(&mut world, 450 * MILLI);
    // 400 ms of the world were 500 ms of the node.
    assert_eq!(world.local_time(0), Some(VirtTime(550 * MILLI)));
    world.command(Command::Drift { node: 0, ppb: 0 }).unwrap();
    run_to(&mut world, SECOND);
    let times: Vec<u64> = messages(&mut world)
        .iter()
        .map(|message| message.0 / MICRO / 100)
        .collect();
    let expected = [0, 900, 1700, 2500, 3300, 4100, 5000, 6000, 7000, 8000];
    assert_eq!(times, expected);
}

#[test]
fn frames_reach_a_node_whose_clock_drifts_at_the_right_moment_of_the_world() {
    for ppb in [-900_000_000, -333_333, 1, 77_777_777, 9_000_000_000] {
        let mut world = world(vec![talker(), Script::new(1, vec![])], plain(), 1, 1);
        world.command(Command::Drift { node: 1, ppb }).unwrap();
        run_to(&mut world, 20 * MILLI);
        let messages = messages(&mut world);
        assert_eq!(messages.len(), 100);
        for (index, (time, ..)) in messages.iter().enumerate() {
            let sent = (index as u64 + 1) * 100 * MICRO;
            let arrival = sent + MILLI;
            assert!(
                (arrival..arrival + 200).contains(time),
                "{ppb}: {time} {arrival}"
            );
        }
    }
}

#[test]
fn a_restarted_node_is_still_throttled_and_its_timers_still_late() {
    let script = Script::new(0, vec![]);
    let calls = Arc::clone(&script.calls);
    let mut world = world(vec![script], plain(), 1, 1);
    let throttle = |num, den| Command::Throttle { node: 0, num, den };
    for command in [
        throttle(1, 4),
        Command::DelayTimers { node: 0, by_ns: 99 },
        Command::Kill { node: 0 },
        Command::Start { node: 0 },
        throttle(1, 1),
        throttle(0, 5),
        throttle(5, 0),
    ] {
        world.command(command).unwrap();
    }
    let calls = calls.lock().unwrap().join(", ");
    let expected = "life 0 at 0, rate 250, delay 99, life 1 at 0, delay 99, rate 250, \
                    rate 1000, rate 1, rate 1";
    assert_eq!(calls, expected);
}

#[test]
fn a_date_that_faults_have_moved_is_that_of_each_life_also_if_it_is_moved_in_between() {
    let script = Script::new(0, vec![]);
    let calls = Arc::clone(&script.calls);
    let mut world = world(vec![script], plain(), 1, 1);
    let moved = |moved_ns| Command::MoveWall { node: 0, moved_ns };
    for command in [
        moved(7),
        Command::Start { node: 0 },
        Command::Kill { node: 0 },
        moved(-3),
        Command::Start { node: 0 },
        Command::Kill { node: 0 },
        moved(0),
        Command::Start { node: 0 },
    ] {
        world.command(command).unwrap();
    }
    let calls = calls.lock().unwrap();
    let expected = [
        "life 0 at 0",
        "date moved by 7",
        "life 1 at 0",
        "date moved by 7",
        "life 2 at 0",
        "date moved by -3",
        "life 3 at 0",
    ];
    let lives = calls.iter().filter(|call| !call.starts_with("delay"));
    assert!(lives.eq(expected.iter()), "{calls:?}");
}

#[test]
fn no_command_is_lost_by_a_node_that_stands_still() {
    let mut world = world(vec![Script::new(0, vec![])], plain(), 1, 1);
    world.command(Command::Pause { node: 0 }).unwrap();
    let junk = Input::Frame {
        nic: 0,
        bytes: vec![0; 1 << 19],
    };
    for _ in 0..5 {
        let input = junk.clone();
        world.command(Command::Input { node: 0, input }).unwrap();
    }
    let bytes = b"end".to_vec();
    world.command(Command::Control { node: 0, bytes }).unwrap();
    world.command(Command::Resume { node: 0 }).unwrap();
    run_to(&mut world, MILLI);
    let texts = texts(&mut world, 0);
    assert!(
        texts.iter().any(|text| text == "control end at 0"),
        "{texts:?}"
    );
    assert_eq!(world.counters().nodes[0].inputs_lost, 3);
}

#[test]
fn disk_faults_are_armed_in_nodes_that_are_up_or_down() {
    let writes = (0..8).map(|n| (n * MILLI, Act::Write(0, 1))).collect();
    let mut world = world(vec![Script::new(0, writes)], plain(), 1, 1);
    let arm = |id| Command::ArmDisk {
        node: 0,
        disk: 0,
        id,
        fault: DiskFault::always(DiskFaultKind::WriteError),
    };
    let disarm = |id| Command::DisarmDisk {
        node: 0,
        disk: 0,
        id,
    };
    run_to(&mut world, MILLI);
    world.command(arm(3)).unwrap();
    run_to(&mut world, 2 * MILLI);
    world.command(disarm(3)).unwrap();
    run_to(&mut world, 3 * MILLI);
    world.command(Command::Kill { node: 0 }).unwrap();
    world.command(arm(4)).unwrap();
    world.command(Command::Start { node: 0 }).unwrap();
    run_to(&mut world, 4 * MILLI);
    world.command(disarm(4)).unwrap();
    run_to(&mut world, 5 * MILLI);
    let (good, bad) = ("write Ok(())", "write Err(IoError)");
    assert_eq!(texts(&mut world, 0), [good, bad, good, bad, good]);
    assert_eq!(world.counters().nodes[0].disks[0].write_errors, 2);
}

#[test]
fn commands_for_nodes_disks_and_networks_that_there_are_not_do_nothing() {
    let mut world = world(vec![Script::new(0, vec![])], plain(), 1, 1);
    let before = world.state_hash().unwrap().components;
    let fault = LinkFault {
        network: 9,
        from: vec![0],
        to: vec![7],
        kind: LinkFaultKind::Down,
    };
    let disk = DiskFault::always(DiskFaultKind::Full);
    for command in [
        Command::Kill { node: 5 },
        Command::Start { node: 5 },
        Command::ArmDisk {
            node: 0,
            disk: 4,
            id: 1,
            fault: disk,
        },
        Command::DisarmDisk {
            node: 0,
            disk: 4,
            id: 1,
        },
        Command::ArmLink { id: 1, fault },
        Command::DisarmLink { id: 99 },
        Command::Resume { node: 0 },
    ] {
        world.command(command).unwrap();
    }
    assert_eq!(world.state_hash().unwrap().components, before);
}

#[test]
fn interrupts_and_control_bytes_reach_the_machine_now() {
    let mut world = world(vec![Script::new(0, vec![])], plain(), 1, 1);
    run_to(&mut world, 12_345);
    for input in [
        Input::Irq { line: 4 },
        Input::Nmi { vcpu: 0 },
        Input::TimerNow { vcpu: 0 },
    ] {
        world.command(Command::Input { node: 0, input }).unwrap();
    }
    run_to(&mut world, MILLI);
    let texts = texts(&mut world, 0);
    assert!(
        texts.len() == 3 && texts.iter().all(|text| text.ends_with("at 12345")),
        "{texts:?}"
    );
}

#[test]
fn caveats_are_those_of_all_machines_whether_they_are_on_or_not() {
    let scripts = vec![Script::new(0, vec![]), Script::new(1, vec![])];
    let mut world = world(scripts, plain(), 1, 1);
    world.command(Command::Kill { node: 0 }).unwrap();
    let scripted = "it is scripted".to_owned();
    assert_eq!(world.caveats(), [(0, scripted.clone()), (1, scripted)]);
}

/// What a node remembers of its lives, after these commands at one moment.
fn life_after(acts: Vec<(u64, Act)>, commands: Vec<Command>) -> u128 {
    let mut world = world(vec![Script::new(0, acts)], plain(), 1, 1);
    run_to(&mut world, MILLI);
    for command in commands {
        world.command(command).unwrap();
    }
    run_to(&mut world, 2 * MILLI);
    let parts = world.state_hash().unwrap().components;
    let life = parts.into_iter().find(|part| part.name == "n0/life");
    life.expect("every node has one").digest
}

#[test]
fn histories_whose_counters_have_the_same_sum_hash_differently() {
    let (kill, start) = (Command::Kill { node: 0 }, Command::Start { node: 0 });
    let (pause, resume) = (Command::Pause { node: 0 }, Command::Resume { node: 0 });
    let killed = vec![kill, start.clone()];
    let paused = vec![start.clone(), pause, resume];
    let by_itself = vec![(100, Act::Stop(Stop::PowerOff))];
    let lives = [
        life_after(Vec::new(), killed),
        life_after(Vec::new(), paused),
        // Both have begun twice and were killed once; the first life of one ended by itself.
        life_after(by_itself, vec![start.clone(), Command::Kill { node: 0 }]),
        life_after(Vec::new(), vec![start, Command::Kill { node: 0 }]),
    ];
    for (index, life) in lives.iter().enumerate() {
        assert!(
            !lives[..index].contains(life),
            "history {index} of {lives:x?}"
        );
    }
}
