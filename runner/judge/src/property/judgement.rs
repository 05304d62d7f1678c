//! What was decided about one property in one run, and how it becomes part of a report.

use crate::outcome::text::cut;
use crate::outcome::{
    Counts, Event, Evidence, FaultSchedule, FileLocation, Finding, FindingKind, Moment, Origin,
    Property, PropertyKind, Verdict,
};

use super::observation::{Observation, SourceLocation};

/// The longest text of one piece of evidence, in bytes.
const MAX_EVIDENCE_BYTES: usize = 16 * 1024;
/// The longest reason, in bytes; a reason quotes what guests wrote.
const MAX_REASON_BYTES: usize = 1024;

/// What was decided about one property.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The property's name.
    pub name: String,
    /// What it asks for.
    pub kind: PropertyKind,
    /// Who declared it.
    pub origin: Origin,
    /// What was decided.
    pub verdict: Verdict,
    /// Why, in one line.
    pub reason: String,
    /// When and where it was decided.
    pub moment: Option<Moment>,
    /// Where the guest's source declares it.
    pub guest_location: Option<FileLocation>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// The observations that decided it, by their numbers, in the order of time.
    pub seqs: Vec<u64>,
    /// How often it was looked at.
    pub counts: Counts,
    /// What kind of failure it is, if it failed.
    pub failure: Option<FindingKind>,
    /// Whether it asks for something that has to happen in one of all runs, and did not in this one.
    /// [`super::tally::Tally`] settles what that means.
    pub unreached: bool,
}

impl Judgement {
    /// A judgement with nothing but the verdict and its reason.
    #[must_use]
    pub fn new(
        name: &str,
        kind: PropertyKind,
        verdict: Verdict,
        reason: impl Into<String>,
    ) -> Self {
        let origin = if PropertyKind::BUILT_IN.contains(&kind) {
            Origin::BuiltIn
        } else {
            Origin::Scenario
        };
        let mut reason = reason.into();
        cut(&mut reason, MAX_REASON_BYTES);
        Self {
            name: name.to_owned(),
            kind,
            origin,
            verdict,
            reason,
            moment: None,
            guest_location: None,
            evidence: Vec::new(),
            seqs: Vec::new(),
            counts: Counts::default(),
            failure: None,
            unreached: false,
        }
    }

    /// It held.
    #[must_use]
    pub fn pass(name: &str, kind: PropertyKind, reason: impl Into<String>) -> Self {
        Self::new(name, kind, Verdict::Pass, reason)
    }

    /// It was violated.
    #[must_use]
    pub fn fail(
        name: &str,
        kind: PropertyKind,
        failure: FindingKind,
        reason: impl Into<String>,
    ) -> Self {
        let mut judgement = Self::new(name, kind, Verdict::Fail, reason);
        judgement.failure = Some(failure);
        judgement
    }

    /// It could not be decided.
    #[must_use]
    pub fn inconclusive(name: &str, kind: PropertyKind, reason: impl Into<String>) -> Self {
        Self::new(name, kind, Verdict::Inconclusive, reason)
    }

    /// Says when and where, and that the observation of this moment belongs to the evidence.
    #[must_use]
    pub fn seen(mut self, seen: &Seen) -> Self {
        self.moment = Some(seen.moment());
        self.seqs.push(seen.seq);
        self
    }

    /// Says when.
    #[must_use]
    pub fn at(mut self, time_ns: u64) -> Self {
        self.moment = Some(Moment::at(time_ns));
        self
    }

    /// Adds evidence, cut to a bounded length. Empty text is left out.
    #[must_use]
    pub fn evidence(mut self, label: &str, text: impl Into<String>) -> Self {
        let mut text = text.into();
        cut(&mut text, MAX_EVIDENCE_BYTES);
        if !text.is_empty() {
            self.evidence.push(Evidence::new(label, text));
        }
        self
    }

    /// Says how often it was looked at.
    #[must_use]
    pub const fn counted(mut self, passed: u64, failed: u64) -> Self {
        self.counts = Counts { passed, failed };
        self
    }

    /// The report's entry for it.
    #[must_use]
    pub fn to_property(&self, declared_at: Option<FileLocation>) -> Property {
        let mut property = Property::new(self.name.clone(), self.kind, self.verdict);
        property.origin = self.origin;
        property.reason.clone_from(&self.reason);
        property.declared_at = declared_at;
        property.guest_location.clone_from(&self.guest_location);
        property.moment.clone_from(&self.moment);
        property.evidence.clone_from(&self.evidence);
        property.counts = self.counts;
        property
    }

    /// The report's finding, if it failed.
    ///
    /// `number` counts from 1; `nearest_events` are those before the failure, oldest first.
    #[must_use]
    pub fn to_finding(
        &self,
        number: u32,
        seed: u64,
        nearest_events: Vec<Event>,
        faults: FaultSchedule,
        replay_command: String,
    ) -> Option<Finding> {
        if self.verdict != Verdict::Fail {
            return None;
        }
        Some(Finding {
            number,
            property: self.name.clone(),
            kind: self.failure.unwrap_or(FindingKind::Invariant),
            summary: self.reason.clone(),
            moment: self.moment.clone().unwrap_or_default(),
            seed: seed.to_string(),
            evidence: self.evidence.clone(),
            nearest_events,
            faults,
            replay_command,
            recording: None,
            state_hash: None,
            seen_in_timelines: 1,
        })
    }
}

/// Where and when something was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The observation's number.
    pub seq: u64,
    /// World time in nanoseconds.
    pub time_ns: u64,
    /// The node, if it is about one.
    pub node: Option<String>,
}

impl Seen {
    /// Where and when an observation was made.
    #[must_use]
    pub fn of(observation: &Observation<'_>) -> Self {
        Self {
            seq: observation.seq,
            time_ns: observation.time_ns,
            node: observation.node.map(str::to_owned),
        }
    }

    /// The moment of it.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            vtime_ns: self.time_ns,
            node: self.node.clone(),
        }
    }

    /// The node's name, or `the world`.
    #[must_use]
    pub fn place(&self) -> &str {
        self.node.as_deref().unwrap_or("the world")
    }
}

/// A place in a guest's source as reports have it.
#[must_use]
pub fn file_location(location: &SourceLocation) -> FileLocation {
    FileLocation {
        file: location.file.clone(),
        line: location.line,
        column: (location.column > 0).then_some(location.column),
        function: (!location.function.is_empty()).then(|| location.function.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_become_findings() {
        let held = Judgement::pass("p", PropertyKind::Always, "fine");
        let broken = Judgement::fail("p", PropertyKind::Always, FindingKind::Invariant, "broken");
        let finding =
            |j: &Judgement| j.to_finding(1, 7, Vec::new(), FaultSchedule::default(), String::new());
        assert!(finding(&held).is_none());
        let found = finding(&broken).unwrap();
        assert_eq!(found.seed, "7");
        assert_eq!(found.summary, "broken");
    }

    #[test]
    fn what_guests_wrote_is_cut() {
        let long = "ä".repeat(40_000);
        let judgement = Judgement::fail("p", PropertyKind::Always, FindingKind::Invariant, &*long)
            .evidence("details", &*long)
            .evidence("nothing", "");
        assert!(judgement.reason.len() <= MAX_REASON_BYTES + 3);
        assert!(judgement.evidence[0].text.len() <= MAX_EVIDENCE_BYTES + 3);
        assert_eq!(judgement.evidence.len(), 1);
    }
}
