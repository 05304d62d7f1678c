//! A node: its state, what goes into it and what comes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::log::{Log, Place};
use super::machine::Machine;
use super::replication::Leader;
use super::types::{Body, Durable, Index, Message, NodeId, Record, Reply, Request, Snapshot, Term};
use crate::bugs::{Bug, Bugs};
use crate::rng::Rng;
use crate::sdk::always;

const MILLISECOND: u64 = 1_000_000;

/// How reads are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The leader asks a majority, for each read or for several together, if it still is the leader.
    Confirmed,
    /// The leader trusts that nobody else is elected for a while after a majority heard from it.
    Lease,
}

/// What a node is told at its start and does not change.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// All nodes of the cluster, this one among them.
    pub nodes: Vec<NodeId>,
    /// The shortest time without a leader before a node stands for election, in nanoseconds.
    pub election_min: u64,
    /// The longest.
    pub election_max: u64,
    /// How often a leader shows that it is there, in nanoseconds.
    pub heartbeat: u64,
    /// After how many applied entries a snapshot is taken.
    pub snapshot_every: u64,
    /// Most entries in one message.
    pub batch: usize,
    /// Whether a node asks if it would be elected before it starts a new term.
    pub pre_vote: bool,
    /// How reads are made safe.
    pub reads: Reads,
    /// The planted bugs.
    pub bugs: Bugs,
}

impl Config {
    /// The usual times: a heartbeat each 50 ms, elections after 150 to 300 ms of silence.
    pub fn new(id: NodeId, nodes: Vec<NodeId>, bugs: Bugs) -> Config {
        let skewed = bugs.has(Bug::LeaseReadClockSkew);
        Config {
            id,
            nodes,
            election_min: 150 * MILLISECOND,
            election_max: 300 * MILLISECOND,
            heartbeat: 50 * MILLISECOND,
            snapshot_every: 32,
            batch: if bugs.has(Bug::Fig8Commit) { 1 } else { 64 },
            pre_vote: false,
            reads: if skewed {
                Reads::Lease
            } else {
                Reads::Confirmed
            },
            bugs,
        }
    }

    /// How many nodes are more than half.
    pub fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

/// The time as the node's clocks show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds on a clock that never jumps.
    pub steady: u64,
    /// Nanoseconds on the clock that people set.
    pub wall: u64,
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed; due at [`Node::deadline`].
    Tick,
    /// A node says something.
    Message {
        /// Which node.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A client asks for something.
    Request {
        /// Names the request in the reply.
        token: u64,
        /// What.
        request: Request,
    },
}

/// Something that others may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The term changed.
    Term(Term),
    /// This node was elected.
    Elected(Term),
    /// A majority still follows this node, the leader.
    Leading(Term),
    /// This node stopped being the leader.
    Deposed(Term),
    /// Entries are committed up to here.
    Committed(Index),
    /// The entry was applied; the state has this digest.
    Applied {
        /// Which entry.
        index: Index,
        /// The digest of the log up to it.
        log: u64,
        /// The digest of the state after it.
        state: u64,
    },
    /// Entries from here on were removed, for the leader has others.
    Truncated(Index),
    /// A snapshot up to here was taken.
    SnapshotTaken(Index),
    /// A leader's snapshot up to here was installed.
    SnapshotInstalled(Index),
}

/// What a step brings about. The records come first: nothing else may leave the node before they are
/// on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What to put on the disk, in this order.
    pub records: Vec<Record>,
    /// What to tell whom.
    pub messages: Vec<(NodeId, Message)>,
    /// Answers to clients by the tokens of their requests.
    pub replies: Vec<(u64, Reply)>,
    /// What else happened.
    pub notes: Vec<Note>,
}

impl Output {
    /// Puts what `later` holds behind what is here.
    pub fn join(&mut self, later: Output) {
        self.records.extend(later.records);
        self.messages.extend(later.messages);
        self.replies.extend(later.replies);
        self.notes.extend(later.notes);
    }
}

/// Why a node can't start from what its disk holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The state machine can't be read from the snapshot.
    #[error("the snapshot at {0} holds no state that can be read")]
    Snapshot(Index),
    /// The log's terms go down, or pass the node's own.
    #[error("the log's terms are not in order at {0}")]
    Terms(Index),
    /// This node is not one of the cluster.
    #[error("node {0} is not among the nodes of the cluster")]
    Stranger(NodeId),
}

/// What a node is at the moment.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// It follows the leader, if it knows one.
    Follower { leader: Option<NodeId> },
    /// It asks if it would be elected.
    PreCandidate { votes: BTreeSet<NodeId> },
    /// It asks to be elected, and asks again at that moment.
    Candidate {
        votes: BTreeSet<NodeId>,
        again_at: u64,
    },
    /// It leads.
    Leader(Leader),
}

/// One node of the cluster.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) now: Moment,
    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    pub(super) log: Log,
    pub(super) snapshot: Snapshot,
    /// The digest of the state in the snapshot.
    pub(super) snapshot_state: u64,
    pub(super) machine: Machine,
    pub(super) commit: Index,
    pub(super) applied: Index,
    pub(super) role: Role,
    pub(super) election_at: u64,
    /// When a leader was last heard of, for as long as it is remembered.
    pub(super) leader_heard: Option<u64>,
    /// The leader that was seen in a term, to notice if there is a second one.
    pub(super) leader_seen: Option<(Term, NodeId)>,
    /// The vote that was given last, to notice if there is a second one.
    pub(super) vote_given: Option<(Term, NodeId)>,
    /// Tokens of the requests that wait for their entries, and the terms of those entries.
    pub(super) proposals: BTreeMap<Index, (Term, u64)>,
    /// The digests of the state after the entries that were applied last.
    pub(super) states: VecDeque<(Index, u64)>,
    pub(super) out: Output,
}

