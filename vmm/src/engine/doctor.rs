//! What this host can run, found out by trying.
//!
//! Each probe runs a tiny guest on the host's KVM. Some hosts let a vCPU hang for ever, so a probe is
//! meant to be run in a process of its own that can be given up; [`run`] is what such a process does,
//! and [`Diagnosis`] is what all of them together mean.

use serde::{Deserialize, Serialize};

use super::EngineKind;
use super::probe::{Answer, Probe};
pub use super::probe::{Blocks, Grade, Measurement};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn probes() -> &'static [Probe] {
    super::kvm::probe::ALL
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn probes() -> &'static [Probe] {
    &[Probe {
        name: "device",
        subject: "KVM",
        if_lost: ("the kvm engine can't be used", &[Blocks::Everything]),
        run: || Answer {
            grade: Grade::Bad,
            measured: "this is not Linux on an x86-64 processor".to_owned(),
            means: "the kvm engine can't be used".to_owned(),
            blocks: vec![Blocks::Everything],
        },
    }]
}

/// The names of all probes. The first one tells whether the others make sense.
pub fn names() -> impl Iterator<Item = &'static str> {
    probes().iter().map(|probe| probe.name)
}

/// The names of the probes that decide whether any guest runs.
pub fn names_for_bare() -> impl Iterator<Item = &'static str> {
    names_for(&[Blocks::Everything])
}

/// The names of the probes that decide whether Linux runs.
pub fn names_for_linux() -> impl Iterator<Item = &'static str> {
    names_for(&[Blocks::Everything, Blocks::Linux])
}

fn names_for(what: &'static [Blocks]) -> impl Iterator<Item = &'static str> {
    let decides = |probe: &&Probe| probe.if_lost.1.iter().any(|block| what.contains(block));
    probes().iter().filter(decides).map(|probe| probe.name)
}

/// Runs a probe in this process, which may hang. `None` if there is no such probe.
pub fn run(name: &str) -> Option<Measurement> {
    let probe = probes().iter().find(|probe| probe.name == name)?;
    let Answer {
        grade,
        measured,
        means,
        blocks,
    } = (probe.run)();
    Some(Measurement {
        probe: probe.name.to_owned(),
        subject: probe.subject.to_owned(),
        grade,
        measured,
        means,
        blocks,
    })
}

/// The measurement of a probe whose process did not come back, because of `why`.
pub fn lost(name: &str, why: &str) -> Option<Measurement> {
    let probe = probes().iter().find(|probe| probe.name == name)?;
    let (means, blocks) = probe.if_lost;
    Some(Measurement {
        probe: probe.name.to_owned(),
        subject: probe.subject.to_owned(),
        grade: Grade::Bad,
        measured: why.to_owned(),
        means: means.to_owned(),
        blocks: blocks.to_vec(),
    })
}

/// All measurements, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What was found. In JSON it keeps the name that people's scripts read.
    #[serde(rename = "findings")]
    pub measurements: Vec<Measurement>,
    /// Whether the kvm engine can run guests without an operating system.
    pub runs_bare: bool,
    /// Whether it can run Linux.
    pub runs_linux: bool,
    /// Whether its runs are functions of their inputs whatever the guest does.
    pub deterministic: bool,
    /// Whether a guest that does not exit can be stopped at an exact point.
    pub preempts: bool,
    /// The engine that `auto` stands for on this host.
    pub auto: EngineKind,
    /// Why.
    pub why: String,
}

impl Diagnosis {
    /// Draws the conclusions.
    pub fn new(measurements: Vec<Measurement>) -> Self {
        let free_of = |what: Blocks| {
            measurements
                .iter()
                .all(|measurement| !measurement.blocks.contains(&what))
        };
        let runs_bare = !measurements.is_empty() && free_of(Blocks::Everything);
        let runs_linux = runs_bare && free_of(Blocks::Linux);
        let deterministic = runs_bare && free_of(Blocks::Determinism);
        let preempts = runs_bare && free_of(Blocks::Preemption);
        let (auto, why) = if !runs_bare {
            (EngineKind::Exact, "KVM can't be used here")
        } else if !runs_linux {
            (EngineKind::Exact, "this host's KVM can't run Linux")
        } else if !deterministic {
            (
                EngineKind::Exact,
                "on this host's KVM a guest can read what is not a function of its inputs",
            )
        } else if !preempts {
            (
                EngineKind::Exact,
                "this host's KVM can't stop a guest that does not exit at an exact point",
            )
        } else {
            (EngineKind::Kvm, "nothing that was tried stands against it")
        };
        Self {
            runs_bare,
            runs_linux,
            deterministic,
            preempts,
            auto,
            why: why.to_owned(),
            measurements,
        }
    }

    /// Why no guest runs on the kvm engine, in one sentence; `None` if those without an operating
    /// system do.
    pub fn against_bare(&self) -> Option<String> {
        (!self.runs_bare).then(|| self.against(&[Blocks::Everything]))
    }

    /// Why Linux does not run on the kvm engine, in one sentence; `None` if it does.
    pub fn against_linux(&self) -> Option<String> {
        (!self.runs_linux).then(|| self.against(&[Blocks::Everything, Blocks::Linux]))
    }

    fn against(&self, what: &[Blocks]) -> String {
        let blocks = |measurement: &&Measurement| {
            measurement.blocks.iter().any(|block| what.contains(block))
        };
        let against: Vec<String> = self
            .measurements
            .iter()
            .filter(blocks)
            .map(|measurement| format!("{}: {}", measurement.subject, measurement.measured))
            .collect();
        against.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(blocks: &[Blocks]) -> Measurement {
        Measurement {
            probe: "p".to_owned(),
            subject: "clock".to_owned(),
            grade: Grade::Bad,
            measured: "stands".to_owned(),
            means: String::new(),
            blocks: blocks.to_vec(),
        }
    }

    #[test]
    fn auto_is_kvm_only_if_nothing_stands_against_it() {
        let auto = |blocks: &[Blocks]| Diagnosis::new(vec![measurement(blocks)]).auto;
        assert_eq!(auto(&[]), EngineKind::Kvm);
        for what in [
            Blocks::Everything,
            Blocks::Linux,
            Blocks::Determinism,
            Blocks::Preemption,
        ] {
            assert_eq!(auto(&[what]), EngineKind::Exact, "{what:?}");
        }
        assert_eq!(Diagnosis::new(Vec::new()).auto, EngineKind::Exact);
    }

    #[test]
    fn the_reason_against_linux_is_what_was_measured() {
        let report = Diagnosis::new(vec![
            measurement(&[Blocks::Linux]),
            measurement(&[Blocks::Preemption]),
        ]);
        assert_eq!(report.against_linux().unwrap(), "clock: stands");
        assert_eq!(report.against_bare(), None);
        let report = Diagnosis::new(vec![measurement(&[Blocks::Everything])]);
        assert_eq!(report.against_bare().unwrap(), "clock: stands");
        assert_eq!(report.against_linux(), report.against_bare());
        assert_eq!(Diagnosis::new(vec![measurement(&[])]).against_linux(), None);
    }

    #[test]
    fn a_lost_probe_stands_against_what_it_decides() {
        let first = names().next().unwrap();
        let measurement = lost(first, "it hung").unwrap();
        assert_eq!(measurement.measured, "it hung");
        assert!(measurement.blocks.contains(&Blocks::Everything));
        assert_eq!(lost("nonsense", ""), None);
        assert_eq!(run("nonsense"), None);
    }
}
