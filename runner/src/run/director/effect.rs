//! What a fault does to the world, with everything drawn, and how that is undone.

use chaosrun_protocol::control::Action as GuestAction;
use chaosrun_vmm::disk::DiskFault;
use chaosrun_vmm::machine::Input;
use chaosrun_vmm::world::{Command, LinkFault};

use super::agenda::Item;
use super::guest::Part;
use super::{Deed, Director};

/// One thing that a fault does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Link(LinkFault),
    Disk {
        node: usize,
        disk: usize,
        fault: DiskFault,
    },
    /// The file system on a disk is full.
    Full {
        node: usize,
        disk: usize,
    },
    /// The node loses power; this part of its unflushed writes is torn.
    Down {
        node: usize,
        torn: (u64, u64),
        restart_after: Option<u64>,
    },
    /// The node starts if it is down and is reset if it runs.
    Reset {
        node: usize,
    },
    Pause {
        node: usize,
    },
    Resume {
        node: usize,
    },
    Throttle {
        node: usize,
        to: (u64, u64),
    },
    Drift {
        node: usize,
        ppb: i64,
    },
    Skew {
        node: usize,
        by_ns: i64,
    },
    Jump {
        node: usize,
        by_ns: i64,
    },
    Delay {
        node: usize,
        by_ns: u64,
    },
    /// What the node's init does.
    Guest {
        node: usize,
        action: GuestAction,
    },
    Interrupt {
        node: usize,
        input: Input,
    },
    Ticks {
        node: usize,
        period_ns: u64,
    },
    Heal {
        networks: Vec<usize>,
    },
}

/// How something is undone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Undo {
    Link {
        id: u64,
        network: usize,
    },
    Disk {
        node: usize,
        disk: usize,
        id: u64,
    },
    Full {
        node: usize,
        disk: usize,
    },
    Pause {
        node: usize,
    },
    Throttle {
        node: usize,
    },
    Drift {
        node: usize,
    },
    Delay {
        node: usize,
    },
    Skew {
        node: usize,
    },
    /// Something to tell the node's init. It is forgotten when the node's life ends.
    Guest {
        node: usize,
        action: GuestAction,
    },
    /// Nothing has to be done, but the fault goes on until this is over on the node.
    Wait {
        node: usize,
    },
}

