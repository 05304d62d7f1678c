//! Faults of networks.

use chaosrun_vmm::world::{Command, LinkFault, LinkFaultKind};

use super::{Draw, MS};
use crate::plan::fault::{Frames, NetworkAction, Split};
use crate::plan::model::Range;
use crate::run::director::Director;
use crate::run::director::effect::{Effect, Undo};
use crate::run::director::prepare::Prepared;
use crate::run::director::words::{Detail, range, ratio};
use crate::scenario::units::duration;
use crate::scenario::vocab::NetworkKind;

/// What a fault does to networks.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) enum NetworkEffect {
    Link(LinkFault),
    Heal { networks: Vec<usize> },
}

/// How what was done to a network is undone: the number of what was armed there.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::run::director) struct NetworkUndo {
    id: u64,
    network: usize,
}

/// A fault of this kind with a drawn strength.
pub(super) fn draw(kind: NetworkKind, draw: &mut Draw<'_>) -> Option<NetworkAction> {
    let frames = Frames {
        networks: draw.networks.clone(),
        from: draw.target.clone(),
        to: draw.all.clone(),
    };
    Some(match kind {
        NetworkKind::Partition => {
            let split = match draw.stream.below(3) {
                0 => Split::Groups { count: 2 },
                _ => Split::Isolate {
                    target: frames.from,
                },
            };
            NetworkAction::Partition {
                networks: frames.networks,
                split,
                one_way: draw.stream.below(4) == 0,
            }
        }
        NetworkKind::Heal => return None,
        NetworkKind::Latency => NetworkAction::Latency {
            frames,
            by_ns: draw.range(5 * MS, 500 * MS),
            jitter_ns: draw.range(0, 50 * MS),
            overtake: false,
        },
        NetworkKind::Jitter => NetworkAction::Jitter {
            frames,
            by_ns: draw.range(2 * MS, 100 * MS),
            overtake: false,
        },
        NetworkKind::Bandwidth => NetworkAction::Bandwidth {
            frames,
            bandwidth_bps: draw.range(64_000, 10_000_000),
        },
        NetworkKind::Loss => NetworkAction::Loss {
            frames,
            chance: draw.percent(5, 60),
        },
        NetworkKind::Corrupt => NetworkAction::Corrupt {
            frames,
            chance: draw.percent(1, 20),
        },
        NetworkKind::Reorder => NetworkAction::Reorder {
            frames,
            chance: draw.percent(5, 50),
            window_ns: draw.range(MS, 50 * MS),
        },
        NetworkKind::Duplicate => NetworkAction::Duplicate {
            frames,
            chance: draw.percent(5, 50),
        },
        NetworkKind::Flap => {
            let down = draw.range(20 * MS, 500 * MS);
            let up = draw.range(50 * MS, 1000 * MS);
            NetworkAction::Flap {
                frames,
                down: Range::from((down / 2, down)),
                up: Range::from((up / 2, up)),
            }
        }
    })
}

/// What is done to the frames, and how that is told of.
fn link_fault(action: &NetworkAction) -> Option<(&Frames, LinkFaultKind, Vec<Detail>)> {
    Some(match action {
        // These are about networks as a whole, see `prepare_network`.
        NetworkAction::Partition { .. } | NetworkAction::Heal { .. } => return None,
        NetworkAction::Latency {
            frames,
            by_ns,
            jitter_ns,
            overtake,
        } => {
            let kind = LinkFaultKind::Latency {
                by_ns: *by_ns,
                jitter_ns: *jitter_ns,
                overtake: *overtake,
            };
            let by = ("by", duration(*by_ns).into());
            let jitter = ("jitter", duration(*jitter_ns).into());
            (
                frames,
                kind,
                vec![by, jitter, ("overtake", (*overtake).into())],
            )
        }
        NetworkAction::Jitter {
            frames,
            by_ns,
            overtake,
        } => {
            let kind = LinkFaultKind::Jitter {
                by_ns: *by_ns,
                overtake: *overtake,
            };
            let by = ("by", duration(*by_ns).into());
            (frames, kind, vec![by, ("overtake", (*overtake).into())])
        }
        NetworkAction::Bandwidth {
            frames,
            bandwidth_bps: bps,
        } => {
            let rate = ("rate", format!("{bps}bit").into());
            (frames, LinkFaultKind::Bandwidth { bps: *bps }, vec![rate])
        }
        NetworkAction::Loss { frames, chance } => {
            let kind = LinkFaultKind::Loss { chance: *chance };
            (frames, kind, vec![("chance", ratio(*chance).into())])
        }
        NetworkAction::Corrupt { frames, chance } => {
            let kind = LinkFaultKind::Corrupt { chance: *chance };
            (frames, kind, vec![("chance", ratio(*chance).into())])
        }
        NetworkAction::Reorder {
            frames,
            chance,
            window_ns,
        } => {
            let kind = LinkFaultKind::Reorder {
                chance: *chance,
                window_ns: *window_ns,
            };
            let window = ("window", duration(*window_ns).into());
            (
                frames,
                kind,
                vec![("chance", ratio(*chance).into()), window],
            )
        }
        NetworkAction::Duplicate { frames, chance } => {
            let kind = LinkFaultKind::Duplicate { chance: *chance };
            (frames, kind, vec![("chance", ratio(*chance).into())])
        }
        NetworkAction::Flap { frames, down, up } => {
            let kind = LinkFaultKind::Flap {
                down: (down.min_ns, down.max_ns),
                up: (up.min_ns, up.max_ns),
            };
            let details = vec![("down", range(down).into()), ("up", range(up).into())];
            (frames, kind, details)
        }
    })
}

