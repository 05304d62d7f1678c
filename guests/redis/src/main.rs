//! Writes to and reads from a Redis server that knows nothing of chaosrun, through whatever happens to
//! the server and the network between, and records what it asked and what it was told as the history
//! `redis`. Each value is written once only, so that a read tells which write it saw.
//!
//! ```text
//! chaosrun-redis ADDRESS:PORT
//! ```

mod resp;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use chaosrun_sdk::{
    assert_always, assert_reachable, assert_sometimes, history, lifecycle, publish, random,
};
use serde_json::json;

use resp::{Connection, Failure, Reply};

/// The history's name.
const HISTORY: &str = "redis";

/// How many keys there are.
const KEYS: u64 = 5;

/// How long the client waits between operations.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the client waits before it tries to connect again.
const RETRY: Duration = Duration::from_millis(200);

/// How an operation ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server carried it out and said so.
    Done(Reply),
    /// The server has not carried it out and will not.
    NotDone,
    /// Nobody knows.
    Unknown,
}

struct Client {
    server: SocketAddr,
    connection: Option<Connection>,
    /// The number under which operations are recorded.
    process: u64,
    /// The last value that was written.
    value: u64,
    /// What the server acknowledged last for each key.
    acknowledged: [Option<u64>; KEYS as usize],
    /// What was written without an answer for each key. It may still arrive, even after later writes:
    /// the kernel goes on sending on a connection that the client has given up.
    uncertain: [BTreeSet<u64>; KEYS as usize],
    lost_connections: u64,
    answers: u64,
}

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let Ok(server) = argument.parse() else {
        eprintln!("usage: chaosrun-redis ADDRESS:PORT, not {argument:?}");
        return ExitCode::from(2);
    };
    let mut client = Client::new(server);
    while !client.is_served() {
        sleep(RETRY);
    }
    println!("client ready");
    lifecycle::setup_complete(&json!({ "server": argument }));
    loop {
        client.step();
        sleep(PAUSE);
    }
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        Self {
            server,
            connection: None,
            process: 0,
            value: 0,
            acknowledged: [None; KEYS as usize],
            uncertain: std::array::from_fn(|_| BTreeSet::new()),
            lost_connections: 0,
            answers: 0,
        }
    }

    /// Whether the server answers.
    fn is_served(&mut self) -> bool {
        matches!(self.ask(&["PING"]), End::Done(Reply::Status(text)) if text == "PONG")
    }

    /// Does one operation on one key.
    fn step(&mut self) {
        let key = random::below(KEYS);
        if random::below(2) == 0 {
            self.write(key);
        } else {
            self.read(key);
        }
    }

    fn write(&mut self, number: u64) {
        self.value += 1;
        let (key, value) = (format!("k{number}"), self.value);
        history::invoke(HISTORY, self.process, "write", Some(&key), &value);
        match self.ask(&["SET", &key, &value.to_string()]) {
            End::Done(Reply::Status(_)) => {
                history::ok(HISTORY, self.process, "write", Some(&key), &value);
                self.acknowledged[number as usize] = Some(value);
                self.answered();
            }
            End::Done(_) | End::NotDone => {
                history::fail(HISTORY, self.process, "write", Some(&key), &value);
            }
            End::Unknown => {
                history::info(HISTORY, self.process, "write", Some(&key), &value);
                self.uncertain[number as usize].insert(value);
                // The write may still happen, at any time; another process goes on.
                self.process += 1;
            }
        }
    }

    fn read(&mut self, number: u64) {
        let key = format!("k{number}");
        history::invoke(HISTORY, self.process, "read", Some(&key), &());
        let value = match self.ask(&["GET", &key]) {
            End::Done(Reply::Text(text)) => text.parse().ok(),
            End::Done(Reply::Nothing) => None,
            // A read that nobody answered has changed nothing.
            _ => return history::fail(HISTORY, self.process, "read", Some(&key), &()),
        };
        history::ok(HISTORY, self.process, "read", Some(&key), &value);
        let expected = self.acknowledged[number as usize];
        let uncertain = &self.uncertain[number as usize];
        assert_always!(
            value == expected || value.is_some_and(|value| uncertain.contains(&value)),
            "what was acknowledged is there",
            &json!({ "key": key, "value": value, "acknowledged": expected })
        );
        assert_sometimes!(
            expected.is_some() && self.lost_connections > 0,
            "a value outlives a lost connection"
        );
        self.answered();
    }

    fn answered(&mut self) {
        self.answers += 1;
        publish("answers", self.answers);
    }

    /// Sends a command and waits for the reply, over the old connection or a new one.
    fn ask(&mut self, command: &[&str]) -> End {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => match Connection::open(self.server) {
                Ok(connection) => self.connection.insert(connection),
                Err(_) => {
                    assert_reachable!("the server cannot be reached");
                    sleep(RETRY);
                    return End::NotDone;
                }
            },
        };
        match connection.ask(command) {
            // As long as it reads its file, Redis refuses everything with LOADING.
            Ok(Reply::Error(_)) => End::NotDone,
            Ok(reply) => End::Done(reply),
            Err(failure) => {
                assert_reachable!("a connection is lost");
                self.connection = None;
                self.lost_connections += 1;
                match failure {
                    Failure::NotSent => End::NotDone,
                    Failure::NoReply => End::Unknown,
                }
            }
        }
    }
}
