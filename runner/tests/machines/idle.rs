//! Waiting: a guest that sleeps gets its virtual time and costs nothing else.

use super::guest::{MILLI, SECOND, Setup, busybox_root, debian, pack};

#[test]
fn sixty_virtual_seconds_pass_with_few_instructions() {
    // The uptime before and after, in seconds with two decimals.
    let initrd = pack(&busybox_root(
        "cat /proc/uptime; sleep 60; cat /proc/uptime",
    ));
    let slept = Setup::new(debian(), &initrd).boot();
    let uptimes: Vec<f64> = slept
        .output()
        .lines()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let [before, after] = uptimes[..] else {
        panic!("{uptimes:?}")
    };
    assert!((after - before - 60.0).abs() < 0.05, "{uptimes:?}");
    assert!(
        slept.now.0 > 60 * SECOND && slept.now.0 < 65 * SECOND,
        "{:?}",
        slept.now
    );
    let awake = pack(&busybox_root("cat /proc/uptime; sleep 0; cat /proc/uptime"));
    let awake = Setup::new(debian(), &awake).boot();
    let sleeping = slept.retired.saturating_sub(awake.retired);
    // The kernel's own timers still fire now and then; a busy minute has 60,000 million.
    assert!(sleeping < 60 * MILLI, "{sleeping} instructions");
}
