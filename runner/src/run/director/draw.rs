//! Faults that are drawn altogether: kind, target, strength and moment.

use super::Director;
use super::agenda::Item;
use super::kinds::{Draw, draw};
use crate::plan::fault::{Fault, Generator, Pick, Target};
use crate::scenario::vocab::{Family, FaultKind};

impl Director<'_> {
    /// Puts the next occasion of a generator on the agenda.
    pub(super) fn next_of_generator(&mut self, after: u64, index: usize) {
        let generator = &self.plan.faults.random[index];
        let mean = generator.rate.per_ns / generator.rate.count.max(1);
        // Evenly from nothing to twice the mean: the rate is right and no floats are needed.
        let wait = self
            .stream(&generator.name)
            .range(1, mean.saturating_mul(2).max(1));
        let at = after.saturating_add(wait);
        if at < generator.until_ns {
            self.agenda.add(at, Item::Generator(index));
        }
    }

    /// Draws a fault and starts it, if it is possible.
    pub(super) fn generate(&mut self, at: u64, index: usize) {
        let generator = &self.plan.faults.random[index];
        let kinds = generator.kinds.iter().copied();
        let possible: Vec<FaultKind> = kinds.filter(|kind| self.is_possible(*kind)).collect();
        if !possible.is_empty() {
            let choice = self.stream(&generator.name).below(possible.len() as u64);
            let kind = possible[choice as usize];
            if let Some(fault) = self.draw_fault(generator, kind)
                && !self.try_start(at, &fault)
            {
                self.leave_out(&fault.name, &fault.action);
            }
        }
        self.next_of_generator(at, index);
    }

    /// Whether the cluster has what a kind of fault is about.
    fn is_possible(&self, kind: FaultKind) -> bool {
        match kind.family() {
            Family::Network => {
                let mut networks = self.plan.networks.iter();
                networks.any(|network| network.members.len() > 1)
            }
            Family::Disk => self.plan.nodes.iter().any(|node| !node.disks.is_empty()),
            Family::Node | Family::Process | Family::Clock | Family::Memory | Family::Interrupt => {
                true
            }
        }
    }

    fn draw_fault(&mut self, generator: &Generator, kind: FaultKind) -> Option<Fault> {
        // `all` nodes at once would be past any budget; a drawn fault hits one of them.
        let target = match generator.target.pick {
            Pick::All => Target {
                pick: Pick::Any { count: 1 },
                ..generator.target.clone()
            },
            _ => generator.target.clone(),
        };
        let all = Target {
            pick: Pick::All,
            ..generator.target.clone()
        };
        let plan = self.plan;
        let networks = plan.networks.iter().map(|network| network.name.clone());
        let memory = plan.nodes.iter().map(|node| node.memory_bytes).min();
        let mut from = Draw {
            stream: self.stream(&generator.name),
            all,
            target,
            networks: networks.collect(),
            duration: generator.duration,
            memory_bytes: memory.unwrap_or(0),
        };
        let action = draw(kind, &mut from)?;
        // What restarts by itself has its duration there.
        let duration = action.restart_after().is_none();
        Some(Fault {
            name: generator.name.clone(),
            action,
            duration: duration.then_some(generator.duration),
        })
    }
}
