//! `no-hang`: no node spins with interrupts off, or halts for ever, and every node becomes ready.
//!
//! The machine says when it is stuck. What counts is how long it is, while no fault holds the node:
//! the clock starts anew when a fault of the node itself, or of its interrupts, begins or ends. A
//! node that crashed or panicked does not hang: that is for [`super::no_panic`].

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{Checker, End, EndKind, NeverReady};
use super::exit::loses_memory;
use super::judgement::{Judgement, Seen};
use super::observation::{NodeChange, Observation, ObservationKind, Stuck};
use crate::report::time::{counted, human_duration};
use crate::report::{FindingKind, Moment, PropertyKind};

const KIND: PropertyKind = PropertyKind::NoHang;

/// The checker.
#[derive(Debug, Clone)]
pub struct NoHang {
    name: String,
    nodes: BTreeSet<String>,
    within_ns: u64,
    /// How long a node may take to become ready, in nanoseconds, for the message.
    ready_within_ns: u64,
    stuck: BTreeMap<String, (Seen, Stuck)>,
    paused: BTreeSet<String>,
    holds: BTreeMap<u64, Vec<String>>,
    seen: BTreeSet<String>,
    unimplemented: Option<(Seen, String)>,
    hung: Option<(Seen, Stuck)>,
    now_ns: u64,
}

impl NoHang {
    /// Judges nodes.
    #[must_use]
    pub fn new(name: &str, nodes: BTreeSet<String>, within_ns: u64, ready_within_ns: u64) -> Self {
        Self {
            name: name.to_owned(),
            nodes,
            within_ns,
            ready_within_ns,
            stuck: BTreeMap::new(),
            paused: BTreeSet::new(),
            holds: BTreeMap::new(),
            seen: BTreeSet::new(),
            unimplemented: None,
            hung: None,
            now_ns: 0,
        }
    }

    fn is_held(&self, node: &str) -> bool {
        let holds = |nodes: &Vec<String>| nodes.is_empty() || nodes.iter().any(|n| n == node);
        self.paused.contains(node) || self.holds.values().any(holds)
    }

    /// A fault of these nodes begins or ends: how long they were stuck before does not count.
    fn restart_clocks(&mut self, nodes: &[String], now_ns: u64) {
        for (node, (seen, _)) in &mut self.stuck {
            if nodes.is_empty() || nodes.contains(node) {
                seen.time_ns = now_ns;
            }
        }
    }

    fn node_changed(&mut self, seen: &Observation<'_>, node: &str, change: &NodeChange) {
        match change {
            NodeChange::Stuck { how } => {
                self.stuck
                    .entry(node.to_owned())
                    .or_insert_with(|| (Seen::of(seen), *how));
            }
            NodeChange::Unstuck => {
                self.stuck.remove(node);
            }
            NodeChange::Paused => {
                self.paused.insert(node.to_owned());
            }
            NodeChange::Resumed => {
                self.paused.remove(node);
                self.restart_clocks(&[node.to_owned()], seen.time_ns);
            }
            NodeChange::Unimplemented { what } if self.unimplemented.is_none() => {
                self.unimplemented = Some((Seen::of(seen), what.clone()));
            }
            _ => {}
        }
        if loses_memory(change) {
            self.stuck.remove(node);
            self.paused.remove(node);
        }
    }

    /// When and why the nodes were not ready, if they were not.
    fn not_ready(&self, end: &End) -> Option<(Moment, String)> {
        let ours = |node: &&String| self.nodes.contains(*node);
        match &end.how {
            EndKind::NotReady { nodes } => {
                let ours: Vec<&str> = nodes.iter().filter(ours).map(String::as_str).collect();
                let time = human_duration(self.ready_within_ns);
                let reason = format!("not ready {time} after power-on: {}", ours.join(", "));
                (!ours.is_empty()).then_some((Moment::at(end.time_ns), reason))
            }
            EndKind::NeverReady { nodes } => {
                let ours: Vec<&NeverReady> =
                    nodes.iter().filter(|lost| ours(&&lost.node)).collect();
                let moment = Moment {
                    vtime_ns: ours.first()?.at_ns,
                    node: Some(ours.first()?.node.clone()),
                };
                Some((moment, never_ready(&ours)))
            }
            EndKind::Completed | EndKind::Cut { .. } => None,
        }
    }
}

