//! Faults in the words of the scenario language, with everything that was drawn.

use chaosrun_protocol::control::Action as GuestAction;

use crate::plan::fault::Action;
use crate::plan::human::duration;
use crate::plan::model::{Range, Ratio};
use crate::report::event::Fault;

use super::effect::Effect;

type Detail = (&'static str, serde_json::Value);

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", duration(ns.unsigned_abs()))
}

fn range(range: &Range) -> String {
    if range.min_ns == range.max_ns {
        return duration(range.min_ns);
    }
    format!("{}..{}", duration(range.min_ns), duration(range.max_ns))
}

fn ratio(ratio: &Ratio) -> String {
    // In millionths of a percent, which is finer than the language reads.
    let scaled = u128::from(ratio.num) * 100_000_000 / u128::from(ratio.den.max(1));
    let text = format!("{}.{:06}", scaled / 1_000_000, scaled % 1_000_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a fault of the plan is made of besides its targets.
pub(super) fn details(action: &Action) -> Vec<Detail> {
    match action {
        Action::Latency {
            by_ns,
            jitter_ns,
            overtake,
            ..
        } => {
            vec![
                ("by", duration(*by_ns).into()),
                ("jitter", duration(*jitter_ns).into()),
                ("overtake", (*overtake).into()),
            ]
        }
        Action::Jitter {
            by_ns, overtake, ..
        } => {
            vec![
                ("by", duration(*by_ns).into()),
                ("overtake", (*overtake).into()),
            ]
        }
        Action::Bandwidth { bandwidth_bps, .. } => {
            vec![("rate", format!("{bandwidth_bps}bit").into())]
        }
        Action::Loss { chance, .. }
        | Action::Corrupt { chance, .. }
        | Action::Duplicate { chance, .. } => vec![("chance", ratio(chance).into())],
        Action::Reorder {
            chance, window_ns, ..
        } => {
            vec![
                ("chance", ratio(chance).into()),
                ("window", duration(*window_ns).into()),
            ]
        }
        Action::Flap { down, up, .. } => {
            vec![("down", range(down).into()), ("up", range(up).into())]
        }
        Action::DiskReadError { disks }
        | Action::DiskWriteError { disks }
        | Action::TornWrite { disks }
        | Action::MisdirectedWrite { disks }
        | Action::LostFlush { disks }
        | Action::DiskFull { disks }
        | Action::BitFlip { disks, .. }
        | Action::DiskSlow { disks, .. } => {
            let mut list = vec![("chance", ratio(&disks.chance).into())];
            list.extend(disks.times.map(|times| ("times", times.into())));
            list.extend(disks.disk.clone().map(|disk| ("disk", disk.into())));
            match action {
                Action::BitFlip { bits, .. } => list.push(("bits", (*bits).into())),
                Action::DiskSlow { by, .. } => list.push(("by", range(by).into())),
                _ => {}
            }
            list
        }
        Action::PowerLoss { torn, .. } => vec![("torn", ratio(torn).into())],
        Action::Throttle { to, .. } => vec![("to", ratio(to).into())],
        Action::ProcessKill { process, .. }
        | Action::ProcessPause { process, .. }
        | Action::ProcessRestart { process, .. } => process
            .clone()
            .map(|process| ("process", process.into()))
            .into_iter()
            .collect(),
        Action::ClockSkew { by_ns, .. } | Action::ClockJump { by_ns, .. } => {
            vec![("by", signed(*by_ns).into())]
        }
        Action::ClockDrift { by_ppb, .. } => vec![("by", format!("{by_ppb}ppb").into())],
        Action::MemoryPressure { take_bytes, .. } => {
            vec![("take", format!("{take_bytes}B").into())]
        }
        Action::Irq { line, .. } => vec![("line", (*line).into())],
        Action::Nmi { vcpu, .. } => vec![("vcpu", (*vcpu).into())],
        Action::SpuriousTimer { rate, .. } => {
            vec![(
                "rate",
                format!("{}/{}", rate.count, duration(rate.per_ns)).into(),
            )]
        }
        Action::Partition { .. }
        | Action::Heal { .. }
        | Action::Kill { .. }
        | Action::Restart { .. }
        | Action::Pause { .. }
        | Action::Resume { .. }
        | Action::DelayedTimer { .. } => Vec::new(),
    }
}

/// What was drawn when the effects were prepared.
pub(super) fn drawn(effects: &[Effect]) -> Vec<Detail> {
    match effects.first() {
        Some(Effect::Down {
            restart_after: Some(after),
            ..
        }) => {
            vec![("restart-after", duration(*after).into())]
        }
        Some(Effect::Guest {
            action:
                GuestAction::ProcessKill {
                    restart_after_ns: Some(after),
                    ..
                },
            ..
        }) => {
            vec![("restart-after", duration(*after).into())]
        }
        Some(Effect::Delay { by_ns, .. }) => vec![("by", duration(*by_ns).into())],
        _ => Vec::new(),
    }
}

/// A fault of a record as one line of a scenario.
#[must_use]
pub fn kdl(fault: &Fault) -> String {
    let mut line = fault.name.clone();
    let sides = fault
        .details
        .named
        .get("sides")
        .and_then(|sides| sides.as_array());
    if sides.is_none() {
        let key = if fault.class == "network" {
            "from="
        } else {
            ""
        };
        for node in &fault.affected_nodes {
            line.push_str(&format!(" {key}{node:?}"));
        }
    }
    for (key, value) in &fault.details.named {
        if matches!(key.as_str(), "sides" | "source" | "lasted_ns" | "why") {
            continue;
        }
        match value.as_bool() {
            Some(false) => {}
            Some(true) => line.push_str(&format!(" {}=#true", key.replace('_', "-"))),
            None => line.push_str(&format!(" {key}={value}")),
        }
    }
    if let Some(ns) = fault.max_duration_ns {
        line.push_str(&format!(" for=\"{}\"", duration(ns)));
    }
    if let Some(sides) = sides {
        let names = |side: &serde_json::Value| {
            let nodes = side.as_array().map(Vec::as_slice).unwrap_or_default();
            nodes
                .iter()
                .map(|node| format!(" {node}"))
                .collect::<String>()
        };
        let sides: Vec<String> = sides
            .iter()
            .map(|side| format!("side{}", names(side)))
            .collect();
        line.push_str(&format!(" {{ {} }}", sides.join("; ")));
    }
    line
}

/// The word of the language for a fault, and its family.
pub(super) fn words(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Partition { .. } => ("partition", "network"),
        Action::Heal { .. } => ("heal", "network"),
        Action::Latency { .. } => ("latency", "network"),
        Action::Jitter { .. } => ("jitter", "network"),
        Action::Bandwidth { .. } => ("bandwidth", "network"),
        Action::Loss { .. } => ("loss", "network"),
        Action::Corrupt { .. } => ("corrupt", "network"),
        Action::Reorder { .. } => ("reorder", "network"),
        Action::Duplicate { .. } => ("duplicate", "network"),
        Action::Flap { .. } => ("flap", "network"),
        Action::DiskReadError { .. } => ("disk-read-error", "disk"),
        Action::DiskWriteError { .. } => ("disk-write-error", "disk"),
        Action::TornWrite { .. } => ("torn-write", "disk"),
        Action::MisdirectedWrite { .. } => ("misdirected-write", "disk"),
        Action::BitFlip { .. } => ("bit-flip", "disk"),
        Action::LostFlush { .. } => ("lost-flush", "disk"),
        Action::DiskFull { .. } => ("disk-full", "disk"),
        Action::DiskSlow { .. } => ("disk-slow", "disk"),
        Action::Kill { .. } => ("kill", "node"),
        Action::Restart { .. } => ("restart", "node"),
        Action::Pause { .. } => ("pause", "node"),
        Action::Resume { .. } => ("resume", "node"),
        Action::PowerLoss { .. } => ("power-loss", "node"),
        Action::Throttle { .. } => ("throttle", "node"),
        Action::ProcessKill { .. } => ("process-kill", "process"),
        Action::ProcessPause { .. } => ("process-pause", "process"),
        Action::ProcessRestart { .. } => ("process-restart", "process"),
        Action::ClockSkew { .. } => ("clock-skew", "clock"),
        Action::ClockDrift { .. } => ("clock-drift", "clock"),
        Action::ClockJump { .. } => ("clock-jump", "clock"),
        Action::MemoryPressure { .. } => ("memory-pressure", "memory"),
        Action::Irq { .. } => ("irq", "interrupt"),
        Action::Nmi { .. } => ("nmi", "interrupt"),
        Action::SpuriousTimer { .. } => ("spurious-timer", "interrupt"),
        Action::DelayedTimer { .. } => ("delayed-timer", "interrupt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_ratios_are_exact() {
        assert_eq!(signed(-2_000), "-2us");
        assert_eq!(ratio(&Ratio { num: 1, den: 3 }), "33.333333%");
        assert_eq!(ratio(&Ratio { num: 1, den: 1 }), "100%");
    }

    #[test]
    fn a_fault_reads_like_a_line_of_a_scenario() {
        let kill = Fault::new("kill", "node", &["n1"]).with("restart-after", "500ms");
        assert_eq!(kdl(&kill), r#"kill "n1" restart-after="500ms""#);
        let sides = serde_json::json!([["n1"], ["n2", "n3"]]);
        let cut = Fault::new("partition", "network", &["n1", "n2", "n3"])
            .lasting(3_000_000_000)
            .with("sides", sides)
            .with("one_way", true);
        assert_eq!(
            kdl(&cut),
            r#"partition one-way=#true for="3s" { side "n1"; side "n2" "n3" }"#
        );
    }
}
