//! From a fault of the plan to its effects, with everything drawn that the plan leaves open.

use std::collections::BTreeSet;

use chaosrun_protocol::control::Action as GuestAction;
use chaosrun_vmm::disk::{DiskFault, DiskFaultKind};
use chaosrun_vmm::machine::Input;
use chaosrun_vmm::world::{LinkFault, LinkFaultKind};

use super::agenda::Item;
use super::budget::Cost;
use super::effect::Effect;
use super::words::{details, drawn};
use super::{Active, Deed, Director, Stage};
use crate::plan::fault::{Action, DiskOps, Fault, Frames, Split, Target};
use crate::plan::model::{Range, Ratio};
use crate::report::event::Fault as FaultEvent;

/// A fault with everything drawn.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub effects: Vec<Effect>,
    pub cost: Cost,
    pub hit: BTreeSet<usize>,
    pub details: Vec<(&'static str, serde_json::Value)>,
}

fn pair(ratio: &Ratio) -> (u64, u64) {
    (ratio.num, ratio.den)
}

impl Director<'_> {
    /// Starts a fault, if somebody can be hit and the budget allows it.
    pub(super) fn try_start(&mut self, at: u64, fault: &Fault) -> bool {
        let name = fault.name.clone();
        let Some(mut prepared) = self.prepare(&name, &fault.action) else {
            return false;
        };
        prepared.cost.lasts |= lasts(&fault.action);
        let (active, down) = (self.active.len(), self.nodes.down());
        if !self.ledger.allows(at, &prepared.cost, active, &down) {
            // Without this, a fault that only the gap forbids would wait for the end of another.
            if let Some(calm) = self.ledger.calm_from().filter(|calm| *calm > at) {
                self.agenda.add(calm, Item::Retry);
            }
            return false;
        }
        let duration = fault
            .duration
            .as_ref()
            .map(|range| self.draw_range(&name, range));
        self.begin(at, &name, &fault.action, prepared, duration);
        true
    }

    fn begin(
        &mut self,
        at: u64,
        source: &str,
        action: &Action,
        prepared: Prepared,
        duration: Option<u64>,
    ) {
        let id = self.fresh_id();
        let event = self.event(action, &prepared, duration);
        let (record, fault) = (self.deeds.len(), event.clone());
        self.ledger.begin(at, id, prepared.cost);
        self.last_fault = Some(self.last_fault.map_or(at, |last| last.max(at)));
        self.active.insert(
            id,
            Active {
                source: source.to_owned(),
                event,
                undo: Vec::new(),
            },
        );
        let mut undo = Vec::new();
        for effect in prepared.effects {
            undo.extend(self.perform(at, id, effect));
        }
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        active.undo = undo;
        let over = active.undo.is_empty();
        if over {
            self.active.remove(&id);
            self.ledger.end(id);
        } else if let Some(duration) = duration {
            self.agenda.add(at.saturating_add(duration), Item::End(id));
        }
        // The record comes before what is done, and only now it is known whether that lasts.
        let stage = if over { Stage::Moment } else { Stage::Begin };
        let source = source.to_owned();
        self.deeds.insert(
            record,
            Deed::Record {
                id,
                source,
                stage,
                fault,
            },
        );
    }

    /// Ends a fault and undoes what it did.
    pub(super) fn end(&mut self, at: u64, id: u64) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        for undo in std::mem::take(&mut active.undo) {
            self.undo(id, undo);
        }
        self.finish(id);
        self.last_fault = Some(at);
        self.retry(at);
    }

    /// Takes a fault of which nothing is left to undo from the list.
    pub(super) fn finish(&mut self, id: u64) {
        if let Some(Active { source, event, .. }) = self.active.remove(&id) {
            self.ledger.end(id);
            self.deeds.push(Deed::Record {
                id,
                source,
                stage: Stage::End,
                fault: event,
            });
        }
    }

    /// A killed process is back.
    pub(super) fn process_back(&mut self, at: u64, id: u64, node: usize) {
        self.forget(id, |undo| *undo == super::Undo::Wait { node });
        self.last_fault = Some(at);
        self.retry(at);
    }

    /// A stray timer interrupt of an active fault.
    pub(super) fn tick(&mut self, at: u64, id: u64, node: usize, period_ns: u64) {
        let Some(active) = self.active.get(&id) else {
            return;
        };
        let source = active.source.clone();
        if self.nodes.is_up(node) {
            let vcpus = u64::from(self.plan.nodes[node].vcpus);
            let vcpu = self.stream(&source).below(vcpus) as u32;
            let input = Input::TimerNow { vcpu };
            self.world(chaosrun_vmm::world::Command::Input { node, input });
        }
        self.agenda.add(
            at.saturating_add(period_ns),
            Item::Tick {
                id,
                node,
                period_ns,
            },
        );
    }

    pub(super) fn leave_out(&mut self, source: &str, action: &Action) {
        let fault = self.event(action, &Prepared::default(), None);
        let id = self.fresh_id();
        self.deeds.push(Deed::Record {
            id,
            source: source.to_owned(),
            stage: Stage::LeftOut,
            fault,
        });
    }

    fn event(&self, action: &Action, prepared: &Prepared, duration: Option<u64>) -> FaultEvent {
        let (kind, class) = words(action);
        let names: Vec<&str> = prepared
            .hit
            .iter()
            .map(|node| self.plan.nodes[*node].name.as_str())
            .collect();
        let mut event = FaultEvent::new(kind, class, &names);
        for (name, value) in &prepared.details {
            event = event.with(name, value.clone());
        }
        match duration {
            Some(duration) => event.lasting(duration),
            None => event,
        }
    }

    pub(super) fn draw_range(&mut self, name: &str, range: &Range) -> u64 {
        self.stream(name).range(range.min_ns, range.max_ns)
    }

    /// Draws what the plan leaves open. None if there is nobody to hit.
    fn prepare(&mut self, name: &str, action: &Action) -> Option<Prepared> {
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
                prepared.effects.push(Effect::Disk { node, disk, fault });
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
            _ => self.nodes.is_up(node),
        }
    }

    fn node_effect(&mut self, name: &str, node: usize, action: &Action) -> Option<Effect> {
        Some(match action {
            Action::Kill { restart_after, .. } => {
                let restart_after = restart_after.as_ref().map(|r| self.draw_range(name, r));
                Effect::Down {
                    node,
                    torn: (0, 1),
                    restart_after,
                }
            }
            Action::PowerLoss {
                restart_after,
                torn,
                ..
            } => {
                let restart_after = restart_after.as_ref().map(|r| self.draw_range(name, r));
                Effect::Down {
                    node,
                    torn: pair(torn),
                    restart_after,
                }
            }
            Action::Restart { .. } => Effect::Reset { node },
            Action::Pause { .. } => Effect::Pause { node },
            Action::Resume { .. } => Effect::Resume { node },
            Action::Throttle { to, .. } => Effect::Throttle { node, to: pair(to) },
            Action::ClockDrift { by_ppb, .. } => Effect::Drift { node, ppb: *by_ppb },
            Action::ClockSkew { by_ns, .. } => Effect::Skew {
                node,
                by_ns: *by_ns,
            },
            Action::DelayedTimer { by, .. } => Effect::Delay {
                node,
                by_ns: self.draw_range(name, by),
            },
            Action::SpuriousTimer { rate, .. } => Effect::Ticks {
                node,
                period_ns: (rate.per_ns / rate.count.max(1)).max(1),
            },
            Action::Irq { line, .. } => Effect::Interrupt {
                node,
                input: Input::Irq { line: *line },
            },
            Action::Nmi { vcpu, .. } => {
                // A node with fewer processors gets it on its last one.
                let vcpu = (*vcpu).min(self.plan.nodes[node].vcpus.saturating_sub(1));
                Effect::Interrupt {
                    node,
                    input: Input::Nmi { vcpu },
                }
            }
            other => self.guest_effect(name, node, other)?,
        })
    }

    /// Effects that the node's init brings about.
    fn guest_effect(&mut self, name: &str, node: usize, action: &Action) -> Option<Effect> {
        let (action, undo, back_after) = match action {
            Action::ProcessKill {
                process,
                restart_after,
                ..
            } => {
                let after = restart_after
                    .as_ref()
                    .map(|range| self.draw_range(name, range));
                let process = process.clone();
                (
                    GuestAction::ProcessKill {
                        process,
                        restart_after_ns: after,
                    },
                    None,
                    after,
                )
            }
            Action::ProcessPause { process, .. } => {
                let back = GuestAction::ProcessResume {
                    process: process.clone(),
                };
                (
                    GuestAction::ProcessPause {
                        process: process.clone(),
                    },
                    Some(back),
                    None,
                )
            }
            Action::ProcessRestart { process, .. } => {
                let process = process.clone();
                (
                    GuestAction::ProcessRestart {
                        process,
                        restart_after_ns: 0,
                    },
                    None,
                    None,
                )
            }
            Action::ClockJump { by_ns, .. } => {
                (GuestAction::ClockStep { by_ns: *by_ns }, None, None)
            }
            Action::MemoryPressure { take_bytes, .. } => {
                let back = GuestAction::MemoryRelease {};
                (
                    GuestAction::MemoryTake { bytes: *take_bytes },
                    Some(back),
                    None,
                )
            }
            _ => return None,
        };
        Some(Effect::Guest {
            node,
            action,
            undo,
            back_after,
        })
    }
}

