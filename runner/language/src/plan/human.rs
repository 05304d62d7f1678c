//! Plans for people.

use std::fmt::Write as _;

use chaosrun_chance::Chance;

use super::Compiled;
use super::fault::{Action, NetworkAction, Pick, Scheduled, Split, Target, Trigger};
use super::model::{
    Artifact, DiskSource, Interleave, Layer, Node, Plan, Range, ReadySignal, Topology,
};
use crate::scenario::units::{bandwidth, duration, size};

fn chance(r: Chance) -> String {
    let (num, den) = (r.num(), r.den());
    // Shown as a percentage where that is exact in a few digits.
    match (u128::from(num) * 1_000_000).checked_div(u128::from(den)) {
        Some(n) if n * u128::from(den) == u128::from(num) * 1_000_000 => {
            let text = format!("{}.{:04}", n / 10_000, n % 10_000);
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => format!("{num}/{den}"),
    }
}

fn range(r: Range) -> String {
    if r.min_ns == r.max_ns {
        duration(r.min_ns)
    } else {
        format!("{}..{}", duration(r.min_ns), duration(r.max_ns))
    }
}

/// A target in a few words: `n1`, `any 1 of all`.
pub(super) fn pick_name(target: &Target) -> String {
    match target.pick {
        Pick::All => target.from.clone(),
        Pick::Any { count } => format!("any {count} of {}", target.from),
        Pick::Minority => format!("minority of {}", target.from),
        Pick::Majority => format!("majority of {}", target.from),
    }
}

/// How many nodes, networks and triggers are listed one by one.
const MAX_LISTED: usize = 40;

impl Compiled {
    /// The plan for people: what will run, what goes wrong when, what must hold.
    #[must_use]
    pub fn to_human(&self) -> String {
        let plan = &self.plan;
        let mut out = String::new();
        let variant = if plan.variant.is_empty() {
            String::new()
        } else {
            format!(" [{}]", plan.variant)
        };
        let _ = writeln!(out, "{}{variant}   plan {}", plan.name, &plan.hash()[..16]);
        if !plan.description.is_empty() {
            let _ = writeln!(out, "  {}", plan.description);
        }
        let seeds = if plan.run.seed_first == plan.run.seed_last {
            format!("seed {}", plan.run.seed_first)
        } else {
            format!("seeds {}..{}", plan.run.seed_first, plan.run.seed_last)
        };
        let quiet = plan.run.duration_ns - plan.faults.quiet_from_ns;
        let quiet = if quiet == 0 {
            String::new()
        } else {
            format!(", the last {} of it quiet", duration(quiet))
        };
        let _ = writeln!(
            out,
            "  runs {}{quiet}, {seeds}; ready {} within {}",
            duration(plan.run.duration_ns),
            ready(plan),
            duration(plan.ready.within_ns)
        );
        if let Some(explore) = &plan.explore {
            let _ = writeln!(
                out,
                "  explores {} rounds of {} branches ({:?})",
                explore.rounds, explore.branches, explore.mode
            );
        }
        section(&mut out, "nodes", plan.nodes.iter().map(node));
        section(&mut out, "networks", plan.networks.iter().map(network));
        section(
            &mut out,
            "faults",
            plan.faults
                .schedule
                .iter()
                .map(scheduled)
                .chain(plan.faults.random.iter().map(|g| {
                    let kinds: Vec<&str> = g.kinds.iter().map(|kind| kind.name()).collect();
                    format!(
                        "about {} in {} until {}: one of {}",
                        g.rate.count,
                        duration(g.rate.per_ns),
                        duration(g.until_ns),
                        kinds.join(", ")
                    )
                })),
        );
        section(
            &mut out,
            "properties",
            plan.properties.iter().map(|p| p.name.clone()),
        );
        out
    }
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {title} ({})", lines.len());
    for line in lines.iter().take(MAX_LISTED) {
        let _ = writeln!(out, "    {line}");
    }
    if lines.len() > MAX_LISTED {
        let _ = writeln!(out, "    ... and {} more", lines.len() - MAX_LISTED);
    }
}

fn ready(plan: &Plan) -> &'static str {
    match plan.ready.signal {
        ReadySignal::SetupComplete => "by setup_complete",
        ReadySignal::Console { .. } => "by the console",
        ReadySignal::Event { .. } => "by an event",
        ReadySignal::After { .. } => "after a time",
    }
}

fn artifact(a: &Artifact) -> String {
    let hash = a.hash();
    format!(
        "{}{}",
        if matches!(a, Artifact::Recipe { .. }) {
            "recipe "
        } else {
            ""
        },
        hash.get(..8).unwrap_or(hash)
    )
}

