//! `converge`: a published value becomes the same on all nodes in time.
//!
//! One moment at which every selected node's last value is the same is enough. A node that went
//! down has no value until it publishes again.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, End};
use super::exit::loses_memory;
use super::judgement::{Judgement, Seen};
use super::observation::{Observation, ObservationKind, Published};
use super::window::Window;
use crate::outcome::{FindingKind, PropertyKind};
use chaosrun_language::plan::property::Since;

const KIND: PropertyKind = PropertyKind::Convergence;

/// The checker.
#[derive(Debug, Clone)]
pub struct Converge {
    name: String,
    value: String,
    nodes: BTreeSet<String>,
    window: Window,
    values: BTreeMap<String, Published>,
    agreed: Option<(Seen, Published)>,
    published: u64,
    missed: bool,
    /// The values when the window closed.
    at_deadline: BTreeMap<String, Published>,
}

impl Converge {
    /// Judges a value of some nodes in a window.
    #[must_use]
    pub fn new(
        name: &str,
        value: &str,
        nodes: BTreeSet<String>,
        within_ns: u64,
        after: Since,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            nodes,
            window: Window::new(after, within_ns),
            values: BTreeMap::new(),
            agreed: None,
            published: 0,
            missed: false,
            at_deadline: BTreeMap::new(),
        }
    }

    fn agreement(&self) -> Option<&Published> {
        let first = self.values.get(self.nodes.first()?)?;
        let same = |node: &String| self.values.get(node) == Some(first);
        self.nodes.iter().all(same).then_some(first)
    }

    fn look(&mut self, seen: &Observation<'_>) {
        if self.agreed.is_none()
            && self.window.contains(seen.time_ns)
            && let Some(value) = self.agreement()
        {
            self.agreed = Some((Seen::of(seen), value.clone()));
        }
    }

    fn table(values: &BTreeMap<String, Published>, nodes: &BTreeSet<String>) -> String {
        let line = |node: &String| match values.get(node) {
            Some(value) => format!("{node}: {value}"),
            None => format!("{node}: not published"),
        };
        nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Checker for Converge {
    fn observe(&mut self, seen: &Observation<'_>) {
        if self.window.observe(seen) {
            self.agreed = None;
            self.look(seen);
        }
        let Some(node) = seen.node.filter(|node| self.nodes.contains(*node)) else {
            return;
        };
        match &seen.kind {
            ObservationKind::Publish { key, value } if *key == self.value => {
                self.published += 1;
                self.values.insert(node.to_owned(), value.clone());
                self.look(seen);
            }
            ObservationKind::Node(change) if loses_memory(change) => {
                self.values.remove(node);
            }
            _ => {}
        }
    }

    fn advance(&mut self, now_ns: u64) {
        let missed = self.window.is_over(now_ns) && self.agreed.is_none() && self.published > 0;
        if missed && !self.missed {
            self.missed = true;
            self.at_deadline.clone_from(&self.values);
        }
    }

    fn has_failed(&self) -> bool {
        self.missed
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        self.advance(end.time_ns);
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        let unsettled = end.cut_short().filter(|_| !self.window.is_settled());
        let judgement = match (&self.agreed, self.window.undecided(end)) {
            (Some(_), _) if unsettled.is_some() => inconclusive(unsettled.unwrap_or_default()),
            (Some((seen, value)), _) => {
                let when = self.window.since_opening(seen.time_ns);
                Judgement::pass(&self.name, KIND, format!("{value} everywhere, {when}")).seen(seen)
            }
            (None, Some(why)) => inconclusive(format!("the nodes do not agree; {why}")),
            (None, None) if self.published == 0 => {
                inconclusive(format!("no selected node published `{}`", self.value))
            }
            (None, None) => {
                let values = if self.missed {
                    &self.at_deadline
                } else {
                    &self.values
                };
                let reason = format!("the nodes did not agree {}", self.window.words());
                Judgement::fail(&self.name, KIND, FindingKind::Liveness, reason)
                    .evidence("values", Self::table(values, &self.nodes))
                    .at(self.window.deadline_ns())
            }
        };
        let agreed = u64::from(self.agreed.is_some());
        vec![judgement.counted(agreed, 1 - agreed)]
    }
}
