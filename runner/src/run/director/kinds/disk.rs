//! Faults of disks.

use chaosrun_chance::Chance;
use chaosrun_vmm::disk::{DiskFault, DiskFaultKind};
use chaosrun_vmm::world::Command;

use super::{Draw, MS};
use crate::plan::fault::{DiskAction, DiskOps};
use crate::plan::model::Range;
use crate::run::director::Director;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::Prepared;
use crate::run::director::words::{Detail, range, ratio};
use crate::scenario::vocab::DiskKind;

/// What a fault does to a disk.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum DiskEffect {
    Arm {
        node: usize,
        disk: usize,
        fault: DiskFault,
    },
    /// The file system on it is full.
    Full { node: usize, disk: usize },
}

/// How that is undone.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum DiskUndo {
    Disarm { node: usize, disk: usize, id: u64 },
    Full { node: usize, disk: usize },
}

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: DiskKind, draw: &mut Draw<'_>) -> DiskAction {
    let all = DiskOps {
        target: draw.target.clone(),
        disk: None,
        chance: Chance::ALWAYS,
        times: None,
        offset_bytes: 0,
        length_bytes: None,
    };
    let some = |draw: &mut Draw<'_>, most: u64| DiskOps {
        chance: draw.percent(5, 100),
        times: Some(draw.range(1, most)),
        ..all.clone()
    };
    match kind {
        DiskKind::DiskReadError => DiskAction::DiskReadError {
            disks: some(draw, 5),
        },
        DiskKind::DiskWriteError => DiskAction::DiskWriteError {
            disks: some(draw, 5),
        },
        DiskKind::TornWrite => DiskAction::TornWrite {
            disks: some(draw, 3),
        },
        DiskKind::MisdirectedWrite => DiskAction::MisdirectedWrite {
            disks: some(draw, 3),
        },
        DiskKind::BitFlip => DiskAction::BitFlip {
            disks: some(draw, 3),
            bits: draw.range(1, 8),
        },
        DiskKind::LostFlush => DiskAction::LostFlush { disks: all },
        DiskKind::DiskFull => DiskAction::DiskFull { disks: all },
        DiskKind::DiskSlow => {
            let slowest = draw.range(2 * MS, 200 * MS);
            DiskAction::DiskSlow {
                disks: all,
                by: Range::from((slowest / 4, slowest)),
            }
        }
    }
}

/// What the disk does, whether it may leave wrong bytes there, and what is told of it.
fn disk_fault(action: &DiskAction) -> (DiskFaultKind, bool, Vec<Detail>) {
    match action {
        DiskAction::DiskReadError { .. } => (DiskFaultKind::ReadError, false, Vec::new()),
        DiskAction::DiskWriteError { .. } => (DiskFaultKind::WriteError, false, Vec::new()),
        DiskAction::TornWrite { .. } => (DiskFaultKind::Torn, true, Vec::new()),
        DiskAction::MisdirectedWrite { .. } => (DiskFaultKind::Misdirected, true, Vec::new()),
        DiskAction::BitFlip { bits, .. } => {
            let details = vec![("bits", (*bits).into())];
            (DiskFaultKind::BitFlip { bits: *bits }, true, details)
        }
        DiskAction::LostFlush { .. } => (DiskFaultKind::LostFlush, true, Vec::new()),
        DiskAction::DiskFull { .. } => (DiskFaultKind::Full, false, Vec::new()),
        DiskAction::DiskSlow { by, .. } => {
            let kind = DiskFaultKind::Slow {
                min: by.min_ns,
                max: by.max_ns,
            };
            (kind, false, vec![("by", range(by).into())])
        }
    }
}

impl Director<'_> {
    pub(super) fn prepare_disk(&mut self, name: &str, action: &DiskAction) -> Option<Prepared> {
        let (kind, damages, details) = disk_fault(action);
        let ops = action.ops();
        let has = |this: &Self, node: usize| !this.disks_of(node, ops).is_empty();
        let nodes = self.pick(name, &ops.target, has)?;
        let fault = DiskFault {
            kind,
            chance: ops.chance,
            times: ops.times,
            offset: ops.offset_bytes,
            length: ops.length_bytes,
        };
        let mut prepared = Prepared::default();
        for node in nodes {
            for disk in self.disks_of(node, ops) {
                let is_filled = kind == DiskFaultKind::Full && self.fills(node, disk, ops);
                prepared.effects.push(Effect::Disk(if is_filled {
                    DiskEffect::Full { node, disk }
                } else {
                    DiskEffect::Arm { node, disk, fault }
                }));
            }
            prepared.hit.insert(node);
        }
        if damages {
            prepared.cost.disks = prepared.hit.clone();
        }
        prepared.cost.lasts = true;
        prepared.details.push(("chance", ratio(ops.chance).into()));
        let times = ops.times.map(|times| ("times", times.into()));
        let disk = ops.disk.clone().map(|disk| ("disk", disk.into()));
        prepared
            .details
            .extend(times.into_iter().chain(disk).chain(details));
        Some(prepared)
    }

    fn disks_of(&self, node: usize, ops: &DiskOps) -> Vec<usize> {
        let all = self.plan.nodes[node].disks.iter().enumerate();
        let wanted = |name: &str| ops.disk.as_deref().is_none_or(|wanted| wanted == name);
        all.filter(|(_, disk)| wanted(&disk.name))
            .map(|(i, _)| i)
            .collect()
    }

    pub(in crate::run::director) fn perform_on_disk(
        &mut self,
        id: u64,
        effect: DiskEffect,
    ) -> Undo {
        Undo::Disk(match effect {
            DiskEffect::Arm { node, disk, fault } => {
                let id = self.fresh_id();
                self.world(Command::ArmDisk {
                    node,
                    disk,
                    id,
                    fault,
                });
                DiskUndo::Disarm { node, disk, id }
            }
            DiskEffect::Full { node, disk } => {
                self.fill(id, node, disk);
                DiskUndo::Full { node, disk }
            }
        })
    }

    pub(in crate::run::director) fn undo_on_disk(&mut self, id: u64, undo: DiskUndo) {
        match undo {
            DiskUndo::Disarm { node, disk, id } => {
                self.world(Command::DisarmDisk { node, disk, id });
            }
            DiskUndo::Full { node, disk } => self.empty(id, node, disk),
        }
    }
}
