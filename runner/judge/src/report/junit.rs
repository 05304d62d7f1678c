//! `junit.xml`, as CI systems really read it.
//!
//! A suite is a scenario, a case is a property. A *failure* is a violated property, an *error* is
//! something that kept chaosrun from judging, *skipped* is a property that was not judged or not
//! decided. Each message and each element's text stands alone, because some readers show only the
//! one and some only the other. Nothing is ever "flaky": when a second run differs, that is a failed
//! `replay-is-identical`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use thiserror::Error;

use crate::outcome::finding::{FaultSchedule, Finding};
use crate::outcome::model::{
    Document, Property, Report, SkippedProperty, ToolError, Verdict, numbered,
};
use crate::outcome::{text, time};

/// The most bytes of text in one element; GitLab refuses reports above 30 MB.
const MAX_ELEMENT_BYTES: usize = text::MAX_BLOCK_BYTES;
/// The most nearest events in a failure's text.
const MAX_EVENTS: usize = 20;

/// Which attributes a report has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// With the attributes that GitLab, GitHub actions and others read: `file` and `line` of a case.
    #[default]
    Lenient,
    /// Only what Jenkins' `junit-10.xsd` allows.
    Strict,
}

/// What a property that could not be decided becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undecided {
    /// A skipped case, the convention. The process's exit code still is not 0.
    #[default]
    Skipped,
    /// An error, for pipelines that look at the XML only.
    Error,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Which attributes there are.
    pub flavour: Flavour,
    /// What an inconclusive property becomes.
    pub undecided: Undecided,
}

