//! `sometimes`: an SDK assertion holds at least once in all runs together, or one of the consoles
//! shows a pattern.
//!
//! In a single run that went on to its end, not having happened is a failure, because that run is
//! all runs. Of several runs, [`super::tally::Tally`] settles it.

use super::always::unreached;
use super::checker::{Checker, End, Line};
use super::judgement::Judgement;
use super::observation::Observation;
use super::subject::{Sight, Watched};
use crate::outcome::time::{counted, human_duration};
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Sometimes;

/// The checker.
#[derive(Debug, Clone)]
pub struct Sometimes {
    name: String,
    watched: Watched,
    held: u64,
    not: u64,
    first: Option<Sight>,
}

impl Sometimes {
    /// Judges a subject.
    #[must_use]
    pub fn new(name: &str, watched: Watched) -> Self {
        Self {
            name: name.to_owned(),
            watched,
            held: 0,
            not: 0,
            first: None,
        }
    }

    fn unseen(&self, end: &End) -> Judgement {
        let reason = match &self.watched {
            Watched::Assertion(_) if self.not > 0 => {
                format!(
                    "false in all of {}",
                    counted(self.not, "evaluation", "evaluations")
                )
            }
            Watched::Assertion(assertion) => assertion.absence().to_owned(),
            Watched::Console { matcher, .. } => {
                format!("{matcher} is not in {}", counted(self.not, "line", "lines"))
            }
        };
        unreached(match end.cut_short() {
            Some(why) => Judgement::inconclusive(&self.name, KIND, format!("{reason}; {why}")),
            None => {
                Judgement::fail(&self.name, KIND, FindingKind::Unreached, reason).at(end.time_ns)
            }
        })
    }
}

impl Checker for Sometimes {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Watched::Assertion(assertion) = &mut self.watched
            && let Some(hit) = assertion.observe(seen)
        {
            if hit.condition {
                self.held += 1;
                self.first.get_or_insert_with(|| Sight::of_hit(seen, hit));
            } else {
                self.not += 1;
            }
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        let Some(shown) = self.watched.is_in(line) else {
            return;
        };
        if shown {
            self.first.get_or_insert_with(|| Sight::of_line(line));
        }
        if line.ended && shown {
            self.held += 1;
        } else if line.ended {
            self.not += 1;
        }
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let mut judgement = match &self.first {
            Some(sight) => {
                let reason = format!(
                    "first on {} at {}",
                    sight.seen.place(),
                    human_duration(sight.seen.time_ns)
                );
                sight.show(Judgement::pass(&self.name, KIND, reason))
            }
            None => self.unseen(end),
        }
        .counted(self.held, self.not);
        if let Watched::Assertion(assertion) = &self.watched {
            judgement.guest_location = assertion.location();
        }
        vec![judgement]
    }
}
