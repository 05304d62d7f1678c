//! Sample reports for tests: one document that has every verdict and every kind of trouble.

use serde_json::json;

use super::event::{
    AssertLocation, AssertType, AssertionRecord, Event, EventKind, Fault, FaultRecord, NodeState,
};
use super::finding::{FaultSchedule, FaultStep, Finding, FindingKind};
use super::model::{
    Attachment, Counts, Document, ErrorCause, Evidence, Exploration, FileLocation, Moment,
    NetworkSummary, NodeSummary, Origin, Property, PropertyKind, Report, RunInfo, SkippedProperty,
    ToolError, Verdict, WallClock,
};

const SECOND: u64 = 1_000_000_000;

/// A document with a failed, a passed, an undecided and a broken scenario.
pub fn every_verdict() -> Document {
    let reports = vec![passing(), failing(), undecided(), broken()];
    Document::new("0.1.0", reports)
}

/// A document of one report.
pub fn of(report: Report) -> Document {
    Document::new("0.1.0", vec![report])
}

fn run(scenario: &str) -> RunInfo {
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    RunInfo {
        scenario: scenario.to_owned(),
        scenario_file: format!("scenarios/{scenario}.kdl"),
        scenario_hash: hash("scenario"),
        plan_hash: hash("plan"),
        seed: "7".to_owned(),
        engine: "exact".to_owned(),
        artifacts: [("kernel debian".to_owned(), hash("kernel"))].into(),
        timelines: 1,
        virtual_time_ns: 30 * SECOND,
        instructions: 12_345_678_901,
        wall: WallClock {
            started_unix_ms: 1_772_366_400_250,
            duration_ns: 4_211_000_000,
        },
        command: format!("chaosrun run scenarios/{scenario}.kdl --seed 7"),
        ..RunInfo::default()
    }
}

fn node(name: &str) -> NodeSummary {
    NodeSummary {
        name: name.to_owned(),
        vcpus: 1,
        memory_bytes: 128 << 20,
        instructions: 4_115_226_300,
        boots: 2,
        crashes: 1,
        console_lines: 512,
        end_state: "running".to_owned(),
        ..NodeSummary::default()
    }
}

fn built_ins(report: &mut Report, verdict: Verdict) {
    for kind in PropertyKind::BUILT_IN {
        let mut property = Property::new(kind.name(), kind, verdict);
        property.reason = match kind {
            PropertyKind::NoPanic => "no console shows a panic",
            PropertyKind::NoHang => "every node kept making progress",
            _ => "2 runs gave the same 31 state hashes",
        }
        .to_owned();
        property.counts = Counts {
            passed: 1,
            failed: 0,
        };
        report.properties.push(property);
    }
}

/// A scenario whose properties all hold.
pub fn passing() -> Report {
    let mut report = Report::new(run("boot"));
    let mut shell = Property::new("the shell answers", PropertyKind::Eventually, Verdict::Pass);
    shell.reason = "seen after 2.1 s".to_owned();
    shell.moment = Some(Moment::on("n1", 2_100_000_000));
    shell.declared_at = Some(FileLocation::new("scenarios/boot.kdl", 8));
    shell.counts = Counts {
        passed: 1,
        failed: 0,
    };
    report.properties.push(shell);
    built_ins(&mut report, Verdict::Pass);
    report.nodes.push(node("n1"));
    report.finish()
}

