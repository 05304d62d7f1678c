//! Networks that are cut in one direction, or for longer than neighbours are remembered without being asked,
//! as the receiver of datagrams sees them which nobody answers.

use crate::pair::{Seen, alone, faults};

macro_rules! base {
    ($link:literal, $duration:literal) => {
        concat!(
            r#"
scenario "cut" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer"
    network "lan" { "#,
            $link,
            r#" }
    node "near" { guest "observer" { args "shout" "far" }; network "lan"; memory "64MiB" }
    node "far" { guest "observer" { args "listen" }; network "lan"; memory "64MiB" }
    FAULTS
    run duration=""#,
            $duration,
            r#"" seed=1
}"#
        )
    };
}

/// How many datagrams of a second came between these seconds, at least.
fn least_in_a_second(seen: &Seen, from_s: u64, to_s: u64) -> usize {
    let heard = seen.events("heard");
    let seconds = from_s..to_s;
    let count = |second: u64| {
        heard
            .iter()
            .filter(|told| told.at_ms / 1000 == second)
            .count()
    };
    seconds.map(count).min().expect("there are seconds")
}

#[test]
fn what_the_other_end_can_not_send_does_not_keep_datagrams_from_it() {
    let seen = alone(base!(r#"link from="far" to="near" down=#true"#, "3s"));
    assert!(
        least_in_a_second(&seen, 0, 3) >= 19,
        "{}",
        least_in_a_second(&seen, 0, 3)
    );
}

#[test]
fn what_an_end_can_not_send_does_not_come() {
    let seen = alone(base!(r#"link from="near" to="far" down=#true"#, "3s"));
    assert_eq!(seen.events("heard").len(), 0);
}

#[test]
fn as_a_cable_one_direction_can_not_do_without_the_other() {
    let link = base!(
        r#"layer "ethernet"; link from="far" to="near" down=#true"#,
        "3s"
    );
    assert_eq!(alone(link).events("heard").len(), 0);
}

// Here Linux asks for a neighbour that it has not heard of for 1.5 s, a second later three times, a second
// apart; nine seconds are past all of that.
faults! { base!("", "12s");
    "partition" => a_long_cut_of_the_way_back_is_not_noticed_on_the_way_there,
    r#"at "1s" { partition "lan" one-way=#true for="9s" { side "far"; side "near" } }"#,
    |with, without| {
        assert!(least_in_a_second(&with, 0, 12) >= 19, "{}", least_in_a_second(&with, 0, 12));
        assert!(least_in_a_second(&without, 0, 12) >= 19);
    }
    "loss" => losing_all_that_comes_back_is_not_noticed_on_the_way_there,
    r#"at "1s" { loss "lan" from="far" to="near" chance="100%" for="9s" }"#,
    |with, _without| {
        assert!(least_in_a_second(&with, 0, 12) >= 19, "{}", least_in_a_second(&with, 0, 12));
    }
    "partition" => after_a_long_partition_the_first_datagram_comes_through,
    r#"at "1s" { partition "lan" for="9s" { side "far"; side "near" } }"#,
    |with, _without| {
        let heard: Vec<u64> = with.events("heard").iter().map(|told| told.at_ms).collect();
        assert!(heard.iter().all(|at| !(1_002..10_000).contains(at)), "{heard:?}");
        let first = heard.iter().find(|at| **at >= 10_000);
        // One is sent every 50 ms.
        assert!(first.is_some_and(|at| *at <= 10_052), "{first:?}");
    }
}
