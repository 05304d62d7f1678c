//! A run depends on the scenario and the seed, and on nothing of the host.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::program::{PASSED, Place, Ran, cluster};

/// Faults, random numbers and traffic, so that there is something that could differ.
fn scenario() -> String {
    let more = r#"
    faults {
        random rate="20/s" from="network" for="10ms..50ms"
        at "100ms" { kill "calm" restart-after="50ms" }
        quiet "100ms"
    }
    run duration="500ms""#;
    let lossy = r#"latency="1ms" jitter="300us" loss="5%""#;
    let text = cluster("network calm", "speed 100", more);
    text.replace(r#"latency="1ms""#, lossy)
}

/// All that has to be equal.
fn facts(ran: &Ran) -> (String, u64, Vec<u8>, Vec<u8>) {
    ran.exits(PASSED);
    let run = &ran.report()["run"];
    let hash = run["state_hash"].as_str().expect("there is one").to_owned();
    let instructions = run["instructions"].as_u64().expect("a number");
    (
        hash,
        instructions,
        ran.file("events.jsonl"),
        ran.file("lan.pcapng"),
    )
}

#[test]
fn threads_folders_environment_and_load_make_no_difference_and_the_seed_does() {
    let text = scenario();
    let place = Place::new(&text);
    let reference = facts(&place.run(&[]));

    // The same folder again, in which the reports of the first run are, and two threads.
    assert!(facts(&place.run(&["--jobs", "2"])) == reference);

    // A thread for each node and more, with the second run beside the first, which has to end like it.
    let replayed = place.run(&["--jobs", "8", "--replay", "first"]);
    replayed.judges("replay-is-identical", "pass");
    assert!(facts(&replayed) == reference);

    // Several runs on two threads: whichever is the last has both of them.
    let seeds = place.run(&["--jobs", "2", "--seeds", "1..3"]);
    let hashes = seeds.exits(PASSED).reports().iter();
    let hashes: Vec<&serde_json::Value> =
        hashes.map(|report| &report["run"]["state_hash"]).collect();
    assert_eq!(hashes.len(), 3);
    assert!(
        hashes.contains(&&serde_json::json!(reference.0)),
        "{hashes:?}"
    );

    // Another folder, another environment, and processors that are busy with something else.
    let busy = AtomicBool::new(true);
    let elsewhere = Place::new(&text);
    let loaded = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let mut command = elsewhere.command(&["--jobs", "2"]);
        command.envs([
            ("TZ", "Pacific/Chatham"),
            ("LANG", "tr_TR.UTF-8"),
            ("LC_ALL", "tr_TR.UTF-8"),
            ("TERM", "dumb"),
            ("COLUMNS", "40"),
            ("USER", "somebody"),
            ("PWD", "/"),
            ("RUST_BACKTRACE", "1"),
            ("SOURCE_DATE_EPOCH", "1"),
        ]);
        let ran = elsewhere.ran(&mut command);
        busy.store(false, Ordering::Relaxed);
        ran
    });
    assert!(facts(&loaded) == reference);

    let other = facts(&place.run(&["--seed", "7"]));
    assert_ne!(other.0, reference.0);
    assert_ne!(other.2, reference.2);
}
