//! Boots that are executed once, against boots that each life executes: nothing may differ.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chaosrun::artifact::node_image::NodeImage;
use chaosrun::plan::Compiled;
use chaosrun::run::compare::difference;
use chaosrun::run::{Setup, Unwatched, run_with_jumps};
use chaosrun_vmm::machine::{
    Beginning, Begun, Input, Machine, MachineConfig, MachineEvent, Output, OutputKind,
};
use chaosrun_vmm::tape::{Stream, Tape};
use chaosrun_vmm::time::VirtTime;
use chaosrun_vmm::world::{
    BootFiles, Boots, BootsCounters, Chance, Checkpoint, Command, World, WorldEvent,
};
use serde_json::Value;

use crate::pair::{MILLI, compiled, forked, images, run_with, told_by, world};

/// Nodes that are alike, of which one has a second life.
const ALIKE: &str = r#"
scenario "alike" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args "random" }
    node "n1" "n2" { guest "observer"; memory "64MiB"; }
    faults { at "50ms" { kill "n1" restart-after="20ms" } }
    run duration="300ms" seed=1
}"#;

/// The random numbers that programs got from their kernels with a seed, in the order of lives.
fn random_numbers(seed: u64, boots: &Boots) -> Vec<String> {
    let mut compiled = compiled(ALIKE);
    compiled.plan.run.seed_first = seed;
    let outcome = run_with(&compiled, &images(ALIKE, &compiled), boots);
    let told = ["n1", "n2"].map(|node| told_by(&outcome, node, "random"));
    let number = |(_, details): &(u64, Value)| details["number"].to_string();
    told.iter().flatten().map(number).collect()
}

#[test]
fn each_life_has_random_numbers_of_its_own_whatever_it_shares_with_others() {
    let boots = Boots::once(None);
    let first = random_numbers(1, &boots);
    let second = random_numbers(2, &boots);
    assert_eq!(boots.counters().executed, 1, "they are alike");
    let different: BTreeSet<&String> = first.iter().chain(&second).collect();
    assert_eq!(different.len(), 6, "{first:?} {second:?}");
    assert_eq!(random_numbers(1, &Boots::fresh()), first);
}

/// Runs a machine and what stands for it side by side. Returns at how many moments all vCPUs idled.
fn side_by_side(image: &NodeImage, vcpus: u32, rate: u64) -> u32 {
    let config = MachineConfig {
        memory: 128 << 20,
        initrd: Some(&image.initrd),
        cmdline: image.cmdline.clone(),
        identity: image.identity.clone(),
        control: true,
        entropy: true,
        external_input: true,
        vcpus,
        rate,
        ..MachineConfig::new(&image.kernel)
    };
    let recorded = Beginning::record(&config).expect("the engine works");
    let recorded = recorded.expect("init asks who it is");
    let mut begun = Begun::new(&config, Arc::new(recorded));
    let mut machine = Machine::new(&config).expect("the machine can be made");
    let mut stream = Tape::new(rate).stream("moments");
    let (mut moment, mut idle, mut busy) = (0, 0, 0);
    let (mut shown, mut expected) = (String::new(), String::new());
    loop {
        moment += 1 + stream.below(MILLI / 10);
        machine
            .run_until(VirtTime(moment))
            .expect("the engine works");
        if !begun.advance(VirtTime(moment)) {
            break;
        }
        assert_eq!(begun.now(), machine.now());
        assert_eq!(begun.retired(), machine.retired());
        assert_eq!(begun.next_event(), machine.next_event(), "at {moment}");
        match begun.next_event() {
            Some(_) => idle += 1,
            None => busy += 1,
        }
        assert_eq!(begun.components(), machine.components(false).unwrap());
        shown += &console(begun.take_outputs());
        expected += &console(machine.take_outputs());
        assert_eq!(shown, expected);
    }
    assert!(busy > 30, "only {busy} moments");
    let mut begun = begun.into_machine(&config).expect("it can be made");
    for _ in 0..20 {
        begun.run_until(VirtTime(moment)).expect("the engine works");
        machine
            .run_until(VirtTime(moment))
            .expect("the engine works");
        let hashes = [&mut begun, &mut machine].map(|machine| machine.state_hash().unwrap());
        assert_eq!(hashes[0].differences(&hashes[1]), [""; 0]);
        shown += &console(begun.take_outputs());
        expected += &console(machine.take_outputs());
        assert_eq!(shown, expected);
        moment += MILLI;
    }
    idle
}

