//! `always`: an SDK assertion holds whenever it is reached, or every line of a console shows a
//! pattern.
//!
//! An assertion that is never reached was never shown to hold. It has to be reached in one of all
//! runs, as an `always` of the SDK has to, unless the guest's source says that it need not be.

use std::collections::BTreeSet;

use super::checker::{Checker, End, Line};
use super::judgement::Judgement;
use super::observation::{AssertionKind, Observation};
use super::subject::{Sight, Watched};
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Always;

/// The checker.
#[derive(Debug, Clone)]
pub struct Always {
    name: String,
    watched: Watched,
    held: u64,
    violated: u64,
    first_violation: Option<Sight>,
    /// Nodes whose line goes on, and has shown the pattern in an earlier piece.
    shown: BTreeSet<String>,
    /// A piece of a long line that did not show the pattern; it is judged when the line ends.
    pending: Option<(String, Sight)>,
}

impl Always {
    /// Judges a subject.
    #[must_use]
    pub fn new(name: &str, watched: Watched) -> Self {
        Self {
            name: name.to_owned(),
            watched,
            held: 0,
            violated: 0,
            first_violation: None,
            shown: BTreeSet::new(),
            pending: None,
        }
    }

    fn count(&mut self, holds: bool, sight: impl FnOnce() -> Sight) {
        if holds {
            self.held += 1;
        } else {
            self.violated += 1;
            self.first_violation.get_or_insert_with(sight);
        }
    }

    /// Nothing was evaluated.
    fn unseen(&self, end: &End) -> Judgement {
        let Watched::Assertion(assertion) = &self.watched else {
            return Judgement::inconclusive(&self.name, KIND, "the consoles showed no line");
        };
        match (assertion.kind(), end.cut_short()) {
            (Some(AssertionKind::AlwaysOrUnreachable | AssertionKind::Unreachable), _) => {
                Judgement::pass(&self.name, KIND, "it was never reached, which is allowed")
            }
            (_, Some(why)) => {
                let reason = format!("{}; {why}", assertion.absence());
                unreached(Judgement::inconclusive(&self.name, KIND, reason))
            }
            (_, None) => unreached(Judgement::fail(
                &self.name,
                KIND,
                FindingKind::Unreached,
                assertion.absence(),
            ))
            .at(end.time_ns),
        }
    }
}

/// Marks what another run may settle.
pub(super) fn unreached(mut judgement: Judgement) -> Judgement {
    judgement.unreached = true;
    judgement
}

impl Checker for Always {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Watched::Assertion(assertion) = &mut self.watched
            && let Some(hit) = assertion.observe(seen)
        {
            self.count(hit.condition, || Sight::of_hit(seen, hit));
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let Watched::Console { matcher, nodes } = &self.watched else {
            return;
        };
        if !line.ended || !nodes.contains(line.node) {
            return;
        }
        // A long line comes in pieces, and one that shows the pattern is enough. A piece of full
        // length is followed by another one of the same line.
        let goes_on = line.text.len() >= super::lines::MAX_LINE_BYTES - 4;
        let shown = matcher.is_in(line) || (line.continued && self.shown.contains(line.node));
        if goes_on && shown {
            self.shown.insert(line.node.to_owned());
        } else if goes_on {
            self.shown.remove(line.node);
            self.pending = Some((line.node.to_owned(), Sight::of_line(line)));
        } else {
            self.shown.remove(line.node);
            self.pending = None;
            self.count(shown, || Sight::of_line(line));
        }
    }

    fn has_failed(&self) -> bool {
        self.first_violation.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        if let Some((_, sight)) = self.pending.take() {
            self.count(false, || sight);
        }
        let what = match &self.watched {
            Watched::Assertion(_) => ("evaluation", "evaluations"),
            Watched::Console { .. } => ("line", "lines"),
        };
        let all = counted(self.held + self.violated, what.0, what.1);
        let mut judgement = match &self.first_violation {
            Some(sight) => {
                let reason = match &self.watched {
                    Watched::Assertion(_) => {
                        format!(
                            "false in {} of {all}, first on {}",
                            self.violated,
                            sight.seen.place()
                        )
                    }
                    Watched::Console { matcher, .. } => format!(
                        "{} of {all} did not show {matcher}, first on {}",
                        self.violated,
                        sight.seen.place()
                    ),
                };
                let failed = Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason);
                sight.show(failed)
            }
            None if self.held == 0 => self.unseen(end),
            None => Judgement::pass(&self.name, KIND, format!("held in all of {all}")),
        }
        .counted(self.held, self.violated);
        if let Watched::Assertion(assertion) = &self.watched {
            judgement.guest_location = assertion.location();
        }
        vec![judgement]
    }
}
