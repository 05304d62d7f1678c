//! GitHub Actions: the step summary in Markdown, and annotations of the scenario's lines.

use crate::outcome::finding::Finding;
use crate::outcome::model::{Document, Property, Report, Verdict};
use crate::outcome::{text, time};

/// The most bytes of a step summary that GitHub accepts.
pub const MAX_SUMMARY_BYTES: usize = 1024 * 1024;
/// The most annotations of one kind that GitHub shows of a step.
pub const MAX_ANNOTATIONS: usize = 10;
/// The most findings that a summary describes in full.
const MAX_FINDINGS: usize = 50;
/// The most properties of one scenario that a summary lists.
const MAX_ROWS: usize = 500;

/// Writes the step summary, for the file that `GITHUB_STEP_SUMMARY` names.
pub fn summary(document: &Document) -> String {
    let mut out = String::new();
    let room = MAX_SUMMARY_BYTES - 200;
    let mut complete = true;
    for (report, name) in document.reports.iter().zip(document.unique_names()) {
        for section in report_sections(report, &name) {
            if out.len() + section.len() > room {
                complete = false;
                break;
            }
            out.push_str(&section);
        }
    }
    if !complete {
        out.push_str("\n_The rest does not fit into a step summary; see `report.json`._\n");
    }
    out
}

/// The parts of a report's summary; each can be left out without breaking another.
fn report_sections(report: &Report, name: &str) -> Vec<String> {
    let mut sections = vec![heading(report, name), properties_table(report)];
    for error in &report.errors {
        let help = error
            .help
            .as_deref()
            .map(|help| format!(" {}", escape(help)));
        let message = escape(&error.message);
        sections.push(format!(
            "> **Error:** {message}{}\n\n",
            help.unwrap_or_default()
        ));
    }
    sections.extend(
        report
            .findings
            .iter()
            .take(MAX_FINDINGS)
            .map(finding_section),
    );
    if report.findings.len() > MAX_FINDINGS {
        let more = report.findings.len() - MAX_FINDINGS;
        sections.push(format!(
            "_{} more are in `report.json`._\n\n",
            time::counted(more as u64, "finding", "findings")
        ));
    }
    sections
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "⚠️",
    }
}

fn heading(report: &Report, name: &str) -> String {
    let (totals, run) = (&report.totals, &report.run);
    format!(
        "### {} {}: {} passed, {} failed, {} inconclusive\n\n{} with seed {} on {}: \
         {} of virtual time in {}.\n\n",
        mark(report.verdict),
        escape(name),
        totals.passed,
        totals.failed,
        totals.inconclusive,
        time::counted(run.timelines, "timeline", "timelines"),
        code(&run.seed),
        time::counted(report.nodes.len() as u64, "node", "nodes"),
        time::human_duration(run.virtual_time_ns),
        time::human_duration(run.wall.duration_ns),
    )
}

/// The table of properties: what needs attention first, what passed folded away.
fn properties_table(report: &Report) -> String {
    const HEAD: &str = "| | Property | Result | Declared at |\n|---|---|---|---|\n";
    let (passed, attention): (Vec<&Property>, Vec<&Property>) = report
        .properties
        .iter()
        .partition(|property| property.verdict == Verdict::Pass);
    let rows =
        |list: &[&Property]| -> String { list.iter().take(MAX_ROWS).map(|p| row(p)).collect() };
    let mut out = String::new();
    if !attention.is_empty() {
        out.push_str(&format!("{HEAD}{}\n", rows(&attention)));
    }
    if !passed.is_empty() {
        let title = time::counted(passed.len() as u64, "property holds", "properties hold");
        out.push_str(&format!(
            "<details><summary>{title}</summary>\n\n{HEAD}{}\n</details>\n\n",
            rows(&passed)
        ));
    }
    out
}

fn row(property: &Property) -> String {
    let place = property
        .declared_at
        .as_ref()
        .map(|place| code(&place.to_string()));
    format!(
        "| {} | {} | {} | {} |\n",
        mark(property.verdict),
        escape(&property.name),
        escape(&property.reason),
        place.unwrap_or_default(),
    )
}

