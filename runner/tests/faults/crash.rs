//! What is left after a crash: whether the machine started again, and what its disk still has.

use crate::pair::{Seen, Told, faults};

macro_rules! base {
    ($mode:literal) => {
        concat!(
            r#"
scenario "crash" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args ""#,
            $mode,
            r#"" "/dev/vda" }
    node "n1" { guest "observer"; disk "data" size="1MiB"; memory "64MiB" }
    FAULTS
    run duration="2s" seed=1
}"#
        )
    };
}

/// What the machine found when it started after the crash. It was the only one.
fn second_life(seen: &Seen) -> Told {
    let lives = seen.events("life");
    assert_eq!(lives.len(), 1, "{lives:?}\n{}", seen.consoles());
    assert_eq!(lives[0].number("number"), 2);
    let uptime: f64 = lives[0].text("uptime").parse().expect("uptime is a number");
    assert!(uptime < 0.5, "{uptime}");
    lives[0].clone()
}

fn never_restarted(seen: &Seen) {
    assert!(seen.events("life").is_empty());
}

mod unflushed {
    use super::*;

    faults! { base!("crash");
        "kill" => a_killed_node_starts_again_without_what_was_not_flushed,
        r#"at "1s" { kill "n1" restart-after="200ms" }"#,
        |with, without| {
            let life = second_life(&with);
            assert!((1_200..1_500).contains(&life.at_ms), "{}", life.at_ms);
            assert_eq!((life.number("highest_round"), life.number("torn_blocks")), (0, 0));
            never_restarted(&without);
        }
        "restart" => a_reset_node_starts_again_and_its_disk_keeps_what_it_had_taken,
        r#"at "1s" { restart "n1" }"#,
        |with, without| {
            let life = second_life(&with);
            assert!((1_000..1_300).contains(&life.at_ms), "{}", life.at_ms);
            assert!(life.number("highest_round") > 5, "{life:?}");
            assert_eq!(life.number("torn_blocks"), 0);
            never_restarted(&without);
        }
        "power-loss" => without_power_a_part_of_what_was_not_flushed_is_torn,
        r#"at "1s" { power-loss "n1" restart-after="200ms" torn="50%" }"#,
        |with, without| {
            let torn = second_life(&with).number("torn_blocks");
            assert!((15..50).contains(&torn), "{torn}");
            never_restarted(&without);
        }
        "torn-write" => a_kill_tears_what_was_not_flushed,
        r#"at "200ms" { torn-write "data" }
           at "1s" { kill "n1" restart-after="200ms" }"#
        - r#"at "1s" { kill "n1" restart-after="200ms" }"#,
        |with, without| {
            assert!(second_life(&with).number("torn_blocks") > 50);
            assert_eq!(second_life(&without).number("torn_blocks"), 0);
        }
    }
}

mod flushed {
    use super::*;

    /// The last round of writes of which the first life was told that it is durable.
    fn durable(seen: &Seen) -> i64 {
        let flushed = seen.between("flushed", 0, 1000);
        flushed[flushed.len() - 1].number("round")
    }

    faults! { base!("flush");
        "lost-flush" => what_was_flushed_is_not_there_after_a_kill,
        r#"at "200ms" { lost-flush "data" }
           at "1s" { kill "n1" restart-after="200ms" }"#
        - r#"at "1s" { kill "n1" restart-after="200ms" }"#,
        |with, without| {
            assert!(second_life(&with).number("highest_round") < durable(&with) - 5);
            assert!(second_life(&without).number("lowest_round") >= durable(&without));
        }
    }
}

/// The kinds that have a test here.
pub const TESTED: &[&[&str]] = &[unflushed::TESTED, flushed::TESTED];
