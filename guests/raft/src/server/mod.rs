//! The server: one thread that waits for connections and timers, and does what the protocol says.
//!
//! Each time it wakes up it takes in all that has arrived, puts on the disk what must be there, and
//! only then sends messages and replies.

mod connection;
mod network;
mod telling;

use std::io;
use std::time::Duration;

use chaosrun_sdk::{lifecycle, random};
use serde_json::json;

use self::network::{Incoming, Network};
use self::telling::Telling;
use crate::bugs::Bug;
use crate::clock::Clock;
use crate::protocol::{Config, Input, Node, Output, Rejected};
use crate::sdk::{always, sometimes};
use crate::settings::{Settings, SettingsError};
use crate::storage::{Device, FileDevice, Recovered, Storage, StorageError};

/// How long the planted bug leaves acknowledged entries unflushed, in nanoseconds.
const FLUSH_EVERY: u64 = 1_000_000_000;

/// Why a server stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The environment makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// This host is not one of the servers.
    #[error("`{0}` is not one of the servers")]
    NotAServer(String),
    /// The disk can't be opened.
    #[error("the disk {path} can't be opened: {source}")]
    Disk {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The disk is damaged, or fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What the disk holds makes no sense.
    #[error("storage damaged: {0}")]
    Rejected(#[from] Rejected),
    /// The network can't be used.
    #[error("the network can't be used: {0}")]
    Network(#[from] io::Error),
}

/// Serves until something makes it stop.
///
/// # Errors
/// Always: it does not end otherwise.
pub fn run(settings: &Settings) -> Result<std::convert::Infallible, ServerError> {
    let me = settings
        .me()
        .ok_or_else(|| ServerError::NotAServer(settings.name.clone()))?;
    let disk = |source| ServerError::Disk {
        path: settings.disk.display().to_string(),
        source,
    };
    let device = FileDevice::open(&settings.disk).map_err(disk)?;
    let (storage, recovered) = Storage::open(device, settings.bugs)?;
    tell_recovery(&storage, recovered);
    let clock = Clock::new();
    let nodes = settings.servers.iter().map(|server| server.id).collect();
    let mut config = Config::new(me.id, nodes, settings.bugs);
    config.pre_vote = settings.pre_vote;
    let node = Node::new(config, storage.durable(), random::u64(), clock.moment())?;
    let network = Network::new(me, &settings.servers)?;
    let telling = Telling::new(&me.name, storage.durable().term);
    println!(
        "raft {} on {}, bug: {}",
        me.name,
        me.address,
        settings.bugs.name()
    );
    lifecycle::setup_complete(&json!({ "server": me.name, "bug": settings.bugs.name() }));
    Server {
        node,
        storage,
        network,
        clock,
        telling,
        flush_at: 0,
    }
    .serve(settings)
}

fn tell_recovery<D: Device>(storage: &Storage<D>, recovered: Recovered) {
    let durable = storage.durable();
    always!(durable.last_index() >= durable.snapshot.index, "what is recovered hangs together", {
        "last": durable.last_index(), "snapshot": durable.snapshot.index
    });
    sometimes!(!recovered.blank, "a server restarts with what is on its disk", {
        "term": durable.term, "last": durable.last_index(), "repaired": recovered.repaired
    });
    let details = json!({
        "blank": recovered.blank, "blocks": recovered.blocks, "repaired": recovered.repaired,
        "dropped": recovered.dropped, "term": durable.term, "last": durable.last_index(),
    });
    println!("raft: recovered {details}");
    lifecycle::send_event("recovered", &details);
}

struct Server {
    node: Node,
    storage: Storage<FileDevice>,
    network: Network,
    clock: Clock,
    telling: Telling,
    /// When the planted bug flushes next.
    flush_at: u64,
}

impl Server {
    fn serve(mut self, settings: &Settings) -> Result<std::convert::Infallible, ServerError> {
        let mut incoming = Vec::new();
        loop {
            let now = self.clock.steady();
            let mut wake_at = self.node.deadline().min(self.network.deadline());
            if settings.bugs.has(Bug::AckBeforeFsync) {
                wake_at = wake_at.min(self.flush_at);
            }
            let wait = Duration::from_nanos(wake_at.saturating_sub(now));
            self.network.wait(wait, &mut incoming)?;
            let mut output = Output::default();
            for Incoming { from, message } in incoming.drain(..) {
                let input = match from {
                    network::From::Server(from) => Input::Message {
                        from,
                        message: match message {
                            network::Said::Message(message) => message,
                            network::Said::Request(_) => continue,
                        },
                    },
                    network::From::Client(token) => match message {
                        network::Said::Request(request) => Input::Request { token, request },
                        network::Said::Message(_) => continue,
                    },
                };
                output.join(self.node.step(self.clock.moment(), input));
            }
            if self.clock.steady() >= self.node.deadline() {
                output.join(self.node.step(self.clock.moment(), Input::Tick));
            }
            self.carry_out(output)?;
            let now = self.clock.steady();
            self.network.keep_up(now);
            if settings.bugs.has(Bug::AckBeforeFsync) && now >= self.flush_at {
                self.storage.flush_leftovers()?;
                self.flush_at = now + FLUSH_EVERY;
            }
        }
    }

    /// Puts the records on the disk, and then lets out what follows from them.
    fn carry_out(&mut self, output: Output) -> Result<(), ServerError> {
        let troubles = self.storage.troubles();
        let generation = self.storage.generation();
        self.storage.persist(&output.records)?;
        self.telling.disk(troubles, self.storage.troubles());
        if self.storage.generation() != generation {
            lifecycle::send_event(
                "generation",
                &json!({ "number": self.storage.generation() }),
            );
        }
        self.telling.tell(output.notes, self.clock.steady());
        for (to, message) in output.messages {
            self.network.send(to, message);
        }
        for (token, reply) in output.replies {
            self.network.reply(token, reply);
        }
        Ok(())
    }
}
