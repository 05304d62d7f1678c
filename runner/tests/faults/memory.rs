//! Want of memory, as `/proc/meminfo` shows it.

use crate::node::WATCH;
use crate::pair::{Seen, faults};

/// The least and the most KiB that were available between these milliseconds.
fn available(seen: &Seen, from_ms: u64, to_ms: u64) -> (i64, i64) {
    let samples = seen.between("sample", from_ms, to_ms);
    let numbers: Vec<i64> = samples
        .iter()
        .map(|told| told.number("available_kib"))
        .collect();
    let (least, most) = (numbers.iter().min(), numbers.iter().max());
    (
        *least.expect("there are samples"),
        *most.expect("there are samples"),
    )
}

faults! { WATCH;
    "memory-pressure" => memory_is_taken_and_given_back,
    r#"at "300ms" { memory-pressure "n1" take="24MiB" for="700ms" }"#,
    |with, without| {
        // The kernel keeps some MiB of free pages for each processor, which it does not count.
        let (before, during, after) =
            (available(&with, 0, 300), available(&with, 500, 1000), available(&with, 1200, 2000));
        assert!(before.0 - during.1 > 16 << 10, "{before:?} {during:?}");
        assert!(after.0 - during.1 > 16 << 10, "{during:?} {after:?}");
        let (least, most) = available(&without, 0, 2000);
        assert!(most - least < 2 << 10, "{least}..{most}");
    }
}
