//! How machines wait and how they end.

use chaosrun_vmm::machine::Stop;

use super::guest::{MILLI, Outcome, SECOND, Setup, busybox_root, debian, pack, tiny};

fn run(kernel: &[u8], vcpus: u32, command: &str) -> Outcome {
    let initrd = pack(&busybox_root(command));
    let setup = Setup {
        vcpus,
        ..Setup::new(kernel, &initrd)
    };
    setup.boot()
}

/// What `/proc/uptime` said, in seconds with two decimals.
fn uptimes(outcome: &Outcome) -> Vec<f64> {
    let first = |line: &str| line.split(' ').next()?.parse().ok();
    outcome.output().lines().filter_map(first).collect()
}

#[test]
fn sixty_virtual_seconds_of_sleep_pass_with_few_instructions() {
    for vcpus in [1, 4] {
        let slept = run(
            tiny(),
            vcpus,
            "cat /proc/uptime; sleep 60; cat /proc/uptime",
        );
        let awake = run(tiny(), vcpus, "cat /proc/uptime; sleep 0; cat /proc/uptime");
        let [before, after] = uptimes(&slept)[..] else {
            panic!("{}", slept.console)
        };
        assert!((after - before - 60.0).abs() < 0.05, "{before} {after}");
        let longer = slept.now.0 - awake.now.0;
        assert!(
            longer.abs_diff(60 * SECOND) < 50 * MILLI,
            "{longer} ns longer"
        );
        // The kernel's own timers fire now and then; a busy minute has 60,000 million.
        let sleeping = slept.retired - awake.retired;
        assert!(sleeping < 60_000_000, "{sleeping} instructions");
    }
}

#[test]
fn both_kernels_restart_the_machine() {
    for (name, kernel) in [("tiny", tiny()), ("debian", debian())] {
        let outcome = run(kernel, 1, "reboot -f");
        assert_eq!(outcome.stop, Stop::Reset, "{name}: {}", outcome.console);
    }
}

#[test]
fn kernel_panic_restarts_the_machine() {
    let outcome = run(tiny(), 2, "exec false");
    assert_eq!(outcome.stop, Stop::Reset, "{}", outcome.console);
    assert!(
        outcome.console.contains("Kernel panic - not syncing"),
        "{}",
        outcome.console
    );
}
