//! The record of a run: the events of its reports, in order, within bounds.

use std::collections::BTreeMap;

use crate::outcome::event::{
    AssertLocation, AssertType, AssertionRecord, Event, EventKind, FaultRecord, NodeState,
    SetupRecord,
};
use crate::outcome::weight::of_json;
use crate::property::observation::{
    AssertionHit, AssertionKind, AssertionSite, InitReport, NodeChange, Observation,
    ObservationKind, Phase, Stuck,
};

/// What guests say that is kept, in events of all nodes together. Each node has its share, so that one
/// that floods the record leaves room to the others; and what is not said by guests is always kept.
const MAX_EVENTS: usize = 400_000;
/// The memory that those events take, in bytes.
const MAX_BYTES: usize = 128 << 20;

/// The events so far.
#[derive(Debug, Clone)]
pub(super) struct Record {
    events: Vec<Event>,
    share: Share,
    said: BTreeMap<String, Share>,
    dropped: BTreeMap<String, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

/// A part of the record: how many events, and how much memory.
#[derive(Debug, Clone, Default)]
struct Share {
    events: usize,
    bytes: usize,
}

impl Record {
    /// The empty record of a cluster of this many nodes.
    pub fn new(nodes: usize) -> Self {
        let nodes = nodes.max(1);
        Self {
            events: Vec::new(),
            share: Share {
                events: MAX_EVENTS / nodes,
                bytes: MAX_BYTES / nodes,
            },
            said: BTreeMap::new(),
            dropped: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    /// A fault of this kind has begun and did nothing to anybody: it does not count.
    pub fn did_nothing(&mut self, kind: &str) {
        if let Some(count) = self.faults.get_mut(kind) {
            *count = count.saturating_sub(1);
        }
    }

    /// Adds an event, unless it is one that a guest makes and its node has used up its share.
    pub fn add(&mut self, seq: u64, time_ns: u64, node: Option<&str>, kind: EventKind) {
        if let EventKind::Fault(record) = &kind
            && record.fault.begins()
        {
            *self.faults.entry(record.fault.name.clone()).or_default() += 1;
        }
        if let (Some(node), Some(bytes)) = (node, size_said(&kind))
            && !self.has_room(node, bytes)
        {
            *self.dropped.entry(node.to_owned()).or_default() += 1;
            return;
        }
        self.events.push(Event::new(seq, time_ns, node, kind));
    }

    /// Takes room for an event of a node, if there is any.
    fn has_room(&mut self, node: &str, bytes: usize) -> bool {
        if !self.said.contains_key(node) {
            self.said.insert(node.to_owned(), Share::default());
        }
        let Some(said) = self.said.get_mut(node) else {
            return false;
        };
        let fits = said.events < self.share.events && said.bytes + bytes <= self.share.bytes;
        if fits {
            said.events += 1;
            said.bytes += bytes;
        }
        fits
    }

    /// Adds what an observation says, if the reports show such things.
    pub fn observe(&mut self, observation: &Observation<'_>) {
        if let Some(kind) = shown(&observation.kind) {
            self.add(observation.seq, observation.time_ns, observation.node, kind);
        }
    }

    /// All events, and how many of which node there was no room for.
    pub fn finish(self) -> (Vec<Event>, BTreeMap<String, u64>) {
        (self.events, self.dropped)
    }
}

/// About how much memory an event takes that a guest makes as often as it likes; none for others.
fn size_said(kind: &EventKind) -> Option<usize> {
    let inside = match kind {
        EventKind::Console { line } => line.len(),
        EventKind::Guest { name, details } => name.len() + of_json(details),
        EventKind::Setup { antithesis_setup } => of_json(&antithesis_setup.details),
        EventKind::Assertion { antithesis_assert } => {
            let AssertionRecord {
                id,
                message,
                details,
                location,
                ..
            } = antithesis_assert;
            let place = location.file.len() + location.function.len();
            id.len() + message.len() + place + of_json(details)
        }
        _ => return None,
    };
    Some(size_of::<Event>() + inside)
}

/// The event for an observation. Consoles are recorded line by line and faults with their details,
/// by whoever has those; published values and operations go to the judges only.
fn shown(kind: &ObservationKind) -> Option<EventKind> {
    Some(match kind {
        ObservationKind::Catalog(site) => assertion(site, None),
        ObservationKind::Assert(hit) => assertion(&hit.site, Some(hit)),
        ObservationKind::Setup { details } => EventKind::Setup {
            antithesis_setup: SetupRecord {
                status: "complete".to_owned(),
                details: details.clone(),
            },
        },
        ObservationKind::Event { name, details } => EventKind::Guest {
            name: name.clone(),
            details: details.clone(),
        },
        ObservationKind::Init(report) => return init(report),
        ObservationKind::Node(change) => node(change)?,
        ObservationKind::Phase(phase) => EventKind::Phase {
            phase: phase_word(*phase).to_owned(),
        },
        ObservationKind::BadMessage { why } => EventKind::Guest {
            name: "bad SDK message".to_owned(),
            details: why.clone().into(),
        },
        ObservationKind::Console(_)
        | ObservationKind::Publish { .. }
        | ObservationKind::History(_)
        | ObservationKind::FaultPoint { .. }
        | ObservationKind::FaultBegan { .. }
        | ObservationKind::FaultEnded { .. } => return None,
    })
}

fn init(report: &InitReport) -> Option<EventKind> {
    let (name, details) = match report {
        InitReport::Stage(_) => return None,
        InitReport::Started { process, pid } => (
            "process started",
            serde_json::json!({ "process": process, "pid": pid }),
        ),
        InitReport::Ended {
            process,
            pid,
            status,
            by_fault,
        } => (
            "process ended",
            serde_json::json!({
                "process": process, "pid": pid, "status": status.to_string(), "by_fault": by_fault,
            }),
        ),
        InitReport::NotStarted { process, reason } => (
            "process not started",
            serde_json::json!({ "process": process, "reason": reason }),
        ),
        InitReport::Trouble(text) => ("trouble", serde_json::json!({ "text": text })),
        InitReport::NothingLeft => ("no process is left", serde_json::Value::Null),
        InitReport::AllEnded => ("all processes ended", serde_json::Value::Null),
        InitReport::Command { failure: None, .. } => return None,
        InitReport::Command {
            id,
            failure: Some(why),
        } => (
            "command failed",
            serde_json::json!({ "id": id, "why": why }),
        ),
    };
    Some(EventKind::Guest {
        name: name.to_owned(),
        details,
    })
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Ready => "ready",
        Phase::Quiet => "quiet",
        Phase::End => "end",
    }
}

fn node(change: &NodeChange) -> Option<EventKind> {
    let (state, detail) = match change {
        NodeChange::Booting => (NodeState::Booting, None),
        NodeChange::Ready => (NodeState::Ready, None),
        NodeChange::Crashed => (NodeState::Crashed, None),
        NodeChange::Restarted => (NodeState::Restarted, None),
        NodeChange::Paused => (NodeState::Paused, None),
        NodeChange::Resumed => (NodeState::Resumed, None),
        NodeChange::Panicked { detail } => (NodeState::Panicked, Some(detail.clone())),
        NodeChange::Exited => (NodeState::Exited, None),
        NodeChange::Reset => (NodeState::Exited, Some("it reset itself".to_owned())),
        NodeChange::Stuck { how } => (NodeState::Panicked, Some(stuck(*how))),
        NodeChange::Unstuck => return None,
        NodeChange::TripleFault => (NodeState::Panicked, Some("triple fault".to_owned())),
        NodeChange::Unimplemented { what } => (NodeState::Panicked, Some(what.clone())),
    };
    Some(EventKind::Node { state, detail })
}

fn stuck(how: Stuck) -> String {
    match how {
        Stuck::HaltedForEver => "stuck: it has halted and nothing can wake it".to_owned(),
        Stuck::InterruptsOff { vcpu, rip } => {
            format!("stuck: processor {vcpu} loops at {rip:#x} with interrupts off")
        }
    }
}

fn assertion(site: &AssertionSite, hit: Option<&AssertionHit>) -> EventKind {
    let (display, assert_type, must_hit) = match site.kind {
        AssertionKind::Always => ("Always", AssertType::Always, true),
        AssertionKind::AlwaysOrUnreachable => ("AlwaysOrUnreachable", AssertType::Always, false),
        AssertionKind::Sometimes => ("Sometimes", AssertType::Sometimes, true),
        AssertionKind::Reachable => ("Reachable", AssertType::Reachability, true),
        AssertionKind::Unreachable => ("Unreachable", AssertType::Reachability, false),
    };
    let location = site.location.clone().unwrap_or_default();
    EventKind::Assertion {
        antithesis_assert: AssertionRecord {
            id: site.message.clone(),
            message: site.message.clone(),
            condition: hit.is_some_and(|hit| hit.condition),
            display_type: display.to_owned(),
            hit: hit.is_some(),
            must_hit,
            assert_type,
            location: AssertLocation {
                class: String::new(),
                function: location.function,
                file: location.file,
                begin_line: location.line,
                begin_column: location.column,
            },
            details: hit.map(|hit| hit.details.clone()).unwrap_or_default(),
        },
    }
}

/// The event of a fault.
pub(super) fn fault(time_ns: u64, fault: crate::outcome::event::Fault) -> EventKind {
    EventKind::Fault(FaultRecord::new(time_ns, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize) -> EventKind {
        let line = "x".repeat(length);
        EventKind::Console { line }
    }

    #[test]
    fn a_node_that_says_too_much_is_cut_and_the_others_are_not() {
        let mut record = Record::new(2);
        for seq in 0..MAX_EVENTS as u64 {
            record.add(seq, seq, Some("loud"), line(1));
        }
        record.add(1, 1, Some("quiet"), line(1));
        let state = NodeState::Crashed;
        let detail = None;
        record.add(2, 2, Some("loud"), EventKind::Node { state, detail });
        let (events, dropped) = record.finish();
        assert_eq!(events.len(), MAX_EVENTS / 2 + 2);
        let half = MAX_EVENTS as u64 / 2;
        assert_eq!(dropped, BTreeMap::from([("loud".to_owned(), half)]));
    }

    #[test]
    fn long_events_count_by_their_memory() {
        let mut record = Record::new(1);
        let many = MAX_BYTES / 4096 + 1;
        for seq in 0..many as u64 {
            record.add(seq, seq, Some("n1"), line(4096));
        }
        let (events, dropped) = record.finish();
        assert!(events.len() < many && events.len() > many / 2);
        assert_eq!(dropped["n1"], (many - events.len()) as u64);
    }
}
