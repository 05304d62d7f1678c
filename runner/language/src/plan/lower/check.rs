//! Faults that cancel each other, as far as their moments and targets are fixed.

use std::collections::BTreeMap;

use super::Lower;
use super::fault::Moment;
use crate::plan::fault::{Action, Fault, Generator, NodeAction, Pick, Scheduled, Target, Trigger};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::Span;
use crate::scenario::units::duration;
use crate::scenario::vocab::{Family, FaultKind, NetworkKind, NodeKind};

/// How much work this check may be: faults times the nodes that they hit.
const MAX_WORK: usize = 1_000_000;

const PAUSE: FaultKind = FaultKind::Node(NodeKind::Pause);
const RESUME: FaultKind = FaultKind::Node(NodeKind::Resume);
const HEAL: FaultKind = FaultKind::Network(NetworkKind::Heal);

/// What is known of a node at a moment.
#[derive(Default, Clone, Copy)]
struct State {
    /// Down until this moment, because of the fault written there.
    down: Option<(u64, Span)>,
    /// Paused until this moment.
    paused: Option<(u64, Span)>,
}

impl Lower<'_> {
    /// Warns of faults that do nothing because of others, and of heals without anything to heal.
    pub(super) fn cancelled(
        &mut self,
        schedule: &[Scheduled],
        random: &[Generator],
        mut moments: Vec<Moment>,
        end_ns: u64,
    ) {
        moments.sort_by_key(|m| m.at_ns);
        self.idle_heals(schedule, random, &moments);
        let fixed = |m: &Moment| {
            target(&schedule[m.scheduled].faults[m.fault])
                .filter(|t| t.pick == Pick::All)
                .map(|t| self.members(&t.from).len())
        };
        if moments
            .iter()
            .filter_map(fixed)
            .fold(0usize, usize::saturating_add)
            > MAX_WORK
        {
            return;
        }
        let pauses_elsewhere = schedule.iter().any(|s| {
            !matches!(s.trigger, Trigger::At { .. })
                && s.faults.iter().any(|f| f.action.kind() == PAUSE)
        });
        let drawn_pauses = schedule
            .iter()
            .flat_map(|s| &s.faults)
            .any(|f| f.action.kind() == PAUSE && target(f).is_some_and(|t| t.pick != Pick::All));
        let may_be_paused =
            pauses_elsewhere || drawn_pauses || random.iter().any(|g| g.kinds.contains(&PAUSE));
        let mut states: BTreeMap<usize, State> = BTreeMap::new();
        for moment in &moments {
            let fault = &schedule[moment.scheduled].faults[moment.fault];
            let Some(target) = target(fault).filter(|t| t.pick == Pick::All) else {
                continue;
            };
            let mut told = false;
            for node in self.members(&target.from).to_vec() {
                let state = states.entry(node).or_default();
                if let Some((what, earlier, until)) = step(state, fault, moment, end_ns)
                    && !told
                {
                    told = true;
                    self.useless(
                        what,
                        fault.action.kind() == PAUSE,
                        node,
                        moment,
                        earlier,
                        until,
                    );
                } else if fault.action.kind() == RESUME
                    && !told
                    && !may_be_paused
                    && state.paused.is_none_or(|(until, _)| until <= moment.at_ns)
                {
                    told = true;
                    let name = &self.nodes[node].name;
                    let diag = Diag::warning(
                        codes::HEAL_WITHOUT_FAULT,
                        format!("`{name}` is not paused at {}", duration(moment.at_ns)),
                    )
                    .label(moment.span, "does nothing")
                    .help("remove it, or pause the node first without `for`");
                    self.push(diag);
                }
                if fault.action.kind() == RESUME {
                    states.entry(node).or_default().paused = None;
                }
            }
        }
    }

    fn useless(
        &mut self,
        what: &str,
        is_pause: bool,
        node: usize,
        moment: &Moment,
        earlier: Span,
        until: u64,
    ) {
        let name = &self.nodes[node].name;
        let until = if until == u64::MAX {
            "until something ends that".to_owned()
        } else {
            format!("until {}", duration(until))
        };
        let diag = Diag::warning(
            codes::CANCELLED_FAULT,
            format!("`{name}` {what} at {} already", duration(moment.at_ns)),
        )
        .label(
            moment.span,
            if what == "is paused" && !is_pause {
                "ends that early"
            } else {
                "has no effect"
            },
        )
        .label_opt(
            Some(earlier).filter(|e| *e != moment.span),
            format!("because of this, {until}"),
        )
        .help("choose another moment or node, or remove one of them");
        self.push(diag);
    }

    /// Warns of `heal`s before which no network fault can have begun.
    fn idle_heals(&mut self, schedule: &[Scheduled], random: &[Generator], moments: &[Moment]) {
        let of_network = |kind: &FaultKind| kind.family() == Family::Network;
        let mut first = u64::MAX;
        for generator in random.iter().filter(|g| g.kinds.iter().any(of_network)) {
            first = first.min(generator.start_ns);
        }
        for scheduled in schedule
            .iter()
            .filter(|s| s.faults.iter().any(is_network_fault))
        {
            first = first.min(match &scheduled.trigger {
                Trigger::At { at_ns } => *at_ns,
                Trigger::Every { start_ns, .. } | Trigger::Between { start_ns, .. } => *start_ns,
                Trigger::After { .. } => 0,
            });
        }
        for moment in moments {
            let fault = &schedule[moment.scheduled].faults[moment.fault];
            if fault.action.kind() == HEAL && first >= moment.at_ns {
                let diag = Diag::warning(
                    codes::HEAL_WITHOUT_FAULT,
                    format!(
                        "no network fault has begun before {}",
                        duration(moment.at_ns)
                    ),
                )
                .label(moment.span, "heals nothing")
                .help("remove it, or choose a later moment");
                self.push(diag);
            }
        }
    }
}