fn target_of(action: &Action) -> Option<&Target> {
    Some(match action {
        Action::Kill { target, .. }
        | Action::Restart { target }
        | Action::Pause { target }
        | Action::Resume { target }
        | Action::PowerLoss { target, .. }
        | Action::Throttle { target, .. }
        | Action::ProcessKill { target, .. }
        | Action::ProcessPause { target, .. }
        | Action::ProcessRestart { target, .. }
        | Action::ClockSkew { target, .. }
        | Action::ClockDrift { target, .. }
        | Action::ClockJump { target, .. }
        | Action::MemoryPressure { target, .. }
        | Action::Irq { target, .. }
        | Action::Nmi { target, .. }
        | Action::SpuriousTimer { target, .. }
        | Action::DelayedTimer { target, .. } => target,
        _ => return None,
    })
}

fn link_kind(action: &Action) -> Option<LinkFaultKind> {
    Some(match action {
        Action::Latency {
            by_ns, jitter_ns, ..
        } => LinkFaultKind::Latency {
            by_ns: *by_ns,
            jitter_ns: *jitter_ns,
        },
        Action::Jitter { by_ns, .. } => LinkFaultKind::Jitter { by_ns: *by_ns },
        Action::Bandwidth { bandwidth_bps, .. } => LinkFaultKind::Bandwidth {
            bps: *bandwidth_bps,
        },
        Action::Loss { chance, .. } => LinkFaultKind::Loss {
            num: chance.num,
            den: chance.den,
        },
        Action::Corrupt { chance, .. } => LinkFaultKind::Corrupt {
            num: chance.num,
            den: chance.den,
        },
        Action::Reorder {
            chance, window_ns, ..
        } => LinkFaultKind::Reorder {
            num: chance.num,
            den: chance.den,
            window_ns: *window_ns,
        },
        Action::Duplicate { chance, .. } => LinkFaultKind::Duplicate {
            num: chance.num,
            den: chance.den,
        },
        Action::Flap { down, up, .. } => LinkFaultKind::Flap {
            down: (down.min_ns, down.max_ns),
            up: (up.min_ns, up.max_ns),
        },
        _ => return None,
    })
}

