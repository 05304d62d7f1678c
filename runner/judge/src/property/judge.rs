//! The judge of one run: all checkers of a plan, fed with observations.

use std::collections::BTreeSet;

use super::always::Always;
use super::append_list::AppendList;
use super::assertions::Assertions;
use super::checker::{Checker, End};
use super::converge::Converge;
use super::eventually::Eventually;
use super::exit::{Exit, loses_memory};
use super::judgement::Judgement;
use super::linearizable::Linearizable;
use super::lines::Lines;
use super::monotonic::Monotonic;
use super::never::Never;
use super::no_hang::NoHang;
use super::no_panic::NoPanic;
use super::observation::{Observation, ObservationKind};
use super::pattern::Matcher;
use super::progress::Progress;
use super::reachable::Reachable;
use super::sometimes::Sometimes;
use super::subject::{Assertion, Watched};
use super::unique::Unique;
use crate::outcome::PropertyKind;
use chaosrun_language::plan::model::Plan;
use chaosrun_language::plan::property::{Check, Property, Subject};

/// All checkers of a plan. It can be copied in the middle of a run, when the run is forked.
#[derive(Clone)]
pub struct Judge {
    checkers: Vec<Box<dyn Checker>>,
    lines: Lines,
    now_ns: u64,
    failed: bool,
}

impl Judge {
    /// The judge of a run of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let checker = |property| checker(plan, property);
        Self {
            checkers: plan.properties.iter().map(checker).collect(),
            lines: Lines::default(),
            now_ns: 0,
            failed: false,
        }
    }

    /// Tells all checkers what happened. True if it is certain that a property is violated; with
    /// `stop-on-failure` that ends the run.
    pub fn observe(&mut self, seen: &Observation<'_>) -> bool {
        self.tell_time(seen.time_ns);
        for checker in &mut self.checkers {
            checker.observe(seen);
        }
        let checkers = &mut self.checkers;
        match (&seen.kind, seen.node) {
            (ObservationKind::Console(bytes), Some(node)) => {
                self.lines
                    .push(node, (seen.seq, seen.time_ns), bytes, |line| {
                        checkers.iter_mut().for_each(|checker| checker.line(line));
                    });
            }
            (ObservationKind::Node(change), Some(node)) if loses_memory(change) => {
                self.lines.end(node, |line| {
                    checkers.iter_mut().for_each(|checker| checker.line(line));
                });
            }
            _ => {}
        }
        self.look()
    }

    /// Tells all checkers that time has come so far and nothing else happened. The run calls it
    /// from time to time, so that what does not happen is noticed. True as with [`Judge::observe`].
    pub fn advance(&mut self, now_ns: u64) -> bool {
        self.tell_time(now_ns);
        self.look()
    }

    /// Whether it is certain that a property is violated.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Time has come so far; lines that rest since a moment before are told at that moment.
    fn tell_time(&mut self, now_ns: u64) {
        while let Some(moment) = self.lines.rests_at().filter(|moment| *moment <= now_ns) {
            self.tell_moment(moment);
            let checkers = &mut self.checkers;
            self.lines.rest(moment, |line| {
                checkers.iter_mut().for_each(|checker| checker.line(line));
            });
        }
        self.tell_moment(now_ns);
    }

    fn tell_moment(&mut self, now_ns: u64) {
        if now_ns > self.now_ns {
            self.now_ns = now_ns;
            for checker in &mut self.checkers {
                checker.advance(now_ns);
            }
        }
    }

    fn look(&mut self) -> bool {
        self.failed = self.failed || self.checkers.iter().any(|checker| checker.has_failed());
        self.failed
    }

    /// Decides: the judgements in the order of the plan's properties, with each SDK assertion's at
    /// the place of `assertions`. There is one for each property at least.
    #[must_use]
    pub fn finish(mut self, end: &End) -> Vec<Judgement> {
        self.tell_time(end.time_ns);
        let checkers = &mut self.checkers;
        self.lines.end_all(|line| {
            checkers.iter_mut().for_each(|checker| checker.line(line));
        });
        let decide = |checker: &mut Box<dyn Checker>| checker.finish(end);
        self.checkers.iter_mut().flat_map(decide).collect()
    }
}

/// The nodes of a set of the plan. A set that the plan does not have is empty, and its property
/// inconclusive.
fn nodes(plan: &Plan, set: &str) -> BTreeSet<String> {
    match plan.node_sets.get(set) {
        Some(nodes) => nodes.iter().cloned().collect(),
        None if set == "all" => plan.nodes.iter().map(|node| node.name.clone()).collect(),
        None => BTreeSet::new(),
    }
}

/// The programs on nodes, as (node, process).
fn programs(plan: &Plan, set: &str, process: Option<&str>) -> Vec<(String, String)> {
    let on = nodes(plan, set);
    let mut out = Vec::new();
    for node in plan.nodes.iter().filter(|node| on.contains(&node.name)) {
        for workload in &node.workloads {
            if process.is_none_or(|process| process == workload.guest) {
                out.push((node.name.clone(), workload.guest.clone()));
            }
        }
    }
    out
}

