//! Actions: what a fault does, and to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lower, clip, ratio};
use crate::plan::fault::{Action, DiskOps, Frames, Split, Target};
use crate::plan::human::pick_name;
use crate::plan::model::{Rate, Ratio};
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::{did_you_mean, one_of};

use super::fault::range;

impl Lower<'_> {
    pub(super) fn action(&mut self, kind: &str, block: &Arc<Block>) -> Option<Action> {
        match kind {
            "partition" | "heal" | "latency" | "jitter" | "bandwidth" | "loss" | "corrupt"
            | "reorder" | "duplicate" | "flap" => self.network_action(kind, block),
            "kill" | "restart" | "pause" | "resume" | "power-loss" | "throttle" => {
                self.node_action(kind, block)
            }
            "process-kill" | "process-pause" | "process-restart" => {
                self.process_action(kind, block)
            }
            _ if block.section.key("disk", false).is_some() => self.disk_action(kind, block),
            _ => self.other_action(kind, block),
        }
    }

    fn network_action(&mut self, kind: &str, block: &Block) -> Option<Action> {
        let chance = || block.ratio("chance").map(ratio);
        Some(match kind {
            "partition" => return self.partition(block),
            "heal" => Action::Heal {
                networks: self.network_names_of(block)?,
            },
            "latency" => Action::Latency {
                frames: self.frames(block)?,
                by_ns: block.amount("by")?,
                jitter_ns: block.amount("jitter")?,
                overtake: block.bool("overtake"),
            },
            "jitter" => Action::Jitter {
                frames: self.frames(block)?,
                by_ns: block.amount("by")?,
                overtake: block.bool("overtake"),
            },
            "bandwidth" => Action::Bandwidth {
                frames: self.frames(block)?,
                bandwidth_bps: block.amount("rate")?,
            },
            "loss" => Action::Loss {
                frames: self.frames(block)?,
                chance: chance()?,
            },
            "corrupt" => Action::Corrupt {
                frames: self.frames(block)?,
                chance: chance()?,
            },
            "reorder" => Action::Reorder {
                frames: self.frames(block)?,
                chance: chance()?,
                window_ns: block.amount("window")?,
            },
            "duplicate" => Action::Duplicate {
                frames: self.frames(block)?,
                chance: chance()?,
            },
            _ => Action::Flap {
                frames: self.frames(block)?,
                down: range(block.range("down")?),
                up: range(block.range("up")?),
            },
        })
    }

    fn node_action(&mut self, kind: &str, block: &Block) -> Option<Action> {
        let target = self.target(block)?;
        let restart_after = block.range("restart-after").map(range);
        Some(match kind {
            "kill" => Action::Kill {
                target,
                restart_after,
            },
            "restart" => Action::Restart { target },
            "pause" => Action::Pause { target },
            "resume" => Action::Resume { target },
            "power-loss" => Action::PowerLoss {
                target,
                restart_after,
                torn: ratio(block.ratio("torn")?),
            },
            _ => {
                let to = ratio(block.ratio("to")?);
                if to.num == 0 {
                    self.push(
                        Diag::error(codes::OUT_OF_RANGE, "a throttled node can't stand still")
                            .label(block.span_of("to"), "nothing is left")
                            .help("use `pause` for that"),
                    );
                    return None;
                }
                Action::Throttle { target, to }
            }
        })
    }

    fn process_action(&mut self, kind: &str, block: &Block) -> Option<Action> {
        let target = self.target(block)?;
        let process = match block.spanned_text("process") {
            Some(name) => Some(self.process(name.value, name.span, &target.from)?),
            None => None,
        };
        Some(match kind {
            "process-kill" => Action::ProcessKill {
                target,
                process,
                restart_after: block.range("restart-after").map(range),
            },
            "process-pause" => Action::ProcessPause { target, process },
            _ => Action::ProcessRestart { target, process },
        })
    }

    /// Checks that a process runs on some of the nodes.
    pub(super) fn process(&mut self, name: &str, span: Span, set: &str) -> Option<String> {
        let runs = self
            .members(set)
            .iter()
            .any(|i| self.nodes[*i].guests.iter().any(|g| g == name));
        if runs {
            return Some(name.to_owned());
        }
        let known: Vec<String> = self.guests.keys().cloned().collect();
        if let Some((_, defined)) = self.guests.get(name) {
            let defined = *defined;
            self.push(
                Diag::error(
                    codes::EMPTY_SELECTOR,
                    format!("none of these nodes runs the guest `{}`", clip(name)),
                )
                .label(span, "hits nothing")
                .label(defined, "the guest")
                .help("choose nodes that run it"),
            );
        } else {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let defined = self.guests.values().map(|(_, s)| *s).min();
            self.undefined("guest", name, span, &known, defined);
        }
        None
    }

    fn disk_action(&mut self, kind: &str, block: &Block) -> Option<Action> {
        let disks = self.disk_ops(block)?;
        Some(match kind {
            "disk-read-error" => Action::DiskReadError { disks },
            "disk-write-error" => Action::DiskWriteError { disks },
            "torn-write" => Action::TornWrite { disks },
            "misdirected-write" => Action::MisdirectedWrite { disks },
            "bit-flip" => Action::BitFlip {
                disks,
                bits: block.unsigned("bits")?,
            },
            "lost-flush" => Action::LostFlush { disks },
            "disk-full" => Action::DiskFull { disks },
            _ => Action::DiskSlow {
                disks,
                by: range(block.range("by")?),
            },
        })
    }

    fn other_action(&mut self, kind: &str, block: &Block) -> Option<Action> {
        let target = self.target(block)?;
        let small = |key: &str| block.unsigned(key).and_then(|n| u32::try_from(n).ok());
        Some(match kind {
            "clock-skew" => Action::ClockSkew {
                target,
                by_ns: block.int("by")?,
            },
            "clock-drift" => Action::ClockDrift {
                target,
                by_ppb: block.int("by")?,
            },
            "clock-jump" => Action::ClockJump {
                target,
                by_ns: block.int("by")?,
            },
            "memory-pressure" => Action::MemoryPressure {
                target,
                take_bytes: block.amount("take")?,
            },
            "irq" => Action::Irq {
                target,
                line: small("line")?,
            },
            "nmi" => Action::Nmi {
                target,
                vcpu: small("vcpu")?,
            },
            "spurious-timer" => {
                let rate = block.rate("rate")?;
                Action::SpuriousTimer {
                    target,
                    rate: Rate {
                        count: rate.count,
                        per_ns: rate.per_ns,
                    },
                }
            }
            _ => Action::DelayedTimer {
                target,
                by: range(block.range("by")?),
            },
        })
    }

    /// The networks under the key `network`; all without it.
    fn network_names_of(&mut self, block: &Block) -> Option<Vec<String>> {
        let Some(name) = block.spanned_text("network") else {
            if self.networks.is_empty() {
                self.push(
                    Diag::error(codes::EMPTY_SELECTOR, "the scenario has no networks")
                        .label(block.span, "hits nothing")
                        .help("define one: `network \"lan\"`, and add it to the nodes"),
                );
                return None;
            }
            return Some(self.networks.keys().cloned().collect());
        };
        if self.networks.contains_key(name.value) {
            return Some(vec![name.value.to_owned()]);
        }
        // `partition "n1"` is a natural slip.
        if self.node_index.contains_key(name.value) {
            self.push(Diag::error(codes::UNDEFINED_NAME, format!("`{}` is a node, not a network", clip(name.value))).label(name.span, "not a network").help(format!("the network comes first; nodes are given by keys, e.g. `partition isolate=\"{0}\"` or `latency from=\"{0}\"`", clip(name.value))));
            return None;
        }
        self.undefined_network(name.value, name.span);
        None
    }

    fn frames(&mut self, block: &Block) -> Option<Frames> {
        let networks = self.network_names_of(block)?;
        let (from, to) = (self.target_of(block, "from")?, self.target_of(block, "to")?);
        if let [network] = networks.as_slice() {
            for (key, set) in [("from", &from.from), ("to", &to.from)] {
                self.connected(set, network, block.span_of(key))?;
            }
        }
        Some(Frames { networks, from, to })
    }

    fn partition(&mut self, block: &Block) -> Option<Action> {
        let networks = self.network_names_of(block)?;
        let written: Vec<&str> = ["side", "groups", "isolate"]
            .into_iter()
            .filter(|k| block.has(k))
            .collect();
        let split = match written.as_slice() {
            ["side"] => self.sides(block)?,
            ["groups"] => {
                let count = block.unsigned("groups")?;
                if count > self.nodes.len() as u64 {
                    self.push(
                        Diag::error(
                            codes::TOO_FEW_NODES,
                            format!(
                                "{} nodes can't be parted into {count} groups",
                                self.nodes.len()
                            ),
                        )
                        .label(block.span_of("groups"), "too many groups")
                        .help("each group has at least one node"),
                    );
                    return None;
                }
                Split::Groups { count }
            }
            ["isolate"] => Split::Isolate {
                target: self.target_of(block, "isolate")?,
            },
            [one, other, ..] => {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        format!("the partition has `{one}` and `{other}`"),
                    )
                    .label(block.span_of(other), "this")
                    .label(block.span_of(one), "and this")
                    .help("keep one of them"),
                );
                return None;
            }
            _ => {
                self.push(Diag::error(codes::MISSING_KEY, "nothing says how the network is cut").label(block.span, "`side`, `groups` or `isolate` is missing").help("e.g. `partition \"lan\" { side \"n1\"; side \"n2\" \"n3\" }` or `partition isolate=\"any\"`"));
                return None;
            }
        };
        Some(Action::Partition {
            networks,
            split,
            one_way: block.bool("one-way"),
        })
    }

    fn sides(&mut self, block: &Block) -> Option<Split> {
        let blocks: Vec<_> = block.blocks("side").cloned().collect();
        let mut seen: BTreeMap<usize, Span> = BTreeMap::new();
        let mut sides = Vec::new();
        for side in &blocks {
            let span = side.span_of("node");
            let words: Vec<Spanned<String>> = side.texts("node");
            let set = self.fixed(&words, span)?;
            let members = self.members(&set).to_vec();
            for member in members {
                if let Some(first) = seen.insert(member, span) {
                    let name = self.nodes[member].name.clone();
                    self.push(
                        Diag::error(
                            codes::OVERLAPPING_SIDES,
                            format!("`{name}` is on two sides"),
                        )
                        .label(span, "on this side")
                        .label(first, "and on this one")
                        .help("leave it on one side"),
                    );
                    return None;
                }
            }
            sides.push(set);
        }
        if sides.len() < 2 {
            self.push(
                Diag::error(codes::MISSING_KEY, "a partition has at least two sides")
                    .label(block.span, "only one side")
                    .help("add the other: `side \"n2\" \"n3\"`"),
            );
            return None;
        }
        Some(Split::Sides { sides })
    }

    fn disk_ops(&mut self, block: &Block) -> Option<DiskOps> {
        let target = self.target(block)?;
        let disk = block.spanned_text("disk");
        let has = |i: &usize| match disk {
            Some(name) => self.nodes[*i].disks.iter().any(|d| d == name.value),
            None => !self.nodes[*i].disks.is_empty(),
        };
        if !self.members(&target.from).iter().any(has) {
            let known: Vec<String> = self
                .nodes
                .iter()
                .flat_map(|n| n.disks.iter().cloned())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
            let known = || known.iter().map(String::as_str);
            let (what, span) = match disk {
                Some(name) => (
                    format!("none of these nodes has a disk `{}`", clip(name.value)),
                    name.span,
                ),
                None => ("none of these nodes has a disk".to_owned(), block.span),
            };
            let node = self
                .members(&target.from)
                .first()
                .map(|i| self.nodes[*i].span);
            let help = match disk.and_then(|d| did_you_mean(d.value, known())) {
                Some(help) => help,
                None if known().next().is_some() => format!("there is {}", one_of(known())),
                None => "add one to the node: `disk \"data\" size=\"16MiB\"`".into(),
            };
            self.push(
                Diag::error(codes::NO_SUCH_DISK, what)
                    .label(span, "hits nothing")
                    .label_opt(node, "the nodes")
                    .help(help),
            );
            return None;
        }
        Some(DiskOps {
            target,
            disk: disk.map(|d| d.value.to_owned()),
            chance: block
                .ratio("chance")
                .map_or(Ratio { num: 1, den: 1 }, ratio),
            times: block.unsigned("times"),
            offset_bytes: block.amount("offset").unwrap_or(0),
            length_bytes: block.amount("length"),
        })
    }
}

