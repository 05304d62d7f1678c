//! The service for clients: writes go through the log, reads are confirmed by a majority (section 6.4
//! of the Raft dissertation).

use super::node::{Node, Note, Reads, Role};
use super::types::{Command, Index, Op, Outcome, Reply, Request};
use crate::bugs::Bug;
use crate::sdk::{always, sometimes};

/// How many entries may wait for being committed before clients are sent away.
const MAX_UNCOMMITTED: u64 = 128;
/// How many reads may wait.
const MAX_READS: usize = 1024;
/// How many digests of past states are kept for comparison.
const MAX_STATES: usize = 256;

/// A read that waits.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) token: u64,
    key: String,
    /// The state machine must have come here.
    index: Index,
    /// A majority must have answered this round.
    round: u64,
}

impl Node {
    pub(super) fn request(&mut self, token: u64, request: Request) {
        if !request.op.is_acceptable() {
            self.reply(token, Reply::Refused);
            return;
        }
        if !self.is_leader() {
            let leader = self.leader();
            self.reply(token, Reply::NotLeader(leader));
            return;
        }
        match request.op {
            Op::Get { key } => self.read(token, key),
            Op::Put { .. } | Op::Cas { .. } => self.propose(token, request),
        }
    }

    fn propose(&mut self, token: u64, request: Request) {
        if self.log.last().index - self.commit >= MAX_UNCOMMITTED {
            self.reply(token, Reply::Busy);
            return;
        }
        // The place is known before the entry is there, and with one node it is applied at once.
        let index = self.log.last().index + 1;
        self.proposals.insert(index, (self.term, token));
        self.append_own(Command::Client(request));
    }

    /// The clock by which leases and silence are measured.
    pub(super) fn lease_clock(&self) -> u64 {
        if self.config.bugs.has(Bug::LeaseReadClockSkew) {
            self.now.wall
        } else {
            self.now.steady
        }
    }

    fn has_lease(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let since = leader.majority_contact(self.config.majority());
        // A tenth less than the followers wait, as clocks may drift.
        let lease = self.config.election_min / 10 * 9;
        self.lease_clock() < since.saturating_add(lease)
    }

    fn read(&mut self, token: u64, key: String) {
        let leased = self.config.reads == Reads::Lease && self.has_lease();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leased && self.applied >= leader.first {
            let outcome = self.machine.read(&key);
            self.reply(token, Reply::Done(outcome));
            return;
        }
        if leader.reads.len() >= MAX_READS {
            self.reply(token, Reply::Busy);
            return;
        }
        let index = self.commit.max(leader.first);
        leader.reads.push(Read {
            token,
            key,
            index,
            round: leader.round + 1,
        });
        leader.wants_broadcast = true;
    }

    /// Answers the reads that are confirmed.
    pub(super) fn finish_reads(&mut self) {
        let majority = self.config.majority();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut waiting = std::mem::take(&mut leader.reads);
        let mut done = Vec::new();
        waiting.retain(|read| {
            let ready = self.applied >= read.index && leader.answered(read.round) >= majority;
            if ready {
                done.push((read.token, read.key.clone(), read.index));
            }
            !ready
        });
        leader.reads = waiting;
        for (token, key, index) in done {
            always!(self.applied >= index, "a read sees all that was committed before it", {
                "applied": self.applied, "index": index
            });
            let outcome = self.machine.read(&key);
            self.reply(token, Reply::Done(outcome));
        }
    }

    /// Applies what is committed.
    pub(super) fn apply(&mut self) {
        while self.applied < self.commit {
            let index = self.applied + 1;
            let Some(entry) = self.log.get(index).cloned() else {
                break;
            };
            let due = index - self.log.base().index >= self.config.snapshot_every;
            if due && self.config.bugs.has(Bug::SnapshotLosesLast) {
                let before = self.machine.clone();
                self.apply_entry(index, &entry.command);
                self.take_snapshot(&before);
            } else {
                self.apply_entry(index, &entry.command);
                if due {
                    self.take_snapshot(&self.machine.clone());
                }
            }
            self.answer(index, entry.term);
        }
        self.finish_reads();
    }

    fn apply_entry(&mut self, index: Index, command: &Command) {
        let outcome = self.machine.apply(index, command);
        self.applied = index;
        let state = self.machine.digest();
        self.states.push_back((index, state));
        if self.states.len() > MAX_STATES {
            self.states.pop_front();
        }
        let log = self.log.place(index).map_or(0, |place| place.digest);
        self.note(Note::Applied { index, log, state });
        let written = outcome == Some(Outcome::Written);
        sometimes!(written, "a client's write is applied", { "index": index });
        if let Some(outcome) = outcome
            && let Some((_, token)) = self.proposals.get(&index)
        {
            self.out.replies.push((*token, Reply::Done(outcome)));
        }
    }

    /// Settles the request that waited for the entry at `index`, whose reply has been added.
    fn answer(&mut self, index: Index, term: u64) {
        let Some((proposed, token)) = self.proposals.remove(&index) else {
            return;
        };
        always!(proposed == term, "an answered entry is the one that was proposed", {
            "index": index, "proposed": proposed, "term": term
        });
        always!(self.commit >= index, "a write is answered after it is committed", {
            "index": index, "commit": self.commit, "token": token
        });
    }
}
