//! Programs outside a machine write lines of JSON. Each test runs this test program again as the
//! program under test, with an environment of its own.

use std::path::Path;
use std::process::Command;

use chaosrun_sdk::*;
use serde_json::{Value, json};

/// Runs the test `program` of this file with the output in `file`, and gives the lines of the file.
fn lines_of(program: &str, file: &Path, times: usize) -> Vec<Value> {
    let children: Vec<_> = (0..times)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", program])
                .env("CHAOSRUN_SDK_LOCAL_OUTPUT", file)
                .env("CHAOSRUN_SDK_LOCAL_SEED", "7")
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The assertions with this message, without those of the catalogue.
fn hits<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .map(|line| &line["antithesis_assert"])
        .filter(|assert| assert["message"] == message && assert["hit"] == true)
        .collect()
}

#[test]
#[ignore = "the program of other tests"]
fn tour() {
    assert_eq!(init(), Connection::File);
    lifecycle::setup_complete(&json!({"role": "tour"}));
    for n in 0..100u32 {
        assert_always!(n < 1000, "always holds", &json!({ "n": n }));
        assert_always!(n < 10, "holds ten times", &json!({ "n": n }));
        assert_sometimes!(n == 50, "sometimes fifty", &json!({ "n": n }));
        assert_always_less_than!(n, 50, "less than fifty");
    }
    assert_always_or_unreachable!(true, "always or unreachable");
    assert_reachable!("reachable");
    if std::env::args().count() == 0 {
        assert_unreachable!("unreachable", &"never");
    }
    assert_sometimes_greater_than!(2.5, 1.5, "greater", &json!({"unit": "s"}));
    assert_always_some!({ left: false, right: true }, "one side", &json!({"a": 1}));
    assert_sometimes_all!({ left: false, right: true }, "both sides");
    lifecycle::send_event("snapshot-started", &json!({"index": 12}));
    publish("term", 4u64);
    publish("offset", -4i32);
    publish("leader", "n2");
    history::invoke("kv", 1, "write", Some("x"), &3);
    history::ok("kv", 1, "write", Some("x"), &3);
    drop(history::begin("kv", 2, "read", None, &()));
    assert!(!buggify!("outside chaosrun nothing is buggy"));
}

#[test]
fn messages_become_lines_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines_of("tour", &directory.path().join("out.jsonl"), 1);
    assert_eq!(lines[0]["antithesis_sdk"]["language"]["name"], "Rust");
    let rest: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("antithesis_assert").is_none())
        .skip(1)
        .collect();
    let expected = [
        json!({"antithesis_setup": {"status": "complete", "details": {"role": "tour"}}}),
        json!({"snapshot-started": {"index": 12}}),
        json!({"chaosrun_publish": {"key": "term", "value": 4}}),
        json!({"chaosrun_publish": {"key": "offset", "value": -4}}),
        json!({"chaosrun_publish": {"key": "leader", "value": "n2"}}),
        json!({"chaosrun_history": {"history": "kv", "process": 1, "op": "invoke", "f": "write",
            "key": "x", "value": 3}}),
        json!({"chaosrun_history": {"history": "kv", "process": 1, "op": "ok", "f": "write",
            "key": "x", "value": 3}}),
        json!({"chaosrun_history": {"history": "kv", "process": 2, "op": "invoke", "f": "read",
            "key": null, "value": null}}),
        json!({"chaosrun_history": {"history": "kv", "process": 2, "op": "info", "f": "read",
            "key": null, "value": null}}),
    ];
    assert_eq!(rest, expected.iter().collect::<Vec<_>>());
}

