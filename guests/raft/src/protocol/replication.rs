//! How the log gets from the leader to the followers, and when it is committed (Raft, sections 5.3
//! and 5.4).

use std::collections::{BTreeMap, VecDeque};

use super::node::{Node, Note, Role};
use super::service::Read;
use super::types::{Append, Body, Command, Entry, Index, NodeId, Record, Term};
use crate::bugs::Bug;
use crate::sdk::{always, always_if_reached, sometimes};

/// Most bytes of entries in one message.
const MAX_APPEND_BYTES: usize = 64 * 1024;
/// How many rounds are remembered with the moments at which they began.
const MAX_ROUNDS: usize = 256;

/// What a leader keeps in mind.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub(super) followers: BTreeMap<NodeId, Follower>,
    pub(super) heartbeat_at: u64,
    /// Counts the broadcasts.
    pub(super) round: u64,
    /// When the last rounds began, on the lease's clock.
    rounds: VecDeque<(u64, u64)>,
    /// Whether something should be told now and not at the next heartbeat.
    pub(super) wants_broadcast: bool,
    /// The first entry of its term: once it is committed, so is all that was before.
    pub(super) first: Index,
    /// Reads that wait until a majority has confirmed that this is the leader.
    pub(super) reads: Vec<Read>,
}

/// What a leader knows about a follower.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// Which entry to send next.
    next: Index,
    /// Up to where its log agrees.
    matched: Index,
    /// The leader's round when it learnt that: whatever is answered to a later round was said after it.
    matched_round: u64,
    /// The latest round that it answered.
    pub(super) answered: u64,
    /// When that round began, on the lease's clock.
    pub(super) contact: u64,
    /// Until when it is left alone with the snapshot that it was sent.
    installing_until: u64,
}

impl Leader {
    /// The moment since which a majority (`count` nodes, the leader among them) follows for sure.
    pub(super) fn majority_contact(&self, count: usize) -> u64 {
        let mut contacts: Vec<u64> = self.followers.values().map(|f| f.contact).collect();
        contacts.sort_unstable_by(|a, b| b.cmp(a));
        count
            .checked_sub(2)
            .and_then(|at| contacts.get(at).copied())
            .unwrap_or(u64::MAX)
    }

    /// How many nodes have answered `round` or a later one, the leader among them.
    pub(super) fn answered(&self, round: u64) -> usize {
        1 + self
            .followers
            .values()
            .filter(|follower| follower.answered >= round)
            .count()
    }

    fn round_began(&self, round: u64) -> Option<u64> {
        // Each round is the one after the round before it.
        let (oldest, _) = self.rounds.front()?;
        let place = usize::try_from(round.checked_sub(*oldest)?).ok()?;
        self.rounds.get(place).map(|(_, at)| *at)
    }
}

impl Node {
    pub(super) fn become_leader(&mut self) {
        self.see_leader(self.term, self.config.id);
        let last = self.log.last();
        always!(last.index >= self.commit, "a new leader has all that it knows is committed", {
            "term": self.term, "last": last.index, "commit": self.commit
        });
        let now = self.lease_clock();
        let follower = Follower {
            next: last.index + 1,
            matched: 0,
            matched_round: 0,
            answered: 0,
            contact: now,
            installing_until: 0,
        };
        self.role = Role::Leader(Leader {
            followers: self
                .peers()
                .into_iter()
                .map(|id| (id, follower.clone()))
                .collect(),
            heartbeat_at: self.now.steady,
            round: 0,
            rounds: VecDeque::new(),
            wants_broadcast: true,
            first: last.index + 1,
            reads: Vec::new(),
        });
        self.note(Note::Elected(self.term));
        sometimes!(self.term > 1, "a leader is elected after the first", { "term": self.term });
        if self.config.bugs.has(Bug::Fig8Commit) {
            if let Role::Leader(leader) = &mut self.role {
                leader.first = self.commit;
            }
        } else {
            self.append_own(Command::Noop);
        }
    }

    /// Puts an entry at the end of the leader's own log.
    pub(super) fn append_own(&mut self, command: Command) -> Index {
        let index = self.append(Entry {
            term: self.term,
            command,
        });
        if let Role::Leader(leader) = &mut self.role {
            leader.wants_broadcast = true;
        }
        self.advance_commit();
        index
    }

    /// Puts an entry at the end of the log and has it put on the disk.
    fn append(&mut self, entry: Entry) -> Index {
        let before = self.log.last();
        always!(entry.term >= before.term, "terms never go down along the log", {
            "index": before.index + 1, "term": entry.term, "before": before.term
        });
        let index = self.log.push(entry.clone()).index;
        self.out.records.push(Record::Entry { index, entry });
        index
    }

