//! `exit`: programs end with one of the codes that are allowed.
//!
//! A program that a fault ended, or whose node went down, did not end by itself: that is neither
//! right nor wrong. With `required` the last thing that each program did must be to end.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, End};
use super::judgement::{Judgement, Seen};
use super::observation::{ExitStatus, InitReport, NodeChange, Observation, ObservationKind};
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::ExitCode;

/// What became of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    NotSeen,
    Runs,
    Ended,
    EndedByFault,
    NodeDown,
}

/// The checker.
#[derive(Debug, Clone)]
pub struct Exit {
    name: String,
    codes: BTreeSet<u32>,
    required: bool,
    /// By node and process.
    fates: BTreeMap<(String, String), Fate>,
    right: u64,
    wrong: u64,
    first_wrong: Option<(Seen, String, ExitStatus)>,
}

impl Exit {
    /// Judges programs, which are named by node and process.
    #[must_use]
    pub fn new(
        name: &str,
        programs: impl IntoIterator<Item = (String, String)>,
        codes: &[u32],
        required: bool,
    ) -> Self {
        Self {
            name: name.to_owned(),
            codes: codes.iter().copied().collect(),
            required,
            fates: programs
                .into_iter()
                .map(|key| (key, Fate::NotSeen))
                .collect(),
            right: 0,
            wrong: 0,
            first_wrong: None,
        }
    }

    fn report(&mut self, seen: &Observation<'_>, node: &str, report: &InitReport) {
        let (process, fate) = match report {
            InitReport::Started { process, .. } => (process, Fate::Runs),
            InitReport::Ended {
                process,
                by_fault: true,
                ..
            } => (process, Fate::EndedByFault),
            InitReport::Ended { process, .. } => (process, Fate::Ended),
            _ => return,
        };
        let Some(known) = self.fates.get_mut(&(node.to_owned(), process.clone())) else {
            return;
        };
        *known = fate;
        let InitReport::Ended {
            status,
            by_fault: false,
            ..
        } = report
        else {
            return;
        };
        let allowed = match status {
            ExitStatus::Code(code) => {
                u32::try_from(*code).is_ok_and(|code| self.codes.contains(&code))
            }
            ExitStatus::Signal(_) => false,
        };
        if allowed {
            self.right += 1;
        } else {
            self.wrong += 1;
            self.first_wrong
                .get_or_insert_with(|| (Seen::of(seen), process.clone(), *status));
        }
    }

    fn those(&self, fate: Fate) -> String {
        let names: Vec<String> = self
            .fates
            .iter()
            .filter(|(_, known)| **known == fate)
            .map(|((node, process), _)| format!("{process} on {node}"))
            .collect();
        names.join(", ")
    }

    fn without_wrong(&self, end: &End) -> Judgement {
        let running = self.those(Fate::Runs);
        let unseen = self.those(Fate::NotSeen);
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        if self.fates.is_empty() {
            return inconclusive("no program is selected".to_owned());
        }
        if !unseen.is_empty() {
            let why = end
                .cut_short()
                .map_or(String::new(), |why| format!("; {why}"));
            return inconclusive(format!("not seen to start: {unseen}{why}"));
        }
        if !self.required {
            let ends = counted(
                self.right,
                "program ended as it may",
                "programs ended as they may",
            );
            return Judgement::pass(&self.name, KIND, ends);
        }
        if !running.is_empty() {
            return match end.cut_short() {
                Some(why) => inconclusive(format!("has not ended: {running}; {why}")),
                None => Judgement::fail(
                    &self.name,
                    KIND,
                    FindingKind::Liveness,
                    format!("has not ended when the run did: {running}"),
                )
                .at(end.time_ns),
            };
        }
        let disturbed = [self.those(Fate::EndedByFault), self.those(Fate::NodeDown)].join("");
        if !disturbed.is_empty() {
            return inconclusive(format!("ended by a fault and not by itself: {disturbed}"));
        }
        let ends = counted(self.right, "program ended", "programs ended");
        Judgement::pass(&self.name, KIND, format!("{ends} as required"))
    }
}

impl Checker for Exit {
    fn observe(&mut self, seen: &Observation<'_>) {
        let Some(node) = seen.node else { return };
        match &seen.kind {
            ObservationKind::Init(report) => self.report(seen, node, report),
            ObservationKind::Node(change) if loses_memory(change) => {
                for ((of, _), fate) in &mut self.fates {
                    if of == node && *fate == Fate::Runs {
                        *fate = Fate::NodeDown;
                    }
                }
            }
            _ => {}
        }
    }

    fn has_failed(&self) -> bool {
        self.first_wrong.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let judgement = match &self.first_wrong {
            Some((seen, process, status)) => {
                let reason = format!("{process} on {} ended with {status}", seen.place());
                let codes: Vec<String> = self.codes.iter().map(u32::to_string).collect();
                Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason)
                    .seen(seen)
                    .evidence("expected", format!("exit code {}", codes.join(" or ")))
                    .evidence("found", status.to_string())
            }
            None => self.without_wrong(end),
        };
        vec![judgement.counted(self.right, self.wrong)]
    }
}

/// Whether a node's programs are gone after a change.
pub const fn loses_memory(change: &NodeChange) -> bool {
    matches!(
        change,
        NodeChange::Crashed
            | NodeChange::Restarted
            | NodeChange::Exited
            | NodeChange::Reset
            | NodeChange::Panicked { .. }
            | NodeChange::TripleFault
            | NodeChange::Unimplemented { .. }
    )
}
