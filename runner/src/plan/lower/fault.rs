//! Faults: triggers, actions, generators, the budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lower, clip, ratio};
use crate::plan::fault::{
    Action, Budget, DiskOps, Fault, Faults, Frames, Generator, Pick, Scheduled, Signal, Split,
    Target, Trigger,
};
use crate::plan::human::{duration, pick_name};
use crate::plan::model::{Range, Rate, Ratio};
use crate::scenario::block::{Block, Field};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::{did_you_mean, one_of};
use crate::scenario::vocab::{FAMILIES, KINDS};

/// The moment from which on nothing goes wrong, and where that is written.
pub(super) struct Horizon {
    pub quiet_from_ns: u64,
    /// `quiet`, if it is written.
    pub quiet: Option<Span>,
    /// The run's duration, if it is written.
    pub duration: Option<Span>,
}

/// Names given so far, with how often each was wanted.
#[derive(Default)]
struct Names {
    counts: BTreeMap<String, u32>,
}

impl Names {
    /// Makes a name unique by a number behind it.
    fn unique(&mut self, wanted: String) -> String {
        let count = self.counts.entry(wanted.clone()).or_default();
        *count += 1;
        if *count == 1 {
            wanted
        } else {
            format!("{wanted} #{count}")
        }
    }
}

/// A fault that happens once at a known moment, kept for finding faults that cancel each other.
pub(super) struct Moment {
    pub at_ns: u64,
    pub span: Span,
    pub fault: usize,
    pub scheduled: usize,
}

