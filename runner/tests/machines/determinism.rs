//! A machine is a function of its inputs, whatever goes on around it and however it is watched.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use chaosrun_vmm::machine::{Interleaving, StateHash};
use chaosrun_vmm::tape::Tape;

use super::binary::{self, chaosrun};
use super::guest::{MILLI, Outcome, QUIET, Setup, busybox_root, debian, pack, tiny};

/// A workload for several processors whose output says that it went well.
const WORKLOAD: &str =
    "(for job in 1 2 3 4; do seq 1 3000 | sort -r | sha256sum & done; wait) | uniq -c";
const SUCCESS: &str = "4 1c48a9c894e21c79";

/// The distance of state hashes: a fraction of any boot, and the same for `chaosrun boot`.
const HASH_EVERY: u64 = 20 * MILLI;
const HASH_EVERY_OPTION: &str = "20ms";

fn initrd() -> &'static [u8] {
    static INITRD: OnceLock<Vec<u8>> = OnceLock::new();
    INITRD.get_or_init(|| pack(&busybox_root(WORKLOAD)))
}

/// The workload on the kernel of this name.
fn setup(kernel: &str, vcpus: u32) -> Setup<'static> {
    let kernel = if kernel == "debian" { debian() } else { tiny() };
    Setup {
        vcpus,
        hash_every: HASH_EVERY,
        ..Setup::new(kernel, initrd())
    }
}

fn booted(setup: &Setup<'_>) -> Outcome {
    let outcome = setup.boot();
    let output = outcome.output().trim_start();
    assert!(output.starts_with(SUCCESS), "{}", outcome.console);
    outcome
}

/// Where two runs differ first, if they do.
fn difference(first: &Outcome, other: &Outcome) -> Option<String> {
    let differs = |(a, b): &(&StateHash, &StateHash)| a != b;
    if let Some((a, b)) = first.hashes.iter().zip(&other.hashes).find(differs) {
        return Some(format!(
            "at {:?} and {:?}: {:?}",
            a.time,
            b.time,
            a.differences(b)
        ));
    }
    (first != other).then(|| format!("{first:#?}\n{other:#?}"))
}

/// Boots `runs` times, in turn in child processes with other directories and environments and in
/// this process beside a thread that hogs a processor, and compares all with the first.
fn boots_are_equal(kernel: &str, vcpus: u32, runs: u32) {
    let setup = setup(kernel, vcpus);
    let first = booted(&setup);
    for run in 1..runs {
        if run % 2 == 0 {
            let other = beside_a_hog(|| booted(&setup));
            assert_eq!(difference(&first, &other), None, "run {run}");
        } else {
            child_is_equal(kernel, vcpus, run, &first);
        }
    }
}

/// Does `action` while other threads keep the processors busy.
fn beside_a_hog<T>(action: impl FnOnce() -> T) -> T {
    /// Stops the hogs even if the action panics.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        action()
    })
}