    /// What a leader does at each heartbeat: it goes on if a majority still follows.
    pub(super) fn lead_on(&mut self) {
        let now = self.lease_clock();
        let majority = self.config.majority();
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let silent_since = leader.majority_contact(majority);
        if now.saturating_sub(silent_since) > self.config.election_max {
            self.follow(self.term, None);
            return;
        }
        if leader.round > 0 && leader.answered(leader.round) >= majority {
            sometimes!(true, "leader elected", { "term": self.term });
            self.note(Note::Leading(self.term));
        }
        self.broadcast();
    }

    pub(super) fn broadcast_if_wanted(&mut self) {
        if matches!(&self.role, Role::Leader(leader) if leader.wants_broadcast) {
            self.broadcast();
        }
    }

    fn broadcast(&mut self) {
        let now = self.lease_clock();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.wants_broadcast = false;
        leader.round += 1;
        leader.heartbeat_at = self.now.steady.saturating_add(self.config.heartbeat);
        leader.rounds.push_back((leader.round, now));
        if leader.rounds.len() > MAX_ROUNDS {
            leader.rounds.pop_front();
        }
        for peer in self.peers() {
            self.send_entries(peer);
        }
        self.finish_reads();
    }

    fn send_entries(&mut self, to: NodeId) {
        let base = self.log.base().index;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let round = leader.round;
        let Some(follower) = leader.followers.get_mut(&to) else {
            return;
        };
        let installing = self.now.steady < follower.installing_until;
        if follower.next <= base && !installing {
            follower.installing_until = self.now.steady.saturating_add(self.config.election_max);
            let (snapshot, state) = (self.snapshot.clone(), self.snapshot_state);
            self.send(
                to,
                Body::Install {
                    snapshot,
                    state,
                    round,
                },
            );
            return;
        }
        let next = follower.next.max(base + 1);
        let entries = if installing {
            Vec::new()
        } else {
            self.log
                .copy_from(next, self.config.batch, MAX_APPEND_BYTES)
        };
        follower.next = next.max(follower.next) + entries.len() as u64;
        if installing {
            follower.next = follower.next.min(base);
        }
        let prev = self.log.place(next - 1).unwrap_or_else(|| self.log.base());
        let append = Append {
            prev_index: prev.index,
            prev_term: prev.term,
            prev_digest: prev.digest,
            entries,
            commit: self.commit,
            round,
            applied: self.applied,
            state: self.machine.digest(),
        };
        self.send(to, Body::Append(append));
    }

    /// Takes a leader for what it says it is. Returns whether it is one, in the present term.
    pub(super) fn accept_leader(&mut self, from: NodeId, term: Term) -> bool {
        let stale = term < self.term;
        if self.ignores_leader(from, term, stale) {
            return false;
        }
        if !stale {
            self.see_leader(term, from);
            self.follow(self.term, Some(from));
        }
        self.leader_heard = Some(self.now.steady);
        self.await_leader();
        true
    }

    fn ignores_leader(&self, from: NodeId, term: Term, stale: bool) -> bool {
        if self.is_leader() {
            // A second leader of this very term is let through, so that it is noticed.
            return stale || term != self.term || from == self.config.id;
        }
        stale && !self.config.bugs.has(Bug::AcceptStaleTerm)
    }

    pub(super) fn on_append(&mut self, from: NodeId, term: Term, append: Append) {
        let round = append.round;
        if !self.accept_leader(from, term) {
            let index = self.log.last().index + 1;
            self.send(
                from,
                Body::AppendReply {
                    success: false,
                    index,
                    round,
                },
            );
            return;
        }
        // Only a follower with a planted bug is here with a term that has passed.
        let answer_term = term.min(self.term);
        let (success, index) = match self.agree(&append) {
            Err(try_from) => (false, try_from),
            Ok(()) => (true, self.take_entries(append)),
        };
        sometimes!(success && index > 0, "a follower's log agrees with the leader's", {
            "index": index, "leader": from
        });
        self.send_in_term(
            from,
            answer_term,
            Body::AppendReply {
                success,
                index,
                round,
            },
        );
    }

    /// Whether the log has the entry before the leader's; if not, where the leader should try.
    fn agree(&mut self, append: &Append) -> Result<(), Index> {
        let base = self.log.base().index;
        if append.prev_index < base {
            return Ok(());
        }
        let Some(place) = self.log.place(append.prev_index) else {
            return Err(self.log.last().index + 1);
        };
        if place.term != append.prev_term {
            let first = self.log.first_of_term(append.prev_index);
            return Err(first.clamp(base + 1, append.prev_index.max(base + 1)));
        }
        always!(place.digest == append.prev_digest, "log matching", {
            "index": place.index, "term": place.term
        });
        Ok(())
    }