fn finding_section(finding: &Finding) -> String {
    let node = finding
        .moment
        .node
        .as_deref()
        .map(|node| format!(" on {}", escape(node)));
    let mut out = format!(
        "#### {}\n\n{} (at {} s{})\n\n{}",
        escape(&finding.property),
        escape(&finding.summary),
        time::seconds_millis(finding.moment.vtime_ns),
        node.unwrap_or_default(),
        fenced("sh", &text::line(&finding.replay_command, 4_000)),
    );
    let faults: String = finding
        .faults
        .steps
        .iter()
        .take(text::MAX_BLOCK_LINES)
        .map(|step| {
            format!(
                "{:>14} s  {}\n",
                time::seconds_micros(step.at_ns),
                text::short_line(&step.fault)
            )
        })
        .collect();
    if !faults.is_empty() {
        let title = if finding.faults.minimal {
            "Minimal fault schedule"
        } else {
            "Fault schedule"
        };
        out.push_str(&format!(
            "{title}:\n\n{}",
            fenced("text", faults.trim_end())
        ));
    }
    let evidence: String = finding
        .evidence
        .iter()
        .map(|evidence| {
            format!(
                "{}:\n{}\n",
                text::short_line(&evidence.label),
                text::block(&evidence.text)
            )
        })
        .collect();
    if !evidence.is_empty() {
        let block = fenced("text", evidence.trim_end());
        out.push_str(&format!(
            "<details><summary>Evidence</summary>\n\n{block}</details>\n\n"
        ));
    }
    out
}

/// Writes a fenced block whose fence is longer than any run of backticks in it (CommonMark §4.5).
fn fenced(language: &str, content: &str) -> String {
    let longest = content.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{content}\n{fence}\n\n")
}

/// Writes a code span; a backtick in it becomes an apostrophe, a pipe would end a table's cell.
fn code(content: &str) -> String {
    format!(
        "`{}`",
        text::short_line(content)
            .replace('`', "'")
            .replace('|', "\\|")
    )
}

/// Escapes a line for Markdown: everything that could begin markup, HTML, a table cell or a mention.
fn escape(content: &str) -> String {
    let mut safe = String::new();
    for character in text::short_line(content).chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                safe.push('\\');
                safe.push(character);
            }
            _ => safe.push(character),
        }
    }
    safe
}

/// Writes the annotations as workflow commands, one a line: failures and errors as `::error`, what
/// could not be decided as `::warning`, of each at most [`MAX_ANNOTATIONS`].
pub fn annotations(document: &Document) -> String {
    let mut errors: Vec<String> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    for (report, name) in document.reports.iter().zip(document.unique_names()) {
        for error in &report.errors {
            let body = [Some(error.message.as_str()), error.help.as_deref()];
            let body: Vec<&str> = body.into_iter().flatten().collect();
            errors.push(command(
                "error",
                Some((&report.run.scenario_file, None)),
                &name,
                &body.join("\n"),
            ));
        }
        for property in &report.properties {
            let place = property
                .declared_at
                .as_ref()
                .map_or((&report.run.scenario_file, None), |place| {
                    (&place.file, Some(place.line))
                });
            let title = format!("{name}: {}", property.name);
            match property.verdict {
                Verdict::Pass => {}
                Verdict::Inconclusive => warnings.push(command(
                    "warning",
                    Some(place),
                    &title,
                    &format!("inconclusive: {}", property.reason),
                )),
                Verdict::Fail => errors.push(command(
                    "error",
                    Some(place),
                    &title,
                    &failure_body(property, report),
                )),
            }
        }
    }
    let lines = bounded(errors, "error")
        .into_iter()
        .chain(bounded(warnings, "warning"));
    lines.map(|line| line + "\n").collect()
}

fn failure_body(property: &Property, report: &Report) -> String {
    match report.finding_of(property) {
        Some(finding) => format!(
            "{}\nat {} s of virtual time\n{}",
            text::short_line(&finding.summary),
            time::seconds_millis(finding.moment.vtime_ns),
            text::line(&finding.replay_command, 2_000)
        ),
        None => text::short_line(&property.reason),
    }
}

/// Keeps as many commands as GitHub shows; the last of them then says how many more there are.
fn bounded(mut commands: Vec<String>, kind: &str) -> Vec<String> {
    if commands.len() > MAX_ANNOTATIONS {
        let more = commands.len() - (MAX_ANNOTATIONS - 1);
        commands.truncate(MAX_ANNOTATIONS - 1);
        commands.push(command(
            kind,
            None,
            "chaosrun",
            &format!("{more} more are in the step summary and in report.json"),
        ));
    }
    commands
}

fn command(kind: &str, place: Option<(&String, Option<u32>)>, title: &str, body: &str) -> String {
    let mut properties: Vec<String> = Vec::new();
    if let Some((file, line)) = place {
        properties.push(format!(
            "file={}",
            escape_property(&text::line(file, 1_000))
        ));
        properties.extend(line.map(|line| format!("line={line}")));
    }
    properties.push(format!(
        "title={}",
        escape_property(&text::short_line(title))
    ));
    format!(
        "::{kind} {}::{}",
        properties.join(","),
        escape_data(&text::block(body))
    )
}

/// Escapes the message of a workflow command, which is one line.
fn escape_data(content: &str) -> String {
    content
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command, where `:` and `,` separate.
fn escape_property(content: &str) -> String {
    escape_data(content).replace(':', "%3A").replace(',', "%2C")
}
