//! The report on a terminal: the result first, then each failure with what is needed to understand
//! it and to see it again, and the result once more at the end, where the eyes are.

mod failure;
mod style;

use std::collections::{BTreeMap, BTreeSet};

use crate::outcome::model::{Document, Property, Report, Verdict};
use crate::outcome::{text, time};

use style::Paint;
pub use style::Style;

/// The most properties of one verdict that are listed.
const MAX_LISTED: usize = 40;
/// The most failures that are described in full.
const MAX_FAILURES: usize = 20;
/// The columns before a line's text.
const INDENT: &str = "        ";

/// Renders a document. The last line says where the files are if `report_path` is given.
pub fn render(document: &Document, style: Style, report_path: Option<&str>) -> String {
    let mut out = String::new();
    let names = document.unique_names();
    for (report, name) in document.reports.iter().zip(&names) {
        summary(&mut out, report, name, style);
    }
    let mut shown = 0;
    for (report, name) in document.reports.iter().zip(&names) {
        let title = (document.reports.len() > 1).then_some(name.as_str());
        for finding in &report.findings {
            shown += 1;
            if shown <= MAX_FAILURES {
                failure::finding(&mut out, report, finding, title, style);
            }
        }
    }
    if shown > MAX_FAILURES {
        let more = time::counted(
            (shown - MAX_FAILURES) as u64,
            "more finding is",
            "more findings are",
        );
        out.push_str(&format!(
            "{}\n\n",
            style.dim(&format!("{more} in report.json"))
        ));
    }
    closing(&mut out, document, style, report_path);
    out
}

/// The word and the colour of a verdict; an error of the tool is told apart from a doubt.
fn badge(verdict: Verdict, errors: u64, style: Style) -> String {
    match verdict {
        Verdict::Inconclusive if errors > 0 => style.paint(Paint::Bad, " ERROR"),
        Verdict::Pass => style.paint(Paint::Good, "  PASS"),
        Verdict::Fail => style.paint(Paint::Bad, "  FAIL"),
        Verdict::Inconclusive => style.paint(Paint::Unsure, "UNSURE"),
    }
}

fn summary(out: &mut String, report: &Report, name: &str, style: Style) {
    let name = text::line(name, 80);
    let file = style.dim(&text::line(&report.run.scenario_file, 120));
    let seed = style.dim(&format!("seed {}", text::line(&report.run.seed, 24)));
    out.push_str(&format!(
        "{}  {}  {file}  {seed}\n",
        badge(report.verdict, report.totals.errors, style),
        style.bold(&name)
    ));
    for error in &report.errors {
        let mark = style.paint(Paint::Bad, "error");
        out.push_str(&format!(
            "{INDENT}{mark} {}\n",
            text::short_line(&error.message)
        ));
        if let Some(help) = &error.help {
            out.push_str(&format!(
                "{INDENT}{}  {}\n",
                style.paint(Paint::Note, "help"),
                text::short_line(help)
            ));
        }
    }
    let width = name_width(report);
    listed(out, report, Verdict::Fail, width, style);
    listed(out, report, Verdict::Inconclusive, width, style);
    held(out, report, style);
    skipped(out, report, style);
    for note in report.notes.iter().take(MAX_LISTED) {
        let mark = style.paint(Paint::Note, "note");
        let note = style.fit(&text::short_line(note), INDENT.len() + 5);
        out.push_str(&format!("{INDENT}{mark} {note}\n"));
    }
    for caveat in report.run.caveats.iter().take(MAX_LISTED) {
        let line = format!(
            "- not deterministic by design  {}",
            text::short_line(caveat)
        );
        let line = style.dim(&style.fit(&line, INDENT.len()));
        out.push_str(&format!("{INDENT}{line}\n"));
    }
    out.push_str(&format!("{INDENT}{}\n\n", style.dim(&effort(report))));
}

/// The width of the column of names, so that the reasons begin in one column.
fn name_width(report: &Report) -> usize {
    let named = report
        .properties
        .iter()
        .filter(|property| property.verdict != Verdict::Pass);
    let longest = named
        .map(|property| text::line(&property.name, 60).chars().count())
        .max();
    longest.unwrap_or(0).min(32)
}

fn listed(out: &mut String, report: &Report, verdict: Verdict, width: usize, style: Style) {
    let of_verdict = || {
        report
            .properties
            .iter()
            .filter(|property| property.verdict == verdict)
    };
    for property in of_verdict().take(MAX_LISTED) {
        let (mark, paint) = match verdict {
            Verdict::Fail => ("✗", Paint::Bad),
            _ => ("?", Paint::Unsure),
        };
        let name = text::line(&property.name, 60);
        let used = INDENT.len() + 2 + name.chars().count().max(width) + 2;
        let padding = " ".repeat(width.saturating_sub(name.chars().count()));
        let reason = style.fit(&text::short_line(&reason(property, report)), used);
        let marked = style.paint(paint, &format!("{mark} {name}"));
        out.push_str(&format!("{INDENT}{marked}{padding}  {reason}\n"));
    }
    let more = of_verdict().count().saturating_sub(MAX_LISTED);
    if more > 0 {
        out.push_str(&format!(
            "{INDENT}{}\n",
            style.dim(&format!("  and {more} more"))
        ));
    }
}

