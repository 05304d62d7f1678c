//! Disks that are full, as a program sees them that wants more of a file system which init has mounted.

use crate::pair::{Seen, Told, faults};

macro_rules! base {
    ($kernel:literal, $duration:literal) => {
        concat!(
            r#"
scenario "space" schema=1 {
    kernel ""#,
            $kernel,
            r#""
    guest "observer" crate="observer" { args "space" "/data" }
    node "n1" {
        guest "observer"
        disk "data" size="16MiB" filesystem="ext4" mount="/data"
        memory "128MiB"
    }
    FAULTS
    run duration=""#,
            $duration,
            r#"" seed=1
}"#
        )
    };
}

const ENOSPC: i64 = 28;
/// The ways to want more.
const WANTS: [&str; 4] = ["write", "fallocate", "creat", "mkdir"];

/// Whether nothing was to be had, and nothing was wrong either.
fn is_full(told: &Told) -> bool {
    assert_eq!(told.number("flush"), 0, "{told:?}");
    assert_eq!(
        told.number("rewrite"),
        0,
        "what is there can be written: {told:?}"
    );
    let denied = WANTS
        .iter()
        .filter(|want| told.number(want) == ENOSPC)
        .count();
    let none_left = (told.number("available"), told.number("inodes")) == (0, 0);
    assert_eq!(denied, if none_left { WANTS.len() } else { 0 }, "{told:?}");
    assert!(
        WANTS
            .iter()
            .all(|want| [0, ENOSPC].contains(&told.number(want))),
        "{told:?}"
    );
    none_left
}

fn all_full(seen: &Seen, from_ms: u64, to_ms: u64) {
    let told = seen.between("space", from_ms, to_ms);
    assert!(told.iter().all(is_full), "{told:?}");
}

fn none_full(seen: &Seen, from_ms: u64, to_ms: u64) {
    let told = seen.between("space", from_ms, to_ms);
    assert!(!told.iter().any(is_full), "{told:?}");
}

/// The first attempts of the lives after the first one.
fn lives(seen: &Seen) -> Vec<Told> {
    let mut told = seen.events("space");
    told.retain(|told| told.number("number") == 1);
    told
}

/// How many names the directory has that no program has made: `.`, `..` and such are not counted.
fn strangers(told: &Told) -> i64 {
    let made = 3 + 2 * (told.number("number"));
    told.number("entries") - made
}

mod tiny {
    use super::*;

    faults! { base!("tiny", "2s");
        "disk-full" => nothing_is_to_be_had_for_a_while,
        r#"at "400ms" { disk-full "data" for="600ms" }"#,
        |with, without| {
            none_full(&with, 0, 380);
            all_full(&with, 480, 1000);
            none_full(&with, 1060, 2000);
            none_full(&without, 0, 2000);
            // Nothing of it is to be seen: there is `lost+found`, as without.
            let (first, last) = (&with.events("space")[0], without.events("space"));
            assert_eq!(strangers(first), 1);
            assert_eq!(strangers(&last[last.len() - 1]), 1);
        }
        "disk-full" => two_that_overlap_are_full_from_the_first_to_the_last,
        r#"at "400ms" { disk-full "data" for="600ms" }
           at "700ms" { disk-full "data" for="600ms" }"#,
        |with, _without| {
            all_full(&with, 480, 1300);
            none_full(&with, 1360, 2000);
        }
        "disk-full" => the_quiet_period_ends_it,
        r#"at "400ms" { disk-full "data" }
           quiet "1s""#,
        |with, _without| {
            all_full(&with, 480, 1000);
            none_full(&with, 1060, 2000);
        }
        "disk-full" => single_operations_that_fail_are_the_devices_matter,
        r#"at "400ms" { disk-full "data" times=1 for="600ms" }"#,
        |with, _without| {
            // What the device refuses is an error in the input or output, and nothing else.
            let told = with.between("space", 400, 2000);
            assert!(told.iter().all(|told| WANTS.iter().all(|want| told.number(want) != ENOSPC)));
        }
    }
}

mod restarts {
    use super::*;

    faults! { base!("tiny", "4s");
        "disk-full" => a_node_that_starts_again_meanwhile_finds_its_disk_full,
        r#"at "400ms" { disk-full "data" for="2600ms" }
           at "800ms" { kill "n1" restart-after="200ms" }"#,
        |with, _without| {
            all_full(&with, 480, 800);
            let lives = lives(&with);
            assert_eq!(lives.len(), 1, "{lives:?}");
            assert!(lives[0].at_ms < 2500 && is_full(&lives[0]), "{lives:?}");
            all_full(&with, 1000, 3000);
            none_full(&with, 3060, 4000);
        }
        "disk-full" => what_ends_while_a_node_is_down_is_over_when_it_starts,
        r#"at "400ms" { disk-full "data" for="600ms" }
           at "800ms" { kill "n1" restart-after="600ms" }"#,
        |with, _without| {
            all_full(&with, 480, 800);
            assert_eq!(lives(&with).len(), 1);
            none_full(&with, 1400, 4000);
            // The crash has left no inode behind that nobody knows of.
            let all = |told: &Told| told.number("inodes") + told.number("entries");
            let told = with.events("space");
            assert_eq!(all(&told[0]), all(&told[told.len() - 1]));
        }
        "disk-full" => what_begins_while_a_node_boots_is_there_when_programs_start,
        r#"at "400ms" { kill "n1" restart-after="200ms" }
           at "610ms" { disk-full "data" for="2s" }"#,
        |with, _without| {
            let lives = lives(&with);
            assert_eq!(lives.len(), 1, "{lives:?}");
            assert!(is_full(&lives[0]), "{lives:?}");
            all_full(&with, 700, 2600);
            none_full(&with, 2670, 4000);
        }
        "disk-full" => what_begins_and_ends_while_a_node_is_down_was_never_there,
        r#"at "400ms" { kill "n1" restart-after="600ms" }
           at "600ms" { disk-full "data" for="200ms" }"#,
        |with, _without| {
            assert_eq!(lives(&with).len(), 1);
            none_full(&with, 1000, 4000);
        }
    }
}

mod debian {
    use super::*;

    faults! { base!("debian", "5s");
        "disk-full" => debians_kernel_says_the_same_before_and_after_a_restart,
        r#"at "400ms" { disk-full "data" for="3600ms" }
           at "800ms" { kill "n1" restart-after="200ms" }"#,
        |with, without| {
            none_full(&with, 0, 380);
            all_full(&with, 500, 800);
            let lives = lives(&with);
            assert_eq!(lives.len(), 1, "{lives:?}");
            assert!(is_full(&lives[0]), "{lives:?}");
            all_full(&with, 1000, 4000);
            none_full(&with, 4100, 5000);
            none_full(&without, 0, 5000);
        }
    }
}

/// The kinds that have a test here.
pub const TESTED: &[&[&str]] = &[tiny::TESTED, restarts::TESTED, debian::TESTED];
