//! The decision tape: every choice that a guest does not make itself.
//!
//! Choices are drawn from **named streams** of one seeded generator and are numbered within their
//! stream. A [`Tape`] is the seed together with overrides of the form "in stream S, decision K is
//! V". A stream's key depends on the seed and on the stream's name alone, so that a new stream
//! shifts no other; decision K depends on the key, on K and on the range asked for alone, so that an
//! override shifts no later decision.
//!
//! The generator is ChaCha8. A decision takes 64 bits at word `2 K` of the key's ChaCha stream 0;
//! should those be rejected (see [`Stream::below`]), it takes the bits at the same place of ChaCha
//! stream 1, 2 and so on.

use std::collections::BTreeMap;

use chaosrun_chance::Chance;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::invariant::invariant;

/// Separates these keys from any other use of the hash.
const KEY_CONTEXT: &str = "chaosrun 2026 decision tape: stream key";

/// A seed and the decisions that differ from what the seed says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape {
    seed: u64,
    overrides: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Tape {
    /// A tape without overrides.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            overrides: BTreeMap::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Decides that in stream `stream`, decision number `decision` (from zero) is `value`. A value
    /// outside the range that is asked for then counts as the nearest one inside.
    pub fn set(&mut self, stream: &str, decision: u64, value: u64) {
        self.overrides
            .entry(stream.to_owned())
            .or_default()
            .insert(decision, value);
    }

    /// Withdraws an override.
    pub fn unset(&mut self, stream: &str, decision: u64) {
        if let Some(decisions) = self.overrides.get_mut(stream) {
            decisions.remove(&decision);
            if decisions.is_empty() {
                self.overrides.remove(stream);
            }
        }
    }

    /// All overrides as (stream, decision, value), ordered.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.overrides.iter().flat_map(|(stream, decisions)| {
            decisions
                .iter()
                .map(move |(&decision, &value)| (stream.as_str(), decision, value))
        })
    }

    /// The stream called `name`, at its first decision.
    pub fn stream(&self, name: &str) -> Stream {
        self.resume(&StreamState {
            name: name.to_owned(),
            next: 0,
        })
    }

    /// A stream at the position that `state` describes. The overrides are this tape's, which may
    /// differ from those of the tape on which the state was taken: that is how a branch is made.
    pub fn resume(&self, state: &StreamState) -> Stream {
        let mut rng = ChaCha8Rng::from_seed(key(self.seed, &state.name));
        rng.set_word_pos(u128::from(state.next) * 2);
        let overrides = self.overrides.get(&state.name).cloned().unwrap_or_default();
        Stream {
            state: state.clone(),
            rng,
            overrides,
        }
    }
}

/// The position of a stream: all of it that has to be saved besides the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// The stream's name.
    pub name: String,
    /// The number of the decision to be drawn next.
    pub next: u64,
}

/// One named stream of decisions.
#[derive(Debug, Clone)]
pub struct Stream {
    state: StreamState,
    rng: ChaCha8Rng,
    overrides: BTreeMap<u64, u64>,
}

impl Stream {
    /// The stream's name and position.
    pub fn state(&self) -> &StreamState {
        &self.state
    }

    /// Draws any 64-bit number.
    pub fn any(&mut self) -> u64 {
        self.draw(Some).unwrap_or_else(|value| value)
    }

    /// Draws a number below `bound`; every one is equally likely. A bound of zero counts as one.
    ///
    /// The number is the upper half of the 128-bit product of 64 random bits and `bound`. Of the
    /// `2^64` possible products some numbers would get one more than others; the products whose
    /// lower half is less than `2^64 mod bound` are the surplus and are rejected.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        let surplus = bound.wrapping_neg() % bound;
        let drawn = self.draw(|bits| {
            let product = u128::from(bits) * u128::from(bound);
            (product as u64 >= surplus).then_some((product >> 64) as u64)
        });
        drawn.unwrap_or_else(|value| value.min(bound - 1))
    }

    /// Draws whether something of this chance happens. That takes a decision also if it never does or always.
    pub fn happens(&mut self, chance: Chance) -> bool {
        self.below(chance.den()) < chance.num()
    }

    /// Draws a number from `low` to `high`, both included. An empty range gives `low`, and still
    /// takes a decision.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        let high = high.max(low);
        if low == 0 && high == u64::MAX {
            return self.any();
        }
        let fixed = self.overrides.get(&self.state.next).copied();
        let drawn = low + self.below(high - low + 1);
        let value = fixed.map_or(drawn, |value| value.clamp(low, high));
        // Positions on disks and lengths of time are drawn here, which nobody checks again.
        invariant!(
            (low..=high).contains(&value),
            "{value} was drawn from {low} to {high}"
        );
        value
    }

    /// Takes the next decision: `Ok` with what `accept` makes of its random bits, or `Err` with the
    /// overriding value. The bits are consumed in either case.
    fn draw(&mut self, accept: impl Fn(u64) -> Option<u64>) -> Result<u64, u64> {
        let decision = self.state.next;
        self.state.next += 1;
        let bits = self.rng.next_u64();
        if let Some(&value) = self.overrides.get(&decision) {
            return Err(value);
        }
        if let Some(value) = accept(bits) {
            return Ok(value);
        }
        let mut again = self.rng.clone();
        let mut attempt = 0;
        loop {
            attempt += 1;
            again.set_stream(attempt);
            again.set_word_pos(u128::from(decision) * 2);
            if let Some(value) = accept(again.next_u64()) {
                return Ok(value);
            }
        }
    }
}