fn node(node: &Node) -> String {
    let mut parts = vec![
        format!(
            "kernel {} ({})",
            node.kernel.artifact(),
            artifact(&node.kernel.image)
        ),
        size(node.memory_bytes),
    ];
    if node.vcpus > 1 {
        let turns = match node.interleave {
            Interleave::RoundRobin { quantum } => format!("turns of {quantum}"),
            Interleave::Random { min, max } => format!("turns of {min}..{max}"),
        };
        parts.push(format!("{} vcpus in {turns}", node.vcpus));
    }
    parts.extend(node.workloads.iter().map(|w| format!("runs {}", w.guest)));
    for disk in &node.disks {
        let from = match &disk.source {
            DiskSource::Blank => String::new(),
            DiskSource::Formatted { .. } => " with ext4".to_owned(),
            DiskSource::Image { file } => format!(" from {}", artifact(file)),
            DiskSource::Base { file } => format!(" over {}", artifact(file)),
        };
        let at = disk.mount.as_ref().map(|path| format!(" at {path}"));
        parts.push(format!(
            "disk {} {}{from}{}",
            disk.name,
            size(disk.size_bytes),
            at.unwrap_or_default()
        ));
    }
    parts.extend(
        node.nics
            .iter()
            .map(|n| format!("{} {}", n.network, n.address)),
    );
    parts.extend(node.tags.iter().map(|t| format!("tag:{t}")));
    parts.extend(node.roles.iter().map(|r| format!("role:{r}")));
    format!("{}: {}", node.name, parts.join(", "))
}

fn network(network: &super::model::Network) -> String {
    let s = &network.shape;
    let topology = match &network.topology {
        Topology::Mesh => "mesh".to_owned(),
        Topology::Star { hub } => format!("star around {hub}"),
        Topology::Ring => "ring".to_owned(),
        Topology::Line => "line".to_owned(),
        Topology::Links => "links only".to_owned(),
    };
    let mut out = format!(
        "{}: {}/{}, {topology} of {}, {}",
        network.name,
        network.subnet,
        network.prefix_len,
        network.members.len(),
        duration(s.latency_ns)
    );
    if s.jitter_ns > 0 {
        let _ = write!(out, " + up to {}", duration(s.jitter_ns));
        if s.overtake {
            out.push_str(" (overtaking)");
        }
    }
    let _ = write!(out, ", {}", bandwidth(s.bandwidth_bps));
    for (what, r) in [
        ("lost", s.loss),
        ("duplicated", s.duplicate),
        ("corrupted", s.corrupt),
        ("reordered", s.reorder),
    ] {
        if r.is_possible() {
            let _ = write!(out, ", {} {what}", chance(r));
        }
    }
    if network.layer == Layer::Ethernet {
        out.push_str(", cut at the cable");
    }
    if !network.links.is_empty() {
        let _ = write!(out, ", {} link rules", network.links.len());
    }
    out
}

fn scheduled(scheduled: &Scheduled) -> String {
    let when = match &scheduled.trigger {
        Trigger::At { at_ns } => format!("at {}", duration(*at_ns)),
        Trigger::Every {
            period_ns,
            jitter_ns,
            start_ns,
            until_ns,
            ..
        } => {
            let jitter = if *jitter_ns > 0 {
                format!(" + up to {}", duration(*jitter_ns))
            } else {
                String::new()
            };
            format!(
                "every {}{jitter} from {} until {}",
                duration(*period_ns),
                duration(*start_ns),
                duration(*until_ns)
            )
        }
        Trigger::Between {
            start_ns,
            end_ns,
            times,
        } => format!(
            "{times} times between {} and {}",
            duration(*start_ns),
            duration(*end_ns)
        ),
        Trigger::After { on, delay, .. } => format!("{} after a signal on {on}", range(*delay)),
    };
    let what: Vec<String> = scheduled
        .faults
        .iter()
        .map(|f| {
            let lasts = f
                .duration
                .map(|d| format!(" for {}", range(d)))
                .unwrap_or_default();
            let sides = if let Action::Network(NetworkAction::Partition {
                split: Split::Sides { sides },
                ..
            }) = &f.action
            {
                format!(" ({})", sides.join(" | "))
            } else {
                String::new()
            };
            let name = f.name.split(" @").next().unwrap_or(&f.name);
            format!("{name}{sides}{lasts}")
        })
        .collect();
    format!("{when}: {}", what.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::scalar;

    #[test]
    fn what_is_shown_can_be_read_back() {
        for ns in [
            0,
            1,
            999,
            1_500,
            1_500_000,
            1_000_000_000,
            1_500_000_000,
            90_000_000_000,
            3_600_000_000_001,
            86_399_000_000_000,
        ] {
            assert_eq!(scalar::duration(&duration(ns)), Ok(ns), "{}", duration(ns));
        }
        for bytes in [1, 1024, 1536, 128 << 20, 3 << 40] {
            assert_eq!(scalar::size(&size(bytes)), Ok(bytes));
        }
        assert_eq!(scalar::bandwidth(&bandwidth(1_500_000)), Ok(1_500_000));
        assert_eq!(chance(Chance::new(1, 1000)), "0.1%");
        assert_eq!(chance(Chance::new(1, 3)), "1/3");
    }
}
