//! `assertions`: every SDK assertion of the guests is a property of its own.
//!
//! | kind | passes | fails |
//! |---|---|---|
//! | always | true at each evaluation | false once, or never reached |
//! | always-or-unreachable | true at each evaluation, if any | false once |
//! | sometimes | true once | never true, or never reached |
//! | reachable | reached | never reached |
//! | unreachable | never reached | reached |
//!
//! What was never reached was not reached in all runs together; [`super::tally::Tally`] settles that.
//! In a run that was cut short it is inconclusive. Sites with the same message and kind are one
//! property, wherever they are and however many processes have them.

use std::collections::{BTreeMap, BTreeSet};

use super::always::unreached;
use super::checker::{Checker, End};
use super::judgement::{Judgement, file_location};
use super::observation::{
    AssertionHit, AssertionKind, AssertionSite, Observation, ObservationKind,
};
use super::subject::Sight;
use crate::outcome::time::{counted, human_duration};
use crate::outcome::{FindingKind, Origin, PropertyKind};

/// How many different assertions are judged. Guests could make up any number of them.
pub const MAX_ASSERTIONS: usize = 10_000;

/// The checker of all assertions.
#[derive(Debug, Clone)]
pub struct Assertions {
    name: String,
    only: BTreeSet<String>,
    except: BTreeSet<String>,
    /// Names that the scenario's own properties have.
    taken: BTreeSet<String>,
    known: BTreeMap<(String, AssertionKind), State>,
    too_many: bool,
    failed: bool,
}

#[derive(Debug, Clone)]
struct State {
    site: AssertionSite,
    held: u64,
    not: u64,
    first_held: Option<Sight>,
    first_not: Option<Sight>,
}

impl Assertions {
    /// Judges the assertions with the messages `only`, or all if there are none, and not `except`.
    /// `taken` are the names of other properties.
    #[must_use]
    pub fn new(name: &str, only: &[String], except: &[String], taken: BTreeSet<String>) -> Self {
        Self {
            name: name.to_owned(),
            only: only.iter().cloned().collect(),
            except: except.iter().cloned().collect(),
            taken,
            known: BTreeMap::new(),
            too_many: false,
            failed: false,
        }
    }

    fn state(&mut self, site: &AssertionSite) -> Option<&mut State> {
        let selected = self.only.is_empty() || self.only.contains(&site.message);
        if !selected || self.except.contains(&site.message) {
            return None;
        }
        let key = (site.message.clone(), site.kind);
        if self.known.len() >= MAX_ASSERTIONS && !self.known.contains_key(&key) {
            self.too_many = true;
            return None;
        }
        let state = self.known.entry(key).or_insert_with(|| State {
            site: site.clone(),
            held: 0,
            not: 0,
            first_held: None,
            first_not: None,
        });
        Some(state)
    }

    fn evaluate(&mut self, seen: &Observation<'_>, hit: &AssertionHit) {
        let Some(state) = self.state(&hit.site) else {
            return;
        };
        // Reaching the unreachable violates it, whatever the condition says.
        let condition = match hit.site.kind {
            AssertionKind::Unreachable => false,
            AssertionKind::Reachable => true,
            _ => hit.condition,
        };
        let sight = || Sight::of_hit(seen, hit);
        if condition {
            state.held += 1;
            state.first_held.get_or_insert_with(sight);
        } else {
            state.not += 1;
            state.first_not.get_or_insert_with(sight);
            self.failed |= hit.site.kind != AssertionKind::Sometimes;
        }
    }

    /// A name that no other property has.
    fn property_name(
        &self,
        message: &str,
        kind: AssertionKind,
        used: &mut BTreeSet<String>,
    ) -> String {
        let mut name = message.to_owned();
        if used.contains(&name) || self.taken.contains(&name) {
            name = format!("{message} ({})", property_kind(kind).name());
        }
        while used.contains(&name) || self.taken.contains(&name) {
            name.push('\'');
        }
        used.insert(name.clone());
        name
    }

