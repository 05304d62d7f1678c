//! What faults have done to each node, so that overlapping ones add up and end independently.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Plan;

/// What faults do to one node.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeStatus {
    /// Down because of a fault.
    pub down: bool,
    /// It ended by itself; faults leave it alone until it is started again.
    pub ended: bool,
    /// How often it was started again.
    pub boot: u64,
    /// The faults that pause it.
    pub pauses: BTreeSet<u64>,
    /// Parts of its speed that are left, by fault.
    pub throttles: BTreeMap<u64, (u64, u64)>,
    /// Drifts in parts per billion, by fault.
    pub drifts: BTreeMap<u64, i64>,
    /// Delays of timers in nanoseconds, by fault.
    pub delays: BTreeMap<u64, u64>,
    /// The life in which its init has last said that its disks are mounted.
    pub mounted: Option<u64>,
    /// The mounted disks that are full, by fault.
    pub full: BTreeSet<(u64, usize)>,
    /// Skews of the date, by fault.
    pub skews: BTreeMap<u64, Skew>,
    /// Nanoseconds by which jumps have moved the date for good.
    pub jumped_ns: i64,
    /// Jumps of which it is not known that the node has noticed them.
    pub unnoticed: BTreeSet<u64>,
    /// Whether its init takes commands.
    pub listens: bool,
    /// Whether faults have moved the date in this life, before its init took commands.
    pub stale: bool,
}

/// A skew of a node's date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skew {
    pub by_ns: i64,
    /// Whether the node has noticed it.
    pub noticed: bool,
}

impl NodeStatus {
    /// The speed that all throttles leave.
    pub fn speed(&self) -> (u64, u64) {
        // The strongest one decides: throttles are limits, and the lowest limit is the one felt.
        let slowest = |a: (u64, u64), b: (u64, u64)| {
            let (left, right) = (
                u128::from(a.0) * u128::from(b.1),
                u128::from(b.0) * u128::from(a.1),
            );
            if left <= right { a } else { b }
        };
        self.throttles.values().copied().fold((1, 1), slowest)
    }

    /// How far faults have moved the date.
    pub fn moved_ns(&self) -> i64 {
        let skews = self.skews.values().map(|skew| skew.by_ns);
        skews.fold(self.jumped_ns, i64::saturating_add)
    }

    /// Another life begins, or none.
    pub fn life_is_over(&mut self) {
        self.listens = false;
        self.stale = false;
    }

    /// Whether no fault does anything to it any more.
    pub fn is_calm(&self) -> bool {
        !self.down
            && self.pauses.is_empty()
            && self.throttles.is_empty()
            && self.drifts.is_empty()
            && self.delays.is_empty()
            && self.full.is_empty()
            && self.skews.is_empty()
            && self.moved_ns() == self.jumped_ns
    }

    /// The longest of the delays.
    pub fn delay(&self) -> u64 {
        self.delays.values().copied().max().unwrap_or(0)
    }
}

/// All nodes, in the order of the plan.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    all: Vec<NodeStatus>,
    drift: Vec<i64>,
}

impl Nodes {
    pub fn new(plan: &Plan) -> Self {
        Self {
            all: plan.nodes.iter().map(|_| NodeStatus::default()).collect(),
            drift: plan.nodes.iter().map(|node| node.clock.drift_ppb).collect(),
        }
    }

    pub fn get(&mut self, node: usize) -> &mut NodeStatus {
        &mut self.all[node]
    }

    pub fn is_up(&self, node: usize) -> bool {
        !self.all[node].down && !self.all[node].ended
    }

    pub fn is_paused(&self, node: usize) -> bool {
        !self.all[node].pauses.is_empty()
    }

    /// Whether its init could carry out a command now.
    pub fn listens(&self, node: usize) -> bool {
        self.is_up(node) && self.all[node].listens && !self.is_paused(node)
    }

    pub fn ended(&mut self, node: usize) {
        self.all[node].ended = true;
    }

    /// The first node to which faults still do something.
    pub fn disturbed(&self) -> Option<(usize, &NodeStatus)> {
        let mut all = self.all.iter().enumerate();
        all.find(|(_, status)| !status.is_calm())
    }

    /// The nodes with their status.
    pub fn all(&self) -> impl Iterator<Item = (usize, &NodeStatus)> {
        self.all.iter().enumerate()
    }

    /// Starts a node that ended by itself. False if there is none to start.
    pub fn rebooted(&mut self, node: usize) -> bool {
        let status = &mut self.all[node];
        let starts = status.ended && !status.down;
        if starts {
            status.ended = false;
            status.boot += 1;
        }
        starts
    }

    pub fn is_down_since(&self, node: usize, boot: u64) -> bool {
        self.all[node].down && self.all[node].boot == boot
    }

    /// The nodes that faults have put down.
    pub fn down(&self) -> BTreeSet<usize> {
        (0..self.all.len())
            .filter(|node| self.all[*node].down)
            .collect()
    }

    /// The drift of a node's clock with that of its faults.
    pub fn drift(&self, node: usize) -> i64 {
        self.all[node]
            .drifts
            .values()
            .fold(self.drift[node], |sum, ppb| sum.saturating_add(*ppb))
    }
}