/// What a console showed.
fn console(outputs: Vec<Output>) -> String {
    let text = |output: Output| match output.kind {
        OutputKind::Event(MachineEvent::Console(bytes)) => {
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    };
    outputs.into_iter().map(text).collect()
}

#[test]
fn what_stands_for_a_machine_is_like_it_at_each_moment() {
    let image = |text: &str| images(text, &compiled(text))[0].clone();
    // An instruction takes a part of a nanosecond more than one.
    side_by_side(&image(ALIKE), 2, 700);
    // Debian's kernel waits while it boots.
    let debian = ALIKE.replace("tiny", "debian");
    assert!(side_by_side(&image(&debian), 1, 1000) > 10);
}

/// Lives that end in their boots, clocks that are off, and whatever reaches a machine that boots.
const LIVES: &str = r#"
scenario "lives" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args "watch" "n1" }
    guest "crier" crate="observer" { args "shout" "n1" }
    network "lan"
    node "n1" {
        guest "observer" { env LONG="DESCRIPTION"; }
        memory "64MiB"
        disk "data" size="16MiB" filesystem="ext4" mount="/data"
        network "lan"
    }
    node "n2" {
        guest "observer"
        memory "64MiB"
        disk "data" size="16MiB" filesystem="ext4" mount="/data"
        network "lan"
        clock skew="1234567ns" drift="50ppm"
    }
    node "n3" {
        guest "observer"
        memory "64MiB"
        vcpus 2
        interleave "random" min=1000 max=90000
        disk "data" size="16MiB"
        network "lan"
        clock drift="-20ppm"
        tag "last"
    }
    // Whose frames come while the others boot.
    node "n4" { guest "crier"; memory "64MiB"; network "lan"; }
    faults {
        at "50ms" { kill "n1" restart-after="20ms" }
        at "80ms" { irq "n1" line=16 }
        at "85ms" { clock-jump "n1" by="2s" }
        at "60ms" { power-loss "n3" restart-after="35ms" }
        at "105ms" { kill "n3" restart-after="10ms" }
        at "120ms" { disk-slow "data" tag="last" by="1ms..3ms" for="300ms" }
        at "150ms" { kill "n2" restart-after="50ms" }
        at "210ms" { pause "n2" for="60ms" }
        at "350ms" { kill "n2" restart-after="10ms" }
        at "370ms" { clock-skew "n2" by="50ms" for="100ms" }
        at "400ms" { kill "n1" restart-after="10ms" }
        at "420ms" { delayed-timer "n1" by="1ms" for="300ms" }
        at "500ms" { kill "n3" restart-after="1ms" }
        at "510ms" { throttle "n3" to="50%" for="200ms" }
    }
    run duration="2s" seed=1
}"#;

/// The plan of these lives, with a description of a node that is longer than what init asks for at once.
fn lives() -> Compiled {
    compiled(&LIVES.replace("DESCRIPTION", &"long ".repeat(2000)))
}

#[test]
fn runs_are_the_same_whether_boots_are_executed_again_or_not() {
    let compiled = lives();
    let images = images(LIVES, &compiled);
    let boots = Boots::once(None);
    let fresh = run_with(&compiled, &images, &Boots::fresh());
    let once = run_with(&compiled, &images, &boots);
    assert_eq!(difference(&fresh, &once), None);
    let counters = boots.counters();
    // Two of the nodes are alike. Lives: four first ones, and six that faults begin.
    assert_eq!(counters.executed, 3);
    assert!(counters.begun >= 10, "{counters:?}");
    let problems: Vec<_> = fresh
        .judgements
        .iter()
        .filter(|j| j.failure.is_some())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn runs_that_are_dropped_and_put_back_come_to_the_same() {
    let compiled = lives();
    let images = images(LIVES, &compiled);
    let boots = Boots::once(None);
    let whole = run_with(&compiled, &images, &Boots::fresh());
    let tape = Tape::new(compiled.plan.run.seed_first);
    let mut all = 0;
    for number in 0..4 {
        let mut choices = Tape::new(number).stream("jumps");
        let setup = Setup {
            plan: &compiled.plan,
            tape: &tape,
            world: world(&compiled, &images, &tape, &boots),
        };
        let fork = |from: &Checkpoint| Ok(forked(&compiled, &images, &tape, &boots, from));
        let run = run_with_jumps(setup, &fork, &mut choices, &mut Unwatched);
        let (outcome, jumps) = run.expect("the world works");
        assert_eq!(difference(&whole, &outcome), None, "round {number}");
        all += jumps;
    }
    assert!(all >= 8, "only {all} jumps");
}

/// Files in memory.
#[derive(Default)]
struct Kept(
    Mutex<std::collections::BTreeMap<String, Vec<u8>>>,
    Mutex<Vec<String>>,
);

/// The same, to be given away.
struct Shared(Arc<Kept>);

impl BootFiles for Shared {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        self.0.0.lock().unwrap().get(name).cloned()
    }

    fn begin(&self, _name: &str) {}

    fn store(&self, name: &str, bytes: &[u8]) {
        let mut files = self.0.0.lock().unwrap();
        files.insert(name.to_owned(), bytes.to_vec());
    }

    fn refuse(&self, name: &str, why: &str) {
        let mut refused = self.0.1.lock().unwrap();
        refused.push(why.to_owned());
        self.0.0.lock().unwrap().remove(name);
    }
}

