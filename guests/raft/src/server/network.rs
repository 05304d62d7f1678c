//! The server's connections: one that it makes to each other server, on which it asks and is answered, and
//! those that others make to it, on which it answers servers and clients.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Ready};
use crate::protocol::{Message, NodeId, Reply, Request};
use crate::settings::Server;
use crate::wire::Wire;

const LISTENER: Token = Token(0);
/// Tokens of accepted connections begin here; below are those to other servers.
const FIRST_ACCEPTED: usize = 1 << 20;
/// How many accepted connections there may be; the oldest is dropped for a new one.
const MAX_ACCEPTED: usize = 128;
/// How many requests may wait for their replies; the oldest is forgotten for a new one.
const MAX_WAITING: usize = 8192;
/// How long to wait after a connection failed before it is made again, in nanoseconds.
const REDIAL: u64 = 100_000_000;
/// How long a connection may take to be made, in nanoseconds.
const DIAL_PATIENCE: u64 = 300_000_000;

/// Something that arrived.
#[derive(Debug)]
pub struct Incoming {
    /// Who said it.
    pub from: From,
    /// What.
    pub message: Said,
}

/// Who said something.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// A server.
    Server(NodeId),
    /// A client; the token names the request for the reply.
    Client(u64),
}

/// What was said.
#[derive(Debug)]
pub enum Said {
    /// By a server.
    Message(Message),
    /// By a client.
    Request(Request),
}

/// A connection that this server makes to another.
#[derive(Debug)]
struct Dialled {
    server: Server,
    state: Dial,
}

#[derive(Debug)]
enum Dial {
    /// None until then.
    Wait { until: u64 },
    /// It is being made, and given up then.
    Making { connection: Connection, until: u64 },
    /// It is there.
    Made(Connection),
}

#[derive(Debug)]
struct Accepted {
    connection: Connection,
    /// The server on the other side, if it said that it is one.
    server: Option<NodeId>,
}

/// All connections.
#[derive(Debug)]
pub struct Network {
    me: NodeId,
    poll: Poll,
    events: Events,
    listener: TcpListener,
    dialled: BTreeMap<NodeId, Dialled>,
    accepted: BTreeMap<usize, Accepted>,
    next_accepted: usize,
    /// The requests that wait: on which connection they came, and by which number they were asked.
    waiting: BTreeMap<u64, (usize, u64)>,
    next_request: u64,
}

