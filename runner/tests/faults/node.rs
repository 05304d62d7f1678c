//! Faults of whole nodes, as a program on them sees them.

use crate::pair::{Seen, faults};

pub const WATCH: &str = r#"
scenario "watch" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args "watch" "n1" }
    node "n1" { guest "observer"; memory "64MiB" }
    FAULTS
    run duration="2s" seed=1
}"#;

/// The most microseconds that a sleep of 5 ms was too long.
pub fn latest(seen: &Seen) -> i64 {
    let samples = seen.events("sample").into_iter();
    samples
        .map(|told| told.number("latest_us"))
        .max()
        .expect("there are samples")
}

/// The turns of a loop in a millisecond, at least and at most, between these milliseconds.
fn turns(seen: &Seen) -> (i64, i64) {
    let samples = seen.between("sample", 400, 1000);
    let turns: Vec<i64> = samples.iter().map(|told| told.number("turns")).collect();
    let (least, most) = (turns.iter().min(), turns.iter().max());
    (
        *least.expect("there are samples"),
        *most.expect("there are samples"),
    )
}

faults! { WATCH;
    "pause" => the_steady_clock_jumps_over_a_pause,
    r#"at "300ms" { pause "n1" for="700ms" }"#,
    |with, without| {
        assert!((690_000..720_000).contains(&latest(&with)), "{}", latest(&with));
        assert!(latest(&without) < 2_000, "{}", latest(&without));
    }
    "resume" => a_pause_is_over_when_it_is_ended,
    r#"at "300ms" { pause "n1" for="1500ms" }
       at "600ms" { resume "n1" }"#
    - r#"at "300ms" { pause "n1" for="1500ms" }"#,
    |with, without| {
        assert!((290_000..320_000).contains(&latest(&with)), "{}", latest(&with));
        assert!(latest(&without) > 1_400_000, "{}", latest(&without));
    }
    "throttle" => a_loop_makes_fewer_turns,
    r#"at "300ms" { throttle "n1" to="25%" for="1s" }"#,
    |with, without| {
        let (slow, fast) = (turns(&with), turns(&without));
        assert!(slow.1 * 3 < fast.0, "{slow:?} {fast:?}");
        // And fast again.
        let after = with.between("sample", 1400, 2000);
        assert!(after.iter().all(|told| told.number("turns") * 2 > fast.0));
    }
}
