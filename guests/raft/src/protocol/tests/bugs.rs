//! Each planted bug is found, by a property that it breaks. That the program without bugs breaks none
//! of them in the same weather is tested beside this.

use super::cluster::{Cluster, Weather};
use super::worlds::{CALM, weather};
use crate::bugs::{Bug, Bugs};

/// Looks for a seed with which the bug breaks one of the properties, from a seed on that was found to
/// be near one.
fn is_found(bug: Bug, from: u64, properties: &[&str]) {
    is_found_in(bug, from, properties, weather);
}

/// The same in weather of its own, where the usual one would take too many seeds.
fn is_found_in(bug: Bug, from: u64, properties: &[&str], weather: fn(u64) -> Weather) {
    let limit = 400;
    for seed in from..from + limit {
        let cluster = Cluster::new(seed, weather(seed), Bugs::with(bug)).run(5000);
        if let Some(broken) = cluster
            .violations
            .iter()
            .find(|v| properties.contains(&&v[..]))
        {
            println!(
                "{}: seed {seed} breaks `{broken}` ({:?})",
                bug.name(),
                cluster.violations
            );
            return;
        }
    }
    panic!(
        "{} breaks none of {properties:?} in {limit} seeds",
        bug.name()
    );
}

/// Elections all the time, and nodes that are back at once.
const ELECTIONS: fn(u64) -> Weather = |_| Weather {
    drop: 150,
    delay: 20,
    partition_every: 300,
    crash_every: 60,
    down: 8,
    ..CALM
};

/// Clocks that jump, and leaders that are cut off.
const CLOCKS: fn(u64) -> Weather = |_| Weather {
    partition_every: 500,
    clock_jump_every: 200,
    ..CALM
};

#[test]
fn nothing_breaks_without_a_bug_in_those_weathers() {
    for weather in [ELECTIONS, CLOCKS] {
        for seed in 0..15 {
            let cluster = Cluster::new(seed, weather(seed), Bugs::NONE).run(5000);
            assert!(
                cluster.violations.is_empty(),
                "seed {seed}: {:?}",
                cluster.violations
            );
        }
    }
}

#[test]
fn fig8_commit_is_found() {
    is_found(
        Bug::Fig8Commit,
        48,
        &[
            "leader completeness",
            "same state everywhere",
            "linearizable",
        ],
    );
}

#[test]
fn skip_truncate_is_found() {
    is_found(
        Bug::SkipTruncate,
        0,
        &[
            "log matching",
            "same state everywhere",
            "state machine safety",
        ],
    );
}

#[test]
fn accept_stale_term_is_found() {
    is_found(
        Bug::AcceptStaleTerm,
        200,
        &[
            "leader completeness",
            "log matching",
            "same state everywhere",
        ],
    );
}

#[test]
fn leader_no_stepdown_is_found() {
    is_found(Bug::LeaderNoStepdown, 2, &["linearizable"]);
}

#[test]
fn double_vote_is_found() {
    is_found(Bug::DoubleVote, 80, &["unique leader", "election safety"]);
}

#[test]
fn premature_commit_is_found() {
    is_found(
        Bug::PrematureCommit,
        5,
        &[
            "leader completeness",
            "same state everywhere",
            "linearizable",
        ],
    );
}

#[test]
fn ack_before_fsync_is_found() {
    is_found(
        Bug::AckBeforeFsync,
        0,
        &["a follower keeps what it acknowledged", "linearizable"],
    );
}

#[test]
fn vote_not_persisted_is_found() {
    is_found_in(
        Bug::VoteNotPersisted,
        13,
        &["unique leader", "election safety"],
        ELECTIONS,
    );
}

#[test]
fn term_not_persisted_is_found() {
    is_found(Bug::TermNotPersisted, 3, &["monotonic term"]);
}

#[test]
fn snapshot_loses_last_is_found() {
    is_found(
        Bug::SnapshotLosesLast,
        1,
        &["a snapshot holds the state at its index", "linearizable"],
    );
}

#[test]
fn lease_read_clock_skew_is_found() {
    is_found_in(Bug::LeaseReadClockSkew, 14, &["linearizable"], CLOCKS);
}

#[test]
fn torn_tail_accepted_is_found() {
    is_found(
        Bug::TornTailAccepted,
        64,
        &["log matching", "same state everywhere", "linearizable"],
    );
}
