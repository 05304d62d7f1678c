//! What a fault of a node does to it.

use chaosrun_protocol::control::Action as GuestAction;
use chaosrun_vmm::machine::Input;

use super::Director;
use super::effect::Effect;
use super::kinds::pair;
use crate::plan::fault::Action;

impl Director<'_> {
    pub(super) fn node_effect(
        &mut self,
        name: &str,
        node: usize,
        action: &Action,
    ) -> Option<Effect> {
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
            Action::ClockJump { by_ns, .. } => Effect::Jump {
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
        let action = match action {
            Action::ProcessKill {
                process,
                restart_after,
                ..
            } => GuestAction::ProcessKill {
                process: process.clone(),
                restart_after_ns: restart_after
                    .as_ref()
                    .map(|range| self.draw_range(name, range)),
            },
            Action::ProcessPause { process, .. } => GuestAction::ProcessPause {
                process: process.clone(),
            },
            Action::ProcessRestart { process, .. } => GuestAction::ProcessRestart {
                process: process.clone(),
                restart_after_ns: 0,
            },
            Action::MemoryPressure { take_bytes, .. } => {
                GuestAction::MemoryTake { bytes: *take_bytes }
            }
            _ => return None,
        };
        Some(Effect::Guest { node, action })
    }
}
