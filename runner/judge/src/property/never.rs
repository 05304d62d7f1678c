//! `never`: an SDK assertion is never reached, or no console shows a pattern.
//!
//! Not having been reached is only a pass if a guest has the assertion: a misspelt message would
//! never be reached either.

use super::checker::{Checker, End, Line};
use super::judgement::Judgement;
use super::observation::Observation;
use super::subject::{Sight, Watched};
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Never;

/// The checker.
#[derive(Debug, Clone)]
pub struct Never {
    name: String,
    watched: Watched,
    looked_at: u64,
    violated: u64,
    first: Option<Sight>,
}

impl Never {
    /// Judges a subject.
    #[must_use]
    pub fn new(name: &str, watched: Watched) -> Self {
        Self {
            name: name.to_owned(),
            watched,
            looked_at: 0,
            violated: 0,
            first: None,
        }
    }

    fn violation(&self, sight: &Sight) -> Judgement {
        let place = sight.seen.place();
        let reason = match &self.watched {
            Watched::Assertion(_) => {
                format!("reached {}, first on {place}", times(self.violated))
            }
            Watched::Console { matcher, .. } => format!("the console of {place} shows {matcher}"),
        };
        let failed = Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason);
        sight.show(failed)
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        _ => counted(count, "time", "times"),
    }
}

impl Checker for Never {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Watched::Assertion(assertion) = &mut self.watched
            && let Some(hit) = assertion.observe(seen)
        {
            self.violated += 1;
            self.first.get_or_insert_with(|| Sight::of_hit(seen, hit));
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
            self.violated += 1;
        } else if line.ended {
            self.looked_at += 1;
        }
    }

    fn has_failed(&self) -> bool {
        self.first.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let lines = counted(self.looked_at, "line", "lines");
        let mut judgement = match (&self.first, &self.watched) {
            (Some(sight), _) => self.violation(sight),
            (None, Watched::Assertion(assertion)) if assertion.kind().is_some() => {
                Judgement::pass(&self.name, KIND, "it was never reached")
            }
            (None, Watched::Assertion(assertion)) => {
                let reason = match end.cut_short() {
                    Some(why) => format!("{}; {why}", assertion.absence()),
                    None => assertion.absence().to_owned(),
                };
                Judgement::inconclusive(&self.name, KIND, reason)
            }
            (None, Watched::Console { .. }) if self.looked_at == 0 => {
                Judgement::inconclusive(&self.name, KIND, "the consoles showed no line")
            }
            (None, Watched::Console { .. }) => {
                Judgement::pass(&self.name, KIND, format!("not in {lines}"))
            }
        }
        .counted(self.looked_at, self.violated);
        if let Watched::Assertion(assertion) = &self.watched {
            judgement.guest_location = assertion.location();
        }
        vec![judgement]
    }
}
