//! What a fault of the plan does, to whom, with everything drawn that the plan leaves open.

use std::collections::BTreeSet;

use super::Director;
use super::budget::Cost;
use super::effect::Effect;
use super::words::Detail;
use crate::plan::fault::{Pick, Target};

/// A fault with everything drawn.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub effects: Vec<Effect>,
    pub cost: Cost,
    pub hit: BTreeSet<usize>,
    /// Nodes that it would hit if their inits took commands.
    pub missed: BTreeSet<usize>,
    pub details: Vec<Detail>,
}

/// The state in which a node has to be, so that a fault makes sense on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Up,
    /// Up, and not paused.
    Running,
    Paused,
    /// Its init carries the fault out, and takes commands.
    Init,
}

/// What is to be known of a fault of nodes besides what it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub needs: Needs,
    /// Whether the nodes are missing in the cluster for a while.
    pub impairs: bool,
    /// Whether it goes on after its moment.
    pub lasts: bool,
}

impl Director<'_> {
    pub(super) fn networks(&self, names: &[String]) -> Vec<usize> {
        let all = self.plan.networks.iter().enumerate();
        all.filter(|(_, network)| names.contains(&network.name))
            .map(|(i, _)| i)
            .collect()
    }

    /// The nodes on a network.
    pub(super) fn members(&self, network: usize) -> Vec<usize> {
        let names = &self.plan.networks[network].members;
        let all = self.plan.nodes.iter().enumerate();
        all.filter(|(_, node)| names.contains(&node.name))
            .map(|(i, _)| i)
            .collect()
    }

    /// Draws the nodes that a fault hits, and what it does to each.
    pub(super) fn on_nodes(
        &mut self,
        name: &str,
        target: &Target,
        facts: Facts,
        mut effect: impl FnMut(&mut Self, usize) -> Effect,
    ) -> Option<Prepared> {
        let nodes = self.pick(name, target, |this, node| this.can_hit(node, facts.needs))?;
        let mut prepared = Prepared::default();
        if facts.needs == Needs::Init && target.pick == Pick::All {
            let all = self.set(&target.from).into_iter();
            prepared.missed = all.filter(|node| !nodes.contains(node)).collect();
        }
        for node in nodes {
            prepared.hit.insert(node);
            prepared.effects.push(effect(self, node));
        }
        if facts.impairs {
            prepared.cost.nodes = prepared.hit.clone();
        }
        prepared.cost.lasts = facts.lasts;
        Some(prepared)
    }

    fn can_hit(&self, node: usize, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Up => self.nodes.is_up(node),
            Needs::Running => self.nodes.is_up(node) && !self.nodes.is_paused(node),
            Needs::Paused => self.nodes.is_paused(node),
            Needs::Init => self.nodes.listens(node),
        }
    }
}
