//! `reachable`: an SDK assertion is reached at least once in all runs together, whatever its
//! condition. What holds for one run and for several is as with [`super::sometimes`].

use super::always::unreached;
use super::checker::{Checker, End};
use super::judgement::Judgement;
use super::observation::Observation;
use super::subject::{Assertion, Sight};
use crate::outcome::time::human_duration;
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Reachable;

/// The checker.
#[derive(Debug, Clone)]
pub struct Reachable {
    name: String,
    assertion: Assertion,
    reached: u64,
    first: Option<Sight>,
}

impl Reachable {
    /// Judges the assertions with a message.
    #[must_use]
    pub fn new(name: &str, message: &str) -> Self {
        Self {
            name: name.to_owned(),
            assertion: Assertion::new(message),
            reached: 0,
            first: None,
        }
    }
}

impl Checker for Reachable {
    fn observe(&mut self, seen: &Observation<'_>) {
        if let Some(hit) = self.assertion.observe(seen) {
            self.reached += 1;
            self.first.get_or_insert_with(|| Sight::of_hit(seen, hit));
        }
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let absence = self.assertion.absence();
        let mut judgement = match (&self.first, end.cut_short()) {
            (Some(sight), _) => {
                let time = human_duration(sight.seen.time_ns);
                let reason = format!("first on {} at {time}", sight.seen.place());
                sight.show(Judgement::pass(&self.name, KIND, reason))
            }
            (None, Some(why)) => {
                let reason = format!("{absence}; {why}");
                unreached(Judgement::inconclusive(&self.name, KIND, reason))
            }
            (None, None) => {
                let failed = Judgement::fail(&self.name, KIND, FindingKind::Unreached, absence);
                unreached(failed).at(end.time_ns)
            }
        }
        .counted(self.reached, 0);
        judgement.guest_location = self.assertion.location();
        vec![judgement]
    }
}
