//! Terms, votes and elections (Raft, section 5.2; pre-votes: section 9.6 of the dissertation).

use std::collections::BTreeSet;

use super::node::{Node, Note, Reads, Role};
use super::types::{Body, Index, Message, NodeId, Record, Reply, Term};
use crate::bugs::Bug;
use crate::sdk::{always, sometimes};

impl Node {
    /// Waits a random while for a leader before standing for election.
    pub(super) fn await_leader(&mut self) {
        let spread = self
            .config
            .election_max
            .saturating_sub(self.config.election_min);
        let wait = self.config.election_min + self.rng.below(spread + 1);
        self.election_at = self.now.steady.saturating_add(wait);
    }

    /// A vote request that is not heard at all, as the leader was there a moment ago: leases rest on
    /// that, and pre-votes too.
    pub(super) fn is_disturbance(&self, message: &Message) -> bool {
        let Body::Vote { pre, .. } = message.body else {
            return false;
        };
        let minds = pre || self.config.reads == Reads::Lease;
        let heard = self
            .leader_heard
            .is_some_and(|at| self.now.steady.saturating_sub(at) < self.config.election_min);
        minds && (heard || (pre && self.is_leader()))
    }

    pub(super) fn stand_for_election(&mut self) {
        self.leader_heard = None;
        self.await_leader();
        if self.config.pre_vote {
            self.role = Role::PreCandidate {
                votes: BTreeSet::from([self.config.id]),
            };
            self.ask_for_votes(true);
        } else {
            self.become_candidate();
        }
        self.count_votes();
    }

    fn become_candidate(&mut self) {
        self.set_term(self.term + 1, Some(self.config.id));
        self.vote_given = Some((self.term, self.config.id));
        self.role = Role::Candidate {
            votes: BTreeSet::from([self.config.id]),
            again_at: 0,
        };
        self.await_leader();
        self.ask_again();
    }

    /// Asks all that have not given their vote.
    fn ask_for_votes(&mut self, pre: bool) {
        let last = self.log.last();
        let given = match &self.role {
            Role::Candidate { votes, .. } | Role::PreCandidate { votes } => votes.clone(),
            _ => BTreeSet::new(),
        };
        for peer in self
            .peers()
            .into_iter()
            .filter(|peer| !given.contains(peer))
        {
            self.send(
                peer,
                Body::Vote {
                    last_index: last.index,
                    last_term: last.term,
                    pre,
                },
            );
        }
    }

    /// Asks again, as questions and answers get lost.
    pub(super) fn ask_again(&mut self) {
        let next = self.now.steady.saturating_add(self.config.heartbeat);
        if let Role::Candidate { again_at, .. } = &mut self.role {
            *again_at = next;
        }
        self.ask_for_votes(false);
    }

    /// Changes the term and the vote, and has them put on the disk.
    fn set_term(&mut self, term: Term, voted_for: Option<NodeId>) {
        always!(term >= self.term, "the term never goes down", { "old": self.term, "new": term });
        if term != self.term {
            self.note(Note::Term(term));
        }
        self.term = term;
        self.voted_for = voted_for;
        let forgets_vote = self.config.bugs.has(Bug::VoteNotPersisted);
        let forgets_term = self.config.bugs.has(Bug::TermNotPersisted) && voted_for.is_none();
        if !forgets_term {
            let voted_for = voted_for.filter(|_| !forgets_vote);
            self.out.records.push(Record::Vote { term, voted_for });
        }
    }

    /// Becomes a follower in `term`, which is not below the present one.
    pub(super) fn follow(&mut self, term: Term, leader: Option<NodeId>) {
        if term > self.term {
            self.set_term(term, None);
        }
        let role = std::mem::replace(&mut self.role, Role::Follower { leader });
        if let Role::Leader(old) = role {
            self.note(Note::Deposed(self.term));
            for read in old.reads {
                self.reply(read.token, Reply::NotLeader(leader));
            }
            let proposals = std::mem::take(&mut self.proposals);
            for (_, token) in proposals.into_values() {
                self.reply(token, Reply::Unknown);
            }
            self.await_leader();
        }
    }

    pub(super) fn on_vote(&mut self, from: NodeId, term: Term, last: (Term, Index), pre: bool) {
        let own = self.log.last();
        let up_to_date = last >= (own.term, own.index);
        if pre {
            let granted = up_to_date && term >= self.term;
            // The answer to a pre-vote that is granted carries the term that was asked for, as that
            // one is not a reason for the candidate to start it.
            let answer_term = if granted { term } else { self.term };
            self.send_in_term(from, answer_term, Body::VoteReply { granted, pre });
            return;
        }
        let free = self.voted_for.is_none_or(|candidate| candidate == from)
            || self.config.bugs.has(Bug::DoubleVote);
        let granted = term == self.term && up_to_date && free && !self.is_leader();
        if granted {
            self.give_vote(from);
        }
        sometimes!(!granted, "a vote is refused", { "from": from, "term": term });
        self.send(from, Body::VoteReply { granted, pre });
    }

    fn give_vote(&mut self, candidate: NodeId) {
        let second = self
            .vote_given
            .is_some_and(|(term, other)| term == self.term && other != candidate);
        always!(!second, "a node votes for one candidate per term", {
            "term": self.term, "candidate": candidate
        });
        self.vote_given = Some((self.term, candidate));
        if self.voted_for != Some(candidate) {
            self.set_term(self.term, Some(candidate));
        }
        self.role = Role::Follower { leader: None };
        self.await_leader();
    }

    pub(super) fn on_vote_reply(&mut self, from: NodeId, term: Term, granted: bool, pre: bool) {
        if !granted || term != self.term {
            return;
        }
        match &mut self.role {
            Role::PreCandidate { votes } if pre => votes.insert(from),
            Role::Candidate { votes, .. } if !pre => votes.insert(from),
            _ => return,
        };
        self.count_votes();
    }

    /// Goes on to the next step if enough nodes agree.
    fn count_votes(&mut self) {
        let majority = self.config.majority();
        match &self.role {
            Role::PreCandidate { votes } if votes.len() >= majority => {
                self.become_candidate();
                self.count_votes();
            }
            Role::Candidate { votes, .. } if votes.len() >= majority => {
                let members = votes.iter().all(|voter| self.config.nodes.contains(voter));
                always!(members, "a leader is elected by nodes of the cluster", {
                    "term": self.term, "votes": votes.len()
                });
                self.become_leader();
            }
            _ => {}
        }
    }

    /// Notes who leads a term, and notices if there is a second leader.
    pub(super) fn see_leader(&mut self, term: Term, leader: NodeId) {
        let second = self
            .leader_seen
            .is_some_and(|(seen, other)| seen == term && other != leader);
        always!(!second, "election safety", {
            "term": term, "leader": leader, "other": self.leader_seen.map(|seen| seen.1)
        });
        self.leader_seen = Some((term, leader));
    }
}
