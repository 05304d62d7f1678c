//! What the server tells chaosrun: values that properties follow, and events that scenarios wait for.

use chaosrun_sdk::{lifecycle, publish};
use serde_json::json;

use crate::protocol::{Note, Term};
use crate::sdk;
use crate::storage::Troubles;

/// How often a leader says that it leads, in nanoseconds.
const LEADING_EVERY: u64 = 1_000_000_000;

/// Tells what happens on this server.
#[derive(Debug)]
pub struct Telling {
    name: String,
    leading_at: u64,
}

impl Telling {
    /// Tells in the name of `name`, first its term.
    pub fn new(name: &str, term: Term) -> Telling {
        publish("term", term);
        Telling {
            name: name.to_owned(),
            leading_at: 0,
        }
    }

    /// Tells what the protocol noted, at the moment `now` of the steady clock.
    pub fn tell(&mut self, notes: Vec<Note>, now: u64) {
        let mut commit = None;
        for note in notes {
            match note {
                Note::Term(term) => publish("term", term),
                Note::Elected(term) => {
                    publish("leader", &self.name[..]);
                    println!("raft: {} leads in term {term}", self.name);
                    lifecycle::send_event("elected", &json!({ "leader": self.name, "term": term }));
                }
                Note::Leading(term) => self.leading(term, now),
                Note::Deposed(term) => {
                    lifecycle::send_event("deposed", &json!({ "leader": self.name, "term": term }));
                }
                Note::Committed(index) => commit = Some(index),
                Note::Applied { .. } => {}
                Note::Truncated(index) => {
                    lifecycle::send_event("truncated", &json!({ "from": index }));
                }
                Note::SnapshotTaken(index) => {
                    lifecycle::send_event("snapshot-taken", &json!({ "index": index }));
                }
                Note::SnapshotInstalled(index) => {
                    lifecycle::send_event("snapshot-installed", &json!({ "index": index }));
                }
            }
        }
        if let Some(commit) = commit {
            publish("commit_index", commit);
        }
    }

    /// Says again and again that there is a leader, for properties about a time when nothing changes.
    fn leading(&mut self, term: Term, now: u64) {
        if now >= self.leading_at {
            self.leading_at = now + LEADING_EVERY;
            sdk::holds_again(
                "leader elected",
                &json!({ "term": term, "leader": self.name }),
            );
        }
    }

    /// Tells what went wrong with the disk between two counts.
    pub fn disk(&mut self, before: Troubles, after: Troubles) {
        if before != after {
            let details = json!({ "errors": after.errors, "rewrites": after.rewrites });
            lifecycle::send_event("disk-trouble", &details);
        }
    }
}