/// A fault in a few words, e.g. `kill n1`.
pub(super) fn describe(kind: &str, action: &Action) -> String {
    let target = |t: &Target| pick_name(t);
    let networks = |n: &[String]| n.join(",");
    match action {
        Action::Partition { networks: n, .. } | Action::Heal { networks: n } => {
            format!("{kind} {}", networks(n))
        }
        Action::Latency { frames, .. }
        | Action::Jitter { frames, .. }
        | Action::Bandwidth { frames, .. }
        | Action::Loss { frames, .. }
        | Action::Corrupt { frames, .. }
        | Action::Reorder { frames, .. }
        | Action::Duplicate { frames, .. }
        | Action::Flap { frames, .. } => format!("{kind} {}", networks(&frames.networks)),
        Action::DiskReadError { disks }
        | Action::DiskWriteError { disks }
        | Action::TornWrite { disks }
        | Action::MisdirectedWrite { disks }
        | Action::BitFlip { disks, .. }
        | Action::LostFlush { disks }
        | Action::DiskFull { disks }
        | Action::DiskSlow { disks, .. } => format!("{kind} {}", target(&disks.target)),
        Action::Kill { target: t, .. }
        | Action::Restart { target: t }
        | Action::Pause { target: t }
        | Action::Resume { target: t }
        | Action::PowerLoss { target: t, .. }
        | Action::Throttle { target: t, .. }
        | Action::ProcessKill { target: t, .. }
        | Action::ProcessPause { target: t, .. }
        | Action::ProcessRestart { target: t, .. }
        | Action::ClockSkew { target: t, .. }
        | Action::ClockDrift { target: t, .. }
        | Action::ClockJump { target: t, .. }
        | Action::MemoryPressure { target: t, .. }
        | Action::Irq { target: t, .. }
        | Action::Nmi { target: t, .. }
        | Action::SpuriousTimer { target: t, .. }
        | Action::DelayedTimer { target: t, .. } => format!("{kind} {}", target(t)),
    }
}
