//! Snapshots: the state in place of the log that led to it (Raft, section 7).

use super::log::Place;
use super::machine::Machine;
use super::node::{Node, Note};
use super::types::{Body, Index, NodeId, Record, Snapshot, Term};
use crate::sdk::{always, always_if_reached, reached};

impl Node {
    /// Puts `state`, the state after the last applied entry, in place of the log up to there.
    pub(super) fn take_snapshot(&mut self, state: &Machine) {
        let Some(place) = self.log.place(self.applied) else {
            return;
        };
        always!(place.index <= self.commit, "a snapshot covers only what is committed", {
            "index": place.index, "commit": self.commit
        });
        let data = state.encode();
        self.adopt(place, data, self.machine.digest());
        reached!("a snapshot was taken", { "index": place.index });
        self.note(Note::SnapshotTaken(place.index));
    }

    fn adopt(&mut self, place: Place, data: Vec<u8>, state: u64) {
        let before = self.log.base().index;
        always!(place.index >= before, "snapshots never go back", {
            "old": before, "new": place.index
        });
        self.snapshot = Snapshot {
            index: place.index,
            term: place.term,
            digest: place.digest,
            data,
        };
        self.snapshot_state = state;
        self.log.compact(place);
        self.out
            .records
            .push(Record::Snapshot(self.snapshot.clone()));
    }

    pub(super) fn on_install(
        &mut self,
        from: NodeId,
        term: Term,
        snapshot: Snapshot,
        state: u64,
        round: u64,
    ) {
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
        let index = self.install(snapshot, state);
        let answer_term = term.min(self.term);
        self.send_in_term(
            from,
            answer_term,
            Body::AppendReply {
                success: true,
                index,
                round,
            },
        );
    }

    /// Installs the snapshot unless the state is past it already. Returns where the log now agrees.
    fn install(&mut self, snapshot: Snapshot, state: u64) -> Index {
        let index = snapshot.index;
        if index <= self.commit {
            return index;
        }
        let machine = Machine::decode(&snapshot.data);
        always_if_reached!(machine.is_some(), "an installed snapshot can be read", {
            "index": index
        });
        let Some(machine) = machine else {
            return self.commit;
        };
        always_if_reached!(machine.digest() == state, "a snapshot holds the state at its index", {
            "index": index, "state": machine.digest(), "leader": state
        });
        let place = Place {
            index,
            term: snapshot.term,
            digest: snapshot.digest,
        };
        if let Some(own) = self.log.place(index)
            && own.term == place.term
        {
            always_if_reached!(own.digest == place.digest, "a snapshot agrees with the log", {
                "index": index, "term": place.term
            });
        }
        self.machine = machine;
        self.applied = index;
        self.commit = index;
        self.states.clear();
        self.states.push_back((index, self.machine.digest()));
        self.adopt(place, snapshot.data, self.machine.digest());
        reached!("a snapshot was installed", { "index": index });
        self.note(Note::Committed(index));
        self.note(Note::SnapshotInstalled(index));
        index
    }
}
