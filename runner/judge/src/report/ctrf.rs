//! `ctrf.json`: the Common Test Report Format, which many reporters of CI systems read.
//!
//! The statuses are CTRF's five: a property that could not be decided is `other`, one that was not
//! judged is `skipped`, and an error of the tool is `failed` with the raw status `error`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::json as report_json;
use crate::outcome::model::{Attachment, Document, Property, Report, Verdict};
use crate::outcome::text;

/// The version of CTRF that is written.
const SPEC_VERSION: &str = "0.0.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    name: String,
    status: &'static str,
    duration: u64,
    suite: Vec<String>,
    raw_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Value>,
    extra: Value,
}

/// Writes a document in CTRF.
///
/// # Errors
/// What the writer says.
pub fn write(document: &Document, mut out: impl Write) -> io::Result<()> {
    let mut tests: Vec<Test> = Vec::new();
    for (report, name) in document.reports.iter().zip(document.unique_names()) {
        tests.extend(report.errors.iter().map(|error| {
            let mut test = Test::new("chaosrun can run the scenario", &name, "failed", "error");
            test.message = Some(text::short_line(&error.message));
            test.trace = error.help.as_deref().map(text::block);
            test
        }));
        tests.extend(
            report
                .properties
                .iter()
                .map(|property| judged(property, report, &name)),
        );
        tests.extend(report.skipped.iter().map(|skipped| {
            let mut test = Test::new(&skipped.name, &name, "skipped", "skipped");
            test.message = Some(text::short_line(&skipped.reason));
            test
        }));
    }
    let whole = json!({
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": format!("chaosrun {}", document.chaosrun_version),
        "results": {
            "tool": { "name": "chaosrun", "version": document.chaosrun_version },
            "summary": summary(document, &tests),
            "tests": tests,
        },
    });
    serde_json::to_writer_pretty(&mut out, &report_json::bounded(&whole)?)?;
    out.write_all(b"\n")
}

fn summary(document: &Document, tests: &[Test]) -> Value {
    let count = |status: &str| tests.iter().filter(|test| test.status == status).count();
    let clocks = || document.reports.iter().map(|report| report.run.wall);
    let start = clocks().map(|wall| wall.started_unix_ms).min().unwrap_or(0);
    let end = |wall: crate::outcome::model::WallClock| {
        wall.started_unix_ms
            .saturating_add(wall.duration_ns / 1_000_000)
    };
    let stop = clocks().map(end).max().unwrap_or(start);
    json!({
        "tests": tests.len(),
        "passed": count("passed"),
        "failed": count("failed"),
        "skipped": count("skipped"),
        "pending": 0,
        "other": count("other"),
        "suites": document.reports.len(),
        "start": start,
        "stop": stop,
    })
}

impl Test {
    fn new(name: &str, suite: &str, status: &'static str, raw_status: &'static str) -> Self {
        let name = text::short_line(name);
        Self {
            name: if name.is_empty() {
                "(unnamed)".to_owned()
            } else {
                name
            },
            status,
            duration: 0,
            suite: vec![text::short_line(suite)],
            raw_status,
            message: None,
            trace: None,
            file_path: None,
            line: None,
            attachments: Vec::new(),
            extra: json!({}),
        }
    }
}

fn judged(property: &Property, report: &Report, suite: &str) -> Test {
    let status = match property.verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "failed",
        Verdict::Inconclusive => "other",
    };
    let finding = report.finding_of(property);
    let mut test = Test::new(&property.name, suite, status, property.verdict.word());
    let reason = finding.map_or(&property.reason, |finding| &finding.summary);
    test.message = (!reason.is_empty()).then(|| text::short_line(reason));
    test.file_path = property
        .declared_at
        .as_ref()
        .map(|place| text::short_line(&place.file));
    test.line = property.declared_at.as_ref().map(|place| place.line);
    test.extra = json!({
        "kind": property.kind.name(),
        "seed": report.run.seed,
        "planHash": report.run.plan_hash,
        "evaluated": property.counts.evaluated(),
        "virtualTimeNs": property.moment.as_ref().map(|moment| moment.vtime_ns),
    });
    if let Some(finding) = finding {
        let evidence = finding
            .evidence
            .iter()
            .map(|e| format!("{}:\n{}\n", e.label, e.text));
        let trace = format!(
            "replay: {}\n{}",
            finding.replay_command,
            evidence.collect::<String>()
        );
        test.trace = Some(text::block(&trace));
        test.attachments = report.attachments.iter().map(attachment).collect();
    }
    test
}

fn attachment(attachment: &Attachment) -> Value {
    json!({
        "name": text::short_line(&attachment.name),
        "contentType": attachment.content_type,
        "path": attachment.path,
    })
}
