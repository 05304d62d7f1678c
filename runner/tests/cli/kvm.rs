//! `chaosrun doctor` and the KVM engine as users see them. What needs a KVM says so where there is none,
//! and checks nothing.

use std::io::Write;

use serde_json::Value;

use super::*;

/// Says past the harness, which shows nothing of tests that pass, that a test checks nothing and why.
/// Where `CHAOSRUN_REQUIRE_KVM` is set, that is a failure.
fn not_checked(why: &str) {
    let required = std::env::var_os("CHAOSRUN_REQUIRE_KVM").is_some();
    assert!(!required, "KVM is required here: {why}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "NOT CHECKED: {name}: {why}");
}

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
        let findings = report["findings"].as_array().unwrap().iter();
        let bad = findings.filter(|finding| finding["verdict"] == "bad");
        let why: Vec<String> = bad
            .take(3)
            .map(|finding| format!("{}: {}", finding["probe"], finding["measured"]))
            .collect();
        not_checked(&format!("KVM runs no guest here: {}", why.join("; ")));
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

/// One of the host's processors that is ours to use, which need not be the first.
fn allowed_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.unwrap().trim().split([',', '-']).next();
    first.unwrap().to_owned()
}

#[test]
fn a_bare_guest_prints_the_same_on_kvm_and_its_caveats_are_told() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    let guest = world.guest(&[bare::print("hello\n"), bare::power_off()]);
    let pin = allowed_processor();
    let output = world.run(&["boot", guest, "--engine", "kvm", "--pin", &pin]);
    assert_exit(&output, 0, &["powered off", "RDTSC"]);
    assert_eq!(stdout(&output), "hello\n");
    let verified = world.run(&["verify", guest, "--engine", "kvm", "-n", "3"]);
    assert_exit(&verified, 0, &[]);
}

/// Sets CR4.OSXSAVE and enables the YMM registers, which is a fault where there are none; but some hosts
/// look at their own processor for that and not at the guest's.
const ENABLE_YMM: [u8; 23] = [
    0x0f, 0x20, 0xe0, // mov rax, cr4
    0x48, 0x0f, 0xba, 0xe8, 18, // bts rax, 18
    0x0f, 0x22, 0xe0, // mov cr4, rax
    0x31, 0xc9, 0x31, 0xd2, // xor ecx, ecx; xor edx, edx
    0xb8, 7, 0, 0, 0, // mov eax, 7
    0x0f, 0x01, 0xd1, // xsetbv
];

#[test]
fn avx2_is_there_on_request_on_kvm_only() {
    let world = World::new();
    let guest = world.guest(&[
        ENABLE_YMM.to_vec(),
        bare::print("enabled\n"),
        bare::power_off(),
    ]);
    let exact = world.run(&["boot", guest, "--avx2"]);
    assert_exit(&exact, 69, &["the exact engine has no AVX"]);
    assert_eq!(stdout(&exact), "");
    let report = doctor(&world);
    if !has_kvm(&report) {
        return;
    }
    let on_kvm = ["boot", guest, "--engine", "kvm"];
    let output = world.run(&[&on_kvm[..], &["--avx2"]].concat());
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["probe"] == "avx2");
    if finding.unwrap()["verdict"] == "good" {
        assert_exit(&output, 0, &["powered off"]);
        assert_eq!(stdout(&output), "enabled\n");
        let verify = ["verify", guest, "--engine", "kvm", "--avx2", "-n", "3"];
        assert_exit(&world.run(&verify), 0, &[]);
    } else {
        assert_exit(&output, 69, &["lacks AVX2"]);
    }
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
        not_checked("this host's KVM runs Linux");
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