fn disk_kind(action: &Action) -> Option<DiskFaultKind> {
    Some(match action {
        Action::DiskReadError { .. } => DiskFaultKind::ReadError,
        Action::DiskWriteError { .. } => DiskFaultKind::WriteError,
        Action::TornWrite { .. } => DiskFaultKind::Torn,
        Action::MisdirectedWrite { .. } => DiskFaultKind::Misdirected,
        Action::BitFlip { bits, .. } => DiskFaultKind::BitFlip { bits: *bits },
        Action::LostFlush { .. } => DiskFaultKind::LostFlush,
        Action::DiskFull { .. } => DiskFaultKind::Full,
        Action::DiskSlow { by, .. } => DiskFaultKind::Slow {
            min: by.min_ns,
            max: by.max_ns,
        },
        _ => return None,
    })
}

/// Whether a fault may leave wrong bytes on a disk.
fn damages(action: &Action) -> bool {
    matches!(
        action,
        Action::TornWrite { .. }
            | Action::MisdirectedWrite { .. }
            | Action::BitFlip { .. }
            | Action::LostFlush { .. }
    )
}

/// Whether a fault goes on after its moment.
fn lasts(action: &Action) -> bool {
    match action {
        Action::ProcessKill { restart_after, .. } => restart_after.is_some(),
        Action::Heal { .. }
        | Action::Kill { .. }
        | Action::PowerLoss { .. }
        | Action::Restart { .. }
        | Action::Resume { .. }
        | Action::ProcessRestart { .. }
        | Action::ClockJump { .. }
        | Action::Irq { .. }
        | Action::Nmi { .. } => false,
        _ => true,
    }
}

