//! A cluster in a simulated world: everything that happens follows from the seed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::history::{Act, Operation, is_linearizable};
use crate::bugs::Bugs;
use crate::rng::Rng;
use crate::sdk;
use crate::storage::Storage;
use crate::storage::sim::SimDisk;

pub const MS: u64 = 1_000_000;
const DISK: usize = 16 * 1024 + 4 * 256 * 1024;
/// How many operations on a key are recorded; the search for an order takes no more.
const MAX_HISTORY: usize = 120;

/// How bad the world is. Chances are per thousand.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub drop: u64,
    pub duplicate: u64,
    /// The longest time that a message travels, in milliseconds.
    pub delay: u64,
    /// How often one of the following happens, on average, in milliseconds. 0 is never.
    pub partition_every: u64,
    pub crash_every: u64,
    pub power_loss_every: u64,
    pub clock_jump_every: u64,
    /// How long a node is down at most, in milliseconds.
    pub down: u64,
}

enum Event {
    Deliver {
        from: NodeId,
        to: NodeId,
        message: Message,
    },
    Wake {
        node: NodeId,
    },
    Arrive {
        to: NodeId,
        client: usize,
        asked: u64,
        request: Request,
    },
    Answer {
        client: usize,
        asked: u64,
        reply: Reply,
    },
    Client {
        client: usize,
    },
    Timeout {
        client: usize,
        asked: u64,
    },
    Restart {
        node: NodeId,
    },
    Partition,
    Heal,
    Crash {
        torn: bool,
    },
    ClockJump,
}

struct Running {
    node: Node,
    storage: Storage<SimDisk>,
    /// Tokens of requests, with the client and what it asked.
    tokens: BTreeMap<u64, (usize, u64)>,
}

enum Machine {
    Up(Box<Running>),
    Down(SimDisk),
    /// The disk was found damaged.
    Stopped,
}

#[derive(Default)]
struct Client {
    session: u64,
    sequence: u64,
    asked: u64,
    target: NodeId,
    op: Option<Op>,
    key: usize,
    began: u64,
    give_up_at: u64,
    maybe: bool,
    seen: BTreeMap<usize, u64>,
}

pub struct Cluster {
    now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    rng: Rng,
    weather: Weather,
    bugs: Bugs,
    pub tune: fn(&mut Config),
    machines: BTreeMap<NodeId, Machine>,
    walls: BTreeMap<NodeId, i64>,
    cut: BTreeSet<(NodeId, NodeId)>,
    clients: Vec<Client>,
    next_value: u64,
    calm: bool,
    histories: BTreeMap<usize, Vec<Operation>>,
    leaders: BTreeMap<Term, NodeId>,
    applied: BTreeMap<Index, (u64, u64)>,
    terms: BTreeMap<NodeId, Term>,
    pub answered: u64,
    pub answered_in_calm: u64,
    pub happened: BTreeSet<&'static str>,
    pub violations: BTreeSet<String>,
}

impl Cluster {
    pub fn new(seed: u64, weather: Weather, bugs: Bugs) -> Cluster {
        sdk::take_broken();
        let ids = [1, 2, 3];
        let mut cluster = Cluster {
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            rng: Rng::new(seed),
            weather,
            bugs,
            tune: |_| {},
            machines: ids.map(|id| (id, Machine::Down(SimDisk::new(DISK)))).into(),
            walls: BTreeMap::new(),
            cut: BTreeSet::new(),
            clients: Vec::new(),
            next_value: 1,
            calm: false,
            histories: BTreeMap::new(),
            leaders: BTreeMap::new(),
            applied: BTreeMap::new(),
            terms: BTreeMap::new(),
            answered: 0,
            answered_in_calm: 0,
            happened: BTreeSet::new(),
            violations: BTreeSet::new(),
        };
        for id in ids {
            cluster.at(0, Event::Restart { node: id });
        }
        for number in 0..3 {
            let session = cluster.rng.next_u64();
            cluster.clients.push(Client {
                session,
                target: 1 + number,
                ..Client::default()
            });
            cluster.at(
                500 * MS,
                Event::Client {
                    client: number as usize,
                },
            );
        }
        cluster.again(weather.partition_every, Event::Partition);
        cluster.again(weather.crash_every, Event::Crash { torn: false });
        cluster.again(weather.power_loss_every, Event::Crash { torn: true });
        cluster.again(weather.clock_jump_every, Event::ClockJump);
        cluster
    }

