//! What faults have done to each node, so that overlapping ones add up and end independently.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Plan;

/// What faults do to one node.
#[derive(Debug, Default)]
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

    /// The longest of the delays.
    pub fn delay(&self) -> u64 {
        self.delays.values().copied().max().unwrap_or(0)
    }
}

/// All nodes, in the order of the plan.
#[derive(Debug)]
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

    pub fn ended(&mut self, node: usize) {
        self.all[node].ended = true;
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