/// Moves a node's state on by a fault. Returns why the fault is useless, the place of the fault that
/// makes it so, and until when.
fn step(
    state: &mut State,
    fault: &Fault,
    moment: &Moment,
    end_ns: u64,
) -> Option<(&'static str, Span, u64)> {
    let now = moment.at_ns;
    state.down = state.down.filter(|(until, _)| *until > now);
    state.paused = state.paused.filter(|(until, _)| *until > now);
    let Action::Node(action) = &fault.action else {
        return None;
    };
    match action {
        NodeAction::Kill { restart_after, .. } | NodeAction::PowerLoss { restart_after, .. } => {
            if let Some((until, span)) = state.down {
                return Some(("is down", span, until.min(end_ns)));
            }
            let useless = state
                .paused
                .map(|(until, span)| ("is paused", span, until.min(end_ns)));
            let until = restart_after.map_or(u64::MAX, |r| now.saturating_add(r.min_ns));
            state.down = Some((until, moment.span));
            state.paused = None;
            useless
        }
        NodeAction::Pause { .. } => {
            if let Some((until, span)) = state.down {
                return Some(("is down", span, until.min(end_ns)));
            }
            if let Some((until, span)) = state.paused {
                return Some(("is paused", span, until.min(end_ns)));
            }
            let until = fault
                .duration
                .map_or(u64::MAX, |r| now.saturating_add(r.min_ns));
            state.paused = Some((until, moment.span));
            None
        }
        NodeAction::Restart { .. } => {
            *state = State::default();
            None
        }
        NodeAction::Resume { .. } | NodeAction::Throttle { .. } => None,
    }
}

/// The nodes that a fault stops or starts.
fn target(fault: &Fault) -> Option<&Target> {
    let Action::Node(action) = &fault.action else {
        return None;
    };
    match action {
        NodeAction::Kill { target, .. }
        | NodeAction::PowerLoss { target, .. }
        | NodeAction::Pause { target }
        | NodeAction::Restart { target }
        | NodeAction::Resume { target } => Some(target),
        NodeAction::Throttle { .. } => None,
    }
}

fn is_network_fault(fault: &Fault) -> bool {
    let kind = fault.action.kind();
    kind.family() == Family::Network && kind.is_drawn()
}
