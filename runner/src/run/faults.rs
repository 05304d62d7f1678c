//! Faults in the record: each beginning as one, and each end as an end, with how long it lasted.

use std::collections::BTreeMap;

use super::director::Stage;
use crate::outcome::event::{Fault, FaultStage};

/// The faults that go on, each with the moment when it began, in nanoseconds of virtual time.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultLog {
    began: BTreeMap<u64, u64>,
}

impl FaultLog {
    /// The record of something that a fault does at `now`.
    pub(super) fn record(
        &mut self,
        now: u64,
        id: u64,
        stage: Stage,
        source: String,
        mut fault: Fault,
    ) -> Fault {
        let shown = match stage {
            Stage::Begin | Stage::Moment => FaultStage::Begin,
            Stage::End => FaultStage::End,
            Stage::LeftOut => FaultStage::LeftOut,
            Stage::WithoutEffect { .. } => FaultStage::WithoutEffect,
        };
        match stage {
            Stage::Begin => drop(self.began.insert(id, now)),
            Stage::End => {
                // How long it may last says nothing any more.
                (fault.max_duration, fault.max_duration_ns) = (None, None);
                if let Some(began) = self.began.remove(&id) {
                    fault = fault.with("lasted_ns", now.saturating_sub(began));
                }
            }
            Stage::Moment | Stage::LeftOut | Stage::WithoutEffect { .. } => {}
        }
        fault.at_stage(shown).with("source", source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::vocab::FaultKind;

    #[test]
    fn the_end_of_a_fault_of_any_family_is_told_as_an_end() {
        for (number, kind) in FaultKind::ALL.iter().enumerate() {
            let (class, kind) = (kind.family().name(), kind.name());
            let mut log = FaultLog::default();
            let fault = Fault::new(kind, class, &["n1"]).lasting(4_000_000_000);
            let mut record = |now, stage| {
                let source = "at 1".to_owned();
                log.record(now, number as u64, stage, source, fault.clone())
            };
            let begin = record(1_000_000_000, Stage::Begin);
            let end = record(3_477_000_000, Stage::End);
            let left_out = record(5_000_000_000, Stage::LeftOut);
            assert_eq!(begin.summary(), format!("{kind} of n1 for 4 s"));
            assert_eq!(end.summary(), format!("{kind} of n1 ends after 2.477 s"));
            assert_eq!(left_out.summary(), format!("{kind} of n1 is left out"));
            assert_eq!(end.details.stage, Some(FaultStage::End));
            assert_eq!(end.max_duration_ns, None);
        }
    }

    #[test]
    fn a_moment_has_no_end() {
        let mut log = FaultLog::default();
        let kill = Fault::new("kill", "node", &["n1"]);
        let told = log.record(1, 1, Stage::Moment, "at 1".to_owned(), kill);
        assert_eq!(told.summary(), "kill of n1");
        assert!(log.began.is_empty());
    }
}
