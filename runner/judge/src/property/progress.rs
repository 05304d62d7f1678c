//! `progress`: a published value grows again in time.
//!
//! What has to grow is the highest value of all selected nodes: a node that catches up with the
//! others is no progress of the system. To ask it of one node, select that node alone.

use std::collections::BTreeSet;

use super::checker::{Checker, End};
use super::judgement::{Judgement, Seen};
use super::observation::{Observation, ObservationKind, Published};
use super::window::Window;
use crate::outcome::{FindingKind, PropertyKind};
use chaosrun_language::plan::property::Since;

const KIND: PropertyKind = PropertyKind::Liveness;

/// The checker.
#[derive(Debug, Clone)]
pub struct Progress {
    name: String,
    value: String,
    nodes: BTreeSet<String>,
    window: Window,
    highest: Option<(i128, Seen)>,
    /// The highest when the window opened.
    base: Option<i128>,
    grown: Option<Grown>,
    texts: u64,
    published: u64,
    missed: bool,
}

#[derive(Debug, Clone)]
struct Grown {
    seen: Seen,
    value: i128,
}

impl Progress {
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
            highest: None,
            base: None,
            grown: None,
            texts: 0,
            published: 0,
            missed: false,
        }
    }

    fn publish(&mut self, seen: &Observation<'_>, value: &Published) {
        self.published += 1;
        let Published::Number(number) = value else {
            self.texts += 1;
            return;
        };
        if self
            .highest
            .as_ref()
            .is_none_or(|(highest, _)| number > highest)
        {
            self.highest = Some((*number, Seen::of(seen)));
        }
        let grows = self.base.is_none_or(|base| *number > base);
        if grows && self.grown.is_none() && self.window.contains(seen.time_ns) {
            self.grown = Some(Grown {
                seen: Seen::of(seen),
                value: *number,
            });
        }
    }

    fn late(&self) -> Judgement {
        let words = self.window.words();
        let reason = match (&self.highest, self.base) {
            (Some((_, seen)), Some(base)) if self.window.opened_ns() < Some(seen.time_ns) => {
                format!("did not grow beyond {base} {words}, only later")
            }
            (_, Some(base)) => format!("did not grow beyond {base} {words}"),
            (_, None) => format!("was not published {words}"),
        };
        let failed = Judgement::fail(&self.name, KIND, FindingKind::Liveness, reason);
        let failed = match &self.highest {
            Some((value, seen)) => failed.seen(seen).evidence(
                "highest value",
                format!("{} = {value}, by {}", self.value, seen.place()),
            ),
            None => failed,
        };
        failed.at(self.window.deadline_ns())
    }
}

impl Checker for Progress {
    fn observe(&mut self, seen: &Observation<'_>) {
        if self.window.observe(seen) {
            self.base = self.highest.as_ref().map(|(value, _)| *value);
            self.grown = None;
        }
        if let ObservationKind::Publish { key, value } = &seen.kind
            && *key == self.value
            && seen.node.is_some_and(|node| self.nodes.contains(node))
        {
            self.publish(seen, value);
        }
    }

    fn advance(&mut self, now_ns: u64) {
        self.missed |= self.window.is_over(now_ns) && self.grown.is_none() && self.published > 0;
    }

    fn has_failed(&self) -> bool {
        self.missed
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        let unsettled = end.cut_short().filter(|_| !self.window.is_settled());
        let judgement = match (&self.grown, self.window.undecided(end)) {
            (Some(_), _) if unsettled.is_some() => inconclusive(unsettled.unwrap_or_default()),
            (Some(grown), _) => {
                let when = self.window.since_opening(grown.seen.time_ns);
                let base = self
                    .base
                    .map_or(String::new(), |base| format!("from {base} "));
                let reason = format!("grew {base}to {}, {when}", grown.value);
                Judgement::pass(&self.name, KIND, reason).seen(&grown.seen)
            }
            (None, Some(why)) => inconclusive(format!("did not grow; {why}")),
            (None, None) if self.published == 0 => {
                inconclusive(format!("no selected node published `{}`", self.value))
            }
            (None, None) if self.texts == self.published => inconclusive(format!(
                "`{}` is always a text, which does not grow",
                self.value
            )),
            (None, None) => self.late(),
        };
        let grown = u64::from(self.grown.is_some());
        vec![judgement.counted(grown, 1 - grown)]
    }
}
