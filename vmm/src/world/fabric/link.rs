//! One direction of a link between two ports: what becomes of a frame on it, and when it arrives.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::Layer;
use super::counters::LinkCounters;
use super::fault::{Jitter, Weather};
use super::shape::{BANDWIDTH_MAX_BPS, BANDWIDTH_MIN_BPS, Chance, LinkShape, TRAVELLING_MAX_BYTES};
use super::streams::{LinkStreams, Purpose};
use crate::invariant::invariant;
use crate::tape::{StreamState, Tape};
use crate::time::VirtTime;

/// Nanoseconds in which one bit per second carries one byte.
const NANOS_PER_BYTE: u128 = 8_000_000_000;

/// Why a frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropCause {
    /// The link was down.
    Down,
    /// The link was down because it flaps.
    Flap,
    /// Loss.
    Loss,
    /// The queue was full.
    Queue,
}

impl DropCause {
    /// A word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "link down",
            Self::Flap => "link flapping",
            Self::Loss => "lost",
            Self::Queue => "queue full",
        }
    }
}

/// A frame that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// When it arrives.
    pub arrival: VirtTime,
    /// Whether it arrives twice.
    pub doubled: bool,
    /// Bits that are turned over: byte times eight, and the bit from the least significant one.
    pub flipped: Vec<u64>,
    /// How long it is held back for others to overtake, in nanoseconds.
    pub held_ns: u64,
}

/// What changes about one direction of a link as frames pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// When all that waits has left.
    busy_until: VirtTime,
    /// When the last frame would have arrived if the latency and jitters by which frames overtake were
    /// nothing; without those none overtakes it.
    last: VirtTime,
    /// Bytes that travel.
    travelling: u64,
    /// What happened so far.
    counters: LinkCounters,
    /// How far the decisions are.
    streams: Vec<StreamState>,
}

/// One direction of a link.
#[derive(Debug)]
pub struct Link {
    shape: LinkShape,
    down: bool,
    state: LinkState,
    streams: LinkStreams,
}

impl Link {
    /// A link at power-on. `down` is whether the plan lets nothing through.
    pub fn new(shape: LinkShape, down: bool, prefix: String, tape: &Arc<Tape>) -> Self {
        Self {
            shape,
            down,
            state: LinkState::default(),
            streams: LinkStreams::new(prefix, tape),
        }
    }

    /// A copy of the state.
    pub fn state(&self) -> LinkState {
        LinkState {
            streams: self.streams.state(),
            ..self.state.clone()
        }
    }

    /// Goes back to `state`; later decisions are those of `tape`.
    pub fn set_state(&mut self, state: &LinkState, tape: &Arc<Tape>) {
        self.state = state.clone();
        self.streams.set_state(&state.streams, tape);
    }

    /// The least time in nanoseconds that a frame takes, or `None` if the plan lets none through on
    /// a network of this layer.
    pub fn latency(&self, layer: Layer) -> Option<u64> {
        (!self.down || layer == Layer::Ip).then(|| self.shape.latency())
    }

    /// What happened so far.
    pub fn counters(&self) -> LinkCounters {
        self.state.counters
    }

    /// A frame of `len` bytes wants to pass at `now`.
    pub fn carry(
        &mut self,
        now: VirtTime,
        len: u64,
        weather: &Weather,
    ) -> Result<Passage, DropCause> {
        let result = self.try_carry(now, len, weather);
        self.count(len, result)
    }

    /// A frame of `len` bytes that nothing but the latency touches passes at `now`. It takes no
    /// decision and does not wait in the queue; a flood of such frames is dropped as others are.
    pub fn pass(&mut self, now: VirtTime, len: u64) -> Result<Passage, DropCause> {
        let result = if self.state.travelling + len > TRAVELLING_MAX_BYTES {
            Err(DropCause::Queue)
        } else {
            self.state.travelling += len;
            Ok(Passage {
                arrival: now.after(self.shape.latency()),
                doubled: false,
                flipped: Vec::new(),
                held_ns: 0,
            })
        };
        self.count(len, result)
    }

    /// Counts what became of a frame that was sent.
    fn count(
        &mut self,
        len: u64,
        result: Result<Passage, DropCause>,
    ) -> Result<Passage, DropCause> {
        let counters = &mut self.state.counters;
        counters.sent += 1;
        counters.sent_bytes += len;
        match &result {
            Ok(passage) => {
                counters.duplicated += u64::from(passage.doubled);
                counters.corrupted += u64::from(!passage.flipped.is_empty());
                counters.reordered += u64::from(passage.held_ns > 0);
            }
            Err(DropCause::Down) => counters.dropped_down += 1,
            Err(DropCause::Flap) => counters.dropped_flap += 1,
            Err(DropCause::Loss) => counters.dropped_loss += 1,
            Err(DropCause::Queue) => counters.dropped_queue += 1,
        }
        result
    }

