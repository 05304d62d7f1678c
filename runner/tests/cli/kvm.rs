//! `chaosrun doctor` and the KVM engine as users see them. What needs a KVM says so where there is none,
//! and checks nothing.

use serde_json::Value;

use super::*;

/// What the doctor says.
fn doctor(world: &World) -> Value {
    let output = world.run(&["doctor", "--json"]);
    assert_exit(&output, 0, &[]);
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Whether guests without an operating system run on this host's KVM.
fn has_kvm(report: &Value) -> bool {
    let runs = report["runs_bare"].as_bool().unwrap();
    if !runs {
        eprintln!("not checked: {}", report["findings"][0]["measured"]);
    }
    runs
}

#[test]
fn the_doctor_has_a_finding_for_each_probe_and_makes_a_choice_that_fits() {
    let world = World::new();
    let report = doctor(&world);
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        for key in ["probe", "subject", "verdict", "measured", "means"] {
            assert!(!finding[key].as_str().unwrap().is_empty(), "{finding}");
        }
    }
    if has_kvm(&report) {
        assert!(findings.len() > 15);
    }
    let all = ["runs_bare", "runs_linux", "deterministic", "preempts"];
    let nothing_against = all.iter().all(|key| report[key] == true);
    assert_eq!(
        report["auto"],
        if nothing_against { "kvm" } else { "exact" }
    );
    let table = world.run(&["doctor"]);
    assert_exit(&table, 0, &[]);
    assert!(stdout(&table).contains("`auto` chooses"));
}

#[test]
fn a_probe_that_there_is_not_is_a_usage_error() {
    let world = World::new();
    let output = world.run(&["doctor", "--probe", "nonsense"]);
    assert_exit(&output, 2, &["nonsense", "device, rdtsc"]);
}

#[test]
fn a_bare_guest_prints_the_same_on_kvm_and_its_caveats_are_told() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    let guest = world.guest(&[bare::print("hello\n"), bare::power_off()]);
    let output = world.run(&["boot", guest, "--engine", "kvm", "--pin", "0"]);
    assert_exit(&output, 0, &["powered off", "RDTSC"]);
    assert_eq!(stdout(&output), "hello\n");
    let verified = world.run(&["verify", guest, "--engine", "kvm", "-n", "3"]);
    assert_exit(&verified, 0, &[]);
}

#[test]
fn a_guest_that_never_exits_is_nondeterminism_unless_that_is_allowed() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    let guest = world.guest(&[bare::spin()]);
    let boot = ["boot", guest, "--engine", "kvm", "--for", "50ms"];
    let refused = world.run(&[&boot[..], &["--patience", "20"]].concat());
    assert_exit(
        &refused,
        6,
        &["not deterministic", "0x1000000", "--allow-nondeterminism"],
    );
    let allowed = world.run(&[&boot[..], &["--allow-nondeterminism"]].concat());
    assert_exit(&allowed, 0, &["time is up", "stopped"]);
}

#[test]
fn linux_is_refused_in_one_message_where_it_does_not_run() {
    let world = World::new();
    let report = doctor(&world);
    if report["runs_linux"] == true {
        eprintln!("not checked: this host's KVM runs Linux");
        return;
    }
    let guest = world.guest(&[bare::power_off(), b"Linux version 6.12".to_vec()]);
    let output = world.run(&["boot", guest, "--engine", "kvm"]);
    assert_exit(&output, 69, &["cannot run Linux", "--engine exact"]);
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_processor_that_there_is_not_can_not_be_bound_to() {
    let world = World::new();
    let guest = world.guest(&[bare::power_off()]);
    for cpu in ["1023", "99999"] {
        assert_exit(
            &world.run(&["boot", guest, "--pin", cpu]),
            2,
            &["cannot bind"],
        );
    }
}