#[test]
fn catalogue_names_sites_that_are_never_reached() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines_of("tour", &directory.path().join("out.jsonl"), 1);
    let catalogue: Vec<&Value> = lines
        .iter()
        .map(|line| &line["antithesis_assert"])
        .filter(|assert| assert["hit"] == false)
        .collect();
    let site = |message: &str| {
        let mut sites = catalogue.iter().filter(|site| site["id"] == message);
        let site = sites.next().expect(message);
        assert!(sites.next().is_none(), "{message} is there twice");
        (
            site["display_type"].as_str().unwrap(),
            site["must_hit"].as_bool().unwrap(),
        )
    };
    assert_eq!(site("always holds"), ("Always", true));
    assert_eq!(
        site("always or unreachable"),
        ("AlwaysOrUnreachable", false)
    );
    assert_eq!(site("sometimes fifty"), ("Sometimes", true));
    assert_eq!(site("reachable"), ("Reachable", true));
    assert_eq!(site("unreachable"), ("Unreachable", false));
    assert_eq!(site("greater"), ("Sometimes", true));
    assert!(hits(&lines, "unreachable").is_empty());
    let location = &catalogue[0]["location"];
    assert_eq!(location["class"], "lines");
    assert!(
        location["file"]
            .as_str()
            .unwrap()
            .ends_with("tests/lines.rs")
    );
    assert!(location["begin_line"].as_u64().unwrap() > 1);
}

#[test]
fn first_success_and_first_failures_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines_of("tour", &directory.path().join("out.jsonl"), 1);
    let details = |message: &str, member: &str| -> Vec<(bool, u64)> {
        hits(&lines, message)
            .iter()
            .map(|hit| {
                let details = &hit["details"][member];
                (
                    hit["condition"].as_bool().unwrap(),
                    details.as_u64().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(details("always holds", "n"), [(true, 0)]);
    assert_eq!(details("sometimes fifty", "n"), [(false, 0), (true, 50)]);
    // The 1st to 8th failure, and then the 16th, 32nd and 64th.
    let failures = [10, 11, 12, 13, 14, 15, 16, 17, 25, 41, 73];
    let expected: Vec<_> = std::iter::once((true, 0))
        .chain(failures.map(|n| (false, n)))
        .collect();
    assert_eq!(details("holds ten times", "n"), expected);
    assert_eq!(details("less than fifty", "left")[0], (true, 0));
    assert_eq!(details("less than fifty", "left")[1], (false, 50));
    assert_eq!(
        hits(&lines, "greater")[0]["details"],
        json!({"left": 2.5, "right": 1.5, "unit": "s"})
    );
    let sides = json!({"left": false, "right": true, "a": 1});
    assert_eq!(hits(&lines, "one side")[0]["details"], sides);
    assert_eq!(hits(&lines, "both sides")[0]["condition"], false);
}

#[test]
#[ignore = "the program of other tests"]
fn crowd() {
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            scope.spawn(move || {
                for n in 0..200u64 {
                    publish(&"k".repeat(300), thread * 1000 + n);
                    assert_always!(true, "in a crowd");
                }
            });
        }
    });
}

#[test]
fn lines_of_threads_and_processes_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines_of("crowd", &directory.path().join("out.jsonl"), 3);
    let published = lines
        .iter()
        .filter(|line| line.get("chaosrun_publish").is_some());
    assert_eq!(published.count(), 3 * 8 * 200);
    assert_eq!(hits(&lines, "in a crowd").len(), 3);
}

#[test]
#[ignore = "the program of other tests"]
fn numbers() {
    publish("number", random::u64());
    publish("number", random::below(1 << 40));
}

#[test]
fn local_seed_makes_random_numbers_repeatable() {
    let directory = tempfile::tempdir().unwrap();
    let first = lines_of("numbers", &directory.path().join("1"), 1);
    let second = lines_of("numbers", &directory.path().join("2"), 1);
    assert_eq!(first, second);
    let value = |n: usize| first[first.len() - n]["chaosrun_publish"]["value"].clone();
    assert_ne!(value(1), value(2));
}

#[test]
fn without_chaosrun_and_without_a_file_nothing_happens() {
    assert_eq!(init(), Connection::None);
    assert_always!(false, "a failure that nobody hears");
    publish("nothing", 1u8);
    assert_ne!(random::u64(), random::u64());
}

#[test]
fn details_are_evaluated_only_when_they_are_sent() {
    let mut count = 0;
    for _ in 0..100 {
        assert_always!(true, "details are lazy", &{
            count += 1;
            count
        });
    }
    assert_eq!(count, 1);
}
