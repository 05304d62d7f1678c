//! Is a run a function of its inputs? Two chains of state hashes tell.

use chaosrun_vmm::machine::StateHash;

/// What came of running again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// All state hashes are equal.
    Identical {
        /// How many there are.
        hashes: usize,
    },
    /// The runs differ.
    Differs {
        /// The number of the first link of the chain that differs, from zero.
        index: usize,
        /// Virtual time since power-on in nanoseconds at which the difference was seen.
        time_ns: u64,
        /// The parts of the world that differ.
        parts: Vec<String>,
    },
}

/// Compares the chain of a run with the one of the run before.
#[must_use]
pub fn compare(first: &[StateHash], second: &[StateHash]) -> Replay {
    let unequal = first.iter().zip(second).position(|(a, b)| a != b);
    match unequal {
        Some(index) => Replay::Differs {
            index,
            time_ns: first[index]
                .time
                .as_nanos()
                .min(second[index].time.as_nanos()),
            parts: first[index]
                .differences(&second[index])
                .into_iter()
                .map(str::to_owned)
                .collect(),
        },
        None if first.len() == second.len() => Replay::Identical {
            hashes: first.len(),
        },
        None => {
            let index = first.len().min(second.len());
            let longer = if first.len() > index { first } else { second };
            Replay::Differs {
                index,
                time_ns: longer[index].time.as_nanos(),
                parts: vec!["the length of the run".to_owned()],
            }
        }
    }
}
