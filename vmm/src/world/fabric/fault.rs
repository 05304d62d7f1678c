//! Link faults: what is wrong with some of a network's links while it is armed, and what several of
//! them together make of one link.

use serde::{Deserialize, Serialize};

use super::link::DropCause;
use super::shape::Chance;
use crate::tape::{Stream, StreamState, Tape};
use crate::time::VirtTime;

/// The shortest phase of a flapping link in nanoseconds; shorter ones are drawn as this, so that the
/// phases of a long silence can be drawn in reasonable time.
pub const FLAP_MIN_NS: u64 = 100_000;

/// The most phases that are drawn for one frame. After a silence of more than these the phase that
/// was reached goes on up to the frame.
const FLAP_PHASES_MAX: u32 = 1 << 16;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkFaultKind {
    /// Nothing gets through. Partitions are made of these.
    Down,
    /// Frames travel longer.
    Latency {
        /// By this, in nanoseconds.
        by_ns: u64,
        /// And by up to this, drawn for each frame, in nanoseconds.
        jitter_ns: u64,
        /// Whether frames overtake each other by that, as with [`super::LinkShape::overtake`].
        overtake: bool,
    },
    /// Frames travel longer by a drawn time.
    Jitter {
        /// The longest of those times in nanoseconds.
        by_ns: u64,
        /// Whether frames overtake each other by that, as with [`super::LinkShape::overtake`].
        overtake: bool,
    },
    /// No more than this gets through.
    Bandwidth {
        /// Bits per second.
        bps: u64,
    },
    /// Frames are lost.
    Loss {
        /// How many of them.
        chance: Chance,
    },
    /// Frames arrive with a bit turned over.
    Corrupt {
        /// How many of them.
        chance: Chance,
    },
    /// Frames are overtaken.
    Reorder {
        /// How many of them.
        chance: Chance,
        /// How long they are held back at most, in nanoseconds.
        window_ns: u64,
    },
    /// Frames arrive twice.
    Duplicate {
        /// How many of them.
        chance: Chance,
    },
    /// All links concerned go down and up together, over and over, beginning with down.
    Flap {
        /// The shortest and the longest time down in nanoseconds.
        down: (u64, u64),
        /// The shortest and the longest time up in nanoseconds.
        up: (u64, u64),
    },
}

/// A fault on some links of one network. It concerns each frame that is sent while it is armed from
/// any of `from` to any of `to`; frames that already travel arrive as they would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFault {
    /// The index of the network.
    pub network: usize,
    /// Indices of the nodes that send.
    pub from: Vec<usize>,
    /// Indices of the nodes that receive.
    pub to: Vec<usize>,
    /// What is wrong.
    pub kind: LinkFaultKind,
}

/// Where a flapping link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlapState {
    /// Whether it is down.
    pub down: bool,
    /// When that changes.
    pub until: VirtTime,
    /// What the lengths of the phases are drawn from.
    pub stream: StreamState,
}

/// A flapping link, which draws the lengths of its phases as they are needed.
#[derive(Debug)]
struct Flap {
    is_down: bool,
    until: VirtTime,
    down: (u64, u64),
    up: (u64, u64),
    stream: Stream,
}

impl Flap {
    fn new(now: VirtTime, down: (u64, u64), up: (u64, u64), stream: Stream) -> Self {
        let mut flap = Self {
            is_down: true,
            until: now,
            down,
            up,
            stream,
        };
        flap.until = flap.phase_end();
        flap
    }

    /// Draws when the present phase, which begins where the last one ended, is over.
    fn phase_end(&mut self) -> VirtTime {
        let (min, max) = if self.is_down { self.down } else { self.up };
        self.until
            .after(self.stream.range(min, max).max(FLAP_MIN_NS))
    }

    /// Whether it is down at `now`; moments may only be asked for in order.
    fn is_down(&mut self, now: VirtTime) -> bool {
        for _ in 0..FLAP_PHASES_MAX {
            if now < self.until {
                return self.is_down;
            }
            self.is_down = !self.is_down;
            self.until = self.phase_end();
        }
        self.until = self.until.max(now.after(1));
        self.is_down
    }
}

/// A fault that is armed.
#[derive(Debug)]
pub(super) struct Armed {
    fault: LinkFault,
    flap: Option<Flap>,
}