    /// Runs so long in bad weather, then three seconds in calm, and judges.
    pub fn run(mut self, milliseconds: u64) -> Cluster {
        self.until(milliseconds * MS);
        self.calm = true;
        self.cut.clear();
        let down: Vec<NodeId> = self.machines.keys().copied().collect();
        for node in down {
            self.restart(node);
        }
        self.until((milliseconds + 3000) * MS);
        if self.answered_in_calm == 0 {
            self.violations.insert("progress".into());
        }
        let lawful = self
            .histories
            .values()
            .all(|history| is_linearizable(history));
        if !lawful {
            self.violations.insert("linearizable".into());
        }
        self.violations
            .extend(sdk::take_broken().into_iter().map(str::to_owned));
        self
    }

    fn until(&mut self, end: u64) {
        while let Some((&(at, sequence), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            self.now = at;
            let event = self.queue.remove(&(at, sequence)).expect("it is the first");
            self.happen(event);
        }
        self.now = end;
    }

    fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), event);
    }

    fn again(&mut self, every: u64, event: Event) {
        if every > 0 {
            let wait = self.rng.below(2 * every * MS) + MS;
            self.at(self.now + wait, event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                self.step(to, Input::Message { from, message });
            }
            Event::Wake { node } => self.wake(node),
            Event::Arrive {
                to,
                client,
                asked,
                request,
            } => self.arrive(to, client, asked, request),
            Event::Answer {
                client,
                asked,
                reply,
            } => self.answer(client, asked, reply),
            Event::Client { client } => self.begin(client),
            Event::Timeout { client, asked } => {
                if self.clients[client].asked == asked && self.clients[client].op.is_some() {
                    self.clients[client].maybe = true;
                    self.ask_another(client, None);
                }
            }
            Event::Restart { node } => self.restart(node),
            Event::Heal => self.cut.clear(),
            _ if self.calm => {}
            Event::Partition => {
                self.partition();
                self.again(self.weather.partition_every, Event::Partition);
            }
            Event::Crash { torn } => {
                self.crash_one(torn);
                let weather = self.weather;
                let every = if torn {
                    weather.power_loss_every
                } else {
                    weather.crash_every
                };
                self.again(every, Event::Crash { torn });
            }
            Event::ClockJump => {
                let node = 1 + self.rng.below(3);
                let jump = self.rng.below(6000 * MS) as i64 - 3000 * MS as i64;
                *self.walls.entry(node).or_default() += jump;
                self.again(self.weather.clock_jump_every, Event::ClockJump);
            }
        }
    }

    fn partition(&mut self) {
        let lonely = 1 + self.rng.below(3);
        let one_way = self.rng.chance(1, 4);
        for other in (1..=3).filter(|id| *id != lonely) {
            self.cut.insert((lonely, other));
            if !one_way {
                self.cut.insert((other, lonely));
            }
        }
        let wait = 100 * MS + self.rng.below(1200 * MS);
        self.at(self.now + wait, Event::Heal);
    }

    /// Stops a node, if all others are up. A torn stop is in the middle of the next write.
    fn crash_one(&mut self, torn: bool) {
        if self
            .machines
            .values()
            .any(|machine| !matches!(machine, Machine::Up(_)))
        {
            return;
        }
        let node = 1 + self.rng.below(3);
        if torn {
            let left = self.rng.below(4) as u32;
            if let Some(Machine::Up(running)) = self.machines.get_mut(&node) {
                running.storage.device_mut().left = Some(left);
            }
        } else {
            self.crash(node, false);
        }
    }

    fn crash(&mut self, id: NodeId, torn: bool) {
        let machine = self.machines.insert(id, Machine::Stopped);
        if let Some(Machine::Up(running)) = machine {
            let mut disk = running.storage.into_device();
            disk.left = None;
            disk.power_loss(torn, &mut self.rng);
            self.machines.insert(id, Machine::Down(disk));
            let wait = MS + self.rng.below(self.weather.down * MS);
            self.at(self.now + wait, Event::Restart { node: id });
        }
    }

    fn restart(&mut self, id: NodeId) {
        let machine = self.machines.insert(id, Machine::Stopped);
        let Some(Machine::Down(disk)) = machine else {
            self.machines
                .insert(id, machine.expect("all machines are there"));
            return;
        };
        let mut config = Config::new(id, vec![1, 2, 3], self.bugs);
        config.snapshot_every = 8;
        (self.tune)(&mut config);
        let Ok((storage, recovered)) = Storage::open(disk, self.bugs) else {
            self.violations.insert("storage damaged".into());
            return;
        };
        if recovered.dropped {
            self.happened.insert("a block was dropped");
        }
        let seed = self.rng.next_u64();
        let Ok(node) = Node::new(config, storage.durable(), seed, self.moment(id)) else {
            self.violations.insert("storage damaged".into());
            return;
        };
        self.see_term(id, node.term());
        let wake_at = node.deadline();
        let running = Running {
            node,
            storage,
            tokens: BTreeMap::new(),
        };
        self.machines.insert(id, Machine::Up(Box::new(running)));
        self.at(wake_at, Event::Wake { node: id });
    }

    fn moment(&self, node: NodeId) -> Moment {
        let wall = 10_000_000 * MS as i64 + self.now as i64;
        let shift = self.walls.get(&node).copied().unwrap_or(0);
        Moment {
            steady: self.now,
            wall: wall.saturating_add(shift).max(0) as u64,
        }
    }

    fn wake(&mut self, id: NodeId) {
        let Some(Machine::Up(running)) = self.machines.get(&id) else {
            return;
        };
        if running.node.deadline() <= self.now {
            self.step(id, Input::Tick);
        }
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let moment = self.moment(id);
        let Some(Machine::Up(running)) = self.machines.get_mut(&id) else {
            return;
        };
        let before = running.node.deadline();
        let output = running.node.step(moment, input);
        if running.storage.persist(&output.records).is_err() {
            self.crash(id, true);
            return;
        }
        // The planted bug flushes now and then.
        if self.rng.chance(1, 50) {
            let _ = running.storage.flush_leftovers();
        }
        let deadline = running.node.deadline();
        if deadline != before || deadline <= self.now {
            self.at(deadline.max(self.now + MS / 10), Event::Wake { node: id });
        }
        self.carry_out(id, output);
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        for note in output.notes {
            self.see(id, note);
        }
        for (to, message) in output.messages {
            let copies = 1 + u64::from(self.rng.chance(self.weather.duplicate, 1000));
            for _ in 0..copies {
                let lost = !self.calm && self.rng.chance(self.weather.drop, 1000);
                if lost || self.cut.contains(&(id, to)) {
                    continue;
                }
                let delay = MS / 2 + self.rng.below(self.weather.delay * MS);
                let message = message.clone();
                self.at(
                    self.now + delay,
                    Event::Deliver {
                        from: id,
                        to,
                        message,
                    },
                );
            }
        }
        for (token, reply) in output.replies {
            let Some(Machine::Up(running)) = self.machines.get_mut(&id) else {
                return;
            };
            if let Some((client, asked)) = running.tokens.remove(&token) {
                let delay = MS / 2 + self.rng.below(2 * MS);
                self.at(
                    self.now + delay,
                    Event::Answer {
                        client,
                        asked,
                        reply,
                    },
                );
            }
        }
    }

    fn see(&mut self, id: NodeId, note: Note) {
        match note {
            Note::Term(term) => self.see_term(id, term),
            Note::Elected(term) => {
                if *self.leaders.entry(term).or_insert(id) != id {
                    self.violations.insert("unique leader".into());
                }
            }
            Note::Applied { index, log, state } => {
                if *self.applied.entry(index).or_insert((log, state)) != (log, state) {
                    self.violations.insert("same state everywhere".into());
                }
            }
            Note::Truncated(_) => {
                self.happened.insert("a log was truncated");
            }
            Note::SnapshotInstalled(_) => {
                self.happened.insert("a snapshot was installed");
            }
            Note::SnapshotTaken(_) => {
                self.happened.insert("a snapshot was taken");
            }
            Note::Leading(_) | Note::Deposed(_) | Note::Committed(_) => {}
        }
    }

    fn see_term(&mut self, id: NodeId, term: Term) {
        let last = self.terms.insert(id, term).unwrap_or(0);
        if term < last {
            self.violations.insert("monotonic term".into());
        }
    }

    fn begin(&mut self, number: usize) {
        let key = self.rng.below(2) as usize;
        let dice = self.rng.below(10);
        let value = self.next_value;
        self.next_value += 1;
        let full = self.histories.entry(key).or_default().len() + 6 > MAX_HISTORY;
        let client = &mut self.clients[number];
        let name = format!("k{key}");
        // Some values are longer than a sector.
        let bytes = |value: u64| {
            let mut bytes = value.to_le_bytes().to_vec();
            bytes.resize(if value.is_multiple_of(3) { 700 } else { 8 }, value as u8);
            bytes
        };
        let op = match (dice, client.seen.get(&key)) {
            (0..5, _) => Op::Get { key: name },
            (5..7, Some(&seen)) => Op::Cas {
                key: name,
                expect: Some(bytes(seen)),
                value: bytes(value),
            },
            _ => Op::Put {
                key: name,
                value: bytes(value),
            },
        };
        if full {
            // Enough is recorded; in calm, the answers still count.
            client.key = usize::MAX;
        } else {
            client.key = key;
        }
        client.op = Some(op);
        client.sequence += 1;
        client.began = self.now;
        client.give_up_at = self.now + 1500 * MS;
        client.maybe = false;
        self.ask(number);
    }

    fn ask(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(op) = client.op.clone() else {
            return;
        };
        client.asked += 1;
        let (asked, to) = (client.asked, client.target);
        let request = Request {
            session: client.session,
            sequence: client.sequence,
            op,
        };
        let delay = MS / 2 + self.rng.below(2 * MS);
        self.at(
            self.now + delay,
            Event::Arrive {
                to,
                client: number,
                asked,
                request,
            },
        );
        self.at(
            self.now + 250 * MS,
            Event::Timeout {
                client: number,
                asked,
            },
        );
    }

    fn arrive(&mut self, to: NodeId, client: usize, asked: u64, request: Request) {
        if let Some(Machine::Up(running)) = self.machines.get_mut(&to) {
            let token = self.sequence;
            running.tokens.insert(token, (client, asked));
            self.step(to, Input::Request { token, request });
        }
    }

    fn answer(&mut self, number: usize, asked: u64, reply: Reply) {
        let client = &mut self.clients[number];
        if client.asked != asked || client.op.is_none() {
            return;
        }
        match reply {
            Reply::Done(outcome) => self.end(number, Some(outcome)),
            Reply::NotLeader(leader) => self.ask_another(number, leader),
            Reply::Unknown => {
                client.maybe = true;
                self.ask_another(number, None);
            }
            Reply::Busy | Reply::Refused => self.ask_another(number, None),
        }
    }

    fn ask_another(&mut self, number: usize, leader: Option<NodeId>) {
        let client = &mut self.clients[number];
        client.target = leader.unwrap_or(client.target % 3 + 1);
        if self.now >= client.give_up_at {
            self.end(number, None);
        } else {
            self.ask(number);
        }
    }

    fn end(&mut self, number: usize, outcome: Option<Outcome>) {
        let new_session = self.rng.next_u64();
        let client = &mut self.clients[number];
        let op = client.op.take();
        let value = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        let known = outcome.is_some();
        self.answered += u64::from(known);
        self.answered_in_calm += u64::from(known && self.calm);
        let act = match (op, outcome) {
            (Some(Op::Get { .. }), Some(Outcome::Value(read))) => {
                let read = read.as_deref().map(value);
                if let Some(read) = read {
                    client.seen.insert(client.key, read);
                }
                Some(Act::Read(read))
            }
            (Some(Op::Put { value: written, .. }), Some(Outcome::Written) | None) => {
                Some(Act::Write(value(&written)))
            }
            (
                Some(Op::Cas {
                    expect: Some(expect),
                    value: written,
                    ..
                }),
                Some(Outcome::Written) | None,
            ) => Some(Act::Cas(value(&expect), value(&written))),
            _ => None,
        };
        let recorded = client.key != usize::MAX && (known || client.maybe);
        if let Some(act) = act.filter(|_| recorded) {
            let ended = known.then_some(self.now);
            let operation = Operation {
                began: client.began,
                ended,
                act,
            };
            self.histories
                .entry(client.key)
                .or_default()
                .push(operation);
        }
        if !known {
            client.session = new_session;
        }
        let pause = MS + self.rng.below(120 * MS);
        self.at(self.now + pause, Event::Client { client: number });
    }
}