#[test]
fn nodes_are_bound_to_processors_without_effect_on_the_result_and_only_to_those_there_are() {
    let world = World::new();
    world.guest(&[bare::print("hello\n"), bare::spin()]);
    let file = cluster(&world);
    let hash = |settings: &str| {
        let scenario = CLUSTER.replace("\"kvm\"", "\"exact\"");
        let scenario = scenario.replace("memory \"32MiB\"", settings);
        fs::write(world.path(file), scenario).unwrap();
        assert_exit(&world.run(&[file, "--out", "out"]), 0, &[]);
        let hash = &report(&world)["run"]["state_hash"];
        hash.as_str().expect("there is one").to_owned()
    };
    let free = hash("memory \"32MiB\"; speed 10");
    let own = allowed_processor();
    let bound = format!("memory \"32MiB\"; speed 10; pin {own}");
    assert_eq!(hash(&bound), free);
    assert_ne!(hash("memory \"48MiB\"; speed 10"), free);
    let missing = CLUSTER.replace("memory", &format!("pin {own} 4095; memory"));
    fs::write(world.path(file), missing).unwrap();
    for command in [vec![file], vec!["verify", file]] {
        let output = world.run(&command);
        assert_exit(&output, 69, &["`n1` of `bare`", "processor 4095"]);
    }
}

/// Two nodes on KVM that boot `./guest` and nothing else.
const CLUSTER: &str = r#"scenario "bare" schema=1 {
    engine "kvm"
    kernel path="guest"
    guest "nothing" initrd="empty"
    node "n1" "n2" { guest "nothing"; memory "32MiB" }
    ready console="hello" within="50ms"
    properties { never console="panicked" }
    run duration="50ms"
}"#;

/// Writes the cluster's scenario beside a guest.
fn cluster(world: &World) -> &'static str {
    fs::write(world.path("empty"), "no archive").unwrap();
    fs::write(world.path("bare.kdl"), CLUSTER).unwrap();
    "bare.kdl"
}

fn report(world: &World) -> Value {
    let text = fs::read_to_string(world.path("out/report.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["reports"][0].clone()
}

#[test]
fn a_plan_runs_on_kvm_and_its_report_says_what_the_engine_lets_through() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    world.guest(&[bare::print("hello\n"), bare::power_off()]);
    let file = cluster(&world);
    let output = world.run(&[file, "--out", "out", "--replay", "all"]);
    assert_exit(&output, 0, &[]);
    let report = report(&world);
    assert_eq!(report["run"]["engine"], "kvm");
    let caveats = report["run"]["caveats"].to_string();
    assert!(caveats.contains("n1, n2: RDTSC"), "{caveats}");
    assert_exit(&world.run(&["verify", file, "-n", "3"]), 0, &[]);
}

#[test]
fn a_plan_whose_guest_never_exits_is_nondeterminism_unless_that_is_allowed() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    world.guest(&[bare::print("hello\n"), bare::spin()]);
    let file = cluster(&world);
    let run = [file, "--out", "out", "--replay", "none"];
    let refused = world.run(&[&run[..], &["--patience", "20"]].concat());
    assert_exit(&refused, 6, &[]);
    let told = report(&world)["properties"].to_string();
    assert!(told.contains("not deterministic"), "{told}");
    assert!(told.contains("0x1000"), "{told}");
    let allowed = world.run(&[&run[..], &["--allow-nondeterminism"]].concat());
    assert_exit(&allowed, 0, &[]);
    let caveats = report(&world)["run"]["caveats"].to_string();
    assert!(
        caveats.contains("this run is not deterministic"),
        "{caveats}"
    );
}

#[test]
fn a_plan_of_linux_on_kvm_is_refused_with_the_reason_where_it_does_not_run() {
    let world = World::new();
    let report = doctor(&world);
    if report["runs_linux"] == true {
        not_checked("this host's KVM runs Linux");
        return;
    }
    // Where there is no KVM, or none that is ours to use, it runs nothing.
    let cannot = match report["runs_bare"].as_bool().unwrap() {
        true => "cannot run Linux",
        false => "cannot run any guest",
    };
    world.guest(&[bare::power_off(), b"Linux version 6.12".to_vec()]);
    let file = cluster(&world);
    for command in [vec![file], vec!["verify", file]] {
        let output = world.run(&command);
        assert_exit(&output, 69, &["`n1` of `bare`", cannot, "exact"]);
    }
}

