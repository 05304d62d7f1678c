//! One worker: an operation after the other, each until it is known how it ended or time is up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use chaosrun_sdk::{history, publish, random};
use serde_json::{Value, json};

use super::Shared;
use super::link::Link;
use super::values::{bytes_of, number_of};
use crate::clock::Clock;
use crate::protocol::{Op, Outcome, Reply, Request};
use crate::sdk::{always, sometimes};
use crate::settings::{Server, Settings};

/// The name of the history.
const HISTORY: &str = "kv";
/// How long an operation is tried, in nanoseconds.
const GIVE_UP_AFTER: u64 = 1_500_000_000;
/// How many keys there are.
const KEYS: u64 = 3;
/// Between numbers of processes and of values of different workers.
const APART: u64 = 1_000_000;

/// A worker.
#[derive(Debug)]
pub struct Worker {
    servers: Vec<Server>,
    pause: u64,
    /// The server that is asked next.
    target: usize,
    link: Option<Link>,
    clock: Clock,
    shared: Arc<Shared>,
    /// The number under which operations are recorded.
    process: u64,
    session: u64,
    sequence: u64,
    /// The next value to write.
    next: u64,
    /// The value that was last seen of each key.
    seen: [Option<u64>; KEYS as usize],
}

/// How an operation ended.
enum End {
    /// It happened, with this outcome.
    Done(Outcome),
    /// It did not happen and never will.
    NotDone,
    /// Nobody knows.
    Unknown,
}

impl Worker {
    /// The worker `number` in the client's life `life`.
    pub fn new(settings: &Settings, number: u64, life: u64, shared: Arc<Shared>) -> Worker {
        Worker {
            servers: settings.servers.clone(),
            pause: settings.pause,
            target: number as usize % settings.servers.len(),
            link: None,
            clock: Clock::new(),
            shared,
            process: number * APART,
            session: random::u64(),
            sequence: 0,
            next: (life << 32) + number * APART + 1,
            seen: [None; KEYS as usize],
        }
    }

    /// Works for ever.
    pub fn work(mut self) {
        loop {
            self.operate();
            thread::sleep(Duration::from_millis(1 + random::below(self.pause)));
        }
    }

    /// Does one operation.
    fn operate(&mut self) {
        let number = random::below(KEYS) as usize;
        let key = format!("k{number}");
        let value = self.next;
        match (random::below(100), self.seen[number]) {
            (0..45, _) => self.read(number, &key),
            (45..65, Some(expected)) => {
                self.next += 1;
                self.cas(number, &key, expected, value);
            }
            _ => {
                self.next += 1;
                self.write(number, &key, value);
            }
        }
    }

    fn read(&mut self, number: usize, key: &str) {
        history::invoke(HISTORY, self.process, "read", Some(key), &Value::Null);
        match self.perform(Op::Get {
            key: key.to_owned(),
        }) {
            End::Done(Outcome::Value(bytes)) => {
                let value = bytes.as_deref().map(number_of);
                always!(value != Some(None), "a value is read as it was written", {
                    "key": key, "bytes": bytes.as_ref().map_or(0, Vec::len)
                });
                self.seen[number] = value.flatten();
                let value = value.map(|value| json!(value.unwrap_or(u64::MAX >> 12)));
                history::ok(HISTORY, self.process, "read", Some(key), &value);
                self.answered();
            }
            // A read that nobody answered has changed nothing.
            _ => history::fail(HISTORY, self.process, "read", Some(key), &Value::Null),
        }
    }

    fn write(&mut self, number: usize, key: &str, value: u64) {
        history::invoke(HISTORY, self.process, "write", Some(key), &value);
        let op = Op::Put {
            key: key.to_owned(),
            value: bytes_of(value),
        };
        let end = self.perform(op);
        if matches!(end, End::Done(Outcome::Written)) {
            self.seen[number] = Some(value);
        }
        self.record(end, "write", key, &json!(value));
    }