impl Node {
    /// A node that continues from what its disk holds. `seed` decides its random choices.
    ///
    /// # Errors
    /// If the disk's content can't be that of a node of this cluster.
    pub fn new(
        config: Config,
        durable: &Durable,
        seed: u64,
        now: Moment,
    ) -> Result<Node, Rejected> {
        if !config.nodes.contains(&config.id) {
            return Err(Rejected::Stranger(config.id));
        }
        let snapshot = durable.snapshot.clone();
        let machine = Machine::decode(&snapshot.data).ok_or(Rejected::Snapshot(snapshot.index))?;
        let base = Place {
            index: snapshot.index,
            term: snapshot.term,
            digest: snapshot.digest,
        };
        let mut log = Log::new(base);
        for entry in &durable.entries {
            let before = log.last();
            let early = entry.term > durable.term && !config.bugs.has(Bug::TermNotPersisted);
            if entry.term < before.term || early {
                return Err(Rejected::Terms(before.index + 1));
            }
            log.push(entry.clone());
        }
        let mut node = Node {
            config,
            rng: Rng::new(seed),
            now,
            term: durable.term,
            voted_for: durable.voted_for,
            log,
            commit: snapshot.index,
            applied: snapshot.index,
            snapshot_state: machine.digest(),
            machine,
            snapshot,
            role: Role::Follower { leader: None },
            election_at: 0,
            leader_heard: None,
            leader_seen: None,
            vote_given: None,
            proposals: BTreeMap::new(),
            states: VecDeque::new(),
            out: Output::default(),
        };
        node.vote_given = node.voted_for.map(|candidate| (node.term, candidate));
        node.await_leader();
        Ok(node)
    }

    /// Does what `input` asks for, at the moment `now`.
    pub fn step(&mut self, now: Moment, input: Input) -> Output {
        self.now = now;
        match input {
            Input::Tick => self.tick(),
            Input::Message { from, message } => self.receive(from, message),
            Input::Request { token, request } => self.request(token, request),
        }
        self.broadcast_if_wanted();
        let last = self.log.last().index;
        always!(self.applied <= self.commit, "nothing is applied before it is committed", {
            "applied": self.applied, "commit": self.commit
        });
        always!(self.commit <= last, "the log reaches as far as it is committed", {
            "commit": self.commit, "last": last
        });
        std::mem::take(&mut self.out)
    }

    /// When the next tick is due, on the steady clock.
    pub fn deadline(&self) -> u64 {
        match &self.role {
            Role::Leader(leader) => leader.heartbeat_at,
            Role::Candidate { again_at, .. } => self.election_at.min(*again_at),
            _ => self.election_at,
        }
    }

    /// The node's term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.config.id),
            Role::Follower { leader } => *leader,
            _ => None,
        }
    }

    /// Up to where it knows entries to be committed.
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its state machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn tick(&mut self) {
        match &self.role {
            Role::Leader(leader) if self.now.steady >= leader.heartbeat_at => self.lead_on(),
            Role::Leader(_) => {}
            _ if self.now.steady >= self.election_at => self.stand_for_election(),
            Role::Candidate { again_at, .. } if self.now.steady >= *again_at => self.ask_again(),
            _ => {}
        }
    }

    fn receive(&mut self, from: NodeId, message: Message) {
        let member = from != self.config.id && self.config.nodes.contains(&from);
        always!(member, "messages come from the other nodes", { "from": from });
        if !member || self.is_disturbance(&message) {
            return;
        }
        let asks_first = matches!(
            message.body,
            Body::Vote { pre: true, .. }
                | Body::VoteReply {
                    granted: true,
                    pre: true
                }
        );
        if message.term > self.term && !asks_first && !self.ignores_terms() {
            self.follow(message.term, None);
        }
        match message.body {
            Body::Vote {
                last_index,
                last_term,
                pre,
            } => {
                self.on_vote(from, message.term, (last_term, last_index), pre);
            }
            Body::VoteReply { granted, pre } => {
                self.on_vote_reply(from, message.term, granted, pre);
            }
            Body::Append(append) => self.on_append(from, message.term, append),
            Body::AppendReply {
                success,
                index,
                round,
            } => {
                self.on_append_reply(from, message.term, success, index, round);
            }
            Body::Install {
                snapshot,
                state,
                round,
            } => {
                self.on_install(from, message.term, snapshot, state, round);
            }
        }
    }

    fn ignores_terms(&self) -> bool {
        self.config.bugs.has(Bug::LeaderNoStepdown) && self.is_leader()
    }

    pub(super) fn send(&mut self, to: NodeId, body: Body) {
        self.send_in_term(to, self.term, body);
    }

    pub(super) fn send_in_term(&mut self, to: NodeId, term: Term, body: Body) {
        self.out.messages.push((to, Message { term, body }));
    }

    pub(super) fn reply(&mut self, token: u64, reply: Reply) {
        self.out.replies.push((token, reply));
    }

    pub(super) fn note(&mut self, note: Note) {
        self.out.notes.push(note);
    }

    /// The other nodes.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        self.config
            .nodes
            .iter()
            .copied()
            .filter(|&id| id != self.config.id)
            .collect()
    }
}