/// The report could not be written as XML.
#[derive(Debug, Error)]
#[error("the JUnit report could not be written")]
pub struct JunitError(#[from] quick_junit::SerializeError);

/// Writes a document as JUnit XML.
///
/// # Errors
/// The XML writer refuses; no text of a report makes it do so.
pub fn to_string(document: &Document, options: Options) -> Result<String, JunitError> {
    let mut xml = quick_junit::Report::new("chaosrun");
    let mut wall_ns: u64 = 0;
    for (report, name) in document.reports.iter().zip(document.unique_names()) {
        wall_ns = wall_ns.saturating_add(report.run.wall.duration_ns);
        xml.add_test_suite(suite(report, &name, options));
    }
    xml.set_time(Duration::from_nanos(wall_ns));
    let text = xml.to_string()?;
    Ok(match options.flavour {
        Flavour::Lenient => text,
        Flavour::Strict => without_root_skipped(&text),
    })
}

/// Removes `skipped` from the root element: quick-junit always writes it, the schema forbids it.
fn without_root_skipped(xml: &str) -> String {
    let Some(start) = xml.find("<testsuites ") else {
        return xml.to_owned();
    };
    let end = xml[start..]
        .find('>')
        .map_or(xml.len(), |length| start + length);
    let root = &xml[start..end];
    let Some(from) = root.find(" skipped=\"") else {
        return xml.to_owned();
    };
    let value = from + " skipped=\"".len();
    let Some(length) = root[value..].find('"') else {
        return xml.to_owned();
    };
    format!(
        "{}{}{}",
        &xml[..start + from],
        &root[value + length + 1..],
        &xml[end..]
    )
}

fn suite(report: &Report, name: &str, options: Options) -> TestSuite {
    let mut suite = TestSuite::new(attribute(name));
    suite.set_time(Duration::from_nanos(report.run.wall.duration_ns));
    suite
        .extra
        .insert("file".into(), attribute(&report.run.scenario_file).into());
    if report.run.wall.started_unix_ms > 0 {
        let started = time::rfc3339_utc(report.run.wall.started_unix_ms);
        suite.extra.insert("timestamp".into(), started.into());
    }
    for (key, value) in suite_properties(report) {
        suite.add_property((attribute(&key), attribute(&value)));
    }
    let classname = attribute(&format!("chaosrun.{}", name.replace('.', "_")));
    let mut cases: Vec<TestCase> = Vec::new();
    cases.extend(report.errors.iter().map(|error| error_case(error, report)));
    cases.extend(
        report
            .properties
            .iter()
            .map(|property| case(property, report, options)),
    );
    cases.extend(report.skipped.iter().map(skipped_case));
    // GitLab drops the second of two cases with one name, and that may be the failed one.
    let names = numbered(cases.iter().map(|case| case.name.as_str().to_owned()));
    for (mut case, name) in cases.into_iter().zip(names) {
        case.name = name.into();
        case.set_classname(classname.as_str());
        suite.add_test_case(case);
    }
    suite
}

/// What is to be known of a run; at the suite, because the strict schema has no other place for it.
fn suite_properties(report: &Report) -> Vec<(String, String)> {
    let run = &report.run;
    let mut list = vec![
        ("seed".to_owned(), run.seed.clone()),
        ("engine".to_owned(), run.engine.clone()),
        ("scenario_hash".to_owned(), run.scenario_hash.clone()),
        ("plan_hash".to_owned(), run.plan_hash.clone()),
        (
            "virtual_time_ns".to_owned(),
            run.virtual_time_ns.to_string(),
        ),
        ("timelines".to_owned(), run.timelines.to_string()),
        ("instructions".to_owned(), run.instructions.to_string()),
        ("command".to_owned(), run.command.clone()),
    ];
    list.extend(
        run.artifacts
            .iter()
            .map(|(name, hash)| (format!("artifact.{name}"), hash.clone())),
    );
    list.extend(
        run.state_hash
            .iter()
            .map(|hash| ("state_hash".to_owned(), hash.clone())),
    );
    if let Some(exploration) = &report.exploration {
        list.push((
            "explored_checkpoints".to_owned(),
            exploration.checkpoints.to_string(),
        ));
        list.push(("edges".to_owned(), exploration.edges.to_string()));
    }
    list
}

fn case(property: &Property, report: &Report, options: Options) -> TestCase {
    let finding = report.finding_of(property);
    let status = match (property.verdict, options.undecided) {
        (Verdict::Pass, _) => TestCaseStatus::success(),
        (Verdict::Fail, _) => failure(property, finding, report),
        (Verdict::Inconclusive, undecided) => inconclusive(property, report, undecided),
    };
    let mut case = TestCase::new(attribute(&property.name), status);
    // All properties are judged by the same run, so that none has a host time of its own; some
    // readers insist on the attribute.
    case.set_time(Duration::ZERO);
    if options.flavour == Flavour::Lenient
        && let Some(place) = &property.declared_at
    {
        case.extra
            .insert("file".into(), attribute(&place.file).into());
        case.extra
            .insert("line".into(), place.line.to_string().into());
    }
    let output = case_output(property, finding, report);
    if !output.is_empty() {
        case.set_system_out(text::clip(&output, MAX_ELEMENT_BYTES));
    }
    case
}

fn failure(property: &Property, finding: Option<&Finding>, report: &Report) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let message = finding.map_or(&property.reason, |finding| &finding.summary);
    status.set_message(attribute(&format!("{}: {message}", property.name)));
    status.set_type(finding.map_or(property.kind.name(), |finding| finding.kind.word()));
    status.set_description(text::clip(
        &failure_text(property, finding, report),
        MAX_ELEMENT_BYTES,
    ));
    status
}

