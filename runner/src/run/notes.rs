//! What a reader of a report has to know besides the verdicts: what a guest did of which nobody said that it
//! is wrong, what is not kept because there was too much of it, and what therefore could not be judged.

use super::allowance::PER_SECOND;
use super::cluster::CAPTURE_MAX;
use super::{End, Outcome};
use crate::outcome::event::{Event, EventKind, FaultStage, NodeState};
use crate::outcome::model::{ErrorCause, Evidence, PropertyKind, ToolError, Verdict};
use crate::outcome::time::{counted, human_duration, thousands};
use crate::plan::Plan;
use crate::plan::property::Check;
use crate::property::Judgement;

/// How many programs that ended by themselves are named.
const MAX_PROGRAMS: usize = 8;
/// How many bytes of a console's end are looked at for it.
pub(super) const CONSOLE_TAIL: usize = 4096;
/// How many lines of a console's end are shown.
const CONSOLE_LINES: usize = 8;
/// The name of the events that tell of the end of a program.
const ENDED: &str = "process ended";

/// What the reader has to know, in sentences.
pub(super) fn notes(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut notes = ended(plan, outcome);
    notes.extend(without_effect(&outcome.events));
    for (index, node) in plan.nodes.iter().enumerate() {
        let shown = outcome.console_bytes[index];
        let kept = outcome.consoles[index].len() as u64;
        if node.console.capture && shown > kept {
            notes.push(format!(
                "the console of {} showed {} bytes, of which the first {} are kept",
                node.name,
                thousands(shown),
                thousands(kept)
            ));
        }
    }
    for (node, dropped) in &outcome.events_dropped {
        let events = counted(*dropped, "event", "events");
        notes.push(format!(
            "{events} of {node} came after its share of events.jsonl was full; they were judged"
        ));
    }
    for network in &outcome.captures_cut {
        let size = CAPTURE_MAX >> 20;
        notes.push(format!(
            "the traffic of {network} is recorded up to {size} MiB; there was more"
        ));
    }
    notes
}

/// Programs and machines that ended by themselves, unless the scenario judges that.
fn ended(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let judged = |check: &Check| matches!(check, Check::Exit { .. });
    let judged = plan.properties.iter().any(|p| judged(&p.check));
    let mut notes = Vec::new();
    let programs = outcome.events.iter().filter_map(|event| {
        let (program, status) = program_ended(event)?;
        let node = event.node.as_deref()?;
        (status != "exit code 0").then(|| {
            let at = human_duration(event.vtime_ns);
            format!("{program} on {node} ended with {status} after {at}")
        })
    });
    notes.extend(programs.filter(|_| !judged).take(MAX_PROGRAMS));
    notes.extend(outcome.events.iter().filter_map(|event| {
        let exited =
            matches!(&event.kind, EventKind::Node { state, .. } if *state == NodeState::Exited);
        let node = event.node.as_deref().filter(|_| exited)?;
        let at = human_duration(event.vtime_ns);
        Some(format!(
            "{node} was switched off by its own guest after {at}"
        ))
    }));
    notes
}

/// The faults that did nothing.
fn without_effect(events: &[Event]) -> Vec<String> {
    let faults = events.iter().filter_map(|event| match &event.kind {
        EventKind::Fault(record) => Some((event.vtime_ns, &record.fault)),
        _ => None,
    });
    let mut notes: Vec<String> = faults
        .filter(|(_, fault)| fault.details.stage == Some(FaultStage::WithoutEffect))
        .map(|(at, fault)| {
            let why = fault.details.named.get("why").and_then(|why| why.as_str());
            let (name, nodes) = (&fault.name, fault.affected_nodes.join(", "));
            let (at, why) = (human_duration(at), why.unwrap_or("it is not known why"));
            format!("{name} had no effect on {nodes}, as was seen after {at}: {why}")
        })
        .collect();
    let more = notes.len().saturating_sub(MAX_PROGRAMS);
    if more > 0 {
        notes.truncate(MAX_PROGRAMS);
        notes.push(format!("{more} more faults had no effect"));
    }
    notes
}

