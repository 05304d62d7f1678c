//! Wrong clocks, as a program sees them that compares its two clocks, or its own with another node's.

use crate::pair::{Seen, faults};

const BASE: &str = r#"
scenario "clocks" schema=1 {
    kernel "tiny"
    guest "watcher" crate="observer" { args "watch" "prober" }
    guest "prober" crate="observer" { args "probe" "answerer" }
    guest "answerer" crate="observer" { args "echo" }
    network "lan"
    node "n1" { guest "watcher"; guest "prober"; network "lan"; memory "64MiB" }
    node "answerer" { guest "answerer"; network "lan"; memory "64MiB" }
    FAULTS
    run duration="2s" seed=1
}"#;

/// How many microseconds CLOCK_REALTIME was ahead of CLOCK_MONOTONIC, compared with the beginning.
fn ahead(seen: &Seen, from_ms: u64, to_ms: u64) -> (i64, i64) {
    let begin = seen.between("sample", 0, 300)[0].number("wall_ahead_us");
    let samples = seen.between("sample", from_ms, to_ms);
    let numbers: Vec<i64> = samples
        .iter()
        .map(|told| told.number("wall_ahead_us") - begin)
        .collect();
    let (least, most) = (numbers.iter().min(), numbers.iter().max());
    (
        *least.expect("there are samples"),
        *most.expect("there are samples"),
    )
}

fn about(range: (i64, i64), wanted: i64) -> bool {
    range.0 >= wanted - 1_000 && range.1 <= wanted + 1_000
}

/// By how many parts per million the other node's clock is faster than one's own.
fn faster(seen: &Seen) -> i64 {
    let answers = seen.between("answer", 400, 1900);
    let (first, last) = (&answers[0], &answers[answers.len() - 1]);
    let passed = |key: &str| last.number(key) - first.number(key);
    (passed("theirs_us") - passed("sent_us")) * 1_000_000 / passed("sent_us")
}

faults! { BASE;
    "clock-skew" => the_wall_clock_is_off_for_a_while,
    r#"at "400ms" { clock-skew "n1" by="-200ms" for="800ms" }"#,
    |with, without| {
        assert!(about(ahead(&with, 500, 1200), -200_000), "{:?}", ahead(&with, 500, 1200));
        assert!(about(ahead(&with, 1300, 2000), 0), "{:?}", ahead(&with, 1300, 2000));
        assert!(about(ahead(&without, 0, 2000), 0), "{:?}", ahead(&without, 0, 2000));
    }
    "clock-jump" => the_wall_clock_jumps_there_and_back_and_the_steady_one_does_not,
    r#"at "400ms" { clock-jump "n1" by="1h" }
       at "1s" { clock-jump "n1" by="-2h" }"#,
    |with, without| {
        let hour = 3_600_000_000;
        assert!(about(ahead(&with, 500, 1000), hour), "{:?}", ahead(&with, 500, 1000));
        assert!(about(ahead(&with, 1100, 2000), -hour), "{:?}", ahead(&with, 1100, 2000));
        let late = with.events("sample").iter().map(|told| told.number("latest_us")).max();
        assert!(late < Some(10_000), "{late:?}");
        assert!(about(ahead(&without, 0, 2000), 0));
    }
    "clock-drift" => the_other_nodes_clock_runs_faster,
    r#"at "200ms" { clock-drift "answerer" by="1%" }"#,
    |with, without| {
        assert!((9_000..11_000).contains(&faster(&with)), "{}", faster(&with));
        assert!(faster(&without).abs() < 1_000, "{}", faster(&without));
    }
}
