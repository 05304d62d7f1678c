//! The time in which something has to come to hold.

use std::collections::BTreeSet;

use super::checker::End;
use super::observation::{Observation, ObservationKind, Phase};
use crate::outcome::time::human_duration;
use chaosrun_language::plan::property::Since;

/// A window of virtual time that opens at a moment of the run.
///
/// With [`Since::LastFault`] it opens again at the end of each fault, and what was seen before does
/// not count any more. Only when the quiet period has begun, or the run has ended, it is known that
/// no fault follows.
#[derive(Debug, Clone)]
pub struct Window {
    after: Since,
    within_ns: u64,
    opened_ns: Option<u64>,
    active: BTreeSet<u64>,
    ready: bool,
    quiet: bool,
}

impl Window {
    /// A window that has not opened.
    #[must_use]
    pub const fn new(after: Since, within_ns: u64) -> Self {
        Self {
            after,
            within_ns,
            opened_ns: None,
            active: BTreeSet::new(),
            ready: false,
            quiet: false,
        }
    }

    /// Follows the run. True if the window opened or closed: what was seen before does not count.
    pub fn observe(&mut self, seen: &Observation<'_>) -> bool {
        match (&seen.kind, self.after) {
            (ObservationKind::Phase(Phase::Ready), _) => {
                self.ready = true;
                self.after != Since::Quiet && self.open(seen.time_ns)
            }
            (ObservationKind::Phase(Phase::Quiet), Since::Quiet) => self.open(seen.time_ns),
            (ObservationKind::Phase(Phase::Quiet), _) => {
                self.quiet = true;
                false
            }
            (ObservationKind::FaultBegan { id, .. }, Since::LastFault) => {
                self.active.insert(*id);
                self.opened_ns = None;
                true
            }
            (ObservationKind::FaultEnded { id }, Since::LastFault) => {
                self.active.remove(id);
                self.ready && self.open(seen.time_ns)
            }
            _ => false,
        }
    }

    fn open(&mut self, time_ns: u64) -> bool {
        if !self.active.is_empty() {
            return false;
        }
        self.opened_ns = Some(time_ns);
        true
    }

    /// Whether a moment counts.
    #[must_use]
    pub fn contains(&self, time_ns: u64) -> bool {
        self.opened_ns
            .is_some_and(|from| from <= time_ns && time_ns - from <= self.within_ns)
    }

    /// Whether the window is open or was, so that something seen now is not too early.
    #[must_use]
    pub const fn has_opened(&self) -> bool {
        self.opened_ns.is_some()
    }

    /// When it opened, in nanoseconds of world time.
    #[must_use]
    pub const fn opened_ns(&self) -> Option<u64> {
        self.opened_ns
    }

    /// How long it is open, in nanoseconds.
    #[must_use]
    pub const fn within_ns(&self) -> u64 {
        self.within_ns
    }

    /// When it closes, in nanoseconds of world time; 0 if it has not opened.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.opened_ns
            .map_or(0, |from| from.saturating_add(self.within_ns))
    }

    /// Whether it is over, and will not open again.
    #[must_use]
    pub fn is_over(&self, now_ns: u64) -> bool {
        self.is_settled() && self.has_passed(now_ns)
    }

    /// Whether it will not open again as far as the plan goes.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.after != Since::LastFault || self.quiet
    }

    /// Whether it is over, unless it opens again.
    #[must_use]
    pub fn has_passed(&self, now_ns: u64) -> bool {
        self.opened_ns
            .is_some_and(|from| now_ns.saturating_sub(from) > self.within_ns)
    }

    /// Why nothing can be said about what did not happen; nothing if the whole window was seen.
    #[must_use]
    pub fn undecided(&self, end: &End) -> Option<String> {
        if let Some(why) = end.cut_short()
            && !self.is_over(end.time_ns)
        {
            return Some(why);
        }
        let Some(from) = self.opened_ns else {
            return Some(format!("{} never came", self.opening()));
        };
        // A run that ends exactly with the window has seen all of it.
        let seen_ns = end.time_ns.saturating_sub(from);
        (seen_ns < self.within_ns).then(|| {
            format!(
                "the run ended {} after {}, and it may take {}",
                human_duration(seen_ns),
                self.opening(),
                human_duration(self.within_ns)
            )
        })
    }

    /// Words for the moment at which it opens.
    #[must_use]
    pub const fn opening(&self) -> &'static str {
        match self.after {
            Since::Start => "all nodes were ready",
            Since::Quiet => "the quiet period began",
            Since::LastFault => "the last fault had ended",
        }
    }

    /// The words `within 5 s after the quiet period began`.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "within {} after {}",
            human_duration(self.within_ns),
            self.opening()
        )
    }

    /// The words `1.2 s after the quiet period began`.
    #[must_use]
    pub fn since_opening(&self, time_ns: u64) -> String {
        let from = self.opened_ns.unwrap_or(time_ns);
        format!(
            "{} after {}",
            human_duration(time_ns.saturating_sub(from)),
            self.opening()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_ns: u64, kind: ObservationKind) -> Observation<'static> {
        Observation::of_world(time_ns, time_ns, kind)
    }

    fn began(time_ns: u64, id: u64) -> Observation<'static> {
        let kind = ObservationKind::FaultBegan {
            id,
            class: "node".into(),
            nodes: Vec::new(),
        };
        at(time_ns, kind)
    }

    #[test]
    fn the_window_after_the_last_fault_opens_when_none_is_active() {
        let mut window = Window::new(Since::LastFault, 10);
        assert!(window.observe(&at(5, ObservationKind::Phase(Phase::Ready))));
        assert!(window.contains(6));
        assert!(window.observe(&began(10, 1)));
        assert!(!window.contains(10));
        window.observe(&began(11, 2));
        window.observe(&at(12, ObservationKind::FaultEnded { id: 1 }));
        assert!(!window.has_opened());
        assert!(window.observe(&at(20, ObservationKind::FaultEnded { id: 2 })));
        assert!(window.contains(30) && !window.contains(31));
        assert!(window.has_passed(31) && !window.is_over(31));
        window.observe(&at(40, ObservationKind::Phase(Phase::Quiet)));
        assert!(window.is_over(40));
    }

    #[test]
    fn a_run_that_ends_too_early_decides_nothing() {
        let mut window = Window::new(Since::Quiet, 10);
        assert!(window.undecided(&End::completed(100)).is_some());
        window.observe(&at(50, ObservationKind::Phase(Phase::Quiet)));
        assert!(window.undecided(&End::completed(59)).is_some());
        assert!(window.undecided(&End::completed(60)).is_none());
        assert!(window.undecided(&End::cut(60, "stopped")).is_some());
        assert!(window.undecided(&End::cut(61, "stopped")).is_none());
    }
}
