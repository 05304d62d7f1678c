//! Faults that are drawn altogether: kind, target, strength and moment.
//!
//! The ranges of the strengths are here and not in the plan. They are wide enough to hurt and small
//! enough that a sound system survives them.

use chaosrun_vmm::tape::Stream;

use super::Director;
use super::agenda::Item;
use crate::plan::fault::{Action, DiskOps, Fault, Frames, Generator, Pick, Split, Target};
use crate::plan::model::{Range, Rate, Ratio};

const MS: u64 = 1_000_000;

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
        let possible: Vec<&str> = generator
            .kinds
            .iter()
            .map(String::as_str)
            .filter(|kind| self.is_possible(kind))
            .collect();
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
    fn is_possible(&self, kind: &str) -> bool {
        use crate::scenario::vocab::FAMILIES;
        let family = |name: &str| {
            let of = FAMILIES.iter().find(|(family, _)| *family == name);
            of.is_some_and(|(_, kinds)| kinds.contains(&kind))
        };
        let linked = self
            .plan
            .networks
            .iter()
            .any(|network| network.members.len() > 1);
        (!family("network") || linked)
            && (!family("disk") || self.plan.nodes.iter().any(|node| !node.disks.is_empty()))
    }

    fn draw_fault(&mut self, generator: &Generator, kind: &str) -> Option<Fault> {
        let all_networks: Vec<String> = self
            .plan
            .networks
            .iter()
            .map(|network| network.name.clone())
            .collect();
        let memory = self
            .plan
            .nodes
            .iter()
            .map(|node| node.memory_bytes)
            .min()
            .unwrap_or(0);
        let stream = self.stream(&generator.name);
        // `all` nodes at once would be past any budget; a drawn fault hits one of them.
        let target = match generator.target.pick {
            Pick::All => Target {
                pick: Pick::Any { count: 1 },
                ..generator.target.clone()
            },
            _ => generator.target.clone(),
        };
        let action = network_action(stream, kind, &generator.target, &target, all_networks)
            .or_else(|| disk_action(stream, kind, &target))
            .or_else(|| node_action(stream, kind, &target, &generator.duration, memory))?;
        let moment = matches!(
            action,
            Action::Kill { .. } | Action::PowerLoss { .. } | Action::ProcessKill { .. }
        );
        Some(Fault {
            name: generator.name.clone(),
            action,
            // What restarts by itself has its duration there.
            duration: (!moment).then_some(generator.duration),
        })
    }
}

fn percent(stream: &mut Stream, low: u64, high: u64) -> Ratio {
    Ratio {
        num: stream.range(low, high),
        den: 100,
    }
}

fn network_action(
    stream: &mut Stream,
    kind: &str,
    whole: &Target,
    one: &Target,
    networks: Vec<String>,
) -> Option<Action> {
    let all = Target {
        pick: Pick::All,
        ..whole.clone()
    };
    let frames = Frames {
        networks: networks.clone(),
        from: one.clone(),
        to: all,
    };
    Some(match kind {
        "partition" => {
            let halves = stream.below(3) == 0;
            let split = match halves {
                true => Split::Groups { count: 2 },
                false => Split::Isolate {
                    target: one.clone(),
                },
            };
            Action::Partition {
                networks,
                split,
                one_way: stream.below(4) == 0,
            }
        }
        "latency" => Action::Latency {
            frames,
            by_ns: stream.range(5 * MS, 500 * MS),
            jitter_ns: stream.range(0, 50 * MS),
            overtake: false,
        },
        "jitter" => Action::Jitter {
            frames,
            by_ns: stream.range(2 * MS, 100 * MS),
            overtake: false,
        },
        "bandwidth" => Action::Bandwidth {
            frames,
            bandwidth_bps: stream.range(64_000, 10_000_000),
        },
        "loss" => Action::Loss {
            frames,
            chance: percent(stream, 5, 60),
        },
        "corrupt" => Action::Corrupt {
            frames,
            chance: percent(stream, 1, 20),
        },
        "reorder" => Action::Reorder {
            frames,
            chance: percent(stream, 5, 50),
            window_ns: stream.range(MS, 50 * MS),
        },
        "duplicate" => Action::Duplicate {
            frames,
            chance: percent(stream, 5, 50),
        },
        "flap" => {
            let (down, up) = (
                stream.range(20 * MS, 500 * MS),
                stream.range(50 * MS, 1000 * MS),
            );
            Action::Flap {
                frames,
                down: Range {
                    min_ns: down / 2,
                    max_ns: down,
                },
                up: Range {
                    min_ns: up / 2,
                    max_ns: up,
                },
            }
        }
        _ => return None,
    })
}