fn watched(plan: &Plan, subject: &Subject) -> Result<Watched, String> {
    match subject {
        Subject::Assertion { message } => Ok(Watched::Assertion(Assertion::new(message))),
        Subject::Console { pattern, on } => match Matcher::new(pattern) {
            Ok(matcher) => Ok(Watched::Console {
                matcher,
                nodes: nodes(plan, on),
            }),
            Err(error) => Err(format!("the pattern cannot be used: {error}")),
        },
    }
}

fn checker(plan: &Plan, property: &Property) -> Box<dyn Checker> {
    let name = property.name.as_str();
    match &property.check {
        Check::Always { subject }
        | Check::Never { subject }
        | Check::Sometimes { subject }
        | Check::Eventually { subject, .. } => match watched(plan, subject) {
            Ok(watched) => of_subject(name, &property.check, watched),
            Err(reason) => Box::new(Undecidable::new(name, kind_of(&property.check), reason)),
        },
        Check::Progress { .. }
        | Check::Converge { .. }
        | Check::Unique { .. }
        | Check::Monotonic { .. } => of_value(plan, name, &property.check),
        Check::Assertions { only, except } => {
            let names = plan.properties.iter().map(|other| other.name.clone());
            Box::new(Assertions::new(name, only, except, names.collect()))
        }
        Check::Reachable { message } => Box::new(Reachable::new(name, message)),
        Check::Exit {
            on,
            process,
            codes,
            required,
        } => {
            let programs = programs(plan, on, process.as_deref());
            Box::new(Exit::new(name, programs, codes, *required))
        }
        Check::NoPanic { on } => Box::new(NoPanic::new(name, nodes(plan, on))),
        Check::NoHang { on, within_ns } => {
            let ready_ns = plan.ready.within_ns;
            Box::new(NoHang::new(name, nodes(plan, on), *within_ns, ready_ns))
        }
        Check::Linearizable { history, model } => {
            Box::new(Linearizable::new(name, history, *model))
        }
        Check::AppendList { history, level } => Box::new(AppendList::new(name, history, *level)),
    }
}

/// Checkers of assertions and consoles.
fn of_subject(name: &str, check: &Check, watched: Watched) -> Box<dyn Checker> {
    match check {
        Check::Always { .. } => Box::new(Always::new(name, watched)),
        Check::Never { .. } => Box::new(Never::new(name, watched)),
        Check::Eventually {
            within_ns, after, ..
        } => Box::new(Eventually::new(name, watched, *within_ns, *after)),
        _ => Box::new(Sometimes::new(name, watched)),
    }
}

/// Checkers of published values.
fn of_value(plan: &Plan, name: &str, check: &Check) -> Box<dyn Checker> {
    match check {
        Check::Progress {
            value,
            on,
            within_ns,
            after,
        } => Box::new(Progress::new(
            name,
            value,
            nodes(plan, on),
            *within_ns,
            *after,
        )),
        Check::Converge {
            value,
            on,
            within_ns,
            after,
        } => Box::new(Converge::new(
            name,
            value,
            nodes(plan, on),
            *within_ns,
            *after,
        )),
        Check::Unique { value, on, per } => {
            Box::new(Unique::new(name, value, nodes(plan, on), per.as_deref()))
        }
        Check::Monotonic {
            value,
            on,
            strict,
            across_restarts,
        } => {
            let on = nodes(plan, on);
            Box::new(Monotonic::new(name, value, on, *strict, *across_restarts))
        }
        _ => {
            let reason = "it is not about a published value".to_owned();
            Box::new(Undecidable::new(name, kind_of(check), reason))
        }
    }
}

/// What kind of property a check is in reports.
#[must_use]
pub const fn kind_of(check: &Check) -> PropertyKind {
    match check {
        Check::Assertions { .. } | Check::Always { .. } => PropertyKind::Always,
        Check::Never { .. } => PropertyKind::Never,
        Check::Sometimes { .. } => PropertyKind::Sometimes,
        Check::Eventually { .. } => PropertyKind::Eventually,
        Check::Reachable { .. } => PropertyKind::Reachable,
        Check::Exit { .. } => PropertyKind::ExitCode,
        Check::NoPanic { .. } => PropertyKind::NoPanic,
        Check::NoHang { .. } => PropertyKind::NoHang,
        Check::Progress { .. } => PropertyKind::Liveness,
        Check::Converge { .. } => PropertyKind::Convergence,
        Check::Unique { .. } => PropertyKind::Uniqueness,
        Check::Monotonic { .. } => PropertyKind::Monotonicity,
        Check::Linearizable { .. } => PropertyKind::Linearizable,
        Check::AppendList { .. } => PropertyKind::AppendList,
    }
}

/// A property that cannot be judged, with the reason.
#[derive(Debug, Clone)]
struct Undecidable {
    name: String,
    kind: PropertyKind,
    reason: String,
}

impl Undecidable {
    fn new(name: &str, kind: PropertyKind, reason: String) -> Self {
        let name = name.to_owned();
        Self { name, kind, reason }
    }
}

impl Checker for Undecidable {
    fn observe(&mut self, _seen: &Observation<'_>) {}

    fn has_failed(&self) -> bool {
        false
    }

    fn finish(&mut self, _end: &End) -> Vec<Judgement> {
        vec![Judgement::inconclusive(
            &self.name,
            self.kind,
            &*self.reason,
        )]
    }
}