/// The program whose end an event tells, and how it ended, unless a fault did it.
pub(super) fn program_ended(event: &Event) -> Option<(&str, &str)> {
    let EventKind::Guest { name, details } = &event.kind else {
        return None;
    };
    let by_fault = details.get("by_fault")?.as_bool()?;
    let (program, status) = (details.get("process")?, details.get("status")?);
    (name == ENDED && !by_fault).then_some((program.as_str()?, status.as_str()?))
}

/// What was not looked at because a guest sent too much of it, so that no verdict can be a pass.
pub(super) fn unheard(plan: &Plan, outcome: &Outcome) -> Vec<ToolError> {
    let mut errors = Vec::new();
    let mut add = |message: String| {
        errors.push(ToolError {
            cause: ErrorCause::Interrupted,
            code: "chaosrun::run::flood".to_owned(),
            message,
            help: Some("what was not looked at is not judged, so this is no pass".to_owned()),
        });
    };
    for (index, node) in plan.nodes.iter().enumerate() {
        let refused = outcome.unheard[index];
        if refused > 0 {
            let messages = counted(refused, "SDK message was", "SDK messages were");
            let limit = PER_SECOND >> 20;
            let name = &node.name;
            add(format!(
                "{name} sent more than {limit} MiB per second of virtual time: {messages} not looked at"
            ));
        }
        let Some(counters) = outcome.counters.nodes.get(index) else {
            continue;
        };
        if counters.outputs_lost > 0 {
            let name = &node.name;
            let lost = thousands(counters.outputs_lost);
            add(format!(
                "{name} sent more in one window than is kept: {lost} frames and SDK messages were lost"
            ));
        }
        if counters.console_lost > 0 {
            let name = &node.name;
            let lost = thousands(counters.console_lost);
            add(format!(
                "{name} printed more in one window than is kept: {lost} bytes were lost"
            ));
        }
    }
    errors
}

/// The judgements, of which the one that says that nodes did not get ready shows what these nodes did.
pub(super) fn explained(plan: &Plan, outcome: &Outcome) -> Vec<Judgement> {
    let mut judgements = outcome.judgements.clone();
    let hung = |j: &&mut Judgement| j.kind == PropertyKind::NoHang && j.verdict == Verdict::Fail;
    let Some(judgement) = judgements.iter_mut().find(hung) else {
        return judgements;
    };
    let mut reasons = Vec::new();
    for index in outcome.end.missing() {
        let Some(node) = plan.nodes.get(index) else {
            continue;
        };
        let of_node = |event: &&Event| event.node.as_deref() == Some(node.name.as_str());
        let events = outcome.events.iter().filter(of_node);
        let ended = events.rev().find_map(program_ended);
        // Of a node that can't become ready any more it is in the reason already.
        let ended = ended.filter(|_| matches!(outcome.end, End::NotReady(_)));
        if let Some((program, status)) = ended {
            reasons.push(format!("{program} on {} ended with {status}", node.name));
        }
        judgement.evidence.push(Evidence::new(
            format!("end of the console of {}", node.name),
            tail(&outcome.consoles[index]),
        ));
    }
    if !reasons.is_empty() {
        judgement.reason = format!("{} ({})", judgement.reason, reasons.join("; "));
    }
    judgements
}

/// The last lines of a console.
pub(super) fn tail(console: &[u8]) -> String {
    let end = &console[console.len().saturating_sub(CONSOLE_TAIL)..];
    let text = String::from_utf8_lossy(end);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, details: serde_json::Value) -> Event {
        let name = name.to_owned();
        Event::new(1, 1, Some("n1"), EventKind::Guest { name, details })
    }

    #[test]
    fn the_end_of_a_program_is_told_unless_a_fault_did_it() {
        let details = |by_fault: bool| {
            let status = "exit code 3";
            json!({ "process": "p", "status": status, "by_fault": by_fault })
        };
        let own = event(ENDED, details(false));
        assert_eq!(program_ended(&own), Some(("p", "exit code 3")));
        assert_eq!(program_ended(&event(ENDED, details(true))), None);
        assert_eq!(program_ended(&event("other", details(false))), None);
        assert_eq!(program_ended(&event(ENDED, json!(null))), None);
    }

    #[test]
    fn the_end_of_a_console_is_a_few_lines() {
        let console = "line\n".repeat(5000);
        assert_eq!(tail(console.as_bytes()).lines().count(), CONSOLE_LINES);
        assert_eq!(tail(b"one"), "one");
        assert_eq!(tail(b""), "");
    }
}