/// The ChaCha key of a stream.
fn key(seed: u64, name: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(tape: &Tape, name: &str, count: usize) -> Vec<u64> {
        let mut stream = tape.stream(name);
        (0..count).map(|_| stream.any()).collect()
    }

    #[test]
    fn streams_differ_by_name_and_by_seed() {
        let tape = Tape::new(1);
        assert_ne!(first(&tape, "a", 8), first(&tape, "b", 8));
        assert_ne!(first(&tape, "a", 8), first(&Tape::new(2), "a", 8));
    }

    #[test]
    fn drawing_from_one_stream_does_not_shift_another() {
        let tape = Tape::new(7);
        let alone = first(&tape, "a", 16);
        let (mut a, mut b) = (tape.stream("a"), tape.stream("b"));
        let interleaved: Vec<u64> = (0..16)
            .map(|round| {
                (0..round).map(|_| b.any()).for_each(drop);
                a.any()
            })
            .collect();
        assert_eq!(alone, interleaved);
    }

    #[test]
    fn the_sequence_is_pinned() {
        let mut stream = Tape::new(42).stream("pin");
        let drawn: Vec<u64> = (0..4).map(|_| stream.range(1, 1000)).collect();
        assert_eq!(
            drawn, PINNED,
            "recordings of older versions would no longer replay"
        );
    }

    const PINNED: [u64; 4] = [393, 469, 760, 93];

    #[test]
    fn an_override_changes_its_decision_and_no_other() {
        let mut tape = Tape::new(3);
        let plain = first(&tape, "s", 100);
        tape.set("s", 17, 5);
        let edited = first(&tape, "s", 100);
        assert_eq!(edited[17], 5);
        for (index, (a, b)) in plain.iter().zip(&edited).enumerate() {
            assert!(a == b || index == 17, "decision {index} was shifted");
        }
        tape.unset("s", 17);
        assert_eq!(tape, Tape::new(3));
    }

    #[test]
    fn an_override_is_the_value_itself_and_is_kept_inside_the_range() {
        let mut tape = Tape::new(3);
        tape.set("s", 0, 150);
        tape.set("s", 1, 9);
        tape.set("s", 2, 1_000_000);
        let mut stream = tape.stream("s");
        assert_eq!(stream.range(100, 200), 150);
        assert_eq!(stream.range(100, 200), 100);
        assert_eq!(stream.range(100, 200), 200);
    }

    #[test]
    fn a_decision_does_not_depend_on_the_ranges_of_earlier_ones() {
        // About half of all draws below this bound are rejected at least once.
        let awkward = (1 << 63) + 1;
        let tape = Tape::new(11);
        let (mut plain, mut rejecting) = (tape.stream("s"), tape.stream("s"));
        for _ in 0..64 {
            plain.any();
            assert!(rejecting.below(awkward) < awkward);
        }
        assert_eq!(plain.any(), rejecting.any());
    }

    #[test]
    fn small_ranges_are_even() {
        let mut stream = Tape::new(5).stream("dice");
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn resuming_goes_on_where_the_state_was_taken() {
        let tape = Tape::new(9);
        let mut stream = tape.stream("s");
        (0..37).map(|_| stream.below(1000)).for_each(drop);
        let saved = stream.state().clone();
        let rest: Vec<u64> = (0..50).map(|_| stream.any()).collect();
        let mut resumed = tape.resume(&saved);
        assert_eq!(rest, (0..50).map(|_| resumed.any()).collect::<Vec<_>>());
    }

    #[test]
    fn degenerate_ranges_give_their_only_number() {
        let mut stream = Tape::new(0).stream("s");
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.range(8, 8), 8);
        assert_eq!(stream.range(8, 3), 8);
        assert_eq!(stream.state().next, 3);
    }
}
