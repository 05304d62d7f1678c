//! From outcomes to the report of a scenario with a seed.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Replay, Unequal};
use super::director::kdl;
use super::notes::{CONSOLE_TAIL, explained, program_ended, tail, unheard};
use super::{End, Outcome};
use chaosrun_vmm::engine::EngineError;
use chaosrun_vmm::world::fabric::LinkCounters;

use crate::outcome::event::{Event, EventKind};
use crate::outcome::finding::{FaultSchedule, FaultStep};
use crate::outcome::model::{
    Counts, ErrorCause, Evidence, FileLocation, Moment, Property, PropertyKind, Report, RunInfo,
    SkippedProperty, ToolError, Verdict, WallClock,
};
use crate::outcome::summary::{NetworkSummary, NodeSummary};
use crate::outcome::time::human_duration;
use crate::plan::model::Engine;
use crate::plan::{Location, Origins, Plan};
use crate::property::no_hang::never_ready;
use crate::property::{Judgement, NeverReady};

/// Events shown before a failure.
const NEAREST: usize = 15;
/// Disturbances shown before those.
const DISTURBANCES: usize = 6;

/// What a report says that is not in the outcome.
#[derive(Debug, Clone)]
pub struct Context {
    /// The scenario's file, as it was given.
    pub scenario_file: String,
    /// BLAKE3 of its text.
    pub scenario_hash: String,
    /// The seed.
    pub seed: u64,
    /// The command that runs this again.
    pub command: String,
    /// Host time.
    pub wall: WallClock,
    /// What came of running it again; none with the reason if it was not.
    pub replay: Result<Replay, String>,
}

/// Makes the report of a run.
#[must_use]
pub fn report(plan: &Plan, origins: &Origins, outcome: &Outcome, context: &Context) -> Report {
    let mut report = Report::new(info(plan, outcome, context));
    for judgement in &explained(plan, outcome) {
        let declared = origins.properties.get(&judgement.name).map(location);
        report.properties.push(judgement.to_property(declared));
        let number = report.findings.len() as u32 + 1;
        let finding = judgement.to_finding(
            number,
            context.seed,
            nearest(outcome, judgement),
            schedule(outcome, judgement),
            context.command.clone(),
        );
        report.findings.extend(finding.map(|mut finding| {
            let at = finding.moment.vtime_ns;
            let after = outcome.chain.iter().find(|hash| hash.time.as_nanos() >= at);
            finding.state_hash = after.map(|hash| format!("{:032x}", hash.chain));
            finding
        }));
    }
    replayed(&mut report, outcome, context);
    errors(&mut report, plan, outcome);
    report.notes.clone_from(&outcome.notes);
    report.nodes = nodes(plan, outcome);
    report.networks = networks(plan, outcome);
    report.faults_injected.clone_from(&outcome.faults);
    report.finish()
}

fn info(plan: &Plan, outcome: &Outcome, context: &Context) -> RunInfo {
    RunInfo {
        scenario: plan.name.clone(),
        variant: (!plan.variant.is_empty()).then(|| plan.variant.clone()),
        description: (!plan.description.is_empty()).then(|| plan.description.clone()),
        scenario_file: context.scenario_file.clone(),
        scenario_hash: context.scenario_hash.clone(),
        plan_hash: plan.hash(),
        seed: context.seed.to_string(),
        engine: engine(plan).to_owned(),
        caveats: caveats(plan, outcome),
        artifacts: artifacts(plan),
        timelines: 1,
        virtual_time_ns: outcome.end_ns,
        instructions: outcome.instructions,
        state_hash: outcome
            .chain
            .last()
            .map(|hash| format!("{:032x}", hash.chain)),
        wall: context.wall,
        command: context.command.clone(),
    }
}

/// What executes the nodes.
fn engine(plan: &Plan) -> &'static str {
    let on_kvm = |node: &&crate::plan::model::Node| node.engine == Engine::Kvm;
    match plan.nodes.iter().filter(on_kvm).count() {
        0 => "exact",
        some if some < plan.nodes.len() => "exact and kvm",
        _ => "kvm",
    }
}

/// What the engines could not keep from the nodes, each sentence with the nodes that it is about.
fn caveats(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, caveat) in &outcome.caveats {
        let about = nodes.entry(caveat).or_default();
        about.extend(plan.nodes.get(*node).map(|node| node.name.as_str()));
    }
    let told = |(caveat, nodes): (&str, Vec<&str>)| format!("{}: {caveat}", nodes.join(", "));
    nodes.into_iter().map(told).collect()
}

