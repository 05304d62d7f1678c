//! Which vCPU runs, and for how many instructions.
//!
//! The vCPUs of a machine run one at a time, in slices whose lengths are decisions of the tape. While
//! only one vCPU can run, no slices are cut and nothing is drawn; the first slice is drawn when a
//! second one can run. A slice is state: stopping in its midst and going on is the same as never
//! having stopped.

use serde::{Deserialize, Serialize};

use crate::invariant::invariant;
use crate::tape::{Stream, StreamState, Tape};

/// The most vCPUs of a machine.
pub const VCPUS_MAX: u32 = 8;

/// How the vCPUs of a machine take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interleaving {
    /// In turn, for a fixed number of instructions each.
    RoundRobin {
        /// Instructions of a slice; at least one.
        quantum: u64,
    },
    /// The next vCPU and the length of its slice are drawn.
    Random {
        /// The fewest instructions of a slice; at least one.
        min: u64,
        /// The most instructions of a slice.
        max: u64,
    },
}

impl Default for Interleaving {
    /// In turn, 50,000 instructions each.
    fn default() -> Self {
        Self::RoundRobin { quantum: 50_000 }
    }
}

/// What is left of the slice in which a vCPU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Slice {
    /// Nobody else can run, so that the slice has no end.
    Solo,
    /// So many instructions are left.
    Left(u64),
}

/// The scheduler's state, all of which a snapshot needs besides the tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedState {
    current: u32,
    slice: Slice,
    switches: u64,
    lengths: StreamState,
    picks: StreamState,
}

/// Chooses vCPUs.
#[derive(Debug)]
pub struct Scheduler {
    interleaving: Interleaving,
    current: u32,
    slice: Slice,
    switches: u64,
    lengths: Stream,
    picks: Stream,
}

/// A turn that the scheduler gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The vCPU that runs.
    pub vcpu: u32,
    /// The most instructions that it may run before the scheduler has to be asked again.
    pub budget: u64,
    /// Whether another vCPU ran before.
    pub switched: bool,
}

impl Scheduler {
    /// A scheduler that starts with vCPU 0 and draws from the streams `{name}/slice` and
    /// `{name}/pick` of `tape`.
    pub fn new(interleaving: Interleaving, tape: &Tape, name: &str) -> Self {
        let [lengths, picks] = streams(tape, name);
        Self {
            interleaving,
            current: 0,
            slice: Slice::Solo,
            switches: 0,
            lengths,
            picks,
        }
    }

    /// From now on draws from other streams, from their first decisions on.
    pub fn draw_from(&mut self, tape: &Tape, name: &str) {
        [self.lengths, self.picks] = streams(tape, name);
    }

    /// A copy of the state.
    pub fn state(&self) -> SchedState {
        SchedState {
            current: self.current,
            slice: self.slice,
            switches: self.switches,
            lengths: self.lengths.state().clone(),
            picks: self.picks.state().clone(),
        }
    }

    /// Replaces the state; later decisions are those of `tape`.
    pub fn set_state(&mut self, state: &SchedState, tape: &Tape) {
        self.current = state.current;
        self.slice = state.slice;
        self.switches = state.switches;
        self.lengths = tape.resume(&state.lengths);
        self.picks = tape.resume(&state.picks);
    }

    /// How often another vCPU got its turn.
    pub fn switches(&self) -> u64 {
        self.switches
    }

    /// Gives the next turn to one of the vCPUs whose bits are set in `runnable`, or to nobody if no
    /// bit is. Asking again without having run anything gives the same answer.
    pub fn turn(&mut self, runnable: u32) -> Option<Turn> {
        if runnable == 0 {
            return None;
        }
        let before = self.current;
        if runnable.is_power_of_two() {
            self.current = runnable.trailing_zeros();
            self.slice = Slice::Solo;
        } else {
            self.contend(runnable);
        }
        let switched = self.current != before;
        self.switches += u64::from(switched);
        let budget = match self.slice {
            Slice::Solo => u64::MAX,
            Slice::Left(left) => left,
        };
        // A vCPU that halted or waits for its start would execute what is not its program.
        assert!(
            runnable >> self.current & 1 != 0,
            "vCPU {} can't run, but it is its turn",
            self.current
        );
        invariant!(budget > 0, "a turn without instructions would stop time");
        Some(Turn {
            vcpu: self.current,
            budget,
            switched,
        })
    }

    /// Tells that the current vCPU ran `instructions`.
    pub fn ran(&mut self, instructions: u64) {
        if let Slice::Left(left) = &mut self.slice {
            *left = left.saturating_sub(instructions);
        }
    }

    /// Chooses among several vCPUs that can run.
    fn contend(&mut self, runnable: u32) {
        let can_stay = runnable & (1 << self.current) != 0;
        match self.slice {
            Slice::Left(1..) if can_stay => return,
            // The slice of a vCPU that was alone is cut now that it is no longer.
            Slice::Solo if can_stay => {}
            _ => self.current = self.successor(runnable & !(1 << self.current)),
        }
        self.slice = Slice::Left(self.draw_length());
    }

