//! Is a run a function of its inputs? What two runs with the same inputs differ in.

use chaosrun_vmm::machine::StateHash;

use super::Outcome;
use crate::outcome::time::human_duration;

/// What came of running again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// All state hashes are equal.
    Identical {
        /// How many there are.
        hashes: usize,
    },
    /// The runs differ.
    Differs(Unequal),
}

/// Where the chains of two runs part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unequal {
    /// The number of the first link of the chain that differs, from zero.
    pub index: usize,
    /// Virtual time since power-on in nanoseconds at which the difference was seen.
    pub time_ns: u64,
    /// The parts of the world that differ.
    pub parts: Vec<String>,
}

/// Where two chains part, as far as both go.
fn part_at(first: &[StateHash], second: &[StateHash]) -> Option<Unequal> {
    let pairs = first.iter().zip(second).enumerate();
    let mut unequal = pairs.filter(|(_, (a, b))| a != b);
    unequal.next().map(|(index, (a, b))| Unequal {
        index,
        time_ns: a.time.min(b.time).as_nanos(),
        parts: a.differences(b).into_iter().map(str::to_owned).collect(),
    })
}

/// Compares the chain of a run with the one of the run before.
#[must_use]
pub fn compare(first: &[StateHash], second: &[StateHash]) -> Replay {
    if let Some(unequal) = part_at(first, second) {
        return Replay::Differs(unequal);
    }
    let index = first.len().min(second.len());
    let longer = if first.len() > index { first } else { second };
    match longer.get(index) {
        None => Replay::Identical { hashes: index },
        Some(hash) => Replay::Differs(Unequal {
            index,
            time_ns: hash.time.as_nanos(),
            parts: vec!["the length of the run".to_owned()],
        }),
    }
}

/// The first difference of two runs of a cluster, whose states, consoles, events and verdicts have to be
/// equal, in words.
#[must_use]
pub fn difference(first: &Outcome, second: &Outcome) -> Option<String> {
    if let Replay::Differs(unequal) = compare(&first.chain, &second.chain) {
        return Some(format!(
            "state hash {} at {} differs in {}",
            unequal.index + 1,
            human_duration(unequal.time_ns),
            unequal.parts.join(", ")
        ));
    }
    let parts = [
        ("the consoles", first.consoles != second.consoles),
        ("the events", first.events != second.events),
        (
            "the number of instructions",
            first.instructions != second.instructions,
        ),
        ("the verdicts", first.judgements != second.judgements),
        ("the counters", first.counters != second.counters),
    ];
    let differing: Vec<&str> = parts
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| name)
        .collect();
    (!differing.is_empty()).then(|| format!("{} differ", differing.join(", ")))
}

/// All that is compared of the run of a single machine. How it ended is of whatever type the caller has.
#[derive(Debug)]
pub struct Boot<E> {
    /// Its chain of state hashes.
    pub hashes: Vec<StateHash>,
    /// The hash of what its console showed.
    pub console: blake3::Hash,
    /// How many instructions it executed.
    pub retired: u64,
    /// How it ended.
    pub end: E,
    /// Whether it was ended before its time, by its user or because it had parted from the first run.
    pub interrupted: bool,
}

/// What differs first between two runs of a machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference<E> {
    /// A state hash.
    State(Unequal),
    /// Everything but the state hashes is the same, yet one has more of them.
    Length {
        /// How many the first run has.
        first: usize,
        /// How many the other has.
        other: usize,
    },
    /// How they ended.
    End {
        /// How the first run ended.
        first: E,
        /// How the other did.
        other: E,
    },
    /// The console's output.
    Console,
    /// The number of instructions.
    Retired {
        /// Those of the first run.
        first: u64,
        /// Those of the other.
        other: u64,
    },
    /// Nothing differs, but the other one was ended before its time.
    Interrupted,
}

impl<E: Clone + PartialEq> Boot<E> {
    /// What differs first between this run, which came first, and another one.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Difference<E>> {
        if let Some(unequal) = part_at(&self.hashes, &other.hashes) {
            return Some(Difference::State(unequal));
        }
        if other.interrupted && other.hashes.len() <= self.hashes.len() {
            return Some(Difference::Interrupted);
        }
        if self.end != other.end {
            let (first, other) = (self.end.clone(), other.end.clone());
            return Some(Difference::End { first, other });
        }
        if self.hashes.len() != other.hashes.len() {
            let (first, other) = (self.hashes.len(), other.hashes.len());
            return Some(Difference::Length { first, other });
        }
        if self.retired != other.retired {
            let (first, other) = (self.retired, other.retired);
            return Some(Difference::Retired { first, other });
        }
        (self.console != other.console).then_some(Difference::Console)
    }
}