/// The word of the language for a fault, and its family.
pub(super) fn words(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Partition { .. } => ("partition", "network"),
        Action::Heal { .. } => ("heal", "network"),
        Action::Latency { .. } => ("latency", "network"),
        Action::Jitter { .. } => ("jitter", "network"),
        Action::Bandwidth { .. } => ("bandwidth", "network"),
        Action::Loss { .. } => ("loss", "network"),
        Action::Corrupt { .. } => ("corrupt", "network"),
        Action::Reorder { .. } => ("reorder", "network"),
        Action::Duplicate { .. } => ("duplicate", "network"),
        Action::Flap { .. } => ("flap", "network"),
        Action::DiskReadError { .. } => ("disk-read-error", "disk"),
        Action::DiskWriteError { .. } => ("disk-write-error", "disk"),
        Action::TornWrite { .. } => ("torn-write", "disk"),
        Action::MisdirectedWrite { .. } => ("misdirected-write", "disk"),
        Action::BitFlip { .. } => ("bit-flip", "disk"),
        Action::LostFlush { .. } => ("lost-flush", "disk"),
        Action::DiskFull { .. } => ("disk-full", "disk"),
        Action::DiskSlow { .. } => ("disk-slow", "disk"),
        Action::Kill { .. } => ("kill", "node"),
        Action::Restart { .. } => ("restart", "node"),
        Action::Pause { .. } => ("pause", "node"),
        Action::Resume { .. } => ("resume", "node"),
        Action::PowerLoss { .. } => ("power-loss", "node"),
        Action::Throttle { .. } => ("throttle", "node"),
        Action::ProcessKill { .. } => ("process-kill", "process"),
        Action::ProcessPause { .. } => ("process-pause", "process"),
        Action::ProcessRestart { .. } => ("process-restart", "process"),
        Action::ClockSkew { .. } => ("clock-skew", "clock"),
        Action::ClockDrift { .. } => ("clock-drift", "clock"),
        Action::ClockJump { .. } => ("clock-jump", "clock"),
        Action::MemoryPressure { .. } => ("memory-pressure", "memory"),
        Action::Irq { .. } => ("irq", "interrupt"),
        Action::Nmi { .. } => ("nmi", "interrupt"),
        Action::SpuriousTimer { .. } => ("spurious-timer", "interrupt"),
        Action::DelayedTimer { .. } => ("delayed-timer", "interrupt"),
    }
}
