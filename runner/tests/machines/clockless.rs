//! The kernel `tiny-kvm`, which never reads the time stamp counter.

use chaosrun_vmm::machine::Stop;

use super::guest::{SECOND, Setup, busybox_root, kernel, pack, tiny};

#[test]
#[ignore = "builds a kernel of its own, which takes minutes; run with --ignored"]
fn tiny_kvm_never_reads_the_time_stamp_counter_and_keeps_time_all_the_same() {
    let command = "cat /sys/devices/system/clocksource/clocksource0/current_clocksource; \
                   head -c 4 /dev/urandom | wc -c; date +%s; sleep 2; date +%s; cat /proc/uptime";
    let initrd = pack(&busybox_root(command));
    let clockless = Setup::new(&kernel("tiny-kvm"), &initrd).boot();
    assert_eq!(clockless.stop, Stop::PowerOff, "{}", clockless.console);
    let lines: Vec<&str> = clockless.output().lines().collect();
    let [source, random, before, after, uptime] = lines[..] else {
        panic!("{}", clockless.console);
    };
    assert_eq!((source, random), ("pit", "4"));
    let seconds = |text: &str| text.parse::<i64>().unwrap();
    assert!((2..=3).contains(&(seconds(after) - seconds(before))));
    // The kernel's clock agrees with the machine's, of which the kernel misses the beginning only.
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let machine = clockless.now.0 as f64 / SECOND as f64;
    assert!((machine - uptime).abs() < 0.5, "{machine} {uptime}");
    assert_eq!(clockless.tsc_reads, 0);
    // The count does count.
    assert!(Setup::new(tiny(), &initrd).boot().tsc_reads > 0);
}
