//! What a fault of the plan does, to whom, with everything drawn that the plan leaves open.

use std::collections::BTreeSet;

use chaosrun_vmm::disk::DiskFault;
use chaosrun_vmm::world::{LinkFault, LinkFaultKind};

use super::Director;
use super::budget::Cost;
use super::effect::Effect;
use super::kinds::{damages, disk_kind, link_kind, needs_guest, pair, target_of};
use super::words::{details, drawn};
use crate::plan::fault::{Action, DiskOps, Frames, Pick, Split};

/// A fault with everything drawn.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub effects: Vec<Effect>,
    pub cost: Cost,
    pub hit: BTreeSet<usize>,
    /// Nodes that it would hit if their inits took commands.
    pub missed: BTreeSet<usize>,
    pub details: Vec<(&'static str, serde_json::Value)>,
}

impl Director<'_> {
    /// Draws what the plan leaves open. None if there is nobody to hit.
    pub(super) fn prepare(&mut self, name: &str, action: &Action) -> Option<Prepared> {
        match action {
            Action::Partition {
                networks,
                split,
                one_way,
            } => self.partition(name, networks, split, *one_way),
            Action::Heal { networks } => {
                let networks = self.networks(networks);
                let effects = vec![Effect::Heal { networks }];
                Some(Prepared {
                    effects,
                    ..Prepared::default()
                })
            }
            Action::Latency { frames, .. }
            | Action::Jitter { frames, .. }
            | Action::Bandwidth { frames, .. }
            | Action::Loss { frames, .. }
            | Action::Corrupt { frames, .. }
            | Action::Reorder { frames, .. }
            | Action::Duplicate { frames, .. }
            | Action::Flap { frames, .. } => self.weather(name, frames, action),
            Action::DiskReadError { disks }
            | Action::DiskWriteError { disks }
            | Action::TornWrite { disks }
            | Action::MisdirectedWrite { disks }
            | Action::BitFlip { disks, .. }
            | Action::LostFlush { disks }
            | Action::DiskFull { disks }
            | Action::DiskSlow { disks, .. } => self.disks(name, disks, action),
            _ => self.on_nodes(name, action),
        }
    }

    fn networks(&self, names: &[String]) -> Vec<usize> {
        let all = self.plan.networks.iter().enumerate();
        all.filter(|(_, network)| names.contains(&network.name))
            .map(|(i, _)| i)
            .collect()
    }

    /// The nodes on a network.
    fn members(&self, network: usize) -> Vec<usize> {
        let names = &self.plan.networks[network].members;
        let all = self.plan.nodes.iter().enumerate();
        all.filter(|(_, node)| names.contains(&node.name))
            .map(|(i, _)| i)
            .collect()
    }

    fn partition(
        &mut self,
        name: &str,
        networks: &[String],
        split: &Split,
        one_way: bool,
    ) -> Option<Prepared> {
        let networks = self.networks(networks);
        let mut members: Vec<usize> = networks.iter().flat_map(|n| self.members(*n)).collect();
        members.sort_unstable();
        members.dedup();
        let sides: Vec<Vec<usize>> = match split {
            Split::Sides { sides } => sides.iter().map(|side| self.set(side)).collect(),
            Split::Groups { count } => self.groups(
                name,
                &members,
                usize::try_from(*count).unwrap_or(usize::MAX),
            ),
            Split::Isolate { target } => {
                let off = self.pick(name, target, |this, node| this.nodes.is_up(node))?;
                let rest = members
                    .iter()
                    .copied()
                    .filter(|node| !off.contains(node))
                    .collect();
                // Each of the isolated is off from the others, too.
                let mut sides: Vec<Vec<usize>> = off.into_iter().map(|node| vec![node]).collect();
                sides.push(rest);
                sides
            }
        };
        let isolates = matches!(split, Split::Isolate { .. });
        let mut prepared = Prepared::default();
        for network in networks {
            for (i, from) in sides.iter().enumerate() {
                for (j, to) in sides.iter().enumerate() {
                    // One way: what the first side sends is lost; when nodes are isolated, what
                    // each of them sends.
                    let sends = if isolates {
                        i + 1 < sides.len()
                    } else {
                        i == 0
                    };
                    if i == j || from.is_empty() || to.is_empty() || (one_way && !sends) {
                        continue;
                    }
                    prepared.effects.push(Effect::Link(LinkFault {
                        network,
                        from: from.clone(),
                        to: to.clone(),
                        kind: LinkFaultKind::Down,
                    }));
                }
            }
        }
        if prepared.effects.is_empty() {
            return None;
        }
        let largest = (0..sides.len()).max_by_key(|i| (sides[*i].len(), *i))?;
        let cut = sides.iter().enumerate().filter(|(i, _)| *i != largest);
        prepared.cost.nodes = cut.flat_map(|(_, side)| side.iter().copied()).collect();
        prepared.hit = sides.iter().flatten().copied().collect();
        let names = |side: &Vec<usize>| -> Vec<&str> {
            side.iter()
                .map(|node| self.plan.nodes[*node].name.as_str())
                .collect()
        };
        let shown: Vec<Vec<&str>> = sides.iter().map(names).collect();
        prepared.details = vec![("sides", shown.into()), ("one_way", one_way.into())];
        Some(prepared)
    }

    fn weather(&mut self, name: &str, frames: &Frames, action: &Action) -> Option<Prepared> {
        let kind = link_kind(action)?;
        let from = self.pick(name, &frames.from, |_, _| true)?;
        let to = self.pick(name, &frames.to, |_, _| true)?;
        let mut prepared = Prepared::default();
        for network in self.networks(&frames.networks) {
            prepared.effects.push(Effect::Link(LinkFault {
                network,
                from: from.clone(),
                to: to.clone(),
                kind,
            }));
        }
        prepared.hit = from.into_iter().collect();
        prepared.details = details(action);
        Some(prepared)
    }

    fn disks(&mut self, name: &str, ops: &DiskOps, action: &Action) -> Option<Prepared> {
        let kind = disk_kind(action)?;
        let has = |this: &Self, node: usize| !this.disks_of(node, ops).is_empty();
        let nodes = self.pick(name, &ops.target, has)?;
        let fault = DiskFault {
            kind,
            chance: pair(&ops.chance),
            times: ops.times,
            offset: ops.offset_bytes,
            length: ops.length_bytes,
        };
        let mut prepared = Prepared::default();
        for node in nodes {
            for disk in self.disks_of(node, ops) {
                prepared.effects.push(if self.fills(node, disk, action) {
                    Effect::Full { node, disk }
                } else {
                    Effect::Disk { node, disk, fault }
                });
            }
            prepared.hit.insert(node);
        }
        if damages(action) {
            prepared.cost.disks = prepared.hit.clone();
        }
        prepared.details = details(action);
        Some(prepared)
    }

    fn disks_of(&self, node: usize, ops: &DiskOps) -> Vec<usize> {
        let all = self.plan.nodes[node].disks.iter().enumerate();
        let wanted = |name: &str| ops.disk.as_deref().is_none_or(|wanted| wanted == name);
        all.filter(|(_, disk)| wanted(&disk.name))
            .map(|(i, _)| i)
            .collect()
    }

    fn on_nodes(&mut self, name: &str, action: &Action) -> Option<Prepared> {
        let target = target_of(action)?;
        let nodes = self.pick(name, target, |this, node| this.can_hit(node, action))?;
        let mut prepared = Prepared::default();
        if needs_guest(action) && target.pick == Pick::All {
            let all = self.set(&target.from).into_iter();
            prepared.missed = all.filter(|node| !nodes.contains(node)).collect();
        }
        for node in nodes {
            prepared.hit.insert(node);
            let effect = self.node_effect(name, node, action)?;
            prepared.effects.push(effect);
        }
        match action {
            Action::Kill { .. }
            | Action::PowerLoss { .. }
            | Action::Restart { .. }
            | Action::Pause { .. }
            | Action::ProcessKill { .. }
            | Action::ProcessPause { .. }
            | Action::ProcessRestart { .. } => prepared.cost.nodes = prepared.hit.clone(),
            _ => {}
        }
        prepared.details = details(action);
        prepared.details.extend(drawn(&prepared.effects));
        Some(prepared)
    }

    /// Whether a fault makes sense on a node in its present state.
    fn can_hit(&self, node: usize, action: &Action) -> bool {
        match action {
            // Restarting is for nodes that are down as well, and for those that ended.
            Action::Restart { .. } => true,
            Action::Resume { .. } => self.nodes.is_paused(node),
            Action::Pause { .. } => self.nodes.is_up(node) && !self.nodes.is_paused(node),
            // A clock goes on, and goes wrong, whatever the machine around it does.
            Action::ClockSkew { .. } | Action::ClockJump { .. } | Action::ClockDrift { .. } => true,
            // These wait for an init that carries them out.
            _ if needs_guest(action) => self.nodes.listens(node),
            _ => self.nodes.is_up(node),
        }
    }
}
