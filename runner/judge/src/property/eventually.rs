//! `eventually`: something comes to hold in time. This is how liveness is judged.
//!
//! Only what is seen inside of the window counts: that there was a leader before the faults says
//! nothing about after them. So an assertion has to be evaluated again in the window, and hold; of
//! consoles, every selected one has to show the pattern.

use std::collections::BTreeMap;

use super::checker::{Checker, End, Line};
use super::judgement::Judgement;
use super::observation::Observation;
use super::subject::{Sight, Watched};
use super::window::Window;
use crate::outcome::time::human_duration;
use crate::outcome::{FindingKind, PropertyKind};
use chaosrun_language::plan::property::Since;

const KIND: PropertyKind = PropertyKind::Eventually;

/// The checker.
#[derive(Debug, Clone)]
pub struct Eventually {
    name: String,
    watched: Watched,
    window: Window,
    /// The first sight in the window, by node; of an assertion there is one, whatever the node.
    sights: BTreeMap<String, Sight>,
    /// The last time that it was seen before the window, so that a failure can say so.
    before: Option<Sight>,
    held: u64,
    not: u64,
    missed: bool,
}

impl Eventually {
    /// Judges a subject in a window.
    #[must_use]
    pub fn new(name: &str, watched: Watched, within_ns: u64, after: Since) -> Self {
        Self {
            name: name.to_owned(),
            watched,
            window: Window::new(after, within_ns),
            sights: BTreeMap::new(),
            before: None,
            held: 0,
            not: 0,
            missed: false,
        }
    }

    /// The nodes that have not shown it, or nothing if all that is asked for has been seen.
    fn missing(&self) -> Option<String> {
        match &self.watched {
            Watched::Assertion(_) => self.sights.is_empty().then(String::new),
            Watched::Console { nodes, .. } => {
                let not_seen: Vec<&str> = nodes
                    .iter()
                    .filter(|node| !self.sights.contains_key(*node))
                    .map(String::as_str)
                    .collect();
                (!not_seen.is_empty() || nodes.is_empty()).then(|| not_seen.join(", "))
            }
        }
    }

    fn hold(&mut self, key: &str, sight: Sight) {
        if self.window.contains(sight.seen.time_ns) {
            self.sights.entry(key.to_owned()).or_insert(sight);
        } else if !self.window.has_opened() {
            self.before = Some(sight);
        }
    }

    fn late(&self, missing: &str) -> Judgement {
        let within = self.window.words();
        let mut reason = match &self.watched {
            Watched::Assertion(assertion) if assertion.kind().is_none() => {
                format!("did not hold {within}: {}", assertion.absence())
            }
            Watched::Assertion(_) => format!("did not hold {within}"),
            Watched::Console { matcher, .. } => {
                format!("the console of {missing} did not show {matcher} {within}")
            }
        };
        let failed = |reason: String| {
            Judgement::fail(&self.name, KIND, FindingKind::Liveness, reason)
                .at(self.window.deadline_ns())
        };
        let Some(before) = &self.before else {
            return failed(reason);
        };
        reason.push_str(&self.earlier(before));
        let mut failed = failed(reason).evidence("seen before", &*before.text);
        failed.seqs.push(before.seen.seq);
        failed
    }

    /// That it was seen, though too early to count, and what to write if once is enough.
    fn earlier(&self, before: &Sight) -> String {
        let what = match &self.watched {
            Watched::Assertion(_) => "it held",
            Watched::Console { .. } => "it was shown",
        };
        format!(
            "; {what} on {} at {}, before {}, and that does not count: what need happen only once is \
             for `sometimes`, or for `after=\"start\"`",
            before.seen.place(),
            human_duration(before.seen.time_ns),
            self.window.opening(),
        )
    }

    fn in_time(&self) -> Judgement {
        let last = self.sights.values().max_by_key(|sight| sight.seen.time_ns);
        let Some(sight) = last else {
            return Judgement::inconclusive(&self.name, KIND, "nothing is looked at");
        };
        let reason = self.window.since_opening(sight.seen.time_ns);
        sight.show(Judgement::pass(&self.name, KIND, reason))
    }
}

impl Checker for Eventually {
    fn observe(&mut self, seen: &Observation<'_>) {
        if self.window.observe(seen) {
            let earlier = std::mem::take(&mut self.sights);
            self.before = earlier.into_values().last().or(self.before.take());
            self.missed = false;
        }
        if let Watched::Assertion(assertion) = &mut self.watched
            && let Some(hit) = assertion.observe(seen)
        {
            if hit.condition {
                self.held += 1;
                self.hold("", Sight::of_hit(seen, hit));
            } else {
                self.not += 1;
            }
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let Watched::Console { matcher, nodes } = &self.watched else {
            return;
        };
        if nodes.contains(line.node) && matcher.is_in(line) {
            self.held += u64::from(line.ended);
            self.hold(line.node, Sight::of_line(line));
        }
    }

    fn advance(&mut self, now_ns: u64) {
        self.missed |= self.window.is_over(now_ns) && self.missing().is_some();
    }

    fn has_failed(&self) -> bool {
        self.missed
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let mut judgement = match (self.missing(), self.window.undecided(end)) {
            (None, _) => match end.cut_short() {
                Some(why) if !self.window.is_settled() => {
                    Judgement::inconclusive(&self.name, KIND, why)
                }
                _ => self.in_time(),
            },
            (Some(_), Some(why)) => match &self.before {
                Some(before) => {
                    let reason = format!("not seen since then; {why}{}", self.earlier(before));
                    before.show(Judgement::inconclusive(&self.name, KIND, reason))
                }
                None => Judgement::inconclusive(&self.name, KIND, format!("not seen; {why}")),
            },
            (Some(missing), None) => self.late(&missing),
        }
        .counted(self.held, self.not);
        if let Watched::Assertion(assertion) = &self.watched {
            judgement.guest_location = assertion.location();
        }
        vec![judgement]
    }
}
