//! The conformance suite of guests/bare on both engines. On a host without KVM, what needs it says so
//! and checks nothing.

mod host;
mod suite;

use chaosrun_vmm::engine::{EngineKind, EngineOptions};
use chaosrun_vmm::machine::Component;
use suite::{Mark, has, run, run_with};

/// How often each engine runs the suite.
const RUNS: usize = 10;

/// The digests of the devices: everything but processors, RAM, and what an engine's notion of progress
/// decides: the scheduler, the clock, and when it is looked whether processors let interrupts in.
fn devices(mark: &Mark) -> Vec<&Component> {
    let of_engine = |name: &str| {
        // The wall clock notes when the counter was last read, which KVM does not tell.
        let of_progress = matches!(name, "scheduler" | "clock" | "attention" | "wall");
        name.starts_with("vcpu") || name == "ram" || of_progress
    };
    let components = mark.hash.components.iter();
    components.filter(|part| !of_engine(&part.name)).collect()
}

/// Fails with the first line in which two consoles differ.
fn same_console(left: &str, right: &str) {
    for (left, right) in left.lines().zip(right.lines()) {
        assert_eq!(left, right);
    }
    assert_eq!(left, right);
}

fn check_console(console: &str) {
    for bad in ["FAILED", "UNEXPECTED", "PANIC"] {
        assert!(!console.contains(bad), "{console}");
    }
    assert!(console.ends_with("done\n"), "{console}");
}

#[test]
fn the_suite_passes_on_the_exact_engine_and_is_the_same_every_time() {
    let first = run(EngineKind::Exact);
    check_console(&first.console);
    assert_eq!(first.marks.len(), 12);
    for _ in 1..RUNS {
        assert_eq!(run(EngineKind::Exact), first);
    }
}

#[test]
fn the_suite_passes_on_kvm_and_is_the_same_every_time() {
    if !has(EngineKind::Kvm) {
        return;
    }
    let first = run(EngineKind::Kvm);
    check_console(&first.console);
    for _ in 1..RUNS {
        assert_eq!(run(EngineKind::Kvm), first);
    }
}

#[test]
fn both_engines_print_the_same_and_have_the_same_devices_at_every_mark() {
    if !has(EngineKind::Kvm) {
        return;
    }
    let (exact, kvm) = (run(EngineKind::Exact), run(EngineKind::Kvm));
    let expected = host::console(&exact.console, |_| EngineKind::Kvm);
    same_console(&expected, &kvm.console);
    assert_eq!(exact.marks.len(), kvm.marks.len());
    for (left, right) in exact.marks.iter().zip(&kvm.marks) {
        assert_eq!(left.name, right.name);
        assert_eq!(devices(left), devices(right), "at the mark `{}`", left.name);
    }
    // Not because nothing is compared: what an engine decides does differ.
    assert_ne!(exact.retired, kvm.retired);
}

#[test]
fn a_machine_that_is_restored_at_every_mark_is_the_same_as_one_that_never_stopped() {
    if !has(EngineKind::Kvm) {
        return;
    }
    let options = EngineOptions::default();
    let restored = run_with(EngineKind::Kvm, |machine, _| {
        let before = machine.state_hash().unwrap();
        machine.change_engine(EngineKind::Kvm, &options).unwrap();
        let after = machine.state_hash().unwrap();
        assert_eq!(before.components, after.components);
    });
    let whole = run_with(EngineKind::Kvm, |machine, _| {
        machine.state_hash().unwrap();
        machine.state_hash().unwrap();
    });
    same_console(&restored.console, &whole.console);
    assert_eq!(restored, whole);
}

#[test]
fn a_machine_goes_on_on_the_other_engine() {
    if !has(EngineKind::Kvm) {
        return;
    }
    let options = EngineOptions::default();
    let kinds = [EngineKind::Exact, EngineKind::Kvm];
    let exact = run(EngineKind::Exact);
    for first in [0, 1] {
        let mixed = run_with(kinds[first], |machine, mark| {
            machine
                .change_engine(kinds[(first + mark) % 2], &options)
                .unwrap();
        });
        let expected = host::console(&exact.console, |mark| kinds[(first + mark) % 2]);
        same_console(&expected, &mixed.console);
    }
}
