//! `monotonic`: a published value never goes down on a node.
//!
//! Texts have no order, so that they make it inconclusive.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, End};
use super::exit::loses_memory;
use super::judgement::{Judgement, Seen};
use super::observation::{InitReport, Observation, ObservationKind, Published};
use crate::outcome::time::{counted, human_duration};
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Monotonicity;

/// The checker.
#[derive(Debug, Clone)]
pub struct Monotonic {
    name: String,
    value: String,
    nodes: BTreeSet<String>,
    strict: bool,
    across_restarts: bool,
    /// The last value of each node, and which process published it.
    last: BTreeMap<String, (Seen, i128, Option<u32>)>,
    held: u64,
    texts: u64,
    violations: u64,
    first: Option<(Seen, i128, Seen, i128)>,
}

impl Monotonic {
    /// Judges a value of some nodes. `strict`: staying the same is a violation, too.
    /// `across_restarts`: going down by a restart of the node or of the program is, too.
    #[must_use]
    pub fn new(
        name: &str,
        value: &str,
        nodes: BTreeSet<String>,
        strict: bool,
        across_restarts: bool,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            nodes,
            strict,
            across_restarts,
            last: BTreeMap::new(),
            held: 0,
            texts: 0,
            violations: 0,
            first: None,
        }
    }

    fn publish(&mut self, seen: &Observation<'_>, node: &str, value: &Published) {
        let Published::Number(number) = *value else {
            self.texts += 1;
            return;
        };
        let now = (Seen::of(seen), number, seen.pid);
        let Some((before_seen, before, _)) = self.last.insert(node.to_owned(), now) else {
            self.held += 1;
            return;
        };
        if number > before || (number == before && !self.strict) {
            self.held += 1;
            return;
        }
        self.violations += 1;
        if self.first.is_none() {
            self.first = Some((before_seen, before, Seen::of(seen), number));
        }
    }
}

impl Checker for Monotonic {
    fn observe(&mut self, seen: &Observation<'_>) {
        let Some(node) = seen.node.filter(|node| self.nodes.contains(*node)) else {
            return;
        };
        match &seen.kind {
            ObservationKind::Publish { key, value } if *key == self.value => {
                self.publish(seen, node, value);
            }
            ObservationKind::Node(change) if !self.across_restarts && loses_memory(change) => {
                self.last.remove(node);
            }
            ObservationKind::Init(InitReport::Ended { pid, .. }) if !self.across_restarts => {
                let theirs = |last: &(Seen, i128, Option<u32>)| last.2 == Some(*pid);
                if self.last.get(node).is_some_and(theirs) {
                    self.last.remove(node);
                }
            }
            _ => {}
        }
    }

    fn has_failed(&self) -> bool {
        self.first.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        let judgement = match &self.first {
            Some((before_seen, before, seen, value)) => {
                let how = if value == before {
                    "stayed at"
                } else {
                    "fell to"
                };
                let reason = format!("{how} {value} after {before} on {}", seen.place());
                let line = |seen: &Seen, value: i128| {
                    let time = human_duration(seen.time_ns);
                    format!("{time}  {}  {} = {value}", seen.place(), self.value)
                };
                let lines = format!("{}\n{}", line(before_seen, *before), line(seen, *value));
                Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason)
                    .seen(before_seen)
                    .seen(seen)
                    .evidence("publications", lines)
            }
            None if self.texts > 0 => inconclusive(format!(
                "{} of `{}` is a text, which has no order",
                counted(self.texts, "publication", "publications"),
                self.value
            )),
            None if self.held == 0 => {
                let why = end
                    .cut_short()
                    .map_or(String::new(), |why| format!("; {why}"));
                inconclusive(format!("no selected node published `{}`{why}", self.value))
            }
            None => {
                let all = counted(self.held, "publication", "publications");
                Judgement::pass(&self.name, KIND, format!("never went down in {all}"))
            }
        };
        vec![judgement.counted(self.held, self.violations)]
    }
}