    /// Takes the leader's entries and returns up to where the log now agrees with the leader's.
    fn take_entries(&mut self, append: Append) -> Index {
        let agreed = append.prev_index + append.entries.len() as u64;
        let base = self.log.base().index;
        let mut index = append.prev_index;
        for entry in append.entries {
            index += 1;
            if index <= base {
                continue;
            }
            always!(entry.term <= self.term, "no entry is from a term that is still to come", {
                "index": index, "entry": entry.term, "term": self.term
            });
            match self.log.place(index).map(|place| place.term) {
                Some(term) if term == entry.term => continue,
                Some(_) if self.config.bugs.has(Bug::SkipTruncate) => continue,
                Some(_) => self.truncate(index),
                None => {}
            }
            if index == self.log.last().index + 1 {
                self.append(entry);
            }
        }
        self.set_commit(append.commit.min(agreed));
        self.compare_states(append.applied, append.state);
        agreed
    }

    /// Removes entries that the leader has otherwise.
    fn truncate(&mut self, from: Index) {
        always_if_reached!(from > self.commit, "leader completeness", {
            "index": from, "commit": self.commit, "term": self.term
        });
        always_if_reached!(!self.is_leader(), "a leader only ever adds to its log", {
            "index": from, "term": self.term
        });
        self.log.truncate_from(from);
        // Only a planted bug removes what was committed; the node goes on with what it has.
        self.commit = self.commit.min(from - 1);
        self.applied = self.applied.min(from - 1);
        self.note(Note::Truncated(from));
    }

    /// Notices if this state machine had another state than the leader's after the same entry.
    fn compare_states(&mut self, applied: Index, state: u64) {
        // The leader is rarely far from here.
        let mut latest_first = self.states.iter().rev();
        let same = latest_first.find(|(index, _)| *index == applied);
        if let Some(&(index, own)) = same {
            always!(own == state, "state machine safety", {
                "index": index, "own": own, "leader": state
            });
        }
    }

    pub(super) fn on_append_reply(
        &mut self,
        from: NodeId,
        term: Term,
        success: bool,
        index: Index,
        round: u64,
    ) {
        let last = self.log.last().index;
        if term != self.term && !self.ignores_terms_of_answers() {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let (began, current) = (leader.round_began(round), leader.round);
        let Some(follower) = leader.followers.get_mut(&from) else {
            return;
        };
        if round > follower.answered {
            follower.answered = round;
            follower.contact = follower.contact.max(began.unwrap_or(0));
        }
        if success {
            always!(index <= last, "a follower acknowledges only what the leader has", {
                "follower": from, "index": index, "last": last
            });
            let index = index.min(last);
            follower.installing_until = 0;
            if index > follower.matched {
                follower.matched = index;
                follower.matched_round = current;
            }
            follower.next = follower.next.max(follower.matched + 1);
            let more = follower.next <= last;
            self.advance_commit();
            if more {
                self.send_entries(from);
            }
        } else {
            // It had acknowledged them before it was asked for this answer: it lost them.
            let lost = round > follower.matched_round && index <= follower.matched;
            always_if_reached!(!lost, "a follower keeps what it acknowledged", {
                "follower": from, "has": index.saturating_sub(1), "acknowledged": follower.matched
            });
            let behind = index < follower.next;
            follower.next = index.clamp(1, last + 1);
            if behind {
                self.send_entries(from);
            }
        }
        self.finish_reads();
    }

    fn ignores_terms_of_answers(&self) -> bool {
        self.config.bugs.has(Bug::LeaderNoStepdown)
    }

    /// Commits what a majority has.
    pub(super) fn advance_commit(&mut self) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let mut matched: Vec<Index> = leader.followers.values().map(|f| f.matched).collect();
        matched.push(self.log.last().index);
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let copies = if self.config.bugs.has(Bug::PrematureCommit) {
            self.config.majority().saturating_sub(1).max(1)
        } else {
            self.config.majority()
        };
        let index = matched[copies - 1];
        let term = self.log.place(index).map(|place| place.term);
        let own = term == Some(self.term) || self.config.bugs.has(Bug::Fig8Commit);
        if index > self.commit && own {
            self.set_commit(index);
        }
    }

    /// Notes that entries are committed up to `index`, as far as the log reaches, and applies them.
    pub(super) fn set_commit(&mut self, index: Index) {
        let last = self.log.last().index;
        let index = index.min(last);
        if index <= self.commit {
            return;
        }
        self.commit = index;
        self.note(Note::Committed(index));
        self.apply();
    }
}
