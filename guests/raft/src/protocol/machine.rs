//! The state machine: registers by key, and what each client's session was last answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::types::{Command, Index, MAX_KEYS, Op, Outcome, Request};
use crate::checksum::Digest;

/// How many sessions are remembered; the one that was used longest ago is forgotten first.
const MAX_SESSIONS: usize = 512;

/// The registers and the sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    registers: BTreeMap<String, Vec<u8>>,
    sessions: BTreeMap<u64, Session>,
    /// The exclusive or of the digests of all registers and sessions.
    digest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    sequence: u64,
    outcome: Outcome,
    used: Index,
}

impl Machine {
    /// Does what the entry at `index` asks. An operation that was done before is not done again and
    /// has the outcome that it had.
    pub fn apply(&mut self, index: Index, command: &Command) -> Option<Outcome> {
        let Command::Client(request) = command else {
            return None;
        };
        Some(self.once(index, request))
    }

    fn once(&mut self, index: Index, request: &Request) -> Outcome {
        if let Some(session) = self.sessions.get_mut(&request.session) {
            if session.sequence == request.sequence {
                return session.outcome.clone();
            }
            if session.sequence > request.sequence {
                return Outcome::Superseded;
            }
        }
        let outcome = self.perform(&request.op);
        self.remember(index, request, outcome.clone());
        outcome
    }

    fn perform(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Get { key } => self.read(key),
            Op::Put { key, value } => self.write(key, value),
            Op::Cas { key, expect, value } => {
                if self.registers.get(key) != expect.as_ref() {
                    return Outcome::Mismatch;
                }
                self.write(key, value)
            }
        }
    }

    /// The value of a key, as it is now.
    pub fn read(&self, key: &str) -> Outcome {
        Outcome::Value(self.registers.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8]) -> Outcome {
        if let Some(old) = self.registers.get(key) {
            self.digest ^= register_digest(key, old);
        } else if self.registers.len() >= MAX_KEYS {
            return Outcome::Full;
        }
        self.digest ^= register_digest(key, value);
        self.registers.insert(key.to_owned(), value.to_owned());
        Outcome::Written
    }

    fn remember(&mut self, index: Index, request: &Request, outcome: Outcome) {
        let session = Session {
            sequence: request.sequence,
            outcome,
            used: index,
        };
        self.digest ^= session_digest(request.session, &session);
        if let Some(old) = self.sessions.insert(request.session, session) {
            self.digest ^= session_digest(request.session, &old);
        }
        if self.sessions.len() > MAX_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(id) = oldest.map(|(&id, _)| id)
                && let Some(gone) = self.sessions.remove(&id)
            {
                self.digest ^= session_digest(id, &gone);
            }
        }
    }

    /// A digest of the whole state: nodes that applied the same entries have the same.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the digest is that of the content, computed anew.
    pub fn digest_is_right(&self) -> bool {
        let registers = self
            .registers
            .iter()
            .map(|(key, value)| register_digest(key, value));
        let sessions = self
            .sessions
            .iter()
            .map(|(&id, session)| session_digest(id, session));
        registers.chain(sessions).fold(0, |all, one| all ^ one) == self.digest
    }

    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("writing to memory cannot fail")
    }

    /// The state from its bytes; none at all is the empty state. `None` if they are not a state.
    pub fn decode(bytes: &[u8]) -> Option<Machine> {
        if bytes.is_empty() {
            return Some(Machine::default());
        }
        postcard::from_bytes(bytes)
            .ok()
            .filter(Machine::digest_is_right)
    }
}

fn register_digest(key: &str, value: &[u8]) -> u64 {
    Digest::from(1).bytes(key.as_bytes()).bytes(value).finish()
}

fn session_digest(id: u64, session: &Session) -> u64 {
    Digest::from(2)
        .number(id)
        .number(session.sequence)
        .number(session.used)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(session: u64, sequence: u64, value: &[u8]) -> Command {
        let op = Op::Put {
            key: "k".into(),
            value: value.into(),
        };
        Command::Client(Request {
            session,
            sequence,
            op,
        })
    }

    fn cas(sequence: u64, expect: Option<&[u8]>, value: &[u8]) -> Command {
        let op = Op::Cas {
            key: "k".into(),
            expect: expect.map(Into::into),
            value: value.into(),
        };
        Command::Client(Request {
            session: 1,
            sequence,
            op,
        })
    }

    #[test]
    fn an_operation_that_comes_twice_takes_effect_once() {
        let mut machine = Machine::default();
        assert_eq!(machine.apply(1, &put(1, 1, b"a")), Some(Outcome::Written));
        machine.apply(2, &put(2, 1, b"b"));
        assert_eq!(machine.apply(3, &put(1, 1, b"a")), Some(Outcome::Written));
        assert_eq!(machine.read("k"), Outcome::Value(Some(b"b".to_vec())));
        machine.apply(4, &put(1, 2, b"c"));
        assert_eq!(
            machine.apply(5, &put(1, 1, b"a")),
            Some(Outcome::Superseded)
        );
        assert_eq!(machine.read("k"), Outcome::Value(Some(b"c".to_vec())));
    }

    #[test]
    fn compare_and_set_needs_the_expected_value() {
        let mut machine = Machine::default();
        assert_eq!(
            machine.apply(1, &cas(1, Some(b"x"), b"a")),
            Some(Outcome::Mismatch)
        );
        assert_eq!(
            machine.apply(2, &cas(2, None, b"a")),
            Some(Outcome::Written)
        );
        assert_eq!(
            machine.apply(3, &cas(3, Some(b"a"), b"b")),
            Some(Outcome::Written)
        );
        assert_eq!(machine.read("k"), Outcome::Value(Some(b"b".to_vec())));
    }

    #[test]
    fn the_state_survives_encoding_and_damage_is_noticed() {
        let mut machine = Machine::default();
        for sequence in 1..20 {
            machine.apply(
                sequence,
                &put(sequence % 3, sequence, &[sequence as u8; 40]),
            );
        }
        assert!(machine.digest_is_right());
        let bytes = machine.encode();
        assert_eq!(Machine::decode(&bytes), Some(machine));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            // Some bits hold outcomes, which the digest leaves out; none may panic.
            let _ = Machine::decode(&damaged);
        }
        assert_eq!(Machine::decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn old_sessions_are_forgotten_and_the_digest_stays_right() {
        let mut machine = Machine::default();
        for session in 0..(MAX_SESSIONS as u64 + 10) {
            machine.apply(session + 1, &put(session, 1, b"v"));
        }
        assert_eq!(machine.sessions.len(), MAX_SESSIONS);
        assert!(!machine.sessions.contains_key(&3));
        assert!(machine.digest_is_right());
    }
}