    fn try_carry(
        &mut self,
        now: VirtTime,
        len: u64,
        weather: &Weather,
    ) -> Result<Passage, DropCause> {
        if self.down {
            return Err(DropCause::Down);
        }
        if let Some(cause) = weather.down {
            return Err(cause);
        }
        let (sent, own) = self.transmit(now, len, weather)?;
        if self.happens(
            Purpose::Loss,
            self.shape.loss,
            Purpose::FaultLoss,
            &weather.losses,
        ) > 0
        {
            return Err(DropCause::Loss);
        }
        let left = self.jitter(sent, weather).after(weather.latency_ns);
        self.state.counters.delayed += u64::from(left > now.after(own));
        let held_ns = self.hold(weather);
        let doubled = self.happens(
            Purpose::Duplicate,
            self.shape.duplicate,
            Purpose::FaultDuplicate,
            &weather.duplications,
        ) > 0;
        let flipped = self.corrupt(len, weather);
        self.state.travelling += len * (1 + u64::from(doubled));
        Ok(Passage {
            arrival: left.after(self.shape.latency()).after(held_ns),
            doubled,
            flipped,
            held_ns,
        })
    }

    /// Puts the frame into the queue. Returns when its last bit has left, and how long its own bits
    /// take, in nanoseconds.
    fn transmit(
        &mut self,
        now: VirtTime,
        len: u64,
        weather: &Weather,
    ) -> Result<(VirtTime, u64), DropCause> {
        let bps = self.shape.bandwidth_bps.min(weather.bandwidth_bps);
        let bps = u128::from(bps.clamp(BANDWIDTH_MIN_BPS, BANDWIDTH_MAX_BPS));
        let start = self.state.busy_until.max(now);
        let waiting = u128::from(start.0 - now.0) * bps / NANOS_PER_BYTE;
        let fits = waiting + u128::from(len) <= u128::from(self.shape.queue_bytes);
        if (start > now && !fits) || self.state.travelling + len > TRAVELLING_MAX_BYTES {
            return Err(DropCause::Queue);
        }
        let own = (u128::from(len) * NANOS_PER_BYTE).div_ceil(bps);
        let own = u64::try_from(own).unwrap_or(u64::MAX);
        self.state.busy_until = start.after(own);
        Ok((self.state.busy_until, own))
    }

    /// Draws the jitter of a frame whose last bit left at `sent`, and keeps the order but for jitters
    /// by which frames overtake. A frame waits for the one before it no longer than the present jitter
    /// could have delayed it, so that the end of a great jitter is felt at once.
    fn jitter(&mut self, sent: VirtTime, weather: &Weather) -> VirtTime {
        let own = Jitter {
            by_ns: self.shape.jitter_ns,
            overtake: self.shape.overtake,
        };
        let faults = weather.jitters.iter();
        let all = faults.map(|jitter| (Purpose::FaultJitter, *jitter));
        let (mut in_order, mut most, mut free) = (0u64, 0u64, 0u64);
        for (purpose, Jitter { by_ns, overtake }) in [(Purpose::Jitter, own)].into_iter().chain(all)
        {
            let late = self.streams.between(purpose, 0, by_ns);
            if overtake {
                free = free.saturating_add(late);
            } else {
                in_order = in_order.saturating_add(late);
                most = most.saturating_add(by_ns);
            }
        }
        let waits_until = self.state.last.min(sent.after(most));
        let moment = sent.after(in_order).max(waits_until);
        self.state.last = moment;
        moment.after(free)
    }

    /// Draws whether and how long the frame is held back, in nanoseconds.
    fn hold(&mut self, weather: &Weather) -> u64 {
        let own = (self.shape.reorder, self.shape.reorder_window_ns);
        let mut held: u64 = 0;
        if self.streams.happens(Purpose::Reorder, own.0) {
            held = self.streams.between(Purpose::Hold, 1, own.1);
        }
        for &(chance, window) in &weather.reorders {
            if self.streams.happens(Purpose::FaultReorder, chance) {
                held = held.saturating_add(self.streams.between(Purpose::Hold, 1, window));
            }
        }
        held
    }

    /// Draws which bits are turned over.
    fn corrupt(&mut self, len: u64, weather: &Weather) -> Vec<u64> {
        let hits = self.happens(
            Purpose::Corrupt,
            self.shape.corrupt,
            Purpose::FaultCorrupt,
            &weather.corruptions,
        );
        (0..hits)
            .map(|_| self.streams.between(Purpose::Bit, 0, len * 8 - 1))
            .collect()
    }

    /// How many of the link's own chance and those of faults come true. All are drawn, so that the
    /// number of a decision does not depend on the others.
    fn happens(&mut self, own: Purpose, chance: Chance, fault: Purpose, faults: &[Chance]) -> u64 {
        let mut hits = u64::from(self.streams.happens(own, chance));
        for &chance in faults {
            hits += u64::from(self.streams.happens(fault, chance));
        }
        hits
    }

    /// A frame of `len` bytes that travelled has arrived, and the receiver took it or was not there.
    pub fn arrived(&mut self, len: u64, taken: bool) {
        invariant!(
            self.state.travelling >= len,
            "more arrives than was on its way"
        );
        self.state.travelling = self.state.travelling.saturating_sub(len);
        let counters = &mut self.state.counters;
        if taken {
            counters.delivered += 1;
            counters.delivered_bytes += len;
        } else {
            counters.dropped_receiver += 1;
        }
    }
}