    fn cas(&mut self, number: usize, key: &str, expected: u64, value: u64) {
        let both = json!([expected, value]);
        history::invoke(HISTORY, self.process, "cas", Some(key), &both);
        let expect = Some(bytes_of(expected));
        let op = Op::Cas {
            key: key.to_owned(),
            expect,
            value: bytes_of(value),
        };
        let end = self.perform(op);
        if let End::Done(outcome) = &end {
            let swapped = *outcome == Outcome::Written;
            sometimes!(swapped, "a compare-and-set finds what it expects", { "key": key });
            sometimes!(!swapped, "a compare-and-set finds something else", { "key": key });
            self.seen[number] = swapped.then_some(value);
        }
        self.record(end, "cas", key, &both);
    }

    fn record(&mut self, end: End, f: &str, key: &str, value: &Value) {
        match end {
            End::Done(Outcome::Written) => {
                history::ok(HISTORY, self.process, f, Some(key), value);
                self.answered();
            }
            End::Done(_) => {
                history::fail(HISTORY, self.process, f, Some(key), value);
                self.answered();
            }
            End::NotDone => history::fail(HISTORY, self.process, f, Some(key), value),
            End::Unknown => {
                history::info(HISTORY, self.process, f, Some(key), value);
                // This process has an operation under way for ever; the worker goes on as another.
                self.process += 1;
                self.session = random::u64();
                self.sequence = 0;
            }
        }
    }

    fn answered(&self) {
        self.shared.ready("a server answers");
        publish("operations", self.shared.answered.fetch_add(1, Relaxed) + 1);
    }

    /// Asks one server after the other until one answers or time is up.
    fn perform(&mut self, op: Op) -> End {
        self.sequence += 1;
        let request = Request {
            session: self.session,
            sequence: self.sequence,
            op,
        };
        let give_up_at = self.clock.steady() + GIVE_UP_AFTER;
        let mut may_have_happened = false;
        let mut tries = 0;
        while self.clock.steady() < give_up_at {
            tries += 1;
            match self.ask(&request) {
                Ask::Answer(Reply::Done(outcome)) => {
                    sometimes!(tries > 1, "an operation succeeds when it is tried again", {
                        "tries": tries
                    });
                    return End::Done(outcome);
                }
                Ask::Answer(Reply::NotLeader(Some(leader))) => self.go_to(leader),
                Ask::Answer(Reply::Refused) if !may_have_happened => return End::NotDone,
                Ask::Answer(Reply::Unknown) | Ask::Silence => {
                    may_have_happened = true;
                    self.go_on();
                }
                Ask::Answer(_) | Ask::Nobody => self.go_on(),
            }
        }
        if may_have_happened {
            End::Unknown
        } else {
            End::NotDone
        }
    }

    fn go_to(&mut self, leader: u64) {
        let found = self.servers.iter().position(|server| server.id == leader);
        match found {
            Some(target) if target != self.target => {
                self.target = target;
                self.link = None;
            }
            _ => self.go_on(),
        }
    }

    /// Turns to the next server, after a moment in which a leader may be found.
    fn go_on(&mut self) {
        thread::sleep(Duration::from_millis(20));
        self.target = (self.target + 1) % self.servers.len();
        self.link = None;
    }

    fn ask(&mut self, request: &Request) -> Ask {
        if self.link.is_none() {
            self.link = Link::connect(self.servers[self.target].address).ok();
        }
        let Some(link) = &mut self.link else {
            return Ask::Nobody;
        };
        match link.ask(request) {
            Ok(reply) => Ask::Answer(reply),
            Err(_) => {
                self.link = None;
                Ask::Silence
            }
        }
    }
}

/// What came of a question.
enum Ask {
    /// An answer.
    Answer(Reply),
    /// It was asked, and there was no answer.
    Silence,
    /// Nobody was there to be asked.
    Nobody,
}
