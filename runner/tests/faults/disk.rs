//! Faults of disks, as a program sees them that bypasses the page cache.

use crate::pair::{Seen, Told, faults};

const EXERCISE: &str = r#"
scenario "disk" schema=1 {
    kernel "tiny"
    guest "observer" crate="observer" { args "disk" "/dev/vda" }
    node "n1" { guest "observer"; disk "data" size="16MiB"; memory "64MiB" }
    FAULTS
    run duration="1s" seed=1
}"#;

/// The accesses while the fault was there.
fn blocks(seen: &Seen) -> Vec<Told> {
    seen.between("block", 300, 1000)
}

/// How many accesses had a number other than zero under this name.
fn count(seen: &Seen, key: &str) -> usize {
    let nonzero = |told: &&Told| told.number(key) != 0;
    blocks(seen).iter().filter(nonzero).count()
}

const EIO: i64 = 5;

faults! { EXERCISE;
    "disk-read-error" => reads_fail_and_writes_do_not,
    r#"at "200ms" { disk-read-error "data" }"#,
    |with, without| {
        assert!(blocks(&with).iter().all(|told| told.number("read") == EIO));
        assert_eq!((count(&with, "write"), count(&with, "rewrite")), (0, 0));
        assert_eq!(count(&without, "read"), 0);
    }
    "disk-write-error" => writes_fail_and_reads_do_not,
    r#"at "200ms" { disk-write-error "data" }"#,
    |with, without| {
        assert!(blocks(&with).iter().all(|told| told.number("write") == EIO));
        assert!(blocks(&with).iter().all(|told| told.number("rewrite") == EIO));
        assert_eq!(count(&with, "read"), 0);
        assert_eq!((count(&without, "write"), count(&without, "rewrite")), (0, 0));
    }
    "misdirected-write" => what_was_written_is_not_there,
    r#"at "200ms" { misdirected-write "data" }"#,
    |with, without| {
        let lost = |told: &Told| told.number("write") == 0 && told.number("wrong_bits") > 1_000;
        assert!(blocks(&with).iter().all(lost));
        assert_eq!(count(&without, "wrong_bits"), 0);
    }
    "bit-flip" => three_bits_are_wrong_of_each_operation,
    r#"at "200ms" { bit-flip "data" bits=3 times=9 }"#,
    |with, without| {
        // Nine operations are three rounds of two writes and a read. One write and the read are of the
        // block that is compared.
        let blocks = with.events("block");
        let wrong: Vec<i64> = blocks.iter().map(|told| told.number("wrong_bits")).collect();
        let hit: Vec<i64> = wrong.iter().copied().filter(|bits| *bits != 0).collect();
        assert_eq!(hit, [6, 6, 6], "{wrong:?}");
        assert_eq!(count(&without, "wrong_bits"), 0);
    }
    "disk-full" => only_what_was_there_can_be_written,
    r#"at "200ms" { disk-full "data" }"#,
    |with, without| {
        assert_eq!(count(&with, "write"), blocks(&with).len());
        assert_eq!(count(&with, "rewrite"), 0);
        assert_eq!(count(&without, "write"), 0);
    }
    "disk-slow" => writes_take_longer,
    r#"at "200ms" { disk-slow "data" by="10ms..15ms" }"#,
    |with, without| {
        let times = |seen: &Seen| -> Vec<i64> {
            blocks(seen).iter().map(|told| told.number("write_us")).collect()
        };
        assert!(times(&with).iter().all(|us| (10_000..17_000).contains(us)), "{:?}", times(&with));
        assert!(times(&without).iter().all(|us| *us < 2_000), "{:?}", times(&without));
    }
}