/// All of an armed fault that has to be saved besides the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedState {
    /// The fault.
    pub fault: LinkFault,
    /// Where it is, if it flaps.
    pub flap: Option<FlapState>,
}

impl Armed {
    /// Arms `fault` at `now`; a flap draws its phases from `stream`.
    pub fn new(fault: LinkFault, now: VirtTime, stream: impl FnOnce() -> Stream) -> Self {
        let flap = match fault.kind {
            LinkFaultKind::Flap { down, up } => Some(Flap::new(now, down, up, stream())),
            _ => None,
        };
        Self { fault, flap }
    }

    /// A copy of the state.
    pub fn state(&self) -> ArmedState {
        ArmedState {
            fault: self.fault.clone(),
            flap: self.flap.as_ref().map(|flap| FlapState {
                down: flap.is_down,
                until: flap.until,
                stream: flap.stream.state().clone(),
            }),
        }
    }

    /// The fault that `state` describes; later phases are drawn from `tape`.
    pub fn resume(state: &ArmedState, tape: &Tape) -> Self {
        let flap = match (&state.fault.kind, &state.flap) {
            (LinkFaultKind::Flap { down, up }, Some(flap)) => Some(Flap {
                is_down: flap.down,
                until: flap.until,
                down: *down,
                up: *up,
                stream: tape.resume(&flap.stream),
            }),
            _ => None,
        };
        Self {
            fault: state.fault.clone(),
            flap,
        }
    }

    /// Adds what this fault does at `now` to frames from node `from` to node `to`.
    pub fn add_to(&mut self, weather: &mut Weather, now: VirtTime, from: usize, to: usize) {
        if !self.fault.from.contains(&from) || !self.fault.to.contains(&to) {
            return;
        }
        match self.fault.kind {
            LinkFaultKind::Down => weather.down = Some(DropCause::Down),
            LinkFaultKind::Latency {
                by_ns,
                jitter_ns,
                overtake,
            } => {
                weather.latency_ns = weather.latency_ns.saturating_add(by_ns);
                weather.add_jitter(jitter_ns, overtake);
            }
            LinkFaultKind::Jitter { by_ns, overtake } => weather.add_jitter(by_ns, overtake),
            LinkFaultKind::Bandwidth { bps } => {
                weather.bandwidth_bps = weather.bandwidth_bps.min(bps);
            }
            LinkFaultKind::Loss { chance } => weather.losses.push(chance),
            LinkFaultKind::Corrupt { chance } => weather.corruptions.push(chance),
            LinkFaultKind::Duplicate { chance } => weather.duplications.push(chance),
            LinkFaultKind::Reorder { chance, window_ns } => {
                weather.reorders.push((chance, window_ns));
            }
            LinkFaultKind::Flap { .. } => {
                let is_down = self.flap.as_mut().is_some_and(|flap| flap.is_down(now));
                if is_down && weather.down.is_none() {
                    weather.down = Some(DropCause::Flap);
                }
            }
        }
    }
}

/// A time up to which frames are late, drawn for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jitter {
    /// The longest in nanoseconds.
    pub by_ns: u64,
    /// Whether frames overtake each other by it.
    pub overtake: bool,
}

/// What all armed faults together do to one link at one moment: latencies add up, the least
/// bandwidth counts, and each chance is drawn for on its own.
#[derive(Debug)]
pub(super) struct Weather {
    pub down: Option<DropCause>,
    pub latency_ns: u64,
    pub jitters: Vec<Jitter>,
    pub bandwidth_bps: u64,
    pub losses: Vec<Chance>,
    pub corruptions: Vec<Chance>,
    pub duplications: Vec<Chance>,
    pub reorders: Vec<(Chance, u64)>,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            down: None,
            latency_ns: 0,
            jitters: Vec::new(),
            bandwidth_bps: u64::MAX,
            losses: Vec::new(),
            corruptions: Vec::new(),
            duplications: Vec::new(),
            reorders: Vec::new(),
        }
    }
}

impl Weather {
    fn add_jitter(&mut self, by_ns: u64, overtake: bool) {
        if by_ns > 0 {
            self.jitters.push(Jitter { by_ns, overtake });
        }
    }
}
