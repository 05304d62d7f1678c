//! The options that choose what runs, and how often.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::program::{NOTHING_SELECTED, PASSED, PROPERTY_FAILED, Place, Ran, cluster, unjudged};

const SHORT: &str = r#"run duration="50ms""#;

/// A scenario of four variants.
fn variants() -> Place {
    let more = r#"matrix { axis "network.lan.loss" "0%" "1%" "2%" "3%"; }; run duration="50ms""#;
    Place::new(&unjudged(&cluster("exit 0", "", more)))
}

/// A scenario that passes at once.
fn passing() -> Place {
    Place::new(&unjudged(&cluster("exit 0", "", SHORT)))
}

/// What each report is about: the variant and the seed.
fn ran(ran: &Ran) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reports = ran.reports().iter();
    let names = reports.map(|report| {
        (
            text(&report["run"]["variant"]),
            text(&report["run"]["seed"]),
        )
    });
    names.collect()
}

fn replays(ran: &Ran) -> Vec<bool> {
    let reports = ran.reports().iter();
    let judged = |report: &Value| {
        let properties = report["properties"].as_array().expect("a list");
        let replay = properties
            .iter()
            .find(|p| p["kind"] == "replay-is-identical");
        replay
            .inspect(|p| assert_eq!(p["verdict"], "pass", "{p:#}"))
            .is_some()
    };
    reports.map(judged).collect()
}

#[test]
fn seeds_run_in_order_whatever_the_threads_with_a_folder_each() {
    let place = passing();
    let of = place.run(&["--seeds", "1..3", "--jobs", "2"]);
    of.exits(PASSED);
    let seeds: Vec<String> = ran(&of).into_iter().map(|(_, seed)| seed).collect();
    assert_eq!(seeds, ["1", "2", "3"]);
    for seed in seeds {
        for file in [
            "events.jsonl",
            "assertions.json",
            "consoles/bad.log",
            "lan.pcapng",
        ] {
            let path = place.path(&format!("out/seed-{seed}/{file}"));
            assert!(path.exists(), "{}", path.display());
        }
        of.says(&format!("seed {seed}"));
    }
    of.says("3 runs of 1 scenario");
    let chains: BTreeSet<&str> = of
        .reports()
        .iter()
        .filter_map(|r| r["run"]["state_hash"].as_str())
        .collect();
    assert_eq!(chains.len(), 3);
    let attached = of.reports()[1]["attachments"].to_string();
    assert!(attached.contains("seed-2/events.jsonl"), "{attached}");
}

#[test]
fn replay_chooses_which_runs_are_run_twice() {
    let place = passing();
    for (which, expected) in [
        ("none", [false, false]),
        ("first", [true, false]),
        ("all", [true, true]),
    ] {
        let of = place.run(&["--seeds", "1..2", "--jobs", "2", "--replay", which]);
        of.exits(PASSED);
        assert_eq!(replays(&of), expected, "--replay {which}");
    }
}

#[test]
fn fail_fast_begins_no_more_runs_after_a_failure() {
    let more = r#"ready within="300ms"; run duration="1s""#;
    let place = Place::new(&cluster("silent", "", more));
    let of = place.run(&["--seeds", "1..4", "--fail-fast"]);
    of.exits(PROPERTY_FAILED).notes("3 of 4 seeds were not run");
    let of = place.run(&["--seeds", "1..4"]);
    of.exits(PROPERTY_FAILED);
    assert_eq!(of.reports().len(), 4);
}

/// The variants that a run had, by the folders of their reports.
fn variants_of(place: &Place, out: &str, options: &[&str]) -> BTreeSet<String> {
    let options = [&["--out", out], options].concat();
    place.run(&options).exits(PASSED);
    let entries = std::fs::read_dir(place.path(out)).expect("it is there");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn two_partitions_are_all_and_share_nothing() {
    let place = variants();
    let all = variants_of(&place, "all", &[]);
    assert_eq!(all.len(), 4);
    let mut parts = Vec::new();
    for part in ["hash:1/2", "hash:2/2"] {
        let out = part.replace(['/', ':'], "-");
        // A part of four may be empty, or be one, which has no folder of its own.
        let options = [
            "--out",
            &out,
            "--json",
            &format!("{out}.json"),
            "--partition",
            part,
        ];
        let of = place.run(&options);
        assert!(
            of.code == PASSED || of.code == NOTHING_SELECTED,
            "{}",
            of.stderr
        );
        let json = std::fs::read(place.path(&format!("{out}.json"))).unwrap_or_default();
        let document: Value = serde_json::from_slice(&json).unwrap_or_default();
        for report in document["reports"].as_array().into_iter().flatten() {
            parts.push(
                report["run"]["variant"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    let distinct: BTreeSet<&String> = parts.iter().collect();
    assert_eq!((parts.len(), distinct.len()), (4, 4), "{parts:?}");
}

#[test]
fn a_filter_chooses_and_one_that_chooses_nothing_says_so() {
    let place = variants();
    let of = place.run(&["-E", "scenario(2%)"]);
    of.exits(PASSED);
    assert!(ran(&of)[0].0.contains("2%"), "{:?}", ran(&of));
    assert_eq!(of.reports().len(), 1);
    let of = place.run(&["-E", "scenario(nothing-like-this)"]);
    of.exits(NOTHING_SELECTED).says("nothing is selected");
    assert!(of.document.is_null() || of.reports().len() == 1);
}

#[test]
fn a_folder_is_run_file_by_file_with_a_folder_of_reports_each() {
    let place = passing();
    let text = std::fs::read_to_string(place.path("test.kdl")).expect("it is there");
    let all = place.path("all");
    std::fs::create_dir(&all).expect("it can be made");
    let (head, tail) = text.split_once("kernel \"tiny\"").expect("it has a kernel");
    let base = "scenario schema=1 { kernel \"tiny\"; }\n";
    for (name, text) in [
        ("b.kdl", text.clone()),
        ("a.kdl", format!("{head}include \"base.kdl\"{tail}")),
        ("base.kdl", base.to_owned()),
    ] {
        std::fs::write(all.join(name), text).expect("it can be written");
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chaosrun"));
    command.current_dir(place.path("."));
    command.args(["all", "--jobs", "1", "--replay", "none", "--out", "out"]);
    let of = place.ran(&mut command);
    of.exits(PASSED);
    let folders: BTreeSet<String> = std::fs::read_dir(place.path("out"))
        .expect("it is there")
        .map(|entry| entry.expect("it can be listed").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert_eq!(folders, ["test", "test-2"].map(str::to_owned).into());
    for folder in folders {
        let report = std::fs::read(place.path(&format!("out/{folder}/report.json")));
        let report: Value = serde_json::from_slice(&report.expect("it is there")).expect("JSON");
        assert_eq!(
            report["reports"].as_array().map(Vec::len),
            Some(1),
            "{folder}"
        );
    }
}
