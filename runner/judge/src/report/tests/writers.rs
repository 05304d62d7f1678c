//! Snapshots of each format, and what hostile text does to them.

use crate::outcome::model::{Document, FileLocation};
use crate::outcome::sample;
use crate::report::terminal::Style;
use crate::report::{ctrf, events, github, json, junit, terminal};

/// The snapshots lie beside the crate's other tests.
macro_rules! looks_as_it_did {
    ($shown:expr) => {
        insta::with_settings!({ snapshot_path => "../../../tests/snapshots" }, {
            insta::assert_snapshot!($shown);
        })
    };
}

fn json_text(document: &Document) -> String {
    let mut bytes = Vec::new();
    json::write(document, &mut bytes).expect("memory can be written to");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn ctrf_text(document: &Document) -> String {
    let mut bytes = Vec::new();
    ctrf::write(document, &mut bytes).expect("memory can be written to");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn event_text() -> String {
    let mut writer = events::EventWriter::new(Vec::new());
    let mut text = Vec::new();
    for event in sample::events() {
        writer.write(&event).expect("memory can be written to");
    }
    let mut again = events::EventWriter::new(&mut text);
    for event in sample::events() {
        again.write(&event).expect("memory can be written to");
    }
    assert_eq!(again.finish().expect("memory can be flushed"), 9);
    String::from_utf8(text).expect("JSON is UTF-8")
}

#[test]
fn terminal_shows_every_verdict_without_colours() {
    let style = Style {
        color: false,
        width: Some(100),
    };
    let path = Some("chaosrun-out/report.json");
    looks_as_it_did!(terminal::render(&sample::every_verdict(), style, path));
}

#[test]
fn terminal_shows_a_failure_in_colours() {
    let style = Style {
        color: true,
        width: Some(100),
    };
    let text = terminal::render(&sample::of(sample::failing()), style, None);
    looks_as_it_did!(text.replace('\u{1b}', "␛"));
}

#[test]
fn terminal_of_a_pass_is_short() {
    let text = terminal::render(&sample::of(sample::passing()), Style::PLAIN, None);
    looks_as_it_did!(text);
}

#[test]
fn junit_has_a_case_for_every_property() {
    let xml = junit::to_string(&sample::every_verdict(), junit::Options::default());
    looks_as_it_did!(xml.expect("a sample can be written"));
}

#[test]
fn report_json_holds_the_whole_model() {
    looks_as_it_did!(json_text(&sample::of(sample::failing())));
}

#[test]
fn ctrf_has_a_test_for_every_property() {
    looks_as_it_did!(ctrf_text(&sample::every_verdict()));
}

#[test]
fn event_stream_has_one_object_a_line() {
    looks_as_it_did!(event_text());
}

#[test]
fn github_summary_puts_what_needs_attention_first() {
    looks_as_it_did!(github::summary(&sample::every_verdict()));
}

#[test]
fn github_annotations_point_at_the_scenario() {
    looks_as_it_did!(github::annotations(&sample::every_verdict()));
}

#[test]
fn report_json_reads_back_as_the_same_model() {
    let document = sample::every_verdict();
    let read: Document = serde_json::from_str(&json_text(&document)).expect("it was just written");
    assert_eq!(read, document);
}

#[test]
fn event_stream_reads_back_as_the_same_events() {
    let read: Result<Vec<_>, _> = events::read(event_text().as_bytes()).collect();
    assert_eq!(read.expect("it was just written"), sample::events());
}

#[test]
fn a_broken_line_of_an_event_stream_is_an_error_and_not_the_end() {
    let text = format!("{{\n{}", event_text());
    let results: Vec<_> = events::read(text.as_bytes()).collect();
    assert!(results[0].is_err());
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        sample::events().len()
    );
}

#[test]
fn no_json_has_a_floating_point_number() {
    fn assert_integers(value: &serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => assert!(!number.is_f64(), "{number} is a float"),
            serde_json::Value::Array(items) => items.iter().for_each(assert_integers),
            serde_json::Value::Object(fields) => fields.values().for_each(assert_integers),
            _ => {}
        }
    }
    let document = sample::every_verdict();
    for text in [json_text(&document), ctrf_text(&document)] {
        assert_integers(&serde_json::from_str(&text).expect("it is JSON"));
    }
}

#[test]
fn hostile_text_stays_inert_and_bounded_on_a_terminal() {
    let style = Style {
        color: false,
        width: Some(100),
    };
    let text = terminal::render(&sample::of(sample::hostile()), style, None);
    let active = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(active, None);
    assert!(!text.contains('\u{202e}'));
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}

#[test]
fn hostile_text_can_not_issue_workflow_commands() {
    let document = sample::of(sample::hostile());
    let text = github::annotations(&document);
    for line in text.lines() {
        assert!(
            line.starts_with("::error ") || line.starts_with("::warning "),
            "{line}"
        );
        let (properties, _) = line[2..].split_once("::").expect("a command has a message");
        assert!(!properties.contains(['\r', '\n']));
    }
    assert_eq!(text.lines().count(), 3);
    assert!(text.len() < 300 * 1024, "{} bytes", text.len());
}

#[test]
fn at_most_ten_annotations_of_a_kind_are_written() {
    let mut report = sample::failing();
    for index in 0..30 {
        let mut property = report.properties[0].clone();
        property.name = format!("copy {index}");
        property.declared_at = Some(FileLocation::new("a,b:c%.kdl", 3));
        report.properties.push(property);
    }
    let text = github::annotations(&sample::of(report.finish()));
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("::error "))
        .collect();
    assert_eq!(errors.len(), 10);
    assert!(errors[9].contains("22 more"), "{}", errors[9]);
    assert!(errors[1].starts_with("::error file=a%2Cb%3Ac%25.kdl,line=3,title=raft%3A copy 0::"));
}

#[test]
fn a_step_summary_never_exceeds_the_limit_of_github() {
    let mut report = sample::failing();
    let mut finding = report.findings[0].clone();
    finding.evidence[0].text = format!("{}\n", "evidence ".repeat(30)).repeat(300);
    report.findings = vec![finding; 50];
    let summary = github::summary(&sample::of(report));
    assert!(
        summary.len() <= github::MAX_SUMMARY_BYTES,
        "{} bytes",
        summary.len()
    );
    assert!(summary.ends_with("see `report.json`._\n"));
}

#[test]
fn a_fence_is_longer_than_any_in_the_text() {
    let summary = github::summary(&sample::of(sample::hostile()));
    assert!(
        summary.contains("````text"),
        "the evidence holds ``` and needs four"
    );
    assert!(!summary.contains("@you `c`\n|"));
}

#[test]
fn hostile_json_is_bounded() {
    let text = json_text(&sample::of(sample::hostile()));
    assert!(text.len() < 4 << 20, "{} bytes", text.len());
    let _: Document = serde_json::from_str(&text).expect("it is still a document");
}
