//! When a node counts as started.

use std::collections::BTreeSet;

use crate::plan::Plan;
use crate::plan::model::ReadySignal;
use crate::property::checker::Line;
use crate::property::pattern::Matcher;

/// Which nodes are ready.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    signal: ReadySignal,
    /// What a console has to show, if one has to.
    pattern: Option<Matcher>,
    nodes: Vec<Waiting>,
}

#[derive(Debug, Clone)]
struct Waiting {
    /// How many processes have to say that they are set up.
    processes: usize,
    said: BTreeSet<u32>,
    ready: bool,
}

impl Readiness {
    pub fn new(plan: &Plan) -> Self {
        let signal = plan.ready.signal.clone();
        let pattern = match &signal {
            // Plans are checked when they are made; a pattern that does not compile is seen there.
            ReadySignal::Console { pattern } => Matcher::new(pattern).ok(),
            _ => None,
        };
        let by_setup = signal == ReadySignal::SetupComplete;
        let nodes = plan.nodes.iter().map(|node| Waiting {
            processes: node.workloads.len(),
            said: BTreeSet::new(),
            ready: by_setup && node.workloads.is_empty(),
        });
        Self {
            signal,
            pattern,
            nodes: nodes.collect(),
        }
    }

    /// A process of a node said that its set-up is complete. True if that makes the node ready.
    pub fn set_up(&mut self, node: usize, pid: u32) -> bool {
        if self.signal != ReadySignal::SetupComplete {
            return false;
        }
        let waiting = &mut self.nodes[node];
        if waiting.ready {
            // A guest can invent any number of processes.
            return false;
        }
        waiting.said.insert(pid);
        debug_assert!(waiting.said.len() <= waiting.processes.max(1));
        let enough = waiting.said.len() >= waiting.processes;
        self.becomes(node, enough)
    }

    /// A guest sent an event.
    pub fn event(&mut self, node: usize, name: &str) -> bool {
        let wanted = matches!(&self.signal, ReadySignal::Event { name: wanted } if wanted == name);
        self.becomes(node, wanted)
    }

    /// A console shows a line, or a part of one.
    pub fn console(&mut self, node: usize, line: &Line<'_>) -> bool {
        let shown = self
            .pattern
            .as_ref()
            .is_some_and(|pattern| pattern.is_in(line));
        self.becomes(node, shown)
    }

    /// Virtual time since power-on has come to `now`. Returns the nodes that it makes ready.
    pub fn time(&mut self, now: u64) -> Vec<usize> {
        let ReadySignal::After { after_ns } = self.signal else {
            return Vec::new();
        };
        let due = now >= after_ns;
        (0..self.nodes.len())
            .filter(|node| self.becomes(*node, due))
            .collect()
    }

    /// The moment for which it waits, if it waits for one.
    pub fn moment(&self) -> Option<u64> {
        match self.signal {
            ReadySignal::After { after_ns } => Some(after_ns),
            _ => None,
        }
    }

    /// The nodes that are not ready.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|node| !self.nodes[*node].ready)
            .collect()
    }

    fn becomes(&mut self, node: usize, ready: bool) -> bool {
        let waiting = &mut self.nodes[node];
        let now = ready && !waiting.ready;
        waiting.ready |= ready;
        now
    }
}
