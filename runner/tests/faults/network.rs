//! Faults of networks, as one node sees them that asks another every 5 ms.

use crate::pair::{Seen, Told, faults};

const BASE: &str = r#"
scenario "network" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer"
    network "lan"
    node "prober" {
        guest "observer" { args "probe" "answerer" }
        network "lan"
        memory "64MiB"
    }
    node "answerer" {
        guest "observer" { args "echo" }
        network "lan"
        memory "64MiB"
    }
    FAULTS
    run duration="2s" seed=1
}"#;

/// The answers while the fault was there, and none of those under way at its ends.
fn answers(seen: &Seen) -> Vec<Told> {
    let mut all = seen.events("answer");
    all.retain(|told| (300..1900).contains(&told.at_ms));
    all
}

fn numbers(seen: &Seen, key: &str) -> Vec<i64> {
    answers(seen).iter().map(|told| told.number(key)).collect()
}

/// How many of the answers are in the order in which was asked.
fn overtaken(seen: &Seen) -> usize {
    let numbers = numbers(seen, "number");
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    pairs.filter(|(first, second)| first > second).count()
}

fn repeated(seen: &Seen) -> usize {
    let mut numbers = numbers(seen, "number");
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    all - numbers.len()
}

/// The most milliseconds without an answer.
fn longest_silence(seen: &Seen) -> u64 {
    let times: Vec<u64> = answers(seen).iter().map(|told| told.at_ms).collect();
    let pairs = times.iter().zip(times.iter().skip(1));
    pairs.map(|(a, b)| b - a).max().unwrap_or(u64::MAX)
}

fn damaged(seen: &Seen) -> i64 {
    let told = seen.events("damaged");
    told.last().map_or(0, |told| told.number("datagrams"))
}

/// The least and the most microseconds that an answer took.
fn round_trips(seen: &Seen) -> (i64, i64) {
    let trips = numbers(seen, "round_trip_us");
    let (least, most) = (trips.iter().min(), trips.iter().max());
    (
        *least.expect("there are answers"),
        *most.expect("there are answers"),
    )
}

faults! { BASE;
    "partition" => a_partition_lets_nothing_through,
    r#"at "200ms" { partition "lan" { side "prober"; side "answerer" } }"#,
    |with, without| {
        assert_eq!(answers(&with).len(), 0);
        assert!(answers(&without).len() > 300);
    }
    "heal" => healing_ends_a_partition_before_its_time,
    r#"at "200ms" { partition "lan" { side "prober"; side "answerer" } }
       at "1s" { heal "lan" }"#
    - r#"at "200ms" { partition "lan" { side "prober"; side "answerer" } }"#,
    |with, without| {
        let first = answers(&with).first().map(|told| told.at_ms);
        assert!(first.is_some_and(|at| at >= 1000), "{first:?}");
        assert!(answers(&with).len() > 50);
        assert_eq!(answers(&without).len(), 0);
    }
    "latency" => latency_makes_all_answers_late,
    r#"at "200ms" { latency "lan" by="20ms" }"#,
    |with, without| {
        let (least, most) = round_trips(&with);
        assert!(least >= 40_000 && most < 45_000, "{least}..{most}");
        assert!(round_trips(&without).1 < 5_000);
    }
    "jitter" => jitter_makes_answers_late_by_different_times,
    r#"at "200ms" { jitter "lan" by="20ms" }"#,
    |with, without| {
        let (least, most) = round_trips(&with);
        assert!(least < 15_000 && most > 25_000, "{least}..{most}");
        assert_eq!(overtaken(&with), 0);
        let (least, most) = round_trips(&without);
        assert!(most - least < 5_000, "{least}..{most}");
    }
    "jitter" => answers_overtake_each_other_by_a_jitter_that_is_their_own,
    r#"at "200ms" { jitter "lan" by="20ms" overtake=#true }"#,
    |with, without| {
        assert!(overtaken(&with) > 50, "{}", overtaken(&with));
        assert_eq!(overtaken(&without), 0);
        // Each way takes 10 ms more on average.
        let trips = numbers(&with, "round_trip_us");
        let average = trips.iter().sum::<i64>() / trips.len() as i64;
        assert!((20_000..25_000).contains(&average), "{average}");
    }
    "bandwidth" => a_narrow_network_lets_fewer_bytes_through,
    r#"at "200ms" { bandwidth "lan" rate="64kbit" }"#,
    |with, without| {
        // A datagram has 242 bytes with its headers, so that 33 of them go through in a second.
        let count = answers(&with).len();
        assert!((40..=60).contains(&count), "{count}");
        assert!(round_trips(&with).1 > 500_000);
        assert!(answers(&without).len() > 300);
    }
    "loss" => loss_takes_its_share_of_the_answers,
    r#"at "200ms" { loss "lan" chance="30%" }"#,
    |with, without| {
        // Both ways have to go well: 0.7 * 0.7 of 320.
        let count = answers(&with).len();
        assert!((100..220).contains(&count), "{count}");
        assert!(answers(&without).len() > 315);
    }
    "corrupt" => the_kernel_sees_damaged_frames,
    r#"at "200ms" { corrupt "lan" chance="30%" }"#,
    |with, without| {
        assert!(damaged(&with) > 20, "{}", damaged(&with));
        assert!(answers(&with).len() < 250);
        assert_eq!(damaged(&without), 0);
        let intact = |told: &Told| told.details["intact"] == true;
        assert!(answers(&without).iter().all(intact));
    }
    "reorder" => later_answers_overtake_earlier_ones,
    r#"at "200ms" { reorder "lan" chance="20%" window="40ms" }"#,
    |with, without| {
        assert!(overtaken(&with) > 10, "{}", overtaken(&with));
        assert_eq!(overtaken(&without), 0);
    }
    "duplicate" => answers_come_twice,
    r#"at "200ms" { duplicate "lan" chance="20%" }"#,
    |with, without| {
        assert!(repeated(&with) > 30, "{}", repeated(&with));
        assert_eq!(repeated(&without), 0);
    }
    "flap" => answers_stop_and_come_again,
    r#"at "200ms" { flap "lan" down="150ms" up="250ms" }"#,
    |with, without| {
        assert!(longest_silence(&with) >= 145, "{}", longest_silence(&with));
        let (first, last) = (answers(&with), answers(&with));
        assert!(first[0].at_ms < 700 && last[last.len() - 1].at_ms > 1_300);
        assert!(longest_silence(&without) < 20);
    }
}
