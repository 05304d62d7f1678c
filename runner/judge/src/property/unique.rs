//! `unique`: at most one node publishes a value for each value of another, as in one leader per
//! term.
//!
//! With `per`, a publication belongs to the last value of `per` that the same node published before
//! it, and belongs to it for ever: two leaders of one term are one too many, however far apart.
//! Without `per` it is held until the node publishes 0 or an empty text, or goes down; two nodes
//! must not hold it at the same time. With `per`, 0 and the empty text are no publications either.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, End};
use super::exit::loses_memory;
use super::judgement::{Judgement, Seen};
use super::observation::{Observation, ObservationKind, Published};
use crate::outcome::time::{counted, human_duration};
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::Uniqueness;
/// How many cases are told apart; a guest could make up any number.
const MAX_CASES: usize = 200_000;

/// The checker.
#[derive(Debug, Clone)]
pub struct Unique {
    name: String,
    value: String,
    per: Option<String>,
    nodes: BTreeSet<String>,
    /// The last value of `per` on each node.
    case_of: BTreeMap<String, Published>,
    /// Who published it first, by the value of `per`.
    holders: BTreeMap<Option<Published>, (Seen, Published)>,
    held: u64,
    without_case: u64,
    too_many: bool,
    first: Option<Violation>,
    violations: u64,
}

#[derive(Debug, Clone)]
struct Violation {
    case: Option<Published>,
    holder: (Seen, Published),
    second: (Seen, Published),
}

impl Unique {
    /// Judges a value of some nodes.
    #[must_use]
    pub fn new(name: &str, value: &str, nodes: BTreeSet<String>, per: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            per: per.map(str::to_owned),
            nodes,
            case_of: BTreeMap::new(),
            holders: BTreeMap::new(),
            held: 0,
            without_case: 0,
            too_many: false,
            first: None,
            violations: 0,
        }
    }

    fn publish(&mut self, seen: &Observation<'_>, node: &str, value: &Published) {
        let gives_up = match value {
            Published::Number(number) => *number == 0,
            Published::Text(text) => text.is_empty(),
        };
        if gives_up {
            self.release(node);
            return;
        }
        let case = match &self.per {
            None => None,
            Some(_) => match self.case_of.get(node) {
                Some(case) => Some(case.clone()),
                None => {
                    self.without_case += 1;
                    return;
                }
            },
        };
        match self.holders.get(&case) {
            Some((holder, _)) if holder.node.as_deref() == Some(node) => self.held += 1,
            Some(holder) => {
                self.violations += 1;
                if self.first.is_none() {
                    self.first = Some(Violation {
                        case,
                        holder: holder.clone(),
                        second: (Seen::of(seen), value.clone()),
                    });
                }
            }
            None if self.holders.len() >= MAX_CASES => self.too_many = true,
            None => {
                self.held += 1;
                self.holders.insert(case, (Seen::of(seen), value.clone()));
            }
        }
    }

    /// Without `per`, a node holds it no longer.
    fn release(&mut self, node: &str) {
        let holds = |holder: &(Seen, Published)| holder.0.node.as_deref() == Some(node);
        if self.per.is_none() && self.holders.get(&None).is_some_and(holds) {
            self.holders.remove(&None);
        }
    }

    fn violation(&self, violation: &Violation) -> Judgement {
        let (holder, first_value) = &violation.holder;
        let (second, second_value) = &violation.second;
        let case = match (&self.per, &violation.case) {
            (Some(per), Some(case)) => format!(" for {per} {case}"),
            _ => " at the same time".to_owned(),
        };
        let reason = format!(
            "{} and {} both published `{}`{case}",
            holder.place(),
            second.place(),
            self.value
        );
        let line = |seen: &Seen, value: &Published| {
            let time = human_duration(seen.time_ns);
            format!("{time}  {}  {} = {value}", seen.place(), self.value)
        };
        let mut failed = Judgement::fail(&self.name, KIND, FindingKind::Invariant, reason)
            .seen(holder)
            .seen(second);
        failed = failed.evidence(
            "publications",
            format!(
                "{}\n{}",
                line(holder, first_value),
                line(second, second_value)
            ),
        );
        failed
    }
}

impl Checker for Unique {
    fn observe(&mut self, seen: &Observation<'_>) {
        let Some(node) = seen.node.filter(|node| self.nodes.contains(*node)) else {
            return;
        };
        match &seen.kind {
            ObservationKind::Publish { key, value } if Some(key) == self.per.as_ref() => {
                self.case_of.insert(node.to_owned(), value.clone());
            }
            ObservationKind::Publish { key, value } if *key == self.value => {
                self.publish(seen, node, value);
            }
            ObservationKind::Node(change) if loses_memory(change) => {
                self.case_of.remove(node);
                self.release(node);
            }
            _ => {}
        }
    }

    fn has_failed(&self) -> bool {
        self.first.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        let per = self.per.as_deref().unwrap_or_default();
        let judgement = match &self.first {
            Some(violation) => self.violation(violation),
            None if self.too_many => {
                inconclusive(format!("more than {MAX_CASES} values of `{per}`"))
            }
            None if self.without_case > 0 => inconclusive(format!(
                "{} of `{}` came before any of `{per}` on the same node",
                counted(self.without_case, "publication", "publications"),
                self.value
            )),
            None if self.held == 0 => {
                let why = end
                    .cut_short()
                    .map_or(String::new(), |why| format!("; {why}"));
                inconclusive(format!("no selected node published `{}`{why}", self.value))
            }
            None => {
                let all = counted(self.held, "publication", "publications");
                Judgement::pass(&self.name, KIND, format!("never two at once in {all}"))
            }
        };
        vec![judgement.counted(self.held, self.violations)]
    }
}