/// A scenario with one violated property, its finding, and one undecided property.
pub fn failing() -> Report {
    let mut info = run("raft");
    info.timelines = 200;
    info.virtual_time_ns = 6_000 * SECOND;
    info.wall.duration_ns = 41_200_000_000;
    let mut report = Report::new(info);
    let mut safety = Property::new("election safety", PropertyKind::Always, Verdict::Fail);
    safety.origin = Origin::Sdk;
    safety.reason = "false in 3 of 3,412 evaluations".to_owned();
    safety.declared_at = Some(FileLocation::new("scenarios/raft.kdl", 23));
    safety.guest_location = Some(FileLocation {
        function: Some("raft::node::become_leader".to_owned()),
        column: Some(9),
        ..FileLocation::new("guests/raft/src/node.rs", 211)
    });
    safety.moment = Some(Moment::on("n3", 4_211_003_000));
    safety.counts = Counts {
        passed: 3_409,
        failed: 3,
    };
    let mut kv = Property::new(
        "kv is linearizable",
        PropertyKind::Linearizable,
        Verdict::Inconclusive,
    );
    kv.reason = "the search was stopped after 60 s with 1,024 operations left".to_owned();
    kv.declared_at = Some(FileLocation::new("scenarios/raft.kdl", 27));
    let mut elected = Property::new("leader elected", PropertyKind::Eventually, Verdict::Pass);
    elected.reason = "2.3 s after the quiet period began".to_owned();
    elected.declared_at = Some(FileLocation::new("scenarios/raft.kdl", 25));
    elected.counts = Counts {
        passed: 200,
        failed: 0,
    };
    report.properties = vec![safety, kv, elected];
    built_ins(&mut report, Verdict::Pass);
    report.skipped.push(SkippedProperty {
        name: "log matching".to_owned(),
        kind: PropertyKind::Always,
        reason: "the filter left it out".to_owned(),
    });
    report.findings.push(split_brain());
    report.nodes = ["n1", "n2", "n3"].map(node).into();
    report.networks.push(NetworkSummary {
        name: "lan".to_owned(),
        frames_sent: 90_210,
        frames_delivered: 88_100,
        frames_dropped: 2_110,
        bytes_delivered: 12_000_000,
    });
    report.faults_injected = [("kill".to_owned(), 10), ("partition".to_owned(), 4)].into();
    report.exploration = Some(Exploration {
        mode: "hybrid".to_owned(),
        rounds: 200,
        checkpoints: 61,
        edges: 18_402,
        last_new_timeline: 173,
    });
    report.attachments.push(Attachment {
        name: "console of n3".to_owned(),
        path: "consoles/n3.log".to_owned(),
        content_type: "text/plain".to_owned(),
    });
    report.finish()
}

fn split_brain() -> Finding {
    Finding {
        number: 1,
        property: "election safety".to_owned(),
        kind: FindingKind::Invariant,
        summary: "two leaders in term 4: n1 and n3".to_owned(),
        moment: Moment::on("n3", 4_211_003_000),
        seed: "7".to_owned(),
        evidence: vec![
            Evidence::new(
                "details",
                r#"{"term": 4, "leaders": ["n1", "n3"], "voted_for": "n3"}"#,
            ),
            Evidence::new(
                "console of n3",
                "election timeout, term 4\ngot vote from n2\nbecame leader",
            ),
        ],
        nearest_events: events(),
        faults: FaultSchedule {
            minimal: true,
            original_count: 14,
            steps: vec![
                FaultStep {
                    at_ns: 2 * SECOND,
                    fault: r#"partition "lan" { side "n1"; side "n2" "n3"; } for="3s""#.to_owned(),
                },
                FaultStep {
                    at_ns: 4 * SECOND,
                    fault: r#"kill "n2" restart-after="500ms""#.to_owned(),
                },
            ],
        },
        replay_command: "chaosrun replay chaosrun-out/raft/findings/001.chaos --to 4.211003s"
            .to_owned(),
        recording: Some("findings/001.chaos".to_owned()),
        state_hash: None,
        seen_in_timelines: 3,
    }
}

/// One event of every kind, as they might come before a split brain.
pub fn events() -> Vec<Event> {
    let console = |line: &str| EventKind::Console {
        line: line.to_owned(),
    };
    let partition = Fault::new("partition", "network", &["n1", "n2", "n3"])
        .lasting(3 * SECOND)
        .with("disruption_type", "Stopped")
        .with("asymmetric", false)
        .with("partitions", json!([["n1"], ["n2", "n3"]]));
    let fault = |at, fault| EventKind::Fault(FaultRecord::new(at, fault));
    let kinds = [
        (
            SECOND,
            None,
            EventKind::Phase {
                phase: "faults".to_owned(),
            },
        ),
        (2 * SECOND, None, fault(2 * SECOND, partition)),
        (
            3_104_220_000,
            Some("n3"),
            console("election timeout, term 4"),
        ),
        (
            4 * SECOND,
            Some("n2"),
            fault(4 * SECOND, Fault::new("kill", "node", &["n2"])),
        ),
        (
            4 * SECOND,
            Some("n2"),
            EventKind::Node {
                state: NodeState::Crashed,
                detail: None,
            },
        ),
        (
            4_100_000_000,
            None,
            EventKind::Checkpoint {
                state_hash: "3f9a12c4".to_owned(),
            },
        ),
        (
            4_210_900_000,
            Some("n3"),
            EventKind::Guest {
                name: "vote".to_owned(),
                details: json!({ "term": 4, "from": "n2" }),
            },
        ),
        (
            4_211_000_500,
            Some("n3"),
            console("became leader of term 4"),
        ),
        (
            4_211_003_000,
            Some("n3"),
            EventKind::Assertion {
                antithesis_assert: assertion(),
            },
        ),
    ];
    let numbered = kinds.into_iter().enumerate();
    numbered
        .map(|(seq, (at, node, kind))| Event::new(seq as u64, at, node, kind))
        .collect()
}

