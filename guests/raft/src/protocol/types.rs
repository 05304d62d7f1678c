//! What nodes remember, send and answer.

use serde::{Deserialize, Serialize};

use crate::checksum::Digest;

/// A node's number; each node of a cluster has another.
pub type NodeId = u64;
/// The number of an election period; 0 is before the first.
pub type Term = u64;
/// A place in the log; the first entry is at 1.
pub type Index = u64;

/// Most bytes that a key may have.
pub const MAX_KEY: usize = 256;
/// Most bytes that a value may have.
pub const MAX_VALUE: usize = 2 * 1024;
/// Most keys that may have a value, so that a snapshot stays small.
pub const MAX_KEYS: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// The value of a key.
    Get {
        /// Which key.
        key: String,
    },
    /// Gives a key a value.
    Put {
        /// Which key.
        key: String,
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
    /// Gives a key a value if it has the expected one.
    Cas {
        /// Which key.
        key: String,
        /// What it must have; `None` is no value yet.
        #[serde(with = "serde_bytes")]
        expect: Option<Vec<u8>>,
        /// Its new value.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
}

impl Op {
    /// Whether its key and values are small enough to be taken.
    pub fn is_acceptable(&self) -> bool {
        let (key, values) = match self {
            Op::Get { key } => (key, [None, None]),
            Op::Put { key, value } => (key, [Some(value), None]),
            Op::Cas { key, expect, value } => (key, [Some(value), expect.as_ref()]),
        };
        key.len() <= MAX_KEY
            && values
                .into_iter()
                .flatten()
                .all(|value| value.len() <= MAX_VALUE)
    }
}

/// An operation of a client's session. A session has one operation at a time, numbered upwards;
/// the same number again is the same operation, which takes effect once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The session.
    pub session: u64,
    /// The number of the operation in the session, from 1.
    pub sequence: u64,
    /// What is asked for.
    pub op: Op,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The value that was read, if the key has one.
    Value(#[serde(with = "serde_bytes")] Option<Vec<u8>>),
    /// The value was written.
    Written,
    /// The key had another value than was expected; nothing changed.
    Mismatch,
    /// A later operation of the session has already been done; nothing changed.
    Superseded,
    /// There are as many keys as there may be; nothing changed.
    Full,
}

/// A node's answer to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The operation took effect once.
    Done(Outcome),
    /// The operation did not take effect by this request; this node may be the leader.
    NotLeader(Option<NodeId>),
    /// The operation did not take effect by this request: too many wait already.
    Busy,
    /// It may or may not take effect: the leader lost its office meanwhile.
    Unknown,
    /// The request is larger than this service takes; it did not take effect.
    Refused,
}

/// What an entry of the log asks the state machine to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing: the first entry of a leader's term.
    Noop,
    /// An operation of a client.
    Client(Request),
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: Term,
    /// What to do.
    pub command: Command,
}

impl Entry {
    /// The digest of the log up to and with this entry, where `before` is that of the log before it.
    pub fn digest(&self, before: u64) -> u64 {
        let digest = Digest::from(before).number(self.term);
        let Command::Client(request) = &self.command else {
            return digest.finish();
        };
        let digest = digest.number(request.session).number(request.sequence);
        let digest = match &request.op {
            Op::Get { key } => digest.number(0).bytes(key.as_bytes()),
            Op::Put { key, value } => digest.number(1).bytes(key.as_bytes()).bytes(value),
            Op::Cas { key, expect, value } => {
                let digest = digest.number(2).bytes(key.as_bytes()).bytes(value);
                expect
                    .as_ref()
                    .map_or(digest, |expect| digest.number(3).bytes(expect))
            }
        };
        digest.finish()
    }

    /// About how many bytes it takes on the wire and the disk.
    pub fn size(&self) -> usize {
        let Command::Client(request) = &self.command else {
            return 8;
        };
        32 + match &request.op {
            Op::Get { key } => key.len(),
            Op::Put { key, value } => key.len() + value.len(),
            Op::Cas { key, expect, value } => {
                key.len() + value.len() + expect.as_ref().map_or(0, Vec::len)
            }
        }
    }
}

