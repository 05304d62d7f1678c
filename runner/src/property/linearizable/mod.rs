//! Not judged yet: always inconclusive.
use super::checker::{Checker, End};
use super::judgement::Judgement;
use super::observation::Observation;
use crate::plan::property::HistoryModel;
use crate::report::PropertyKind;

/// The checker.
#[derive(Debug, Clone)]
pub struct Linearizable {
    name: String,
}

impl Linearizable {
    /// Judges a history.
    #[must_use]
    pub fn new(name: &str, _history: &str, _how: HistoryModel) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}

impl Checker for Linearizable {
    fn observe(&mut self, _seen: &Observation<'_>) {}
    fn has_failed(&self) -> bool {
        false
    }
    fn finish(&mut self, _end: &End) -> Vec<Judgement> {
        vec![Judgement::inconclusive(
            &self.name,
            PropertyKind::Linearizable,
            "histories are not judged yet",
        )]
    }
}