/// The hashes of what nodes are made of, by a name for people.
fn artifacts(plan: &Plan) -> BTreeMap<String, String> {
    use crate::plan::model::{DiskSource, Program};
    let mut all = BTreeMap::new();
    for node in &plan.nodes {
        all.insert(
            format!("kernel {}", node.kernel.artifact()),
            node.kernel.image.hash().to_owned(),
        );
        for disk in &node.disks {
            if let DiskSource::Image { file } | DiskSource::Base { file } = &disk.source {
                all.insert(
                    format!("disk {} of {}", disk.name, node.name),
                    file.hash().to_owned(),
                );
            }
        }
    }
    for (name, guest) in &plan.guests {
        let hash = match &guest.program {
            Program::Crate { source, .. } => source.hash(),
            Program::Binary { file } | Program::Initrd { file } => file.hash(),
            Program::Directory { tree } | Program::Packages { tree, .. } => tree.hash(),
        };
        all.insert(format!("guest {name}"), hash.to_owned());
    }
    all
}

fn location(location: &Location) -> FileLocation {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    FileLocation {
        column: Some(number(location.column)),
        ..FileLocation::new(location.file.clone(), number(location.line))
    }
}

/// Forgets of a run, whose files are written, what its report does not need: a campaign keeps the outcomes
/// of all its runs until what has to happen in one of them is settled.
pub fn trim(outcome: &mut Outcome) {
    let mut needed = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for judgement in &outcome.judgements {
        // What was not reached may become a failure when all runs are over.
        let shown = judgement.verdict == Verdict::Fail || judgement.unreached;
        let moment = judgement.moment.as_ref().map(|moment| moment.vtime_ns);
        if shown && seen.insert((judgement.seqs.last().copied(), moment)) {
            needed.extend(leading_to(outcome, judgement).iter().map(|event| event.seq));
        }
    }
    outcome.events.retain(|event| {
        let fault = matches!(event.kind, EventKind::Fault(_));
        fault || needed.contains(&event.seq) || program_ended(event).is_some()
    });
    outcome.events.shrink_to_fit();
    for console in &mut outcome.consoles {
        console.drain(..console.len().saturating_sub(CONSOLE_TAIL));
        console.shrink_to_fit();
    }
}

/// The events that are shown with a failure.
fn nearest(outcome: &Outcome, judgement: &Judgement) -> Vec<Event> {
    match judgement.verdict {
        Verdict::Fail => leading_to(outcome, judgement)
            .into_iter()
            .cloned()
            .collect(),
        _ => Vec::new(),
    }
}

/// The events that lead to a failure: the last ones before it, and before those the last faults.
fn leading_to<'a>(outcome: &'a Outcome, judgement: &Judgement) -> Vec<&'a Event> {
    let last_seq = judgement.seqs.last().copied();
    let moment = judgement
        .moment
        .as_ref()
        .map_or(u64::MAX, |moment| moment.vtime_ns);
    let before = |event: &&Event| match last_seq {
        Some(seq) => event.seq <= seq,
        None => event.vtime_ns <= moment,
    };
    let interesting = |event: &&Event| {
        !matches!(event.kind, EventKind::Checkpoint { .. })
            && !matches!(&event.kind, EventKind::Assertion { antithesis_assert: a } if !a.hit)
    };
    let all: Vec<&Event> = outcome
        .events
        .iter()
        .filter(before)
        .filter(interesting)
        .collect();
    let (early, late) = all.split_at(all.len().saturating_sub(NEAREST));
    let disturbed = early
        .iter()
        .rev()
        .filter(|event| event.is_disturbance())
        .take(DISTURBANCES);
    let mut events: Vec<&Event> = disturbed.copied().collect();
    events.reverse();
    events.extend(late);
    events
}

/// The faults up to a failure.
fn schedule(outcome: &Outcome, judgement: &Judgement) -> FaultSchedule {
    let moment = judgement
        .moment
        .as_ref()
        .map_or(u64::MAX, |moment| moment.vtime_ns);
    let begun = outcome.events.iter().filter_map(|event| match &event.kind {
        EventKind::Fault(record) if event.vtime_ns <= moment => {
            record.fault.begins().then(|| FaultStep {
                at_ns: event.vtime_ns,
                fault: kdl(&record.fault),
            })
        }
        _ => None,
    });
    let steps: Vec<FaultStep> = begun.collect();
    FaultSchedule {
        minimal: false,
        original_count: steps.len() as u64,
        steps,
    }
}

