//! Interrupts that nobody asked for or that come late, as `/proc/interrupts` and sleeps show them.

use crate::node::{WATCH, latest};
use crate::pair::{Seen, faults};

/// How often an interrupt came between these milliseconds.
fn count(seen: &Seen, name: &str, from_ms: u64, to_ms: u64) -> i64 {
    let samples = seen.between("sample", from_ms, to_ms);
    let number = |at: usize| {
        samples[at].details["interrupts"][name]
            .as_i64()
            .unwrap_or(0)
    };
    number(samples.len() - 1) - number(0)
}

faults! { WATCH;
    // The line of the first virtio device, the console that commands come by, of which there are none.
    "irq" => the_interrupt_of_a_silent_device_comes,
    r#"at "500ms" { irq "n1" line=16 }
       at "700ms" { irq "n1" line=16 }"#,
    |with, without| {
        assert_eq!(count(&with, "25", 200, 1500), 2);
        assert_eq!(count(&without, "25", 200, 1500), 0);
    }
    "nmi" => the_kernel_counts_the_interrupt,
    r#"at "500ms" { nmi "n1" }"#,
    |with, without| {
        assert_eq!(count(&with, "NMI", 200, 1500), 1);
        assert_eq!(count(&without, "NMI", 0, 2000), 0);
    }
    "spurious-timer" => the_timer_interrupts_more_often,
    r#"at "300ms" { spurious-timer "n1" rate="2000/s" for="1s" }"#,
    |with, without| {
        let (more, usual) = (count(&with, "LOC", 400, 1200), count(&without, "LOC", 400, 1200));
        assert!(more > usual + 1_000, "{more} {usual}");
    }
    "delayed-timer" => sleeps_are_too_long,
    r#"at "300ms" { delayed-timer "n1" by="3ms" for="1s" }"#,
    |with, without| {
        // A timer that is due while another is late is served with that one.
        let samples = with.between("sample", 400, 1200);
        let between = |least: i64, us: i64| (least..3_500).contains(&us);
        for told in &samples {
            assert!(between(2_900, told.number("latest_us")), "{:?}", told.details);
            assert!(between(1_000, told.number("late_us")), "{:?}", told.details);
        }
        let after = with.between("sample", 1400, 2000);
        assert!(after.iter().all(|told| told.number("latest_us") < 1_000));
        assert!(latest(&without) < 1_000, "{}", latest(&without));
    }
}