impl Network {
    /// Listens at the address of `me` and prepares for calling the other servers.
    ///
    /// # Errors
    /// If the address can't be listened at.
    pub fn new(me: &Server, servers: &[Server]) -> io::Result<Network> {
        let poll = Poll::new()?;
        // All addresses of this machine, for that of the network may still be coming up.
        let mut address = me.address;
        if !address.ip().is_loopback() {
            address.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
        let mut listener = TcpListener::bind(address)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let others = servers.iter().filter(|server| server.id != me.id);
        let dialled = others.map(|server| {
            (
                server.id,
                Dialled {
                    server: server.clone(),
                    state: Dial::Wait { until: 0 },
                },
            )
        });
        Ok(Network {
            me: me.id,
            poll,
            events: Events::with_capacity(256),
            listener,
            dialled: dialled.collect(),
            accepted: BTreeMap::new(),
            next_accepted: FIRST_ACCEPTED,
            waiting: BTreeMap::new(),
            next_request: 0,
        })
    }

    /// When something is due without anything arriving, on the steady clock.
    pub fn deadline(&self) -> u64 {
        let due = |dialled: &Dialled| match dialled.state {
            Dial::Wait { until } | Dial::Making { until, .. } => until,
            Dial::Made(_) => u64::MAX,
        };
        self.dialled.values().map(due).min().unwrap_or(u64::MAX)
    }

    /// Waits at most so long, and adds what has arrived.
    ///
    /// # Errors
    /// If waiting is not possible at all.
    pub fn wait(&mut self, wait: Duration, incoming: &mut Vec<Incoming>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let ready: Vec<(Token, Ready)> = self
            .events
            .iter()
            .map(|event| (event.token(), Ready::of(event)))
            .collect();
        for (token, ready) in ready {
            match token {
                LISTENER => self.accept(),
                Token(number) if number >= FIRST_ACCEPTED => {
                    self.on_accepted(number, ready, incoming);
                }
                Token(id) => self.on_dialled(id as NodeId, ready, incoming),
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let number = self.next_accepted;
            let both = Interest::READABLE | Interest::WRITABLE;
            if self
                .poll
                .registry()
                .register(&mut stream, Token(number), both)
                .is_err()
            {
                continue;
            }
            self.next_accepted += 1;
            let connection = Connection::new(stream);
            self.accepted.insert(
                number,
                Accepted {
                    connection,
                    server: None,
                },
            );
            if self.accepted.len() > MAX_ACCEPTED {
                self.accepted.pop_first();
            }
        }
    }

    fn on_accepted(&mut self, number: usize, ready: Ready, incoming: &mut Vec<Incoming>) {
        let Some(accepted) = self.accepted.get_mut(&number) else {
            return;
        };
        let mut said = Vec::new();
        let received = accepted.connection.receive(ready, &mut said);
        let sound = accepted.connection.flush().is_ok() && received.is_ok();
        for wire in said {
            self.on_said(number, wire, incoming);
        }
        if !sound {
            self.accepted.remove(&number);
        }
    }

    fn on_said(&mut self, number: usize, wire: Wire, incoming: &mut Vec<Incoming>) {
        let server = self
            .accepted
            .get(&number)
            .and_then(|accepted| accepted.server);
        match (wire, server) {
            (Wire::Hello(id), None) if self.dialled.contains_key(&id) => {
                // An older connection of that server is dead, even if nobody said so.
                self.accepted
                    .retain(|_, accepted| accepted.server != Some(id));
                if let Some(accepted) = self.accepted.get_mut(&number) {
                    accepted.server = Some(id);
                }
            }
            (Wire::Message(message), Some(id)) => {
                incoming.push(Incoming {
                    from: From::Server(id),
                    message: Said::Message(message),
                });
            }
            (Wire::Request(asked, request), None) => {
                let token = self.next_request;
                self.next_request += 1;
                self.waiting.insert(token, (number, asked));
                if self.waiting.len() > MAX_WAITING {
                    self.waiting.pop_first();
                }
                incoming.push(Incoming {
                    from: From::Client(token),
                    message: Said::Request(request),
                });
            }
            // Whoever says anything else is none of ours.
            _ => {
                self.accepted.remove(&number);
            }
        }
    }

    fn on_dialled(&mut self, id: NodeId, ready: Ready, incoming: &mut Vec<Incoming>) {
        let Some(dialled) = self.dialled.get_mut(&id) else {
            return;
        };
        let state = std::mem::replace(&mut dialled.state, Dial::Wait { until: 0 });
        dialled.state = match state {
            Dial::Making {
                mut connection,
                until,
            } => match connection.established() {
                Ok(false) => Dial::Making { connection, until },
                Ok(true) => {
                    connection.send(&Wire::Hello(self.me));
                    Dial::Made(connection)
                }
                // The moment is not known here; the next upkeep sets it.
                Err(_) => Dial::Wait { until: u64::MAX },
            },
            other => other,
        };
        let Dial::Made(connection) = &mut dialled.state else {
            return;
        };
        let mut said = Vec::new();
        let received = connection.receive(ready, &mut said);
        let mut sound = connection.flush().is_ok() && received.is_ok();
        for wire in said {
            // A server that was called only answers.
            match wire {
                Wire::Message(message) if message.body.is_answer() => incoming.push(Incoming {
                    from: From::Server(id),
                    message: Said::Message(message),
                }),
                _ => sound = false,
            }
        }
        if !sound {
            dialled.state = Dial::Wait { until: u64::MAX };
        }
    }

    /// Says something to a server, if there is a connection to it. An answer goes back on the
    /// connection on which servers ask this one, so that one packet carries it and the acknowledgement of
    /// what was asked.
    pub fn send(&mut self, to: NodeId, message: Message) {
        let answered = |accepted: &&mut Accepted| accepted.server == Some(to);
        if message.body.is_answer()
            && let Some(accepted) = self.accepted.values_mut().find(answered)
        {
            accepted.connection.send(&Wire::Message(message));
        } else if let Some(Dialled {
            state: Dial::Made(connection),
            ..
        }) = self.dialled.get_mut(&to)
        {
            connection.send(&Wire::Message(message));
        }
    }

    /// Answers a client, if it is still there.
    pub fn reply(&mut self, token: u64, reply: Reply) {
        let Some((number, asked)) = self.waiting.remove(&token) else {
            return;
        };
        if let Some(accepted) = self.accepted.get_mut(&number) {
            accepted.connection.send(&Wire::Reply(asked, reply));
        }
    }

    /// Sends what is to be sent, and makes the connections that are missing, at the moment `now`.
    pub fn keep_up(&mut self, now: u64) {
        self.accepted
            .retain(|_, accepted| accepted.connection.flush().is_ok());
        for (id, dialled) in &mut self.dialled {
            let state = std::mem::replace(&mut dialled.state, Dial::Wait { until: 0 });
            dialled.state = match state {
                Dial::Wait { until: u64::MAX } => Dial::Wait {
                    until: now + REDIAL,
                },
                Dial::Wait { until } if now >= until => dial(&self.poll, *id, &dialled.server, now),
                Dial::Making { until, .. } if now >= until => Dial::Wait {
                    until: now + REDIAL,
                },
                Dial::Made(mut connection) => match connection.flush() {
                    Ok(()) => Dial::Made(connection),
                    Err(_) => Dial::Wait {
                        until: now + REDIAL,
                    },
                },
                other => other,
            };
        }
    }
}

fn dial(poll: &Poll, id: NodeId, server: &Server, now: u64) -> Dial {
    let making = TcpStream::connect(server.address).and_then(|stream| {
        let mut connection = Connection::new(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(connection.stream(), Token(id as usize), both)?;
        Ok(Dial::Making {
            connection,
            until: now + DIAL_PATIENCE,
        })
    });
    making.unwrap_or(Dial::Wait {
        until: now + REDIAL,
    })
}