fn child_is_equal(kernel: &str, vcpus: u32, run: u32, first: &Outcome) {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let elsewhere = scratch.path().join(format!("directory {run}"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(scratch.path().join("initrd"), initrd()).unwrap();
    let mut command = chaosrun(["boot", kernel, "../initrd", "--cmdline", QUIET]);
    command
        .args(["--hash-every", HASH_EVERY_OPTION])
        .args(["--vcpus", &vcpus.to_string()])
        .current_dir(&elsewhere);
    disturb(&mut command, run);
    let run = binary::run(&mut command);
    run.ended(0, "powered off");
    assert_eq!(run.told("state hash"), format!("{:032x}", first.chain()));
    assert_eq!(run.told("instructions"), first.retired.to_string());
    assert_eq!(run.stdout.replace('\r', ""), first.console);
}

/// Gives the child an environment of its own.
fn disturb(command: &mut Command, run: u32) {
    command
        .env(
            "TZ",
            if run % 4 == 1 {
                "Asia/Tokyo"
            } else {
                "America/Lima"
            },
        )
        .env("LC_ALL", "de_DE.UTF-8")
        .env("RUST_MIN_STACK", "4000000")
        .env("MALLOC_PERTURB_", run.to_string())
        .env("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
        .env("SOME_VARIABLE", "x".repeat(1000 * run as usize));
}

#[test]
fn three_boots_of_debian_with_one_vcpu_are_equal() {
    boots_are_equal("debian", 1, 3);
}

#[test]
fn three_boots_of_debian_with_four_vcpus_are_equal() {
    boots_are_equal("debian", 4, 3);
}

#[test]
fn three_boots_of_tiny_are_equal() {
    boots_are_equal("tiny", 1, 3);
    boots_are_equal("tiny", 4, 3);
}

#[test]
fn compiled_and_interpreted_machines_are_equal() {
    for vcpus in [1, 4] {
        let usual = setup("tiny", vcpus);
        let first = booted(&usual);
        for compile_after in [0, 1] {
            let other = Setup {
                compile_after,
                ..usual.clone()
            };
            assert_eq!(difference(&first, &booted(&other)), None, "{compile_after}");
        }
    }
}

#[test]
#[ignore = "takes minutes; the three tests above are its short form"]
fn ten_boots_are_equal() {
    for kernel in ["debian", "tiny"] {
        for vcpus in [1, 2, 4] {
            boots_are_equal(kernel, vcpus, 10);
        }
    }
}

#[test]
fn observing_does_not_change_what_is_observed() {
    let plain = booted(&setup("tiny", 4));
    let watched = booted(&Setup {
        hash_every: 777_777,
        step: 123_457,
        log: true,
        ..setup("tiny", 4)
    });
    assert!(watched.hashes.len() > 10 * plain.hashes.len());
    let (a, b) = (plain.hashes.last().unwrap(), watched.hashes.last().unwrap());
    assert_eq!(a.differences(b), Vec::<&str>::new());
    assert_eq!((plain.now, plain.retired), (watched.now, watched.retired));
    assert_eq!(plain.switches, watched.switches);
    assert_eq!(plain.console, watched.console);
}

/// The workload with vCPUs that interleave at random.
fn random(tape: Tape) -> Setup<'static> {
    Setup {
        tape,
        interleaving: Interleaving::Random {
            min: 1,
            max: 20_000,
        },
        ..setup("tiny", 4)
    }
}

#[test]
fn seeds_that_differ_give_runs_that_differ_and_succeed() {
    let [first, again, other] = [1, 1, 2].map(|seed| booted(&random(Tape::new(seed))));
    assert_eq!(difference(&first, &again), None);
    assert_ne!(first.chain(), other.chain());
    assert_ne!(first.switches, other.switches);
}

#[test]
fn one_other_decision_interleaves_the_vcpus_differently_from_there_on() {
    let run = |tape| {
        booted(&Setup {
            hash_every: MILLI,
            ..random(tape)
        })
    };
    let first = run(Tape::new(1));
    let mut tape = Tape::new(1);
    tape.set("node/sched/slice", 1000, 1);
    let other = run(tape);
    // The seed of the kernel's random numbers is the same, and so is the start.
    let differs = |(a, b): (&StateHash, &StateHash)| a != b;
    let at = first.hashes.iter().zip(&other.hashes).position(differs);
    assert!(at > Some(0), "{at:?}");
    assert_ne!(first.chain(), other.chain());
}

#[test]
fn the_seed_decides_the_random_numbers_of_the_guest() {
    let initrd = pack(&busybox_root("head -c 16 /dev/urandom | md5sum"));
    let [first, again, other] = [7, 7, 8].map(|seed| {
        let setup = Setup {
            tape: Tape::new(seed),
            ..Setup::new(tiny(), &initrd)
        };
        setup.boot().output().to_owned()
    });
    assert_eq!(first, again);
    assert_ne!(first, other);
}