    /// What cannot be said of assertions that nobody has.
    fn missing(&self, end: &End, out: &mut Vec<Judgement>) {
        let why = end
            .cut_short()
            .map_or(String::new(), |why| format!("; {why}"));
        if self.known.is_empty() && self.only.is_empty() {
            let reason = format!("no guest has told of any assertion{why}");
            out.push(Judgement::inconclusive(
                &self.name,
                PropertyKind::Always,
                reason,
            ));
        }
        if self.too_many {
            let reason =
                format!("more than {MAX_ASSERTIONS} assertions; the others are not judged");
            out.push(Judgement::inconclusive(
                &self.name,
                PropertyKind::Always,
                reason,
            ));
        }
        for message in &self.only {
            if !self.known.keys().any(|(known, _)| known == message) {
                let name = format!("{}: {message}", self.name);
                let reason = format!("no guest has an assertion with this message{why}");
                out.push(Judgement::inconclusive(&name, PropertyKind::Always, reason));
            }
        }
    }
}

impl Checker for Assertions {
    fn observe(&mut self, seen: &Observation<'_>) {
        match &seen.kind {
            ObservationKind::Catalog(site) => {
                self.state(site);
            }
            ObservationKind::Assert(hit) => self.evaluate(seen, hit),
            _ => {}
        }
    }

    fn has_failed(&self) -> bool {
        self.failed
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let mut used = BTreeSet::new();
        let mut out = Vec::new();
        for ((message, kind), state) in &self.known {
            let name = self.property_name(message, *kind, &mut used);
            let mut judgement = state.judge(&name, end).counted(state.held, state.not);
            judgement.origin = Origin::Sdk;
            judgement.guest_location = state.site.location.as_ref().map(file_location);
            out.push(judgement);
        }
        self.missing(end, &mut out);
        out
    }
}

impl State {
    fn judge(&self, name: &str, end: &End) -> Judgement {
        let kind = property_kind(self.site.kind);
        let all = counted(self.held + self.not, "evaluation", "evaluations");
        match (self.site.kind, &self.first_held, &self.first_not) {
            (AssertionKind::Sometimes | AssertionKind::Reachable, Some(sight), _) => {
                let time = human_duration(sight.seen.time_ns);
                let reason = format!("first on {} at {time}", sight.seen.place());
                sight.show(Judgement::pass(name, kind, reason))
            }
            (AssertionKind::Sometimes, None, Some(_)) => {
                never_held(name, kind, end, &format!("false in all of {all}"))
            }
            (_, _, Some(sight)) => {
                let reason = match self.site.kind {
                    AssertionKind::Unreachable => {
                        format!("reached on {}, {} in all", sight.seen.place(), self.not)
                    }
                    _ => format!(
                        "false in {} of {all}, first on {}",
                        self.not,
                        sight.seen.place()
                    ),
                };
                sight.show(Judgement::fail(name, kind, FindingKind::Invariant, reason))
            }
            (AssertionKind::Unreachable, _, None) => {
                Judgement::pass(name, kind, "it was never reached")
            }
            (_, Some(_), None) => Judgement::pass(name, kind, format!("held in all of {all}")),
            (AssertionKind::AlwaysOrUnreachable, None, None) => {
                Judgement::pass(name, kind, "it was never reached, which is allowed")
            }
            (_, None, None) => never_held(name, kind, end, "it was never reached"),
        }
    }
}

fn never_held(name: &str, kind: PropertyKind, end: &End, what: &str) -> Judgement {
    unreached(match end.cut_short() {
        Some(why) => Judgement::inconclusive(name, kind, format!("{what}; {why}")),
        None => Judgement::fail(name, kind, FindingKind::Unreached, what).at(end.time_ns),
    })
}

/// The kind of property that an assertion is.
#[must_use]
pub const fn property_kind(kind: AssertionKind) -> PropertyKind {
    match kind {
        AssertionKind::Always => PropertyKind::Always,
        AssertionKind::AlwaysOrUnreachable => PropertyKind::AlwaysOrUnreachable,
        AssertionKind::Sometimes => PropertyKind::Sometimes,
        AssertionKind::Reachable => PropertyKind::Reachable,
        AssertionKind::Unreachable => PropertyKind::Unreachable,
    }
}