impl Lower<'_> {
    /// Lowers the block `faults`.
    pub(super) fn faults(&mut self, body: &Block, duration_ns: u64) -> Faults {
        let empty = Block::empty(&crate::scenario::vocab::FAULTS, body.span);
        let block = body.block("faults").cloned();
        let block = block.as_deref().unwrap_or(&empty);
        let quiet_ns = block.amount("quiet").unwrap_or(0);
        let run = body.block("run").cloned();
        let horizon = Horizon {
            quiet_from_ns: duration_ns.saturating_sub(quiet_ns),
            quiet: block.has("quiet").then(|| block.span_of("quiet")),
            duration: run
                .as_ref()
                .filter(|r| r.has("duration"))
                .map(|r| r.span_of("duration")),
        };
        if quiet_ns > 0 && quiet_ns >= duration_ns {
            let diag = Diag::error(codes::OUTSIDE_RUN, "the quiet period is as long as the run")
                .label_opt(horizon.quiet, "so long")
                .label_opt(horizon.duration, "the run's duration");
            self.push(diag.help("make the run longer, so that there is time for faults"));
        }
        let budget = self.budget(block.block("budget").map(|b| &**b));
        let (mut names, mut schedule, mut moments) = (Names::default(), Vec::new(), Vec::new());
        let mut explicit: BTreeMap<String, Span> = BTreeMap::new();
        for field in &block.fields {
            let crate::scenario::block::Datum::Block(trigger_block) = &field.value.value else {
                continue;
            };
            if !matches!(field.key.name, "at" | "every" | "between" | "after") {
                continue;
            }
            let Some((trigger, label)) = self.trigger(field.key.name, trigger_block, &horizon)
            else {
                continue;
            };
            let faults = self.actions(trigger_block, &label, &mut names, &mut explicit);
            if faults.is_empty() {
                if !trigger_block
                    .fields
                    .iter()
                    .any(|f| KINDS.iter().any(|k| k.name == f.key.name))
                {
                    self.push(
                        Diag::error(
                            codes::MISSING_KEY,
                            format!("nothing happens in this `{}`", field.key.name),
                        )
                        .label(trigger_block.span, "no fault")
                        .help(format!(
                            "put a fault into it, e.g. `{} ... {{ kill any=1 }}`",
                            field.key.name
                        )),
                    );
                }
                continue;
            }
            if let Trigger::At { at_ns } = trigger {
                moments.extend(faults.iter().enumerate().map(|(fault, (_, span))| Moment {
                    at_ns,
                    span: *span,
                    fault,
                    scheduled: schedule.len(),
                }));
            }
            let faults: Vec<Fault> = faults
                .into_iter()
                .map(|(fault, span)| {
                    self.within_budget(&fault, &budget, span, block);
                    fault
                })
                .collect();
            let joined: Vec<&str> = faults.iter().map(|f| f.name.as_str()).collect();
            let name = joined.join(", ");
            let name = if name.len() > 160 {
                format!("{} +{}", faults[0].name, faults.len() - 1)
            } else {
                name
            };
            let name = names.unique(format!("trigger {name}"));
            let location = self.location(trigger_block.span);
            self.origins.faults.insert(name.clone(), location);
            schedule.push(Scheduled {
                name,
                trigger,
                faults,
            });
        }
        let random = self.generators(block, &horizon);
        self.cancelled(&schedule, &random, moments, horizon.quiet_from_ns);
        schedule.sort_by(|a, b| {
            (first_moment(&a.trigger), &a.name).cmp(&(first_moment(&b.trigger), &b.name))
        });
        Faults {
            schedule,
            random,
            budget,
            quiet_from_ns: horizon.quiet_from_ns,
        }
    }

    fn trigger(
        &mut self,
        kind: &str,
        block: &Block,
        horizon: &Horizon,
    ) -> Option<(Trigger, String)> {
        match kind {
            "at" => {
                let at_ns = block.amount("time")?;
                self.inside("this moment", at_ns, block.span_of("time"), horizon)?;
                Some((Trigger::At { at_ns }, format!("@{}", duration(at_ns))))
            }
            "every" => {
                let period_ns = block.amount("period")?;
                if period_ns == 0 {
                    self.push(
                        Diag::error(codes::OUT_OF_RANGE, "`every` has a period of zero")
                            .label(block.span_of("period"), "would never end")
                            .help("give it some time, e.g. `every \"4s\"`"),
                    );
                    return None;
                }
                let start_ns = block.amount("start").unwrap_or(period_ns);
                self.inside(
                    "the first time",
                    start_ns,
                    block.span_of(if block.has("start") {
                        "start"
                    } else {
                        "period"
                    }),
                    horizon,
                )?;
                let until_ns = self.until(block, horizon);
                if until_ns <= start_ns {
                    self.push(
                        Diag::error(codes::OUTSIDE_RUN, "`until` is not after the first time")
                            .label(block.span_of("until"), "never happens")
                            .help(format!("the first time is at {}", duration(start_ns))),
                    );
                    return None;
                }
                let trigger = Trigger::Every {
                    period_ns,
                    jitter_ns: block.amount("jitter").unwrap_or(0),
                    start_ns,
                    until_ns,
                    times: block.unsigned("times"),
                };
                Some((trigger, format!("@every {}", duration(period_ns))))
            }
            "between" => {
                let (start_ns, end_ns) = (block.amount("start")?, block.amount("end")?);
                self.inside("the span", start_ns, block.span_of("start"), horizon)?;
                if end_ns <= start_ns {
                    self.push(
                        Diag::error(codes::OUT_OF_RANGE, "the span ends before it begins")
                            .label(block.span_of("end"), "the end")
                            .label(block.span_of("start"), "the beginning")
                            .help("exchange them"),
                    );
                    return None;
                }
                if end_ns > horizon.quiet_from_ns {
                    self.late("the end of the span", end_ns, block.span_of("end"), horizon);
                    return None;
                }
                Some((
                    Trigger::Between {
                        start_ns,
                        end_ns,
                        times: block.unsigned("times").unwrap_or(1),
                    },
                    format!("@{}..{}", duration(start_ns), duration(end_ns)),
                ))
            }
            _ => self.after(block),
        }
    }

    fn after(&mut self, block: &Block) -> Option<(Trigger, String)> {
        let (signal, label) = match (block.spanned_text("event"), block.has("console")) {
            (Some(event), true) => {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        "`after` waits for an event and for the console",
                    )
                    .label(block.span_of("console"), "the console")
                    .label(event.span, "the event")
                    .help("write two `after` blocks"),
                );
                return None;
            }
            (Some(event), false) => (
                Signal::Event {
                    name: event.value.to_owned(),
                },
                format!("@after {}", clip(event.value)),
            ),
            (None, true) => {
                let pattern = self.pattern(block, "console")?;
                let label = format!("@after {}", clip(block.text("console").unwrap_or_default()));
                (Signal::Console { pattern }, label)
            }
            (None, false) => {
                self.push(Diag::error(codes::MISSING_KEY, "`after` waits for nothing").label(block.span, "after what?").help("write `after \"event-name\" { ... }` or `after console=\"text\" { ... }`"));
                return None;
            }
        };
        let on = self.nodes_of(block, "on")?;
        let delay = range(block.range("delay").unwrap_or((0, 0)));
        Some((
            Trigger::After {
                signal,
                on,
                delay,
                times: block.unsigned("times").unwrap_or(1),
            },
            label,
        ))
    }

    /// Tells a moment that lies in the quiet period or behind the run.
    fn inside(&mut self, what: &str, at_ns: u64, span: Span, horizon: &Horizon) -> Option<()> {
        if at_ns < horizon.quiet_from_ns {
            return Some(());
        }
        // A run or a quiet period that leaves no time has its own message.
        if horizon.quiet_from_ns > 0 {
            self.late(what, at_ns, span, horizon);
        }
        None
    }

    fn late(&mut self, what: &str, at_ns: u64, span: Span, horizon: &Horizon) {
        let end = duration(horizon.quiet_from_ns);
        let diag = match horizon.quiet {
            Some(quiet) => Diag::error(
                codes::OUTSIDE_RUN,
                format!(
                    "{what} ({}) lies in the quiet period, which begins at {end}",
                    duration(at_ns)
                ),
            )
            .label(span, "too late")
            .label(quiet, "the quiet period at the end of the run"),
            None => Diag::error(
                codes::OUTSIDE_RUN,
                format!(
                    "{what} ({}) lies behind the end of the run at {end}",
                    duration(at_ns)
                ),
            )
            .label(span, "too late"),
        };
        self.push(
            diag.label_opt(horizon.duration, "the run's duration")
                .help(format!(
                    "choose an earlier moment, before {end}, or make the run longer"
                )),
        );
    }

    /// The end of a generator's time: as written, but not later than the quiet period.
    fn until(&mut self, block: &Block, horizon: &Horizon) -> u64 {
        match block.amount("until") {
            Some(until) if until > horizon.quiet_from_ns => {
                self.late("`until`", until, block.span_of("until"), horizon);
                horizon.quiet_from_ns
            }
            Some(until) => until,
            None => horizon.quiet_from_ns,
        }
    }

    /// The faults of a trigger, grouped by kind in the order in which kinds first appear: TOML can't
    /// say another order.
    fn actions(
        &mut self,
        block: &Block,
        label: &str,
        names: &mut Names,
        explicit: &mut BTreeMap<String, Span>,
    ) -> Vec<(Fault, Span)> {
        let mut order: Vec<&'static str> = Vec::new();
        for field in &block.fields {
            if matches!(field.value.value, crate::scenario::block::Datum::Block(_))
                && !order.contains(&field.key.name)
            {
                order.push(field.key.name);
            }
        }
        let mut out = Vec::new();
        for kind in order {
            let fields: Vec<&Field> = block.all(kind).collect();
            for field in fields {
                let crate::scenario::block::Datum::Block(fault) = &field.value.value else {
                    continue;
                };
                let Some(action) = self.action(kind, fault) else {
                    continue;
                };
                let name = match fault.spanned_text("name") {
                    Some(name) => {
                        if let Some(first) = explicit.insert(name.value.to_owned(), name.span) {
                            self.push(
                                Diag::error(
                                    codes::DUPLICATE_NAME,
                                    format!("two faults are called `{}`", clip(name.value)),
                                )
                                .label(name.span, "the second one")
                                .label(first, "the first one")
                                .help("give one of them another name, or none"),
                            );
                        }
                        name.value.to_owned()
                    }
                    None => names.unique(format!("{} {label}", describe(kind, &action))),
                };
                out.push((
                    Fault {
                        name,
                        action,
                        duration: fault.range("for").map(range),
                    },
                    fault.span,
                ));
            }
        }
        out
    }

    fn action(&mut self, kind: &str, block: &Arc<Block>) -> Option<Action> {
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
            },
            "jitter" => Action::Jitter {
                frames: self.frames(block)?,
                by_ns: block.amount("by")?,
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

    fn budget(&mut self, block: Option<&Block>) -> Budget {
        let Some(block) = block else {
            return Budget {
                nodes: None,
                disks: None,
                faults: None,
                gap_ns: 0,
            };
        };
        Budget {
            nodes: self.count(block, "nodes"),
            disks: self.count(block, "disks"),
            faults: block.unsigned("faults"),
            gap_ns: block.amount("gap").unwrap_or(0),
        }
    }

    /// Tells a fault that the budget can never allow.
    fn within_budget(&mut self, fault: &Fault, budget: &Budget, span: Span, faults: &Block) {
        let target = match &fault.action {
            Action::Kill { target, .. }
            | Action::Pause { target }
            | Action::PowerLoss { target, .. }
            | Action::Partition {
                split: Split::Isolate { target },
                ..
            } => target,
            _ => return,
        };
        let size = self.members(&target.from).len() as u64;
        let least = match target.pick {
            Pick::All => size,
            Pick::Any { count } => count,
            Pick::Minority => 1,
            Pick::Majority => size / 2 + 1,
        };
        if let Some(most) = budget.nodes.filter(|most| least > *most) {
            let budget_span = faults.block("budget").map(|b| b.span_of("nodes"));
            self.push(
                Diag::error(
                    codes::OVER_BUDGET,
                    format!("this fault needs {least} nodes at once, the budget allows {most}"),
                )
                .label(span, "never happens")
                .label_opt(budget_span, "the budget")
                .help("let it hit fewer nodes, or raise `budget nodes=`"),
            );
        }
    }

    fn generators(&mut self, block: &Block, horizon: &Horizon) -> Vec<Generator> {
        let blocks: Vec<_> = block.blocks("random").cloned().collect();
        let mut names = Names::default();
        let mut out: Vec<Generator> = Vec::new();
        for random in &blocks {
            let (Some(rate), Some(kinds)) = (random.rate("rate"), self.kinds(random)) else {
                continue;
            };
            let start_ns = random.amount("start").unwrap_or(0);
            if self
                .inside("`start`", start_ns, random.span_of("start"), horizon)
                .is_none()
            {
                continue;
            }
            let until_ns = self.until(random, horizon);
            if until_ns <= start_ns {
                self.push(
                    Diag::error(codes::OUTSIDE_RUN, "`until` is not after `start`")
                        .label(random.span_of("until"), "never happens")
                        .label(random.span_of("start"), "the start")
                        .help("exchange them"),
                );
                continue;
            }
            let Some(target) = self.target_of(random, "target") else {
                continue;
            };
            let name = random.text("name").map_or_else(
                || {
                    format!(
                        "random {}",
                        random
                            .texts("from")
                            .iter()
                            .map(|w| w.value.as_str())
                            .collect::<Vec<_>>()
                            .join(",")
                    )
                },
                ToOwned::to_owned,
            );
            let name = names.unique(name);
            let location = self.location(random.span);
            self.origins.faults.insert(name.clone(), location);
            out.push(Generator {
                name,
                rate: Rate {
                    count: rate.count,
                    per_ns: rate.per_ns,
                },
                kinds,
                target,
                start_ns,
                until_ns,
                duration: range(random.range("for").unwrap_or((0, 0))),
            });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// The kinds that a generator draws from, in the order of the language.
    fn kinds(&mut self, block: &Block) -> Option<Vec<String>> {
        let mut wanted = self.kind_words(&block.texts("from"))?;
        for out in self.kind_words(&if block.has("except") {
            block.texts("except")
        } else {
            Vec::new()
        })? {
            wanted.retain(|k| *k != out);
        }
        if wanted.is_empty() {
            self.push(
                Diag::error(codes::EMPTY_SELECTOR, "`except` leaves no fault")
                    .label(block.span_of("except"), "leaves nothing")
                    .help("remove some of it"),
            );
            return None;
        }
        let order = KINDS.iter().map(|k| k.name);
        Some(
            order
                .filter(|k| wanted.contains(k))
                .map(ToOwned::to_owned)
                .collect(),
        )
    }

    fn kind_words(&mut self, words: &[Spanned<String>]) -> Option<Vec<&'static str>> {
        let mut out = Vec::new();
        for word in words {
            let family = FAMILIES.iter().find(|(name, _)| *name == word.value);
            let kind = FAMILIES
                .iter()
                .flat_map(|(_, kinds)| kinds.iter())
                .find(|k| **k == word.value);
            match (family, kind) {
                (Some((_, kinds)), _) => out.extend(kinds.iter().copied()),
                (None, Some(kind)) => out.push(*kind),
                (None, None) => {
                    let families = || FAMILIES.iter().map(|(name, _)| *name);
                    let all = families()
                        .chain(FAMILIES.iter().flat_map(|(_, kinds)| kinds.iter().copied()));
                    let help = did_you_mean(&word.value, all)
                        .unwrap_or_else(|| format!("the families are {}", one_of(families())));
                    self.push(
                        Diag::error(
                            codes::NOT_ONE_OF,
                            format!(
                                "`{}` is neither a fault that can be drawn nor a family of them",
                                clip(&word.value)
                            ),
                        )
                        .label(word.span, "unknown")
                        .help(help),
                    );
                    return None;
                }
            }
        }
        Some(out)
    }
}

fn range((min_ns, max_ns): (u64, u64)) -> Range {
    Range { min_ns, max_ns }
}

/// When a trigger can happen first.
fn first_moment(trigger: &Trigger) -> u64 {
    match trigger {
        Trigger::At { at_ns } => *at_ns,
        Trigger::Every { start_ns, .. } | Trigger::Between { start_ns, .. } => *start_ns,
        Trigger::After { delay, .. } => delay.min_ns,
    }
}

/// A fault in a few words, e.g. `kill n1`.
fn describe(kind: &str, action: &Action) -> String {
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
