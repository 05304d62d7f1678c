//! One failure on a terminal.

use super::style::{Paint, Style};
use crate::outcome::event::{Event, EventKind};
use crate::outcome::finding::{FaultSchedule, Finding};
use crate::outcome::model::{FileLocation, Report};
use crate::outcome::{text, time};

/// The most nearest events that are shown.
const MAX_EVENTS: usize = 16;
/// The most lines of one piece of evidence that are shown.
const MAX_EVIDENCE_LINES: usize = 20;
/// The most steps of a fault schedule that are shown.
const MAX_STEPS: usize = 30;

/// Appends a finding. `scenario` names the scenario where there are several.
pub(super) fn finding(
    out: &mut String,
    report: &Report,
    finding: &Finding,
    scenario: Option<&str>,
    style: Style,
) {
    let of = scenario
        .map(|name| format!("  in {}", text::line(name, 80)))
        .unwrap_or_default();
    let title = style.paint(
        Paint::Bad,
        &format!("✗ {}", text::line(&finding.property, 100)),
    );
    out.push_str(&format!(
        "{}\n{title}{}\n",
        style.dim(&style.rule()),
        style.dim(&of)
    ));
    out.push_str(&format!(
        "  {}\n",
        style.bold(&text::short_line(&finding.summary))
    ));
    out.push_str(&format!(
        "  {}\n\n",
        style.dim(&circumstances(finding, report))
    ));
    places(out, report, finding, style);
    for evidence in &finding.evidence {
        heading(out, &text::line(&evidence.label, 80), "", style);
        evidence_lines(out, &evidence.text, style);
    }
    events(out, finding, style);
    schedule(out, &finding.faults, style);
    heading(out, "replay it", "", style);
    // The command is never cut, because it is there to be copied.
    out.push_str(&format!(
        "    {}\n\n",
        style.bold(&text::line(&finding.replay_command, 4_000))
    ));
}

fn circumstances(finding: &Finding, report: &Report) -> String {
    let node = finding
        .moment
        .node
        .as_deref()
        .map(|node| format!(" on {}", text::line(node, 40)));
    let when = time::seconds_micros(finding.moment.vtime_ns);
    let mut parts = vec![
        finding.kind.word().to_owned(),
        format!("at {when} s{}", node.unwrap_or_default()),
        format!("seed {}", text::line(&finding.seed, 24)),
    ];
    if report.run.timelines > 1 {
        let (seen, all) = (finding.seen_in_timelines, report.run.timelines);
        parts.push(format!(
            "in {} of {} timelines",
            time::thousands(seen),
            time::thousands(all)
        ));
    }
    parts.join(" · ")
}

fn places(out: &mut String, report: &Report, finding: &Finding, style: Style) {
    let property = report
        .properties
        .iter()
        .find(|property| property.name == finding.property);
    let Some(property) = property else { return };
    let mut place = |label: &str, place: &FileLocation| {
        let function = place
            .function
            .as_deref()
            .map(|name| format!("  in {}", text::line(name, 80)));
        let shown = text::short_line(&place.to_string());
        let label = style.dim(&format!("{label:<12}"));
        out.push_str(&format!(
            "  {label}{shown}{}\n",
            style.dim(&function.unwrap_or_default())
        ));
    };
    if let Some(declared) = &property.declared_at {
        place("scenario", declared);
    }
    if let Some(location) = &property.guest_location {
        place("guest", location);
    }
    if property.declared_at.is_some() || property.guest_location.is_some() {
        out.push('\n');
    }
}

fn heading(out: &mut String, title: &str, note: &str, style: Style) {
    out.push_str(&format!(
        "  {}{}\n",
        style.paint(Paint::Note, title),
        style.dim(note)
    ));
}

fn evidence_lines(out: &mut String, evidence: &str, style: Style) {
    let block = text::block(evidence);
    let bar = style.dim("│");
    for line in block.lines().take(MAX_EVIDENCE_LINES) {
        out.push_str(&format!("    {bar} {}\n", style.fit(line, 6)));
    }
    let more = block.lines().count().saturating_sub(MAX_EVIDENCE_LINES);
    if more > 0 {
        let more = time::counted(more as u64, "more line is", "more lines are");
        out.push_str(&format!(
            "    {bar} {}\n",
            style.dim(&format!("{more} in report.json"))
        ));
    }
    out.push('\n');
}

/// The events before the failure, faults set apart by colour and mark, and the moment itself.
fn events(out: &mut String, finding: &Finding, style: Style) {
    if finding.nearest_events.is_empty() {
        return;
    }
    heading(out, "what happened before", "", style);
    let first = finding.nearest_events.len().saturating_sub(MAX_EVENTS);
    let shown = &finding.nearest_events[first..];
    let widths = |event: &Event| event.node.as_deref().map_or(1, |node| node.chars().count());
    let column = shown.iter().map(widths).max().unwrap_or(1).min(16);
    for event in shown {
        out.push_str(&event_line(event, column, style));
    }
    let when = time::seconds_micros(finding.moment.vtime_ns);
    let node = text::line(finding.moment.node.as_deref().unwrap_or("·"), column);
    let end = format!(
        "{when:>14} s  {node:<column$}  ✗ {}",
        text::line(&finding.property, 100)
    );
    out.push_str(&format!(
        "{}\n\n",
        style.paint(Paint::Bad, &style.fit(&end, 0))
    ));
}

fn event_line(event: &Event, column: usize, style: Style) -> String {
    let when = format!("{:>14} s", time::seconds_micros(event.vtime_ns));
    let node = text::line(event.node.as_deref().unwrap_or("·"), column);
    let mark = match &event.kind {
        _ if event.is_disturbance() => "↯",
        EventKind::Console { .. } => "│",
        _ => "•",
    };
    let summary = style.fit(&event.summary(), 16 + 2 + column + 2 + 2);
    let body = format!("{node:<column$}  {mark} {summary}");
    let body = match &event.kind {
        _ if event.is_disturbance() => style.paint(Paint::Fault, &body),
        EventKind::Console { .. } => body,
        _ => style.dim(&body),
    };
    format!("{}  {body}\n", style.dim(&when))
}

fn schedule(out: &mut String, faults: &FaultSchedule, style: Style) {
    let count = faults.steps.len() as u64;
    let (title, note) = match (faults.minimal, count) {
        (_, 0) => ("no fault is needed", String::new()),
        (true, _) if faults.original_count > count => (
            "minimal fault schedule",
            format!("  {count} of {} faults are enough", faults.original_count),
        ),
        (true, _) => (
            "minimal fault schedule",
            "  all of them are needed".to_owned(),
        ),
        (false, _) => ("fault schedule", "  not minimised".to_owned()),
    };
    heading(out, title, &note, style);
    for step in faults.steps.iter().take(MAX_STEPS) {
        let when = format!("{:>14} s", time::seconds_micros(step.at_ns));
        let fault = style.paint(Paint::Fault, &style.fit(&text::short_line(&step.fault), 18));
        out.push_str(&format!("{}  {fault}\n", style.dim(&when)));
    }
    let more = faults.steps.len().saturating_sub(MAX_STEPS);
    if more > 0 {
        out.push_str(&format!("    {}\n", style.dim(&format!("and {more} more"))));
    }
    out.push('\n');
}
