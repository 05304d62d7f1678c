//! `--partition`: a share of the scenarios for each of several CI jobs.

use std::str::FromStr;

use miette::Diagnostic;
use thiserror::Error;

use crate::scenario::wording::clipped;

/// Which share of the selected scenarios to run. Shares are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// By the hash of the name: a scenario stays in its share when others come and go.
    Hash {
        /// Which share.
        share: u64,
        /// How many there are.
        shares: u64,
    },
    /// Every n-th of the list: shares differ in size by one at most.
    Slice {
        /// Which share.
        share: u64,
        /// How many there are.
        shares: u64,
    },
}

impl Partition {
    /// Whether the scenario `name` at `index` of the sorted list belongs to this share.
    pub fn contains(self, name: &str, index: u64) -> bool {
        match self {
            Self::Hash { share, shares } => {
                xxhash_rust::xxh3::xxh3_64(name.as_bytes()) % shares == share - 1
            }
            Self::Slice { share, shares } => index % shares == share - 1,
        }
    }
}

/// A partition that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
pub enum PartitionError {
    /// It has another form.
    #[error("`{0}` is not a partition; write `hash:1/4` or `slice:1/4`")]
    #[diagnostic(code(chaosrun::partition::syntax))]
    Syntax(String),
    /// The share is not one of the shares.
    #[error("share {share} of {shares} does not exist; shares are numbered from 1")]
    #[diagnostic(code(chaosrun::partition::range))]
    Range {
        /// The share that was asked for.
        share: u64,
        /// How many there are.
        shares: u64,
    },
}

impl FromStr for Partition {
    type Err = PartitionError;

    fn from_str(text: &str) -> Result<Self, PartitionError> {
        let syntax = || PartitionError::Syntax(clipped(text, 60));
        let (kind, numbers) = text.split_once(':').ok_or_else(syntax)?;
        let (share, shares) = numbers.split_once('/').ok_or_else(syntax)?;
        let share: u64 = share.trim().parse().map_err(|_| syntax())?;
        let shares: u64 = shares.trim().parse().map_err(|_| syntax())?;
        if share == 0 || share > shares {
            return Err(PartitionError::Range { share, shares });
        }
        match kind.trim() {
            "hash" => Ok(Self::Hash { share, shares }),
            "slice" | "count" => Ok(Self::Slice { share, shares }),
            _ => Err(syntax()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_in_exactly_one_share() {
        for kind in ["hash", "slice"] {
            let shares: Vec<Partition> = (1..=4)
                .map(|share| format!("{kind}:{share}/4").parse().expect("it is valid"))
                .collect();
            for index in 0..100 {
                let name = format!("scenario-{index}");
                let holders = shares
                    .iter()
                    .filter(|share| share.contains(&name, index))
                    .count();
                assert_eq!(holders, 1, "{kind} {name}");
            }
        }
    }

    #[test]
    fn hash_shares_do_not_depend_on_the_other_scenarios() {
        // The value is part of the interface: a CI job's share must not change with a release.
        let first: Partition = "hash:1/2".parse().expect("it is valid");
        let names = ["raft", "boot", "queue", "kv", "disk-full"];
        let held: Vec<&str> = names
            .into_iter()
            .filter(|name| first.contains(name, 0))
            .collect();
        assert_eq!(held, ["raft", "boot", "queue", "kv"]);
    }

    #[test]
    fn wrong_partitions_are_refused() {
        for text in [
            "",
            "hash",
            "hash:1",
            "hash:0/4",
            "hash:5/4",
            "hash:1/0",
            "hash:-1/4",
            "x:1/2",
            "hash:1/2/3",
        ] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }
}