/// The built-in property about determinism.
fn replayed(report: &mut Report, outcome: &Outcome, context: &Context) {
    let kind = PropertyKind::ReplayIsIdentical;
    let replay = match &context.replay {
        Ok(replay) => replay,
        Err(reason) => {
            let (name, reason) = (kind.name().to_owned(), reason.clone());
            report.skipped.push(SkippedProperty { name, kind, reason });
            return;
        }
    };
    let property = match replay {
        Replay::Identical { hashes } => Property {
            reason: format!(
                "a second run gave the same {hashes} state hashes up to {}",
                human_duration(outcome.end_ns)
            ),
            counts: Counts {
                passed: *hashes as u64,
                failed: 0,
            },
            ..Property::new(kind.name(), kind, Verdict::Pass)
        },
        Replay::Differs(Unequal {
            index,
            time_ns,
            parts,
        }) => Property {
            reason: format!(
                "a second run with the same inputs differs from state hash {} on, at {}, in: {}",
                index + 1,
                human_duration(*time_ns),
                parts.join(", ")
            ),
            moment: Some(Moment::at(*time_ns)),
            evidence: vec![Evidence::new("parts that differ", parts.join("\n"))],
            counts: Counts {
                passed: *index as u64,
                failed: 1,
            },
            ..Property::new(kind.name(), kind, Verdict::Fail)
        },
    };
    report.properties.push(property);
}

/// What kept chaosrun from judging the whole run.
fn errors(report: &mut Report, plan: &Plan, outcome: &Outcome) {
    let error = match &outcome.end {
        End::Complete | End::Failed | End::NotReady(_) | End::NeverReady(_) => None,
        End::Stopped(why) => Some(ToolError {
            cause: ErrorCause::Interrupted,
            code: "chaosrun::run::stopped".to_owned(),
            message: format!(
                "the run was ended after {}: {why}",
                human_duration(outcome.end_ns)
            ),
            help: Some("what is reported is about the part that ran".to_owned()),
        }),
        End::Unimplemented(what) => Some(ToolError {
            cause: ErrorCause::Internal,
            code: "chaosrun::run::unimplemented".to_owned(),
            message: what.clone(),
            help: Some("this is a limit of the exact engine; please report it".to_owned()),
        }),
        End::Diverged => Some(ToolError {
            cause: ErrorCause::Internal,
            code: "chaosrun::run::diverged".to_owned(),
            message: "the run did not take the course that was expected of it".to_owned(),
            help: None,
        }),
    };
    report.errors.extend(error);
    if matches!(outcome.end, End::NotReady(_) | End::NeverReady(_)) {
        not_ready(report, plan, outcome);
    }
    for trouble in &outcome.trouble {
        report.errors.push(ToolError {
            cause: ErrorCause::Host,
            code: "chaosrun::run::host".to_owned(),
            message: trouble.clone(),
            help: None,
        });
    }
    report.errors.extend(unheard(plan, outcome));
    for text in &outcome.unhealed {
        report.errors.push(ToolError {
            cause: ErrorCause::Interrupted,
            code: "chaosrun::run::unhealed".to_owned(),
            message: text.clone(),
            help: Some("what was judged afterwards was judged under a fault".to_owned()),
        });
    }
}

