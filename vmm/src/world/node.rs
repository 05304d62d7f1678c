//! A node: a machine that can be switched off and on, its disks, and its clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaosrun_chance::Chance;
use serde::Serialize;

use super::body::{Body, Life, Maker};
use super::clock::NodeClock;
use super::crew::Lane;
use crate::disk::{Disk, DiskCounters};
use crate::engine::EngineError;
use crate::machine::{Component, Input, MachineError};
use crate::tape::{Stream, Tape};
use crate::time::VirtTime;

/// The most inputs that wait for a node that stands still, and the most bytes in them: about what
/// the queue of a virtual network card holds.
const HELD_MAX: usize = 1000;
const HELD_MAX_BYTES: usize = 1 << 20;

/// What a node is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// It is on.
    Running,
    /// It is on and stands still.
    Paused,
    /// It is off, or its machine ended by itself.
    Down,
}

/// What a node did and what was done to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeCounters {
    /// The node's name.
    pub name: String,
    /// How often it was switched on or reset.
    pub starts: u64,
    /// How often it was killed or lost power.
    pub kills: u64,
    /// How often it was paused.
    pub pauses: u64,
    /// How often its machine ended by itself.
    pub stops: u64,
    /// Instructions retired in all its lives.
    pub retired: u64,
    /// Outputs, such as frames and SDK messages, that were lost because there were too many.
    pub outputs_lost: u64,
    /// Bytes of the console that were lost because there were too many.
    pub console_lost: u64,
    /// Inputs that were lost because too many waited for it while it stood still.
    pub inputs_lost: u64,
    /// Its disks.
    pub disks: Vec<DiskCounters>,
}

/// What a node is at a moment, besides its machine, its disks and its decisions.
#[derive(Debug, Clone)]
pub(super) struct NodeState {
    pub clock: NodeClock,
    pub status: Status,
    /// How often it was switched on.
    pub life: u64,
    /// What the clock showed then.
    pub born: VirtTime,
    /// How far faults have moved the date, in nanoseconds.
    pub moved_ns: i64,
    pub throttle: (u64, u64),
    pub timer_delay_ns: u64,
    pub held: Vec<Input>,
    pub held_bytes: usize,
    /// What the engines of machines that are no more could not promise.
    pub caveats: BTreeSet<String>,
    pub counters: NodeCounters,
}

/// A node.
pub(super) struct Node {
    pub name: String,
    pub state: NodeState,
    pub(super) maker: Box<dyn Maker>,
    pub(super) body: Option<Box<dyn Body>>,
    /// The disks while there is no machine that has them.
    pub(super) disks: Vec<Disk>,
    pub(super) power: Stream,
    /// Instructions that it ran in its last window.
    pub weight: u64,
    /// Which thread had it last.
    pub lane: Lane,
    /// The host's processors that execute it; none for any.
    pub pin: Arc<[u32]>,
}

impl Node {
    /// A node that is down.
    pub fn new(
        name: &str,
        drift_ppb: i64,
        maker: Box<dyn Maker>,
        disks: Vec<Disk>,
        pin: Arc<[u32]>,
        tape: &Tape,
    ) -> Self {
        Self {
            name: name.to_owned(),
            state: NodeState {
                clock: NodeClock::new(drift_ppb),
                status: Status::Down,
                life: 0,
                born: VirtTime(0),
                moved_ns: 0,
                throttle: (1, 1),
                timer_delay_ns: 0,
                held: Vec::new(),
                held_bytes: 0,
                caveats: BTreeSet::new(),
                counters: NodeCounters {
                    name: name.to_owned(),
                    ..NodeCounters::default()
                },
            },
            maker,
            body: None,
            disks,
            power: tape.stream(&format!("{name}/power-loss")),
            weight: 0,
            lane: 0,
            pin,
        }
    }

    pub fn status(&self) -> Status {
        self.state.status
    }

    /// The machine, if it is on, also if it stands still.
    pub fn body(&self) -> Option<&dyn Body> {
        self.body.as_deref()
    }

    /// The machine's own moment at `world`.
    pub fn moment(&self, world: VirtTime) -> VirtTime {
        VirtTime(
            self.state
                .clock
                .local_at(world)
                .0
                .saturating_sub(self.state.born.0),
        )
    }