fn assertion() -> AssertionRecord {
    AssertionRecord {
        id: "election safety".to_owned(),
        message: "election safety".to_owned(),
        condition: false,
        display_type: "Always".to_owned(),
        hit: true,
        must_hit: true,
        assert_type: AssertType::Always,
        location: AssertLocation {
            class: "raft::node".to_owned(),
            function: "become_leader".to_owned(),
            file: "guests/raft/src/node.rs".to_owned(),
            begin_line: 211,
            begin_column: 9,
        },
        details: json!({ "term": 4 }),
    }
}

/// A scenario that could not be decided, and whose built-in properties were not checked.
pub fn undecided() -> Report {
    let mut report = Report::new(run("queue"));
    let mut drained = Property::new(
        "queue drains",
        PropertyKind::Liveness,
        Verdict::Inconclusive,
    );
    drained.reason = "the run ended before the quiet period did".to_owned();
    report.properties.push(drained);
    report.nodes.push(node("broker"));
    report.finish()
}

/// A scenario that this host can't run.
pub fn broken() -> Report {
    let mut info = run("kcov");
    info.timelines = 0;
    info.virtual_time_ns = 0;
    let mut report = Report::new(info);
    report.errors.push(ToolError {
        cause: ErrorCause::Host,
        code: "chaosrun::host::no_kvm".to_owned(),
        message: "the plan asks for the engine `kvm`, and /dev/kvm can't be opened".to_owned(),
        help: Some("write engine=\"exact\", or add your user to the group `kvm`".to_owned()),
    });
    report.finish()
}

/// A report in which every text is hostile: controls, escapes, markup, workflow commands, bidi
/// overrides, characters that XML forbids, and lines and blocks of great length.
pub fn hostile() -> Report {
    let nasty = "a]]>&<b>\"'\u{1b}[31mred\u{1b}]0;t\u{7}\u{0}\u{8}\u{202e}\u{fffe}\r\n\
        ::error::x\n```\n| @you `c` %0A";
    let long = format!("{nasty}{}", "x".repeat(200_000));
    let mut report = failing();
    report.run.scenario = nasty.to_owned();
    report.run.scenario_file = nasty.to_owned();
    report.run.seed = nasty.to_owned();
    report.run.command = nasty.to_owned();
    for property in &mut report.properties {
        property.name = format!("{nasty} {}", property.name);
        property.reason = long.clone();
        property.declared_at = Some(FileLocation::new(nasty, u32::MAX));
        property.guest_location = Some(FileLocation::new(nasty, 0));
    }
    let name = report.properties[0].name.clone();
    let finding = &mut report.findings[0];
    finding.property = name;
    finding.summary = nasty.to_owned();
    finding.replay_command = nasty.to_owned();
    finding.evidence = vec![
        Evidence::new(nasty, long.clone()),
        Evidence::new("", nasty.repeat(2_000)),
    ];
    finding.faults.steps[0].fault = nasty.to_owned();
    finding.moment = Moment::on(nasty, u64::MAX);
    finding.nearest_events = vec![
        Event::new(
            0,
            u64::MAX,
            Some(nasty),
            EventKind::Console { line: long.clone() },
        ),
        Event::new(
            1,
            0,
            Some(nasty),
            EventKind::Guest {
                name: nasty.to_owned(),
                details: json!(long),
            },
        ),
    ];
    report.skipped[0].name = nasty.to_owned();
    report.errors.push(ToolError {
        cause: ErrorCause::Internal,
        code: nasty.to_owned(),
        message: nasty.to_owned(),
        help: Some(long),
    });
    report.finish()
}
