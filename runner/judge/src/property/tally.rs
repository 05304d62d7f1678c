//! What has to happen in one of all runs: settled over several runs.
//!
//! `sometimes`, `reachable`, and the assertions that have to be reached are about all runs together.
//! A run in which such a thing did not happen says so ([`Judgement::unreached`]); when all runs are
//! over, it passes if it happened in another one, it fails if all runs were complete and it happened
//! in none, and else it is inconclusive.

use std::collections::BTreeMap;

use super::judgement::Judgement;
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, Verdict};

/// What happened in how many runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    runs: u64,
    properties: BTreeMap<String, Count>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    reached: u64,
    unreached_complete: u64,
    unreached_cut: u64,
}

impl Tally {
    /// Adds the judgements of one run.
    pub fn add(&mut self, judgements: &[Judgement]) {
        self.runs += 1;
        for judgement in judgements {
            let count = self.properties.entry(judgement.name.clone()).or_default();
            match (judgement.unreached, judgement.verdict) {
                (true, Verdict::Inconclusive) => count.unreached_cut += 1,
                (true, _) => count.unreached_complete += 1,
                (false, Verdict::Inconclusive) => {}
                (false, _) => count.reached += 1,
            }
        }
    }

    /// Adds what another tally counted, in any order.
    pub fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        for (name, theirs) in &other.properties {
            let count = self.properties.entry(name.clone()).or_default();
            count.reached += theirs.reached;
            count.unreached_complete += theirs.unreached_complete;
            count.unreached_cut += theirs.unreached_cut;
        }
    }

    /// Gives one run's judgements the verdicts that hold over all runs.
    pub fn settle(&self, judgements: &mut [Judgement]) {
        if self.runs < 2 {
            return;
        }
        for judgement in judgements.iter_mut().filter(|j| j.unreached) {
            let Some(count) = self.properties.get(&judgement.name) else {
                continue;
            };
            let runs = counted(self.runs, "run", "runs");
            if count.reached > 0 {
                judgement.verdict = Verdict::Pass;
                judgement.failure = None;
                judgement.reason =
                    format!("in {} of {runs}, though not in this one", count.reached);
            } else if count.unreached_cut > 0 {
                judgement.verdict = Verdict::Inconclusive;
                judgement.failure = None;
                judgement.reason = format!(
                    "{}; in none of {runs}, of which {} did not go on to the end",
                    judgement.reason, count.unreached_cut
                );
            } else {
                judgement.verdict = Verdict::Fail;
                judgement.failure = Some(FindingKind::Unreached);
                judgement.reason = format!("{}; in none of {runs}", judgement.reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::PropertyKind;

    fn unreached(verdict: Verdict) -> Judgement {
        let mut judgement = Judgement::new("p", PropertyKind::Sometimes, verdict, "not seen");
        judgement.unreached = true;
        judgement
    }

    fn settled(runs: &[Judgement]) -> Vec<Verdict> {
        let mut tally = Tally::default();
        for run in runs {
            tally.add(std::slice::from_ref(run));
        }
        let mut runs = runs.to_vec();
        tally.settle(&mut runs);
        runs.iter().map(|run| run.verdict).collect()
    }

    #[test]
    fn one_run_that_reached_it_is_enough() {
        let reached = Judgement::pass("p", PropertyKind::Sometimes, "seen");
        let runs = [
            unreached(Verdict::Fail),
            reached,
            unreached(Verdict::Inconclusive),
        ];
        assert_eq!(settled(&runs), [Verdict::Pass; 3]);
    }

    #[test]
    fn no_run_that_reached_it_is_a_failure_if_all_were_complete() {
        let runs = [unreached(Verdict::Fail), unreached(Verdict::Fail)];
        assert_eq!(settled(&runs), [Verdict::Fail; 2]);
        let runs = [unreached(Verdict::Fail), unreached(Verdict::Inconclusive)];
        assert_eq!(settled(&runs), [Verdict::Inconclusive; 2]);
    }

    #[test]
    fn a_violation_stays_one() {
        let violated = Judgement::fail("p", PropertyKind::Always, FindingKind::Invariant, "false");
        let runs = [violated, unreached(Verdict::Fail)];
        // It was reached in the first run, and violated there.
        assert_eq!(settled(&runs), [Verdict::Fail, Verdict::Pass]);
    }
}