fn disk_action(stream: &mut Stream, kind: &str, target: &Target) -> Option<Action> {
    let mut disks = DiskOps {
        target: target.clone(),
        disk: None,
        chance: Ratio { num: 1, den: 1 },
        times: None,
        offset_bytes: 0,
        length_bytes: None,
    };
    Some(match kind {
        "disk-read-error" | "disk-write-error" => {
            disks.chance = percent(stream, 5, 100);
            disks.times = Some(stream.range(1, 5));
            match kind {
                "disk-read-error" => Action::DiskReadError { disks },
                _ => Action::DiskWriteError { disks },
            }
        }
        "torn-write" | "misdirected-write" | "bit-flip" => {
            disks.chance = percent(stream, 5, 100);
            disks.times = Some(stream.range(1, 3));
            match kind {
                "torn-write" => Action::TornWrite { disks },
                "misdirected-write" => Action::MisdirectedWrite { disks },
                _ => Action::BitFlip {
                    disks,
                    bits: stream.range(1, 8),
                },
            }
        }
        "lost-flush" => Action::LostFlush { disks },
        "disk-full" => Action::DiskFull { disks },
        "disk-slow" => {
            let slowest = stream.range(2 * MS, 200 * MS);
            Action::DiskSlow {
                disks,
                by: Range {
                    min_ns: slowest / 4,
                    max_ns: slowest,
                },
            }
        }
        _ => return None,
    })
}

fn node_action(
    stream: &mut Stream,
    kind: &str,
    target: &Target,
    duration: &Range,
    memory: u64,
) -> Option<Action> {
    let target = target.clone();
    let restart_after = Some(*duration);
    let sign = |stream: &mut Stream, by: u64| {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        if stream.below(2) == 0 { by } else { -by }
    };
    Some(match kind {
        "kill" => Action::Kill {
            target,
            restart_after,
        },
        "restart" => Action::Restart { target },
        "pause" => Action::Pause { target },
        "power-loss" => Action::PowerLoss {
            target,
            restart_after,
            torn: percent(stream, 0, 100),
        },
        "throttle" => Action::Throttle {
            target,
            to: percent(stream, 5, 60),
        },
        "process-kill" => Action::ProcessKill {
            target,
            process: None,
            restart_after,
        },
        "process-pause" => Action::ProcessPause {
            target,
            process: None,
        },
        "process-restart" => Action::ProcessRestart {
            target,
            process: None,
        },
        "clock-skew" => {
            let by = stream.range(20 * MS, 5_000 * MS);
            Action::ClockSkew {
                target,
                by_ns: sign(stream, by),
            }
        }
        "clock-drift" => {
            let by = stream.range(50_000, 20_000_000);
            Action::ClockDrift {
                target,
                by_ppb: sign(stream, by),
            }
        }
        "clock-jump" => {
            let by = stream.range(10 * MS, 10_000 * MS);
            Action::ClockJump {
                target,
                by_ns: sign(stream, by),
            }
        }
        "memory-pressure" => Action::MemoryPressure {
            target,
            take_bytes: stream.range(memory / 8, memory / 2),
        },
        "irq" => Action::Irq {
            target,
            line: stream.below(24) as u32,
        },
        "nmi" => Action::Nmi { target, vcpu: 0 },
        "spurious-timer" => {
            let rate = Rate {
                count: stream.range(10, 1000),
                per_ns: 1_000 * MS,
            };
            Action::SpuriousTimer { target, rate }
        }
        "delayed-timer" => {
            let latest = stream.range(MS, 50 * MS);
            Action::DelayedTimer {
                target,
                by: Range {
                    min_ns: latest / 4,
                    max_ns: latest,
                },
            }
        }
        _ => return None,
    })
}