/// The state machine's state after the entry at `index`, in place of the log up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last entry that is included; 0 is the empty beginning.
    pub index: Index,
    /// The term of that entry.
    pub term: Term,
    /// The digest of the log up to there.
    pub digest: u64,
    /// The state machine, encoded.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// A change that must be on the disk before anything that follows from it leaves the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The term, and whom the node votes for in it.
    Vote {
        /// The term.
        term: Term,
        /// The candidate that has this node's vote.
        voted_for: Option<NodeId>,
    },
    /// An entry; those at its index and behind it, if any, are gone.
    Entry {
        /// Where.
        index: Index,
        /// What.
        entry: Entry,
    },
    /// A snapshot; the log up to there is gone, and the rest too unless it agrees with it.
    Snapshot(Snapshot),
}

/// What a node remembers over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// The term.
    pub term: Term,
    /// Whom the node voted for in that term.
    pub voted_for: Option<NodeId>,
    /// The state that the log continues.
    pub snapshot: Snapshot,
    /// The log behind the snapshot.
    pub entries: Vec<Entry>,
}

impl Durable {
    /// The index of the last entry.
    pub fn last_index(&self) -> Index {
        self.snapshot.index + self.entries.len() as u64
    }

    /// Takes in a record; returns whether it fits what is here (an entry must leave no gap).
    #[must_use]
    pub fn apply(&mut self, record: &Record) -> bool {
        match record {
            Record::Vote { term, voted_for } => {
                self.term = *term;
                self.voted_for = *voted_for;
            }
            Record::Entry { index, entry } => {
                if *index <= self.snapshot.index || *index > self.last_index() + 1 {
                    return false;
                }
                self.entries
                    .truncate((*index - self.snapshot.index - 1) as usize);
                self.entries.push(entry.clone());
            }
            Record::Snapshot(snapshot) => {
                let covered = snapshot.index.saturating_sub(self.snapshot.index) as usize;
                let agrees = covered >= 1
                    && self
                        .entries
                        .get(covered - 1)
                        .is_some_and(|last| last.term == snapshot.term);
                if agrees {
                    self.entries.drain(..covered);
                } else {
                    self.entries.clear();
                }
                self.snapshot = snapshot.clone();
            }
        }
        true
    }
}

/// What one node tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender's term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A candidate asks for a vote.
    Vote {
        /// The candidate's last entry.
        last_index: Index,
        /// That entry's term.
        last_term: Term,
        /// Whether it only asks if it would get the vote, in the term after the message's.
        pre: bool,
    },
    /// The answer.
    VoteReply {
        /// Whether the candidate has the vote.
        granted: bool,
        /// Whether it was only asked if it would.
        pre: bool,
    },
    /// A leader tells its log, or with no entries that it is there.
    Append(Append),
    /// The answer.
    AppendReply {
        /// Whether the log agrees with the leader's up to `index`.
        success: bool,
        /// Agreed: up to where. Not agreed: where the leader should try from.
        index: Index,
        /// The round that is answered.
        round: u64,
    },
    /// A leader sends a snapshot in place of entries that it no longer has.
    Install {
        /// The snapshot.
        snapshot: Snapshot,
        /// The digest of the state that it holds.
        state: u64,
        /// The leader's round.
        round: u64,
    },
}

impl Body {
    /// Whether it answers what another node said.
    pub fn is_answer(&self) -> bool {
        matches!(self, Body::VoteReply { .. } | Body::AppendReply { .. })
    }
}

/// A leader's entries, and where they belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The entry before the first.
    pub prev_index: Index,
    /// That entry's term.
    pub prev_term: Term,
    /// The digest of the leader's log up to that entry.
    pub prev_digest: u64,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Up to where the leader knows entries to be committed.
    pub commit: Index,
    /// Counts the leader's broadcasts, so that answers tell how recent they are.
    pub round: u64,
    /// Up to where the leader's state machine has come.
    pub applied: Index,
    /// The digest of its state there.
    pub state: u64,
}
