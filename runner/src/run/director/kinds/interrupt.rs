//! Faults of interrupts.

use chaosrun_vmm::machine::Input;
use chaosrun_vmm::world::Command;

use super::{Draw, MS};
use crate::plan::fault::InterruptAction;
use crate::plan::model::{Range, Rate};
use crate::run::director::Director;
use crate::run::director::agenda::Item;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::{Facts, Needs, Prepared};
use crate::run::director::words::Detail;
use crate::scenario::units::duration;
use crate::scenario::vocab::InterruptKind;

/// What a fault does with a node's interrupts.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum InterruptEffect {
    Delay { node: usize, by_ns: u64 },
    Once { node: usize, input: Input },
    Ticks { node: usize, period_ns: u64 },
}

/// How that is undone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum InterruptUndo {
    Delay {
        node: usize,
    },
    /// Nothing has to be done, but the fault goes on until the ticks are over on the node.
    Ticks {
        node: usize,
    },
}

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: InterruptKind, draw: &mut Draw<'_>) -> InterruptAction {
    let target = draw.target.clone();
    match kind {
        InterruptKind::Irq => InterruptAction::Irq {
            target,
            line: draw.stream.below(24) as u32,
        },
        InterruptKind::Nmi => InterruptAction::Nmi { target, vcpu: 0 },
        InterruptKind::SpuriousTimer => InterruptAction::SpuriousTimer {
            target,
            rate: Rate {
                count: draw.range(10, 1000),
                per_ns: 1_000 * MS,
            },
        },
        InterruptKind::DelayedTimer => {
            let latest = draw.range(MS, 50 * MS);
            InterruptAction::DelayedTimer {
                target,
                by: Range::from((latest / 4, latest)),
            }
        }
    }
}

/// What it is made of besides its targets and what is drawn for each node.
fn details(action: &InterruptAction) -> Vec<Detail> {
    match action {
        InterruptAction::Irq { line, .. } => vec![("line", (*line).into())],
        InterruptAction::Nmi { vcpu, .. } => vec![("vcpu", (*vcpu).into())],
        InterruptAction::SpuriousTimer { rate, .. } => {
            let rate = format!("{}/{}", rate.count, duration(rate.per_ns));
            vec![("rate", rate.into())]
        }
        InterruptAction::DelayedTimer { .. } => Vec::new(),
    }
}

impl Director<'_> {
    pub(super) fn prepare_interrupt(
        &mut self,
        name: &str,
        action: &InterruptAction,
    ) -> Option<Prepared> {
        let facts = Facts {
            needs: Needs::Up,
            impairs: false,
            lasts: match action {
                InterruptAction::SpuriousTimer { .. } | InterruptAction::DelayedTimer { .. } => {
                    true
                }
                InterruptAction::Irq { .. } | InterruptAction::Nmi { .. } => false,
            },
        };
        let mut prepared = self.on_nodes(name, action.target(), facts, |this, node| {
            Effect::Interrupt(this.interrupt_effect(name, node, action))
        })?;
        prepared.details = details(action);
        if let Some(Effect::Interrupt(InterruptEffect::Delay { by_ns, .. })) =
            prepared.effects.first()
        {
            prepared.details.push(("by", duration(*by_ns).into()));
        }
        Some(prepared)
    }

    fn interrupt_effect(
        &mut self,
        name: &str,
        node: usize,
        action: &InterruptAction,
    ) -> InterruptEffect {
        match action {
            InterruptAction::Irq { line, .. } => InterruptEffect::Once {
                node,
                input: Input::Irq { line: *line },
            },
            InterruptAction::Nmi { vcpu, .. } => {
                // A node with fewer processors gets it on its last one.
                let vcpu = (*vcpu).min(self.plan.nodes[node].vcpus.saturating_sub(1));
                InterruptEffect::Once {
                    node,
                    input: Input::Nmi { vcpu },
                }
            }
            InterruptAction::SpuriousTimer { rate, .. } => InterruptEffect::Ticks {
                node,
                period_ns: (rate.per_ns / rate.count.max(1)).max(1),
            },
            InterruptAction::DelayedTimer { by, .. } => InterruptEffect::Delay {
                node,
                by_ns: self.draw_range(name, by),
            },
        }
    }

    pub(in crate::run::director) fn perform_interrupt(
        &mut self,
        at: u64,
        id: u64,
        effect: InterruptEffect,
    ) -> Option<Undo> {
        match effect {
            InterruptEffect::Delay { node, by_ns } => {
                self.nodes.get(node).delays.insert(id, by_ns);
                self.apply_delay(node);
                Some(Undo::Interrupt(InterruptUndo::Delay { node }))
            }
            InterruptEffect::Once { node, input } => {
                self.world(Command::Input { node, input });
                None
            }
            InterruptEffect::Ticks { node, period_ns } => {
                self.agenda.add(
                    at.saturating_add(period_ns),
                    Item::Tick {
                        id,
                        node,
                        period_ns,
                    },
                );
                Some(Undo::Interrupt(InterruptUndo::Ticks { node }))
            }
        }
    }

    pub(in crate::run::director) fn undo_interrupt(&mut self, id: u64, undo: InterruptUndo) {
        match undo {
            InterruptUndo::Delay { node } => {
                self.nodes.get(node).delays.remove(&id);
                self.apply_delay(node);
            }
            InterruptUndo::Ticks { .. } => {}
        }
    }

    /// A stray timer interrupt of an active fault.
    pub(in crate::run::director) fn tick(&mut self, at: u64, id: u64, node: usize, period_ns: u64) {
        let Some(active) = self.active.get(&id) else {
            return;
        };
        let source = active.source.clone();
        if self.nodes.is_up(node) {
            let vcpus = u64::from(self.plan.nodes[node].vcpus);
            let vcpu = self.stream(&source).below(vcpus) as u32;
            let input = Input::TimerNow { vcpu };
            self.world(Command::Input { node, input });
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

    fn apply_delay(&mut self, node: usize) {
        let by_ns = self.nodes.get(node).delay();
        self.world(Command::DelayTimers { node, by_ns });
    }
}