/// Why nodes could not become ready any more, in a sentence.
pub(crate) fn never_ready(lost: &[&NeverReady]) -> String {
    let names: Vec<&str> = lost.iter().map(|lost| lost.node.as_str()).collect();
    let reasons: Vec<&str> = lost.iter().map(|lost| lost.why.as_str()).collect();
    format!(
        "{} could not become ready any more: {}",
        names.join(", "),
        reasons.join("; ")
    )
}

impl Checker for NoHang {
    fn observe(&mut self, seen: &Observation<'_>) {
        match &seen.kind {
            ObservationKind::FaultBegan { id, class, nodes }
                if matches!(class.as_str(), "node" | "interrupt") =>
            {
                self.restart_clocks(nodes, seen.time_ns);
                self.holds.insert(*id, nodes.clone());
            }
            ObservationKind::FaultEnded { id } => {
                if let Some(nodes) = self.holds.remove(id) {
                    self.restart_clocks(&nodes, seen.time_ns);
                }
            }
            _ => {}
        }
        let Some(node) = seen.node.filter(|node| self.nodes.contains(*node)) else {
            return;
        };
        if !self.seen.contains(node) {
            self.seen.insert(node.to_owned());
        }
        if let ObservationKind::Node(change) = &seen.kind {
            self.node_changed(seen, node, change);
        }
    }

    fn advance(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        if self.hung.is_some() || self.stuck.is_empty() {
            return;
        }
        let long = |seen: &Seen| now_ns.saturating_sub(seen.time_ns) >= self.within_ns;
        self.hung = self
            .stuck
            .iter()
            .find(|(node, (seen, _))| long(seen) && !self.is_held(node))
            .map(|(_, stuck)| stuck.clone());
    }

    fn has_failed(&self) -> bool {
        self.hung.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        self.advance(end.time_ns);
        // How long a node has halted that nothing can wake makes no difference once nothing more comes.
        let dead = |(_, (_, how)): &(&String, &(Seen, Stuck))| *how == Stuck::HaltedForEver;
        if self.hung.is_none() {
            let mut stuck = self.stuck.iter().filter(dead);
            let found = stuck.find(|(node, _)| !self.is_held(node));
            self.hung = found.map(|(_, stuck)| stuck.clone());
        }
        let fail = |reason: String| Judgement::fail(&self.name, KIND, FindingKind::Hang, reason);
        let inconclusive = |reason: String| Judgement::inconclusive(&self.name, KIND, reason);
        let unseen: Vec<&str> = self
            .nodes
            .difference(&self.seen)
            .map(String::as_str)
            .collect();
        let judgement = if let Some((seen, how)) = &self.hung {
            let for_long = human_duration(self.within_ns);
            let reason = match how {
                Stuck::HaltedForEver => format!("{} has halted for ever", seen.place()),
                Stuck::InterruptsOff { vcpu, rip } => format!(
                    "processor {vcpu} of {} loops at {rip:#x} with interrupts off, for {for_long} \
                     and more",
                    seen.place()
                ),
            };
            fail(reason).seen(seen)
        } else if let Some((seen, what)) = &self.unimplemented {
            let place = seen.place();
            inconclusive(format!(
                "{place} did what chaosrun does not implement: {what}"
            ))
            .seen(seen)
        } else if let Some((moment, reason)) = self.not_ready(end) {
            let mut judgement = fail(reason);
            judgement.moment = Some(moment);
            judgement
        } else if let Some((seen, _)) = self.stuck.values().next() {
            let time = human_duration(end.time_ns.saturating_sub(seen.time_ns));
            inconclusive(format!(
                "{} is stuck since {time}, and the run ended",
                seen.place()
            ))
            .seen(seen)
        } else if !unseen.is_empty() || self.nodes.is_empty() {
            inconclusive(format!("nothing was seen of {}", unseen.join(", ")))
        } else {
            let nodes = counted(self.nodes.len() as u64, "node", "nodes");
            Judgement::pass(&self.name, KIND, format!("{nodes} went on until the end"))
        };
        let hung = u64::from(self.hung.is_some());
        let all = self.nodes.len() as u64;
        vec![judgement.counted(all.saturating_sub(hung), hung)]
    }
}