#[test]
fn a_boot_of_another_image_is_refused() {
    let compiled = lives();
    let images = images(LIVES, &compiled);
    let kept = Arc::new(Kept::default());
    let run = || {
        let boots = Boots::once(Some(Box::new(Shared(Arc::clone(&kept)))));
        (run_with(&compiled, &images, &boots), boots.counters())
    };
    let (first, _) = run();
    let swapped = || {
        let mut files = kept.0.lock().unwrap();
        let (names, contents): (Vec<_>, Vec<_>) = files.clone().into_iter().unzip();
        assert_eq!(names.len(), 3);
        let (first, others) = contents.split_at(1);
        let turned = others.iter().chain(first).cloned();
        *files = names.into_iter().zip(turned).collect();
    };
    swapped();
    let (second, counters) = run();
    assert_eq!(difference(&first, &second), None);
    assert_eq!((counters.executed, counters.loaded), (3, 0));
    assert_eq!(kept.1.lock().unwrap().len(), 3);
}

const SHORT: &str = r#"
scenario "short" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args "watch" "n1" }
    node "n1" { guest "observer"; memory "64MiB" }
    run duration="200ms" seed=1
}"#;

#[test]
fn files_of_boots_are_used_and_damaged_ones_are_refused() {
    let compiled = compiled(SHORT);
    let images = images(SHORT, &compiled);
    let kept = Arc::new(Kept::default());
    let run = || {
        let boots = Boots::once(Some(Box::new(Shared(Arc::clone(&kept)))));
        (run_with(&compiled, &images, &boots), boots.counters())
    };
    let counters = |executed, loaded| BootsCounters {
        executed,
        loaded,
        begun: 1,
    };
    let fresh = run_with(&compiled, &images, &Boots::fresh());
    let (first, executed) = run();
    assert_eq!(
        (difference(&fresh, &first), executed),
        (None, counters(1, 0))
    );
    let good = kept.0.lock().unwrap().clone();
    let (second, loaded) = run();
    assert_eq!(
        (difference(&fresh, &second), loaded),
        (None, counters(0, 1))
    );

    let mut stream = Tape::new(3).stream("damage");
    for round in 0..12 {
        *kept.0.lock().unwrap() = good.clone();
        for bytes in kept.0.lock().unwrap().values_mut() {
            let at = stream.below(bytes.len() as u64) as usize;
            match round {
                // The front has magic bytes, the version and the hash.
                0 => bytes[3] ^= 1,
                1 => bytes[8] ^= 4,
                2 => bytes[40] ^= 1,
                3 => bytes.clear(),
                4..8 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << stream.below(8),
            }
        }
        let (again, counted) = run();
        assert_eq!(
            (difference(&fresh, &again), counted),
            (None, counters(1, 0))
        );
        assert_eq!(
            kept.1.lock().unwrap().len(),
            round + 1,
            "each is refused by name"
        );
    }
}

/// What a world shows at a moment: its state hash, and what happened since the one before.
#[derive(PartialEq, Eq)]
struct Shown {
    chain: u128,
    instructions: u64,
    events: Vec<WorldEvent>,
}

type Moment = (u64, Vec<Command>);