impl<E> Difference<E> {
    /// The difference as a clause about the other run, with the words for how runs end.
    #[must_use]
    pub fn clause(&self, ending: impl Fn(&E) -> String) -> String {
        match self {
            Self::State(Unequal { time_ns, parts, .. }) => {
                let parts = match parts.as_slice() {
                    [] => "the chain before it".to_owned(),
                    parts => parts.join(", "),
                };
                format!("the state hash at {time_ns} ns of virtual time differs in {parts}")
            }
            Self::Length { first, other } => {
                format!("it has {other} state hashes instead of {first}")
            }
            Self::End { first, other } => {
                let (first, other) = (ending(first), ending(other));
                format!("it ended differently: {other}, not {first}")
            }
            Self::Console => "the console's output differs".to_owned(),
            Self::Retired { first, other } => {
                format!("it retired {other} instructions instead of {first}")
            }
            Self::Interrupted => "it was interrupted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chaosrun_vmm::machine::Component;
    use chaosrun_vmm::time::VirtTime;

    use super::*;

    fn hash(time: u64, ram: u128) -> StateHash {
        let component = |name: &str, digest| Component {
            name: name.to_owned(),
            digest,
        };
        let components = vec![component("vcpu0", 1), component("ram", ram)];
        StateHash {
            time: VirtTime(time),
            chain: ram,
            components,
        }
    }

    fn boot(rams: &[u128]) -> Boot<&'static str> {
        let hashes = rams.iter().zip(1..);
        Boot {
            hashes: hashes.map(|(ram, time)| hash(time, *ram)).collect(),
            console: blake3::hash(b""),
            retired: 7,
            end: "powered off",
            interrupted: false,
        }
    }

    fn interrupted(rams: &[u128]) -> Boot<&'static str> {
        Boot {
            end: "interrupted",
            interrupted: true,
            ..boot(rams)
        }
    }

    #[test]
    fn equal_runs_have_no_difference() {
        let (first, other) = (boot(&[1, 2]), boot(&[1, 2]));
        assert_eq!(first.difference(&other), None);
        let replay = compare(&first.hashes, &other.hashes);
        assert_eq!(replay, Replay::Identical { hashes: 2 });
    }

    #[test]
    fn the_first_state_that_differs_is_named_with_its_part() {
        let (first, other) = (boot(&[1, 2, 3]), boot(&[1, 5, 6]));
        let unequal = Unequal {
            index: 1,
            time_ns: 2,
            parts: vec!["ram".to_owned()],
        };
        let replay = compare(&first.hashes, &other.hashes);
        assert_eq!(replay, Replay::Differs(unequal.clone()));
        let found = first.difference(&other);
        assert_eq!(found, Some(Difference::State(unequal)));
    }

    #[test]
    fn a_chain_that_is_longer_differs_behind_the_end_of_the_other() {
        for (first, other) in [(&[1, 2, 3][..], &[1, 2][..]), (&[1, 2], &[1, 2, 3])] {
            let replay = compare(&boot(first).hashes, &boot(other).hashes);
            let unequal = Unequal {
                index: 2,
                time_ns: 3,
                parts: vec!["the length of the run".to_owned()],
            };
            assert_eq!(replay, Replay::Differs(unequal));
        }
    }

    #[test]
    fn everything_else_is_compared_too() {
        let first = boot(&[1, 2]);
        let length = Difference::Length { first: 2, other: 1 };
        assert_eq!(first.difference(&boot(&[1])), Some(length));
        let more = Boot {
            retired: 8,
            ..boot(&[1, 2])
        };
        let retired = Difference::Retired { first: 7, other: 8 };
        assert_eq!(first.difference(&more), Some(retired));
        let console = Boot {
            console: blake3::hash(b"x"),
            ..boot(&[1, 2])
        };
        assert_eq!(first.difference(&console), Some(Difference::Console));
        let reset = Boot {
            end: "reset",
            ..boot(&[1, 2])
        };
        let (first_end, other) = ("powered off", "reset");
        let end = Difference::End {
            first: first_end,
            other,
        };
        assert_eq!(first.difference(&reset), Some(end));
    }

    #[test]
    fn an_interrupted_run_is_not_taken_for_a_different_one() {
        let found = boot(&[1, 2]).difference(&interrupted(&[1]));
        assert_eq!(found, Some(Difference::Interrupted));
    }

    #[test]
    fn a_run_that_diverges_is_not_taken_for_interrupted() {
        let found = boot(&[1, 2]).difference(&interrupted(&[9]));
        assert!(matches!(found, Some(Difference::State(_))));
    }
}
