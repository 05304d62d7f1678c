//! Not judged yet: always inconclusive.
use super::checker::{Checker, End};
use super::judgement::Judgement;
use super::observation::Observation;
use crate::plan::property::ConsistencyLevel;
use crate::report::PropertyKind;

/// The checker.
#[derive(Debug, Clone)]
pub struct AppendList {
    name: String,
}

impl AppendList {
    /// Judges a history.
    #[must_use]
    pub fn new(name: &str, _history: &str, _how: ConsistencyLevel) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}

impl Checker for AppendList {
    fn observe(&mut self, _seen: &Observation<'_>) {}
    fn has_failed(&self) -> bool {
        false
    }
    fn finish(&mut self, _end: &End) -> Vec<Judgement> {
        vec![Judgement::inconclusive(
            &self.name,
            PropertyKind::AppendList,
            "histories are not judged yet",
        )]
    }
}