/// Runs chaosrun where /dev is made by `script`, with `$CHAOSRUN` for the program. None if this host
/// does not let us make one.
fn elsewhere(world: &World, script: &str) -> Option<Output> {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script])
        .env("CHAOSRUN", env!("CARGO_BIN_EXE_chaosrun"))
        .env("XDG_CACHE_HOME", world.path("cache"))
        .current_dir(world.directory.path());
    let able = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "mount",
            "-t",
            "tmpfs",
            "none",
            "/mnt",
        ])
        .output();
    if !able.is_ok_and(|output| output.status.success()) {
        not_checked("this host has no user namespaces for us");
        return None;
    }
    Some(command.output().unwrap())
}

/// An empty /dev with nothing in it but what a program cannot do without.
const WITHOUT_KVM: &str = "touch null; mount --bind /dev/null null; mount -t tmpfs none /dev; \
                           touch /dev/null; mount --bind null /dev/null; ";

#[test]
fn without_kvm_the_doctor_says_so_and_what_asks_for_it_is_refused() {
    let world = World::new();
    world.guest(&[bare::print("hello\n"), bare::power_off()]);
    let file = cluster(&world);
    let run = |rest: &str| elsewhere(&world, &format!("{WITHOUT_KVM} $CHAOSRUN {rest}"));
    let Some(output) = run("doctor --json") else {
        return;
    };
    assert_exit(&output, 0, &[]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&report["runs_bare"], &report["auto"]),
        (&false.into(), &"exact".into())
    );
    let table = run("doctor").unwrap();
    assert_exit(&table, 0, &[]);
    assert!(
        stdout(&table).contains("there is no /dev/kvm"),
        "{}",
        stdout(&table)
    );
    let boot = run("boot ./guest --engine kvm").unwrap();
    assert_exit(&boot, 69, &["there is no /dev/kvm"]);
    assert_exit(
        &run("boot ./guest --engine auto").unwrap(),
        0,
        &["powered off"],
    );
    let plan = run(file).unwrap();
    assert_exit(&plan, 69, &["cannot run any guest", "there is no /dev/kvm"]);
}

#[test]
fn a_device_that_is_not_kvm_and_a_host_without_devices_do_not_confuse_the_doctor() {
    let world = World::new();
    let lying = "touch kvm; mount --bind /dev/null kvm; mount -t tmpfs none /dev; \
                 touch /dev/null /dev/kvm; mount --bind kvm /dev/null; mount --bind kvm /dev/kvm; \
                 $CHAOSRUN doctor --json";
    for (script, said) in [
        (lying, "does not speak KVM's interface"),
        (
            "mount -t tmpfs none /dev; $CHAOSRUN doctor --json",
            "can't be started",
        ),
    ] {
        let Some(output) = elsewhere(&world, script) else {
            return;
        };
        assert_exit(&output, 0, &[]);
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["auto"], "exact");
        let measured = report["findings"][0]["measured"].as_str().unwrap();
        assert!(measured.contains(said), "{measured}");
    }
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let world = World::new();
    if !has_kvm(&doctor(&world)) {
        return;
    }
    let guest = world.guest(&[bare::print(&"hello\n".repeat(200)), bare::power_off()]);
    let spawn = |args: &[&str]| {
        let mut command = world.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let boot = ["boot", guest, "--engine", "kvm"];
    let alone = world.run(&boot);
    let doctors = [spawn(&["doctor", "--json"]), spawn(&["doctor", "--json"])];
    let guests: Vec<_> = (0..4).map(|_| spawn(&boot)).collect();
    let hash = |output: &Output| {
        stderr(output)
            .rsplit_once("state hash")
            .unwrap()
            .1
            .to_owned()
    };
    for child in guests {
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 0, &["powered off"]);
        assert_eq!(
            (stdout(&output), hash(&output)),
            (stdout(&alone), hash(&alone))
        );
    }
    for child in doctors {
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 0, &[]);
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(report["runs_bare"], true);
    }
}
