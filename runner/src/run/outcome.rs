//! What a run came to.

use std::collections::{BTreeMap, BTreeSet};

use chaosrun_vmm::machine::StateHash;
use chaosrun_vmm::world::Counters;

use crate::outcome::event::Event;
use crate::plan::Plan;
use crate::property::{Judgement, NeverReady};

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It has run for the time of the plan.
    Complete,
    /// A property failed, and the plan says to stop then.
    Failed,
    /// These nodes were not ready in time.
    NotReady(Vec<usize>),
    /// These nodes were not ready, and could not be any more, however long it had gone on.
    NeverReady(Vec<Lost>),
    /// Whoever watched it ended it, for this reason.
    Stopped(String),
    /// A guest did something that chaosrun does not implement.
    Unimplemented(String),
    /// A state hash was not the expected one.
    Diverged,
}

/// A node that is not ready and can't be any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its number in the plan.
    pub node: usize,
    /// Since when, in nanoseconds of virtual time since power-on.
    pub at_ns: u64,
    /// Why, as a clause that names the node.
    pub why: String,
}

impl Lost {
    /// The same for judges, who know nodes by their names.
    #[must_use]
    pub fn named(&self, plan: &Plan) -> NeverReady {
        NeverReady {
            node: plan.nodes[self.node].name.clone(),
            at_ns: self.at_ns,
            why: self.why.clone(),
        }
    }
}

impl End {
    /// The nodes whose not being ready ended the run.
    #[must_use]
    pub fn missing(&self) -> Vec<usize> {
        match self {
            Self::NotReady(nodes) => nodes.clone(),
            Self::NeverReady(lost) => lost.iter().map(|lost| lost.node).collect(),
            _ => Vec::new(),
        }
    }
}

/// What a run came to. Times are nanoseconds of virtual time since power-on; lists of nodes are in the
/// order of the plan.
#[derive(Debug)]
pub struct Outcome {
    /// Why it is over.
    pub end: End,
    /// When all nodes were ready, if they ever were.
    pub ready_ns: Option<u64>,
    /// When it was over.
    pub end_ns: u64,
    /// Instructions of all nodes.
    pub instructions: u64,
    /// The chain of state hashes, the last one taken at the end.
    pub chain: Vec<StateHash>,
    /// The verdicts.
    pub judgements: Vec<Judgement>,
    /// What happened.
    pub events: Vec<Event>,
    /// How many more events there were than were kept, by node.
    pub events_dropped: BTreeMap<String, u64>,
    /// How many SDK messages of each node were not looked at, because it sent too many.
    pub unheard: Vec<u64>,
    /// The networks whose traffic is recorded in part only, because there was too much of it.
    pub captures_cut: Vec<String>,
    /// How many bytes each console showed, kept or not.
    pub console_bytes: Vec<u64>,
    /// How many lines each console showed, kept or not.
    pub console_lines: Vec<u64>,
    /// How many faults of each kind were injected.
    pub faults: BTreeMap<String, u64>,
    /// What the consoles showed, as far as it is kept.
    pub consoles: Vec<Vec<u8>>,
    /// How often each node was started.
    pub boots: Vec<u64>,
    /// How often faults took each node down.
    pub crashes: Vec<u64>,
    /// How each node ended by itself, if it did.
    pub endings: Vec<Option<String>>,
    /// What the engines could not keep from the guests on this host, for each node that it is about.
    pub caveats: BTreeSet<(usize, String)>,
    /// What a reader has to know besides the verdicts.
    pub notes: Vec<String>,
    /// What went wrong on the host without ending the run.
    pub trouble: Vec<String>,
    /// What faults did to guests and could not be undone, in sentences.
    pub unhealed: Vec<String>,
    /// What networks and disks did.
    pub counters: Counters,
}