    /// The first moment of the world at which the machine's own is `moment`.
    pub fn world(&self, moment: VirtTime) -> VirtTime {
        self.state.clock.world_at(self.state.born.after(moment.0))
    }

    /// The earliest moment of the world at which the machine can do something by itself, or `None` if
    /// it does not run. It is in the past if the machine was not asked to run up to now.
    pub fn earliest(&self) -> Option<VirtTime> {
        let body = self
            .body()
            .filter(|_| self.state.status == Status::Running)?;
        Some(self.world(body.next_event().unwrap_or_else(|| body.now())))
    }

    /// Switches it on at `now`, or resets it.
    pub fn start(&mut self, now: VirtTime) -> Result<(), MachineError> {
        self.take_apart();
        self.state.born = self.state.clock.local_at(now);
        let life = Life {
            number: self.state.life,
            born: self.state.born,
            moved_ns: self.state.moved_ns,
        };
        let mut body = self.maker.make(life, self.disks.clone())?;
        self.disks.clear();
        self.state.life += 1;
        self.state.counters.starts += 1;
        // What is as at power-on is left alone, because a change means that the boot has to be executed.
        if self.state.timer_delay_ns != 0 {
            body.delay_timers(self.state.timer_delay_ns);
        }
        self.body = Some(body);
        self.state.status = Status::Running;
        if self.state.throttle != (1, 1) {
            self.apply_throttle();
        }
        Ok(())
    }

    /// The power fails: what is not durable is lost or, in part, torn.
    pub fn power_loss(&mut self, torn: Chance) {
        self.state.counters.kills += u64::from(self.state.status != Status::Down);
        self.take_apart();
        for disk in &mut self.disks {
            disk.power_loss(torn, &mut self.power);
        }
    }

    /// The machine ended by itself.
    pub fn stopped(&mut self) {
        self.state.counters.stops += 1;
        self.take_apart();
    }

    /// Switches the machine off and keeps its disks as they are.
    fn take_apart(&mut self) {
        self.state.status = Status::Down;
        self.state.held.clear();
        self.state.held_bytes = 0;
        self.weight = 0;
        if let Some(body) = self.body.take() {
            let (outputs, console) = body.lost();
            self.state.counters.outputs_lost += outputs;
            self.state.counters.console_lost += console;
            self.state.counters.retired += body.retired();
            self.state.caveats.extend(body.caveats());
            self.disks = body.into_disks();
        }
    }

    /// Stands still from now on. The machine has to have run up to now.
    pub fn pause(&mut self) {
        if self.state.status == Status::Running {
            self.state.status = Status::Paused;
            self.state.counters.pauses += 1;
        }
    }

    /// Goes on at `now`, with what has come in the meantime.
    pub fn resume(&mut self, now: VirtTime) {
        if self.state.status != Status::Paused {
            return;
        }
        self.state.status = Status::Running;
        let moment = self.moment(now);
        self.state.held_bytes = 0;
        if let Some(body) = &mut self.body {
            body.skip_to(moment);
            for input in self.state.held.drain(..) {
                body.input(input);
            }
        }
    }

    /// Computes at a part of its speed from now on.
    pub fn throttle(&mut self, num: u64, den: u64) {
        self.state.throttle = if num == 0 || den == 0 {
            // No speed at all is a pause, which this is not.
            (1, u64::MAX)
        } else {
            (num, den)
        };
        self.apply_throttle();
    }

    fn apply_throttle(&mut self) {
        let (num, den) = self.state.throttle;
        let rate = u128::from(self.maker.rate()) * u128::from(num) / u128::from(den);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
        if let Some(body) = &mut self.body {
            body.set_rate(rate);
        }
    }

    /// Timers come late from now on.
    pub fn delay_timers(&mut self, by_ns: u64) {
        self.state.timer_delay_ns = by_ns;
        if let Some(body) = &mut self.body {
            body.delay_timers(by_ns);
        }
    }

    /// From now on faults have moved the date so many nanoseconds from what it would be without them, also
    /// while the node is down.
    pub fn move_wall(&mut self, moved_ns: i64) {
        self.state.moved_ns = moved_ns;
        if let Some(body) = &mut self.body {
            body.move_wall(moved_ns);
        }
    }