/// A cluster that does not start has hung, also when the scenario does not ask for `no-hang`.
fn not_ready(report: &mut Report, plan: &Plan, outcome: &Outcome) {
    let kind = PropertyKind::NoHang;
    if report
        .properties
        .iter()
        .any(|p| p.kind == kind && p.verdict == Verdict::Fail)
    {
        return;
    }
    let nodes = outcome.end.missing();
    let names = nodes.iter().map(|node| plan.nodes[*node].name.as_str());
    let names: Vec<&str> = names.collect();
    let reason = match &outcome.end {
        End::NeverReady(lost) => {
            let lost: Vec<NeverReady> = lost.iter().map(|lost| lost.named(plan)).collect();
            never_ready(&lost.iter().collect::<Vec<_>>())
        }
        _ => {
            let within = human_duration(plan.ready.within_ns);
            format!("not ready within {within}: {}", names.join(", "))
        }
    };
    let evidence = nodes.iter().map(|node| {
        let name = &plan.nodes[*node].name;
        let label = format!("end of the console of {name}");
        Evidence::new(label, tail(&outcome.consoles[*node]))
    });
    report.properties.retain(|property| property.kind != kind);
    report.properties.push(Property {
        reason,
        moment: Some(Moment {
            vtime_ns: outcome.end_ns,
            node: names.first().map(|n| (*n).into()),
        }),
        evidence: evidence.collect(),
        counts: Counts {
            passed: 0,
            failed: 1,
        },
        ..Property::new(kind.name(), kind, Verdict::Fail)
    });
}

fn nodes(plan: &Plan, outcome: &Outcome) -> Vec<NodeSummary> {
    let of = |(index, node): (usize, &crate::plan::model::Node)| {
        let counters = outcome.counters.nodes.get(index);
        NodeSummary {
            name: node.name.clone(),
            vcpus: node.vcpus,
            memory_bytes: node.memory_bytes,
            instructions: counters.map_or(0, |c| c.retired),
            boots: outcome.boots[index],
            crashes: outcome.crashes[index],
            console_lines: outcome.console_lines[index],
            disk_read_bytes: counters.map_or(0, |c| c.disks.iter().map(|d| d.bytes_read).sum()),
            disk_written_bytes: counters
                .map_or(0, |c| c.disks.iter().map(|d| d.bytes_written).sum()),
            end_state: outcome.endings[index]
                .clone()
                .unwrap_or_else(|| "running".to_owned()),
        }
    };
    plan.nodes.iter().enumerate().map(of).collect()
}

fn networks(plan: &Plan, outcome: &Outcome) -> Vec<NetworkSummary> {
    let of = |(index, network): (usize, &crate::plan::model::Network)| {
        let counters = outcome.counters.networks.get(index);
        let sum = |of: fn(&LinkCounters) -> u64| {
            counters.map_or(0, |counters| {
                counters.links.iter().map(|pair| of(&pair.counters)).sum()
            })
        };
        NetworkSummary {
            name: network.name.clone(),
            frames_sent: sum(|link| link.sent),
            frames_delivered: sum(|link| link.delivered),
            frames_dropped: sum(LinkCounters::dropped),
            bytes_delivered: sum(|link| link.delivered_bytes),
        }
    };
    plan.networks.iter().enumerate().map(of).collect()
}

/// The report of a run that could not be run.
#[must_use]
pub fn failed_to_run(plan: &Plan, context: &Context, error: &super::campaign::TaskError) -> Report {
    use super::campaign::TaskError;
    let mut report = Report::new(RunInfo {
        scenario: plan.name.clone(),
        variant: (!plan.variant.is_empty()).then(|| plan.variant.clone()),
        scenario_file: context.scenario_file.clone(),
        scenario_hash: context.scenario_hash.clone(),
        plan_hash: plan.hash(),
        seed: context.seed.to_string(),
        engine: engine(plan).to_owned(),
        command: context.command.clone(),
        wall: context.wall,
        ..RunInfo::default()
    });
    let engine = error.engine();
    if let Some(EngineError::NotDeterministic { .. }) = engine {
        report.properties.push(not_deterministic(error.to_string()));
        return report.finish();
    }
    report.errors.push(ToolError {
        cause: match (error, engine) {
            (TaskError::Cluster(_) | TaskError::Disk(_), _)
            | (_, Some(EngineError::Unavailable { .. } | EngineError::Lacks { .. })) => {
                ErrorCause::Host
            }
            (TaskError::Run(_) | TaskError::Panicked(_), _) => ErrorCause::Internal,
        },
        code: "chaosrun::run::failed".to_owned(),
        message: error.to_string(),
        help: None,
    });
    report.finish()
}

/// A guest had to be stopped where the host's clock said, so that running again would not give the same.
fn not_deterministic(why: String) -> Property {
    let kind = PropertyKind::ReplayIsIdentical;
    Property {
        reason: format!("{why}; `--allow-nondeterminism` goes on all the same"),
        counts: Counts {
            passed: 0,
            failed: 1,
        },
        ..Property::new(kind.name(), kind, Verdict::Fail)
    }
}
