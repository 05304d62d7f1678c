//! Whole clusters without bugs: nothing may break, whatever the weather.

use super::cluster::{Cluster, Weather};
use crate::bugs::Bugs;
use crate::protocol::Reads;
use crate::rng::Rng;
use crate::sdk;

pub const CALM: Weather = Weather {
    drop: 0,
    duplicate: 0,
    delay: 2,
    partition_every: 0,
    crash_every: 0,
    power_loss_every: 0,
    clock_jump_every: 0,
    down: 0,
};

/// Weather that differs from seed to seed, with some of its kinds left out in each.
pub fn weather(seed: u64) -> Weather {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let mut maybe = |value: u64| if rng.chance(2, 3) { value } else { 0 };
    Weather {
        drop: maybe(40),
        duplicate: maybe(40),
        delay: 2 + maybe(30),
        partition_every: maybe(900),
        crash_every: maybe(1100),
        power_loss_every: maybe(1100),
        clock_jump_every: maybe(700),
        down: 20 + maybe(700),
    }
}

#[test]
fn without_faults_all_is_answered_and_nothing_breaks() {
    let cluster = Cluster::new(1, CALM, Bugs::NONE).run(4000);
    assert!(cluster.violations.is_empty(), "{:?}", cluster.violations);
    assert!(cluster.answered > 150, "{}", cluster.answered);
    assert!(cluster.happened.contains("a snapshot was taken"));
}

#[test]
fn in_any_weather_nothing_breaks() {
    sdk::take_reached();
    let mut happened = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let cluster = Cluster::new(seed, weather(seed), Bugs::NONE).run(5000);
        assert!(
            cluster.violations.is_empty(),
            "seed {seed}: {:?}",
            cluster.violations
        );
        happened.extend(cluster.happened);
    }
    for what in [
        "a block was dropped",
        "a log was truncated",
        "a snapshot was installed",
        "a snapshot was taken",
    ] {
        assert!(happened.contains(what), "never in all seeds: {what}");
    }
    let reached = sdk::take_reached();
    for message in [
        "leader completeness",
        "a follower keeps what it acknowledged",
        "log matching",
    ] {
        assert!(reached.contains(message), "never evaluated: {message}");
    }
}

#[test]
fn pre_votes_and_leases_by_the_steady_clock_break_nothing() {
    for seed in 0..30 {
        let mut cluster = Cluster::new(seed, weather(seed), Bugs::NONE);
        cluster.tune = |config| {
            config.pre_vote = true;
            config.reads = Reads::Lease;
        };
        let cluster = cluster.run(4000);
        assert!(
            cluster.violations.is_empty(),
            "seed {seed}: {:?}",
            cluster.violations
        );
    }
}

#[test]
fn equal_seeds_are_equal_runs() {
    let run = |seed| {
        let cluster = Cluster::new(seed, weather(seed), Bugs::NONE).run(2000);
        (cluster.answered, cluster.answered_in_calm, cluster.happened)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}