    /// Gives the machine `input`, now or when it goes on. Returns whether it takes it.
    pub fn input(&mut self, input: Input) -> bool {
        match (self.state.status, &mut self.body) {
            (Status::Running, Some(body)) => {
                body.input(input);
                true
            }
            (Status::Paused, Some(_)) => {
                let bytes = length(&input);
                // Commands come from the runner, one or two for a fault, so that they are few; and a fault
                // whose end got lost would go on.
                let fits = matches!(input, Input::Control(_))
                    || self.state.held.len() < HELD_MAX
                        && self.state.held_bytes + bytes <= HELD_MAX_BYTES;
                if fits {
                    self.state.held_bytes += bytes;
                    self.state.held.push(input);
                } else {
                    self.state.counters.inputs_lost += 1;
                }
                fits
            }
            _ => false,
        }
    }

    /// One of the disks, in the machine or not.
    pub fn disk_mut(&mut self, index: usize) -> Option<&mut Disk> {
        match &mut self.body {
            Some(body) => body.disk_mut(index),
            None => self.disks.get_mut(index),
        }
    }

    /// Takes the machine out to run it.
    pub fn lend(&mut self) -> Option<Box<dyn Body>> {
        self.body.take()
    }

    /// Puts the machine back.
    pub fn give_back(&mut self, body: Box<dyn Body>) {
        // One of the two would be lost, with its disks.
        assert!(self.body.is_none(), "node {} has two machines", self.name);
        self.body = Some(body);
    }

    /// What the engines of all its machines can't promise.
    pub fn caveats(&self) -> BTreeSet<String> {
        let now = self.body().map_or(Vec::new(), |body| body.caveats());
        self.state.caveats.iter().cloned().chain(now).collect()
    }

    /// What happened so far.
    pub fn counters(&mut self) -> NodeCounters {
        let mut counters = self.state.counters.clone();
        if let Some(body) = self.body() {
            let (outputs, console) = body.lost();
            counters.outputs_lost += outputs;
            counters.console_lost += console;
        }
        counters.retired = self.retired();
        let disks = (0..).map_while(|index| Some(*self.disk_mut(index)?.counters()));
        counters.disks = disks.collect();
        counters
    }

    /// Instructions retired in all lives.
    pub fn retired(&self) -> u64 {
        self.state.counters.retired + self.body().map_or(0, |body| body.retired())
    }

    /// The digests of everything that decides what the node does next. The machine has to have run up
    /// to now, unless it stands still.
    pub fn components(&mut self, digest: fn(&[u8]) -> u128) -> Result<Vec<Component>, EngineError> {
        // All fields are named here, so that a new one can't be forgotten, and each counter is hashed by
        // itself.
        let NodeState {
            clock,
            status,
            life,
            born,
            moved_ns,
            throttle,
            timer_delay_ns,
            held,
            // Follows from what is held.
            held_bytes: _,
            // Say something of the host.
            caveats: _,
            counters:
                NodeCounters {
                    kills,
                    pauses,
                    stops,
                    inputs_lost,
                    // The name stands in front of every part; `life` counts the starts.
                    name: _,
                    starts: _,
                    // Sums over all machines, which decide nothing; the present one hashes its own part of
                    // them.
                    retired: _,
                    outputs_lost: _,
                    console_lost: _,
                    // Each disk has a part of its own.
                    disks: _,
                },
        } = &self.state;
        let own = (
            clock,
            status,
            life,
            born,
            moved_ns,
            throttle,
            timer_delay_ns,
            held,
            self.power.state(),
            (kills, pauses, stops, inputs_lost),
        );
        let bytes = postcard::to_allocvec(&own).expect("this state has a postcard form");
        let mut parts = vec![Component {
            name: "life".to_owned(),
            digest: digest(&bytes),
        }];
        match &mut self.body {
            Some(body) => parts.extend(body.components()?),
            None => {
                parts.extend(
                    self.disks
                        .iter_mut()
                        .enumerate()
                        .map(|(index, disk)| Component {
                            name: format!("disk{index}"),
                            digest: disk.digest(),
                        }),
                )
            }
        }
        for part in &mut parts {
            part.name.insert_str(0, &format!("{}/", self.name));
        }
        Ok(parts)
    }
}

/// About how much memory an input takes.
fn length(input: &Input) -> usize {
    match input {
        Input::Frame { bytes, .. } | Input::Control(bytes) => bytes.len(),
        Input::Irq { .. } | Input::Nmi { .. } | Input::TimerNow { .. } => 0,
    }
}
