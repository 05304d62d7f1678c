//! Whether a node can still become ready.
//!
//! Faults begin when all nodes are ready, so that before that nothing but the node itself starts anything
//! again: its machine after a reset, and its init by the restart policies of its programs. A node whose
//! machine is down for good is lost, whatever it had to show. One that still runs is lost when its init says
//! that no process is left, since neither the SDK nor the console is used by anybody then. Everything else
//! may yet become ready, and is waited for: a program next to the one that ended, a child that it left
//! behind, a policy that starts it again.

use std::collections::BTreeMap;

use super::outcome::Lost;
use crate::outcome::time::human_duration;
use crate::plan::Plan;
use crate::plan::model::ReadySignal;
use crate::property::observation::InitReport;

/// How many programs are named as the reason.
const MAX_PROGRAMS: usize = 4;

/// What is known of the nodes before all are ready.
#[derive(Debug, Clone)]
pub(super) struct Prospects {
    /// Whether a node has to do something to be ready. Otherwise only time has to pass.
    asked: bool,
    nodes: Vec<Prospect>,
}

#[derive(Debug, Clone)]
struct Prospect {
    name: String,
    /// Whether it has programs, of which readiness can be expected.
    has_programs: bool,
    /// How its programs ended or failed to start, in its present life.
    ended: BTreeMap<String, String>,
    /// What init could not do.
    trouble: Option<String>,
    /// When and why it was lost.
    lost: Option<(u64, String)>,
}

impl Prospects {
    pub fn new(plan: &Plan) -> Self {
        let nodes = plan.nodes.iter().map(|node| Prospect {
            name: node.name.clone(),
            has_programs: !node.workloads.is_empty(),
            ended: BTreeMap::new(),
            trouble: None,
            lost: None,
        });
        Self {
            asked: !matches!(plan.ready.signal, ReadySignal::After { .. }),
            nodes: nodes.collect(),
        }
    }

    /// A node was switched on: nothing that was before counts any more.
    pub fn started(&mut self, node: usize) {
        let prospect = &mut self.nodes[node];
        prospect.ended.clear();
        (prospect.trouble, prospect.lost) = (None, None);
    }

    /// The machine of a node ended at `time`, and nothing starts it again.
    pub fn down(&mut self, node: usize, time: u64, how: &str) {
        let name = &self.nodes[node].name;
        let why = format!(
            "the machine of {name} ended at {} ({how}), and nothing starts it again",
            human_duration(time)
        );
        self.nodes[node].lost.get_or_insert((time, why));
    }

    /// The init of a node reported at `time`.
    pub fn init(&mut self, node: usize, time: u64, report: &InitReport) {
        let prospect = &mut self.nodes[node];
        let at = human_duration(time);
        match report {
            InitReport::Started { process, .. } => {
                prospect.ended.remove(process);
                prospect.lost = None;
            }
            InitReport::Ended {
                process, status, ..
            } => {
                let told = format!("{process} on {} ended with {status} at {at}", prospect.name);
                prospect.ended.insert(process.clone(), told);
            }
            InitReport::NotStarted { process, reason } => {
                let told = format!(
                    "{process} on {} could not be started: {reason}",
                    prospect.name
                );
                prospect.ended.insert(process.clone(), told);
            }
            InitReport::Trouble(text) => prospect.trouble = Some(text.clone()),
            // A node without programs has nobody to wait for but its kernel, which goes on.
            InitReport::NothingLeft if prospect.has_programs => {
                let why = prospect.nothing_left();
                prospect.lost.get_or_insert((time, why));
            }
            _ => {}
        }
    }

    /// Those of `missing`, which are not ready, that can't be any more.
    pub fn lost(&self, missing: &[usize]) -> Vec<Lost> {
        let lost = |node: &usize| {
            let (at_ns, why) = self.nodes[*node].lost.clone()?;
            Some(Lost {
                node: *node,
                at_ns,
                why,
            })
        };
        let missing = missing.iter().filter(|_| self.asked);
        missing.filter_map(lost).collect()
    }
}

impl Prospect {
    /// Why no process is left.
    fn nothing_left(&self) -> String {
        let programs = self.ended.values().take(MAX_PROGRAMS).cloned();
        let mut reasons: Vec<String> = programs.collect();
        if reasons.is_empty() {
            let trouble = self.trouble.as_deref().unwrap_or("no program was started");
            reasons.push(format!("the init of {}: {trouble}", self.name));
        }
        let more = self.ended.len().saturating_sub(MAX_PROGRAMS);
        if more > 0 {
            reasons.push(format!("{more} more ended"));
        }
        let reasons = reasons.join("; ");
        format!("{reasons}; nothing starts again, and no other process is left")
    }
}

#[cfg(test)]
mod tests;
