//! How much goes wrong at once, and whether more may.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::fault::Budget;

/// What a fault would cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Nodes that it puts down, pauses or cuts off.
    pub nodes: BTreeSet<usize>,
    /// Nodes whose disks it may damage.
    pub disks: BTreeSet<usize>,
    /// Whether it goes on for a while.
    pub lasts: bool,
}

/// The budget and what is spent of it.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    budget: Budget,
    /// Nodes that are impaired by each active fault.
    impaired: BTreeMap<u64, BTreeSet<usize>>,
    damaged: BTreeSet<usize>,
    last_begin: Option<u64>,
}

impl Ledger {
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            impaired: BTreeMap::new(),
            damaged: BTreeSet::new(),
            last_begin: None,
        }
    }

    /// Whether a fault may begin at `at`, when `active` others go on and `down` nodes are down.
    pub fn allows(&self, at: u64, cost: &Cost, active: usize, down: &BTreeSet<usize>) -> bool {
        let most =
            |limit: Option<u64>, count: usize| limit.is_none_or(|limit| count as u64 <= limit);
        let mut nodes: BTreeSet<usize> = self.impaired.values().flatten().copied().collect();
        nodes.extend(down);
        nodes.extend(&cost.nodes);
        let mut disks = self.damaged.clone();
        disks.extend(&cost.disks);
        // What a fault does not add to is not its business.
        (cost.nodes.is_empty() || most(self.budget.nodes, nodes.len()))
            && (cost.disks.is_empty() || most(self.budget.disks, disks.len()))
            && (!cost.lasts || most(self.budget.faults, active + 1))
            && self.calm_from().is_none_or(|calm| at >= calm)
    }

    /// When the gap behind the last fault is over, if there is a gap.
    pub fn calm_from(&self) -> Option<u64> {
        let last = self.last_begin.filter(|_| self.budget.gap_ns > 0)?;
        Some(last.saturating_add(self.budget.gap_ns))
    }

    pub fn begin(&mut self, at: u64, id: u64, cost: Cost) {
        self.last_begin = Some(at);
        self.damaged.extend(cost.disks);
        if cost.lasts && !cost.nodes.is_empty() {
            self.impaired.insert(id, cost.nodes);
        }
    }

    pub fn end(&mut self, id: u64) {
        self.impaired.remove(&id);
    }

    /// Whether no more nodes are impaired, or down by faults, than may be, and each by a fault that goes on.
    pub fn is_kept(&self, down: &BTreeSet<usize>, goes_on: impl Fn(u64) -> bool) -> bool {
        let mut nodes: BTreeSet<usize> = self.impaired.values().flatten().copied().collect();
        nodes.extend(down);
        let most = self.budget.nodes;
        most.is_none_or(|most| nodes.len() as u64 <= most)
            && self.impaired.keys().all(|id| goes_on(*id))
    }
}