fn reason(property: &Property, report: &Report) -> String {
    match report.finding_of(property) {
        Some(finding) => finding.summary.clone(),
        None if property.reason.is_empty() => "no reason was recorded".to_owned(),
        None => property.reason.clone(),
    }
}

/// One line for all properties that hold: their number is what counts, the names fill the line.
fn held(out: &mut String, report: &Report, style: Style) {
    let holding = report
        .properties
        .iter()
        .filter(|property| property.verdict == Verdict::Pass);
    let names: Vec<String> = holding
        .map(|property| text::line(&property.name, 60))
        .collect();
    if names.is_empty() {
        return;
    }
    let count = time::counted(names.len() as u64, "property holds", "properties hold");
    let used = INDENT.len() + 4 + count.chars().count();
    let list = style.fit(&text::short_line(&names.join(", ")), used);
    let mark = style.paint(Paint::Good, &format!("✓ {count}"));
    out.push_str(&format!("{INDENT}{mark}  {}\n", style.dim(&list)));
}

/// One line for each reason why properties were not judged.
fn skipped(out: &mut String, report: &Report, style: Style) {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for skipped in &report.skipped {
        by_reason
            .entry(&skipped.reason)
            .or_default()
            .push(text::line(&skipped.name, 60));
    }
    for (reason, names) in by_reason.iter().take(MAX_LISTED) {
        let names = text::line(&names.join(", "), 200);
        let line = format!("- skipped  {names}: {}", text::short_line(reason));
        out.push_str(&format!(
            "{INDENT}{}\n",
            style.dim(&style.fit(&line, INDENT.len()))
        ));
    }
}

/// How much was done: `200 timelines · 3 nodes · 12 faults · 1 h 40 min of virtual time in 41.2 s`.
fn effort(report: &Report) -> String {
    let run = &report.run;
    let faults = report
        .faults_injected
        .values()
        .fold(0u64, |sum, n| sum.saturating_add(*n));
    let mut parts = vec![
        time::counted(run.timelines, "timeline", "timelines"),
        time::counted(report.nodes.len() as u64, "node", "nodes"),
        time::counted(faults, "fault", "faults"),
        format!(
            "{} of virtual time in {}{}",
            time::human_duration(run.virtual_time_ns),
            time::human_duration(run.wall.duration_ns),
            speed(run.virtual_time_ns, run.wall.duration_ns),
        ),
    ];
    if let Some(exploration) = &report.exploration {
        parts.insert(1, time::counted(exploration.edges, "edge", "edges"));
    }
    parts.join(" · ")
}

/// Virtual time per host time, as ` (146×)`, to one decimal below ten.
fn speed(virtual_ns: u64, wall_ns: u64) -> String {
    if wall_ns == 0 || virtual_ns == 0 {
        return String::new();
    }
    let tenths = u128::from(virtual_ns) * 10 / u128::from(wall_ns);
    match tenths {
        0 => String::new(),
        1..100 => format!(" ({}.{}×)", tenths / 10, tenths % 10),
        _ => format!(
            " ({}×)",
            time::thousands(u64::try_from(tenths / 10).unwrap_or(u64::MAX))
        ),
    }
}

/// The last lines: a rule, and the result of everything.
fn closing(out: &mut String, document: &Document, style: Style, report_path: Option<&str>) {
    let totals = &document.totals;
    let mut parts: Vec<String> = Vec::new();
    let mut part = |count: u64, word: &str, paint: Paint| {
        if count > 0 {
            parts.push(style.paint(paint, &format!("{} {word}", time::thousands(count))));
        }
    };
    part(totals.failed, "failed", Paint::Bad);
    part(
        totals.errors,
        if totals.errors == 1 {
            "error"
        } else {
            "errors"
        },
        Paint::Bad,
    );
    part(totals.inconclusive, "inconclusive", Paint::Unsure);
    part(totals.passed, "passed", Paint::Good);
    part(totals.skipped, "skipped", Paint::Dim);
    if totals.judged() == 0 {
        parts.push("nothing was judged".to_owned());
    }
    let titles: BTreeSet<String> = document.reports.iter().map(Report::title).collect();
    let mut scenarios = time::counted(titles.len() as u64, "scenario", "scenarios");
    if titles.len() < document.reports.len() {
        let runs = time::counted(document.reports.len() as u64, "run", "runs");
        scenarios = format!("{runs} of {scenarios}");
    }
    out.push_str(&format!("{}\n", style.dim(&style.rule())));
    out.push_str(&format!(
        "{}  {scenarios}: {}\n",
        badge(document.verdict, totals.errors, style),
        parts.join(", ")
    ));
    if let Some(path) = report_path {
        out.push_str(&format!(
            "{INDENT}{}\n",
            style.dim(&format!("report: {}", text::line(path, 400)))
        ));
    }
}
