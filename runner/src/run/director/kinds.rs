//! What a fault of the plan is to the world, and what kind of fault it is.

use chaosrun_vmm::disk::DiskFaultKind;
use chaosrun_vmm::world::LinkFaultKind;

use crate::plan::fault::{Action, Target};
use crate::plan::model::Ratio;

pub(super) fn pair(ratio: &Ratio) -> (u64, u64) {
    (ratio.num, ratio.den)
}

pub(super) fn target_of(action: &Action) -> Option<&Target> {
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

pub(super) fn link_kind(action: &Action) -> Option<LinkFaultKind> {
    Some(match action {
        Action::Latency {
            by_ns,
            jitter_ns,
            overtake,
            ..
        } => LinkFaultKind::Latency {
            by_ns: *by_ns,
            jitter_ns: *jitter_ns,
            overtake: *overtake,
        },
        Action::Jitter {
            by_ns, overtake, ..
        } => LinkFaultKind::Jitter {
            by_ns: *by_ns,
            overtake: *overtake,
        },
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

pub(super) fn disk_kind(action: &Action) -> Option<DiskFaultKind> {
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
pub(super) fn damages(action: &Action) -> bool {
    matches!(
        action,
        Action::TornWrite { .. }
            | Action::MisdirectedWrite { .. }
            | Action::BitFlip { .. }
            | Action::LostFlush { .. }
    )
}

/// Whether a fault is carried out by the init of the node that it hits.
pub(super) fn needs_guest(action: &Action) -> bool {
    matches!(
        action,
        Action::ProcessKill { .. }
            | Action::ProcessPause { .. }
            | Action::ProcessRestart { .. }
            | Action::MemoryPressure { .. }
    )
}

/// Whether a fault goes on after its moment.
pub(super) fn lasts(action: &Action) -> bool {
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