impl Director<'_> {
    pub(super) fn prepare_network(
        &mut self,
        name: &str,
        action: &NetworkAction,
    ) -> Option<Prepared> {
        match action {
            NetworkAction::Partition {
                networks,
                split,
                one_way,
            } => self.partition(name, networks, split, *one_way),
            NetworkAction::Heal { networks } => {
                let networks = self.networks(networks);
                let effects = vec![Effect::Network(NetworkEffect::Heal { networks })];
                Some(Prepared {
                    effects,
                    ..Prepared::default()
                })
            }
            NetworkAction::Latency { .. }
            | NetworkAction::Jitter { .. }
            | NetworkAction::Bandwidth { .. }
            | NetworkAction::Loss { .. }
            | NetworkAction::Corrupt { .. }
            | NetworkAction::Reorder { .. }
            | NetworkAction::Duplicate { .. }
            | NetworkAction::Flap { .. } => self.weather(name, action),
        }
    }

    fn weather(&mut self, name: &str, action: &NetworkAction) -> Option<Prepared> {
        let (frames, kind, details) = link_fault(action)?;
        let from = self.pick(name, &frames.from, |_, _| true)?;
        let to = self.pick(name, &frames.to, |_, _| true)?;
        let mut prepared = Prepared::default();
        for network in self.networks(&frames.networks) {
            let fault = LinkFault {
                network,
                from: from.clone(),
                to: to.clone(),
                kind,
            };
            prepared.effects.push(fault.into());
        }
        prepared.hit = from.into_iter().collect();
        prepared.cost.lasts = true;
        prepared.details = details;
        Some(prepared)
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
                    let fault = LinkFault {
                        network,
                        from: from.clone(),
                        to: to.clone(),
                        kind: LinkFaultKind::Down,
                    };
                    prepared.effects.push(fault.into());
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
        prepared.cost.lasts = true;
        prepared.details = vec![("sides", shown.into()), ("one_way", one_way.into())];
        Some(prepared)
    }

    pub(in crate::run::director) fn perform_on_network(
        &mut self,
        effect: NetworkEffect,
    ) -> Option<Undo> {
        match effect {
            NetworkEffect::Link(fault) => {
                let (id, network) = (self.fresh_id(), fault.network);
                self.world(Command::ArmLink { id, fault });
                Some(Undo::Network(NetworkUndo { id, network }))
            }
            NetworkEffect::Heal { networks } => {
                self.heal(&networks);
                None
            }
        }
    }

    pub(in crate::run::director) fn undo_on_network(&mut self, undo: NetworkUndo) {
        self.world(Command::DisarmLink { id: undo.id });
    }

    fn heal(&mut self, networks: &[usize]) {
        let on = |undo: &Undo| matches!(undo, Undo::Network(of) if networks.contains(&of.network));
        let hit: Vec<u64> = self
            .active
            .iter()
            .filter(|(_, active)| active.undo.iter().any(on))
            .map(|(id, _)| *id)
            .collect();
        for id in hit {
            let Some(active) = self.active.get_mut(&id) else {
                continue;
            };
            let (healed, left): (Vec<Undo>, Vec<Undo>) = active.undo.drain(..).partition(on);
            active.undo = left;
            for undo in healed {
                self.undo(id, undo);
            }
            self.forget(id, |_| false);
        }
    }
}

impl From<LinkFault> for Effect {
    fn from(fault: LinkFault) -> Self {
        Self::Network(NetworkEffect::Link(fault))
    }
}