fn pass(world: &mut World, (time, commands): &Moment) -> Shown {
    while world.now().0 < *time {
        world.step(VirtTime(*time)).expect("the engines work");
    }
    let shown = Shown {
        chain: world.state_hash().unwrap().chain,
        instructions: world.retired(),
        events: lines(world.take_events()),
    };
    for command in commands {
        world.command(command.clone()).unwrap();
    }
    shown
}

/// Console output that was taken in one piece or in several is the same.
fn lines(events: Vec<WorldEvent>) -> Vec<WorldEvent> {
    use chaosrun_vmm::machine::MachineEvent::Console;
    use chaosrun_vmm::world::WorldEventKind::Machine;
    let mut joined: Vec<WorldEvent> = Vec::new();
    for event in events {
        let node = event.node;
        let last = joined.iter_mut().rev().find(|other| other.node == node);
        match (last.map(|last| &mut last.kind), &event.kind) {
            (Some(Machine(Console(line))), Machine(Console(more))) if !line.ends_with(b"\n") => {
                line.extend_from_slice(more);
            }
            _ => joined.push(event),
        }
    }
    joined
}

/// Moments of which many are in boots, with what is done then.
fn schedule(stream: &mut Stream) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    let mut time = 0;
    while time < 900 * MILLI {
        time += 1 + stream.below(30 * MILLI);
        let node = stream.below(3) as usize;
        let commands = match stream.below(12) {
            0 | 1 => vec![
                Command::PowerLoss {
                    node,
                    torn: Chance::ALWAYS,
                },
                Command::Start { node },
            ],
            2 => vec![Command::Pause { node }],
            3 | 4 => vec![Command::Resume { node }],
            5 => vec![Command::MoveWall {
                node,
                moved_ns: stream.below(1 << 40) as i64,
            }],
            6 => vec![Command::Drift {
                node,
                ppb: stream.below(100_000) as i64 - 50_000,
            }],
            7 => vec![Command::Input {
                node,
                input: Input::Irq { line: 16 },
            }],
            8 => vec![Command::Control {
                node,
                bytes: b"\n".to_vec(),
            }],
            _ => Vec::new(),
        };
        moments.push((time, commands));
    }
    moments
}

#[test]
fn worlds_of_begun_lives_go_back_and_fork_like_others() {
    rounds(1..4);
}

#[test]
#[ignore = "a campaign of an hour"]
fn a_thousand_worlds_of_kernels_go_back_and_fork_like_others() {
    rounds(1000..2000);
}

/// Runs worlds of kernels with these seeds without stopping, and once more with jumps.
fn rounds(seeds: std::ops::Range<u64>) {
    let compiled = lives();
    let images = images(LIVES, &compiled);
    let boots = Boots::once(None);
    for seed in seeds {
        let tape = Tape::new(seed);
        let mut stream = Tape::new(seed).stream("boots");
        let schedule = schedule(&mut stream);
        let mut fresh = world(&compiled, &images, &tape, &Boots::fresh());
        let expected: Vec<Shown> = schedule.iter().map(|m| pass(&mut fresh, m)).collect();
        let counters = fresh.counters();

        let mut world = world(&compiled, &images, &tape, &boots);
        let mut kept: Vec<(usize, Checkpoint)> = Vec::new();
        let (mut at, mut jumps) = (0, 0);
        while at < schedule.len() {
            let shown = pass(&mut world, &schedule[at]);
            let place = (seed, at, schedule[at].0, jumps);
            assert_eq!(shown.instructions, expected[at].instructions, "{place:?}");
            assert!(shown.events == expected[at].events, "{place:?}");
            assert_eq!(shown.chain, expected[at].chain, "{place:?}");
            at += 1;
            if stream.below(2) == 0 {
                kept.push((at, world.checkpoint().unwrap()));
            }
            if jumps < 12 && !kept.is_empty() && stream.below(3) == 0 {
                jumps += 1;
                let (to, checkpoint) = &kept[stream.below(kept.len() as u64) as usize];
                if stream.below(2) == 0 {
                    world.restore(checkpoint).unwrap();
                } else {
                    world = forked(&compiled, &images, &tape, &boots, checkpoint);
                }
                at = *to;
            }
        }
        assert!(jumps >= 6, "only {jumps} jumps");
        assert!(world.counters() == counters);
    }
}