    /// One of the vCPUs in `others`, which is not empty.
    fn successor(&mut self, others: u32) -> u32 {
        match self.interleaving {
            Interleaving::Random { .. } if !others.is_power_of_two() => {
                let nth = self.picks.below(u64::from(others.count_ones()));
                (0..nth)
                    .fold(others, |rest, _| rest & (rest - 1))
                    .trailing_zeros()
            }
            _ => {
                let after = others & !((2u32 << self.current) - 1);
                if after != 0 {
                    after.trailing_zeros()
                } else {
                    others.trailing_zeros()
                }
            }
        }
    }

    fn draw_length(&mut self) -> u64 {
        match self.interleaving {
            Interleaving::RoundRobin { quantum } => {
                self.lengths.range(quantum.max(1), quantum.max(1))
            }
            Interleaving::Random { min, max } => self.lengths.range(min.max(1), max.max(1)),
        }
    }
}

/// Those of the lengths of slices, and of who gets the next one.
fn streams(tape: &Tape, name: &str) -> [Stream; 2] {
    ["slice", "pick"].map(|what| tape.stream(&format!("{name}/{what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(scheduler: &mut Scheduler, runnable: u32, turns: usize) -> Vec<(u32, u64)> {
        (0..turns)
            .map(|_| {
                let turn = scheduler.turn(runnable).unwrap();
                scheduler.ran(turn.budget);
                (turn.vcpu, turn.budget)
            })
            .collect()
    }

    fn random(seed: u64) -> Scheduler {
        Scheduler::new(
            Interleaving::Random { min: 1, max: 1000 },
            &Tape::new(seed),
            "n/sched",
        )
    }

    #[test]
    fn round_robin_goes_round_in_equal_slices() {
        let mut scheduler = Scheduler::new(
            Interleaving::RoundRobin { quantum: 10 },
            &Tape::new(1),
            "n/sched",
        );
        let turns = run(&mut scheduler, 0b1011, 5);
        assert_eq!(turns, [(0, 10), (1, 10), (3, 10), (0, 10), (1, 10)]);
    }

    #[test]
    fn a_vcpu_that_is_alone_is_never_cut_and_draws_nothing() {
        let mut scheduler = random(1);
        assert_eq!(
            scheduler.turn(0b100),
            Some(Turn {
                vcpu: 2,
                budget: u64::MAX,
                switched: true
            })
        );
        assert_eq!(scheduler.state().lengths.next, 0);
        assert_eq!(scheduler.turn(0), None);
    }

    #[test]
    fn asking_again_without_running_changes_nothing() {
        let mut scheduler = random(4);
        let first = scheduler.turn(0b11).unwrap();
        let state = scheduler.state();
        assert_eq!(scheduler.turn(0b11).unwrap().budget, first.budget);
        assert_eq!(scheduler.state(), state);
    }

    #[test]
    fn a_slice_that_is_interrupted_goes_on_where_it_was() {
        let mut scheduler = random(4);
        let first = scheduler.turn(0b11).unwrap();
        scheduler.ran(1);
        let rest = scheduler.turn(0b11).unwrap();
        assert_eq!((rest.vcpu, rest.budget), (first.vcpu, first.budget - 1));
    }

    #[test]
    fn seeds_that_differ_interleave_differently_and_equal_ones_equally() {
        let turns = |seed| run(&mut random(seed), 0b1111, 50);
        assert_eq!(turns(1), turns(1));
        assert_ne!(turns(1), turns(2));
    }

    #[test]
    fn random_slices_stay_in_their_range_and_reach_every_vcpu() {
        let mut scheduler = Scheduler::new(
            Interleaving::Random { min: 1, max: 3 },
            &Tape::new(8),
            "n/sched",
        );
        let turns = run(&mut scheduler, 0xff, 500);
        assert!((0..8).all(|vcpu| turns.iter().any(|turn| turn.0 == vcpu)));
        assert!((1..=3).all(|length| turns.iter().any(|turn| turn.1 == length)));
        assert!(turns.iter().all(|turn| (1..=3).contains(&turn.1)));
    }

    #[test]
    fn a_halted_vcpu_is_skipped() {
        let mut scheduler = random(1);
        let first = scheduler.turn(0b11).unwrap();
        let next = scheduler.turn(0b110 & !(1 << first.vcpu)).unwrap();
        assert_ne!(next.vcpu, first.vcpu);
    }

    #[test]
    fn an_override_sets_the_length_of_one_slice() {
        let mut tape = Tape::new(1);
        tape.set("n/sched/slice", 1, 7);
        let mut scheduler =
            Scheduler::new(Interleaving::Random { min: 1, max: 1000 }, &tape, "n/sched");
        assert_eq!(run(&mut scheduler, 0b11, 3)[1].1, 7);
    }

    #[test]
    fn restored_state_takes_the_same_turns() {
        let tape = Tape::new(77);
        let interleaving = Interleaving::Random { min: 1, max: 500 };
        let mut scheduler = Scheduler::new(interleaving, &tape, "n/sched");
        run(&mut scheduler, 0b111, 20);
        let state = scheduler.state();
        let expected = run(&mut scheduler, 0b111, 20);
        let mut other = Scheduler::new(interleaving, &tape, "n/sched");
        other.set_state(&state, &tape);
        assert_eq!(run(&mut other, 0b111, 20), expected);
    }
}