fn inconclusive(property: &Property, report: &Report, undecided: Undecided) -> TestCaseStatus {
    let mut status = match undecided {
        Undecided::Skipped => TestCaseStatus::skipped(),
        Undecided::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(attribute(&format!("inconclusive: {}", property.reason)));
    status.set_type("inconclusive");
    status.set_description(text::clip(
        &failure_text(property, None, report),
        MAX_ELEMENT_BYTES,
    ));
    status
}

/// The text of an element: the one-line summary first, then where, what, and how to see it again.
fn failure_text(property: &Property, finding: Option<&Finding>, report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    let summary = finding.map_or(&property.reason, |finding| &finding.summary);
    lines.push(format!(
        "{}: {}",
        text::short_line(&property.name),
        text::short_line(summary)
    ));
    if let Some(place) = &property.declared_at {
        lines.push(format!("declared at: {}", attribute(&place.to_string())));
    }
    if let Some(place) = &property.guest_location {
        lines.push(format!("in the guest: {}", attribute(&place.to_string())));
    }
    let moment = finding
        .map(|finding| &finding.moment)
        .or(property.moment.as_ref());
    if let Some(moment) = moment {
        let node = moment
            .node
            .as_ref()
            .map(|node| format!(" on {}", text::short_line(node)));
        let seconds = time::seconds_micros(moment.vtime_ns);
        lines.push(format!(
            "at: {seconds} s of virtual time{}",
            node.unwrap_or_default()
        ));
    }
    let seed = finding.map_or(&report.run.seed, |finding| &finding.seed);
    lines.push(format!(
        "seed: {}, plan: {}",
        attribute(seed),
        attribute(&report.run.plan_hash)
    ));
    let command = finding.map_or(&report.run.command, |finding| &finding.replay_command);
    lines.push(format!("replay: {}", text::line(command, 2_000)));
    for evidence in finding.map_or(&property.evidence, |finding| &finding.evidence) {
        lines.push(format!("\n{}:", text::short_line(&evidence.label)));
        lines.push(text::block(&evidence.text));
    }
    if let Some(finding) = finding {
        lines.extend(schedule_lines(&finding.faults));
        lines.extend(event_lines(finding));
    }
    lines.join("\n")
}

fn schedule_lines(faults: &FaultSchedule) -> Vec<String> {
    let title = if faults.minimal {
        "minimal fault schedule"
    } else {
        "fault schedule, not minimised"
    };
    if faults.steps.is_empty() {
        return vec![format!("\n{title}: no fault is needed")];
    }
    let steps = faults.steps.iter().take(text::MAX_BLOCK_LINES).map(|step| {
        format!(
            "{:>14} s  {}",
            time::seconds_micros(step.at_ns),
            text::short_line(&step.fault)
        )
    });
    std::iter::once(format!("\n{title}:"))
        .chain(steps)
        .collect()
}

fn event_lines(finding: &Finding) -> Vec<String> {
    if finding.nearest_events.is_empty() {
        return Vec::new();
    }
    let first = finding.nearest_events.len().saturating_sub(MAX_EVENTS);
    let events = finding.nearest_events[first..].iter().map(|event| {
        let node = event.node.as_deref().unwrap_or("-");
        let seconds = time::seconds_micros(event.vtime_ns);
        format!(
            "{seconds:>14} s  {:<8} {}",
            text::line(node, 40),
            event.summary()
        )
    });
    std::iter::once("\nnearest events:".to_owned())
        .chain(events)
        .collect()
}

/// What a case prints: facts in the de-facto convention `[[PROPERTY|…]]`, and the attachments.
fn case_output(property: &Property, finding: Option<&Finding>, report: &Report) -> String {
    let mut lines = vec![
        format!("[[PROPERTY|kind={}]]", property.kind.name()),
        format!("[[PROPERTY|verdict={}]]", property.verdict.word()),
        format!("[[PROPERTY|evaluated={}]]", property.counts.evaluated()),
    ];
    if let Some(moment) = &property.moment {
        lines.push(format!("[[PROPERTY|virtual_time_ns={}]]", moment.vtime_ns));
    }
    if property.verdict == Verdict::Pass && !property.reason.is_empty() {
        lines.insert(0, text::short_line(&property.reason));
    }
    if property.verdict == Verdict::Fail {
        let recording = finding.and_then(|finding| finding.recording.as_ref());
        lines.extend(recording.map(|path| format!("[[ATTACHMENT|{}]]", text::line(path, 1_000))));
        let attached = report.attachments.iter();
        lines.extend(attached.map(|a| format!("[[ATTACHMENT|{}]]", text::line(&a.path, 1_000))));
    }
    lines.join("\n")
}

fn error_case(error: &ToolError, report: &Report) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(attribute(&error.message));
    status.set_type(attribute(&error.code));
    let mut lines = vec![text::block(&error.message)];
    lines.extend(
        error
            .help
            .iter()
            .map(|help| format!("help: {}", text::block(help))),
    );
    lines.push(format!(
        "run again: {}",
        text::line(&report.run.command, 2_000)
    ));
    status.set_description(lines.join("\n"));
    TestCase::new("chaosrun can run the scenario", status)
}

fn skipped_case(skipped: &SkippedProperty) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message(attribute(&skipped.reason));
    status.set_type("skipped");
    TestCase::new(attribute(&skipped.name), status)
}

/// Makes the text of an attribute: one safe line, never empty, because readers drop unnamed cases.
fn attribute(text: &str) -> String {
    let safe = text::line(text, 1_000);
    if safe.is_empty() {
        "(unnamed)".to_owned()
    } else {
        safe
    }
}