impl Director<'_> {
    /// Carries out `effect` of the fault `id` at `at`, and tells how to undo it.
    pub(super) fn perform(&mut self, at: u64, id: u64, effect: Effect) -> Option<Undo> {
        match effect {
            Effect::Link(fault) => {
                let (link, network) = (self.fresh_id(), fault.network);
                self.world(Command::ArmLink { id: link, fault });
                Some(Undo::Link { id: link, network })
            }
            Effect::Disk { node, disk, fault } => {
                let armed = self.fresh_id();
                self.world(Command::ArmDisk {
                    node,
                    disk,
                    id: armed,
                    fault,
                });
                Some(Undo::Disk {
                    node,
                    disk,
                    id: armed,
                })
            }
            Effect::Full { node, disk } => Some(self.fill(id, node, disk)),
            Effect::Down {
                node,
                torn,
                restart_after,
            } => {
                self.take_down(at, node, torn, restart_after);
                None
            }
            Effect::Reset { node } => {
                // A reset is no loss of power: the disks keep what they have taken.
                self.forget_pauses(node);
                self.start_node(node);
                None
            }
            Effect::Interrupt { node, input } => {
                self.world(Command::Input { node, input });
                None
            }
            Effect::Ticks { node, period_ns } => {
                self.agenda.add(
                    at.saturating_add(period_ns),
                    Item::Tick {
                        id,
                        node,
                        period_ns,
                    },
                );
                Some(Undo::Wait { node })
            }
            Effect::Heal { networks } => {
                self.heal(&networks);
                None
            }
            Effect::Resume { node } => {
                self.resume(at, node);
                None
            }
            Effect::Guest { node, action } => self.perform_in_guest(at, id, node, action),
            lasting => self.perform_on_node(id, lasting),
        }
    }

    /// The effects that change how a node runs and that may overlap with others of their kind.
    fn perform_on_node(&mut self, id: u64, effect: Effect) -> Option<Undo> {
        match effect {
            Effect::Pause { node } => {
                let status = self.nodes.get(node);
                let first = status.pauses.is_empty();
                status.pauses.insert(id);
                if first {
                    self.world(Command::Pause { node });
                }
                Some(Undo::Pause { node })
            }
            Effect::Throttle { node, to } => {
                self.nodes.get(node).throttles.insert(id, to);
                self.apply_speed(node);
                Some(Undo::Throttle { node })
            }
            Effect::Drift { node, ppb } => {
                self.nodes.get(node).drifts.insert(id, ppb);
                self.apply_drift(node);
                Some(Undo::Drift { node })
            }
            Effect::Delay { node, by_ns } => {
                self.nodes.get(node).delays.insert(id, by_ns);
                self.apply_delay(node);
                Some(Undo::Delay { node })
            }
            Effect::Skew { node, by_ns } => {
                self.skew(id, node, by_ns);
                Some(Undo::Skew { node })
            }
            Effect::Jump { node, by_ns } => {
                self.jump(id, node, by_ns);
                None
            }
            _ => None,
        }
    }

    pub(super) fn undo(&mut self, id: u64, undo: Undo) {
        match undo {
            Undo::Link { id, .. } => self.world(Command::DisarmLink { id }),
            Undo::Disk { node, disk, id } => self.world(Command::DisarmDisk { node, disk, id }),
            Undo::Full { node, disk } => self.empty(id, node, disk),
            Undo::Pause { node } => {
                let status = self.nodes.get(node);
                if status.pauses.remove(&id) && status.pauses.is_empty() && !status.down {
                    self.world(Command::Resume { node });
                }
            }
            Undo::Throttle { node } => {
                self.nodes.get(node).throttles.remove(&id);
                self.apply_speed(node);
            }
            Undo::Drift { node } => {
                self.nodes.get(node).drifts.remove(&id);
                self.apply_drift(node);
            }
            Undo::Delay { node } => {
                self.nodes.get(node).delays.remove(&id);
                self.apply_delay(node);
            }
            Undo::Skew { node } => self.unskew(id, node),
            Undo::Guest { node, action } => self.order(id, node, Part::End, action),
            Undo::Wait { .. } => {}
        }
    }

    /// Starts a node that is down, with whatever faults still do to it.
    pub(super) fn start_node(&mut self, node: usize) {
        self.life_is_over(node);
        let status = self.nodes.get(node);
        status.down = false;
        status.ended = false;
        status.boot += 1;
        self.world(Command::Start { node });
    }

    /// Takes all pauses from a node.
    fn resume(&mut self, at: u64, node: usize) {
        let status = self.nodes.get(node);
        let pauses = std::mem::take(&mut status.pauses);
        if pauses.is_empty() {
            return;
        }
        self.world(Command::Resume { node });
        for id in pauses {
            self.forget(id, |undo| *undo == Undo::Pause { node });
        }
        // A fault may wait for it to take commands.
        self.agenda.add(at, Item::Retry);
    }

    fn heal(&mut self, networks: &[usize]) {
        let on =
            |undo: &Undo| matches!(undo, Undo::Link { network, .. } if networks.contains(network));
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

    fn take_down(&mut self, at: u64, node: usize, torn: (u64, u64), restart_after: Option<u64>) {
        let status = self.nodes.get(node);
        status.down = true;
        let boot = status.boot;
        self.forget_pauses(node);
        self.life_is_over(node);
        self.world(Command::PowerLoss { node, torn });
        if let Some(after) = restart_after {
            self.agenda
                .add(at.saturating_add(after), Item::Start { node, boot });
        }
    }

    /// A machine is no more: a pause of it does not hold the next one.
    fn forget_pauses(&mut self, node: usize) {
        for id in std::mem::take(&mut self.nodes.get(node).pauses) {
            self.forget(id, |undo| *undo == Undo::Pause { node });
        }
    }

    /// Drops parts of an active fault; without any it is over.
    pub(super) fn forget(&mut self, id: u64, part: impl Fn(&Undo) -> bool) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        active.undo.retain(|undo| !part(undo));
        if active.undo.is_empty() {
            self.finish(id);
        }
    }

    fn apply_speed(&mut self, node: usize) {
        let (num, den) = self.nodes.get(node).speed();
        self.world(Command::Throttle { node, num, den });
    }

    fn apply_drift(&mut self, node: usize) {
        let ppb = self.nodes.drift(node);
        self.world(Command::Drift { node, ppb });
    }

    fn apply_delay(&mut self, node: usize) {
        let by_ns = self.nodes.get(node).delay();
        self.world(Command::DelayTimers { node, by_ns });
    }

    pub(super) fn world(&mut self, command: Command) {
        self.deeds.push(Deed::World(command));
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
