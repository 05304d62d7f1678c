//! The decisions of one direction of a link, each kind from a stream of its own, so that a decision
//! of one kind has the number of the frame that it is about and shifts none of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shape::Chance;
use crate::tape::{Stream, StreamState, Tape};

/// What a decision is about. The names of the streams are these, in lower case with hyphens; the
/// second of each pair is for armed faults, which draw in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Jitter,
    FaultJitter,
    Loss,
    FaultLoss,
    Corrupt,
    FaultCorrupt,
    /// Which bit is turned over.
    Bit,
    Duplicate,
    FaultDuplicate,
    Reorder,
    FaultReorder,
    /// How long a frame is held back.
    Hold,
}

impl Purpose {
    const ALL: [Self; 12] = [
        Self::Jitter,
        Self::FaultJitter,
        Self::Loss,
        Self::FaultLoss,
        Self::Corrupt,
        Self::FaultCorrupt,
        Self::Bit,
        Self::Duplicate,
        Self::FaultDuplicate,
        Self::Reorder,
        Self::FaultReorder,
        Self::Hold,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Jitter => "jitter",
            Self::FaultJitter => "fault-jitter",
            Self::Loss => "loss",
            Self::FaultLoss => "fault-loss",
            Self::Corrupt => "corrupt",
            Self::FaultCorrupt => "fault-corrupt",
            Self::Bit => "bit",
            Self::Duplicate => "duplicate",
            Self::FaultDuplicate => "fault-duplicate",
            Self::Reorder => "reorder",
            Self::FaultReorder => "fault-reorder",
            Self::Hold => "hold",
        }
    }
}

/// The streams of one direction of a link. A stream is made when it is first drawn from.
#[derive(Debug)]
pub struct LinkStreams {
    /// `net/{network}/{from}->{to}`.
    prefix: String,
    tape: Arc<Tape>,
    streams: BTreeMap<Purpose, Stream>,
}

impl LinkStreams {
    /// The streams `{prefix}/...` of `tape`.
    pub fn new(prefix: String, tape: &Arc<Tape>) -> Self {
        Self {
            prefix,
            tape: Arc::clone(tape),
            streams: BTreeMap::new(),
        }
    }

    /// The positions of the streams that were drawn from, ordered.
    pub fn state(&self) -> Vec<StreamState> {
        self.streams
            .values()
            .map(|stream| stream.state().clone())
            .collect()
    }

    /// Goes back to `state`; later decisions are those of `tape`.
    pub fn set_state(&mut self, state: &[StreamState], tape: &Arc<Tape>) {
        self.tape = Arc::clone(tape);
        self.streams.clear();
        for purpose in Purpose::ALL {
            let name = format!("{}/{}", self.prefix, purpose.name());
            if let Some(saved) = state.iter().find(|saved| saved.name == name) {
                self.streams.insert(purpose, tape.resume(saved));
            }
        }
    }

    /// Draws whether something happens; a chance of nothing takes no decision.
    pub fn happens(&mut self, purpose: Purpose, chance: Chance) -> bool {
        chance.is_possible() && self.of(purpose).happens(chance)
    }

    /// Draws from `low` to `high`, both included; a range of one number takes no decision.
    pub fn between(&mut self, purpose: Purpose, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        self.of(purpose).range(low, high)
    }

    fn of(&mut self, purpose: Purpose) -> &mut Stream {
        self.streams.entry(purpose).or_insert_with(|| {
            self.tape
                .stream(&format!("{}/{}", self.prefix, purpose.name()))
        })
    }
}
