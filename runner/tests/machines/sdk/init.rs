//! What init does: supervision, commands, disks, names.

use super::*;
use chaosrun_vmm::disk::Disk;

/// A node whose workload `net` waits for clients, under this policy.
fn waiting_node(restart: Restart) -> Node {
    let net_workload = Workload {
        restart,
        ..workload("net", "net", &["serve", "7000"])
    };
    let mut node = Node::boot(&[("net", net())], vec![net_workload], 1);
    node.await_told("the start", |told| {
        matches!(told.message, Message::SetupComplete { .. }).then_some(())
    });
    node
}

fn kill(process: Option<&str>, restart_after_ns: Option<u64>) -> Action {
    Action::ProcessKill {
        process: process.map(Into::into),
        restart_after_ns,
    }
}

/// The ends of processes: signal, whether a command asked, whether it restarts.
fn exits(node: &Node) -> Vec<(Option<i32>, bool, bool)> {
    node.reports()
        .into_iter()
        .filter_map(|report| match report {
            InitReport::ProcessExited {
                signal,
                asked,
                restarts,
                ..
            } => Some((*signal, *asked, *restarts)),
            _ => None,
        })
        .collect()
}

fn starts(node: &Node) -> Vec<u64> {
    node.told
        .iter()
        .filter(|(_, told)| {
            matches!(
                told.message,
                Message::Init(InitReport::ProcessStarted { .. })
            )
        })
        .map(|(time, _)| *time)
        .collect()
}

#[test]
fn stages_of_the_start_are_told_in_order() {
    let node = waiting_node(Restart::Never);
    let stages: Vec<&str> = node
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            InitReport::Stage { name } => Some(name.as_str()),
            InitReport::Trouble { text } => panic!("{text}"),
            _ => None,
        })
        .collect();
    assert_eq!(
        stages,
        [
            "mounts",
            "modules",
            "disks",
            "network",
            "mounted",
            "workloads"
        ]
    );
}

#[test]
fn killed_process_is_restarted_when_the_host_says() {
    let mut node = waiting_node(Restart::Never);
    let before = node.machine.now().0;
    node.command(kill(Some("net"), Some(700 * MILLI))).unwrap();
    node.run(3 * SECOND);
    assert_eq!(exits(&node), [(Some(9), true, true)]);
    let [_, second] = starts(&node)[..] else {
        panic!("{:?}", node.reports());
    };
    let pause = second - before;
    assert!((700 * MILLI..900 * MILLI).contains(&pause), "{pause} ns");
}

#[test]
fn killed_process_stays_dead_under_the_policy_never() {
    let mut node = waiting_node(Restart::Never);
    node.command(kill(None, None)).unwrap();
    node.await_end();
    assert_eq!(exits(&node), [(Some(9), true, false)]);
    let again = node.command(kill(Some("net"), None)).unwrap_err();
    assert!(again.contains("does not run"), "{again}");
    // The host may start it nevertheless.
    node.command(Action::ProcessRestart {
        process: None,
        restart_after_ns: 0,
    })
    .unwrap();
    node.run(SECOND);
    assert_eq!(starts(&node).len(), 2);
}

#[test]
fn policy_restarts_what_was_killed() {
    let mut node = waiting_node(Restart::OnFailure);
    node.command(kill(Some("net"), None)).unwrap();
    node.run(2 * SECOND);
    assert_eq!(exits(&node), [(Some(9), true, true)]);
    assert_eq!(starts(&node).len(), 2);
}

/// The client publishes each answer; while it stands still there are none.
#[test]
fn paused_process_stands_still_until_it_is_resumed() {
    let workloads = vec![
        workload("server", "net", &["serve", "7000"]),
        workload("client", "net", &["ping", "127.0.0.1:7000"]),
    ];
    let mut node = Node::boot(&[("net", net())], workloads, 1);
    let answers = |node: &Node| {
        let messages = node.told.iter().map(|(_, told)| &told.message);
        messages
            .filter(|message| matches!(message, Message::Publish { .. }))
            .count()
    };
    node.await_told("an answer", |told| {
        matches!(told.message, Message::Publish { .. }).then_some(())
    });
    let process = Some("client".to_owned());
    node.command(Action::ProcessPause { process }).unwrap();
    let of = node.commands;
    let before = answers(&node);
    node.run(2 * SECOND);
    assert_eq!(answers(&node), before);
    node.command(Action::ProcessResume { of }).unwrap();
    node.run(2 * SECOND);
    assert!(answers(&node) > before + 10);
    assert_eq!(exits(&node), []);
    // With two workloads, each line says whose it is.
    assert!(
        node.console.contains("client: pong 10\r\n"),
        "{}",
        node.console
    );
}

/// A program with a child in a session of its own and a daemon whose parent has ended. Each says its name
/// and the number of its process ten times a second, and starts another process each time.
const FAMILY: &str = r#"
    say() { while :; do echo "say $1 $$"; sleep 0.1; done; }
    if [ -n "$1" ]; then say "$1"; fi
    setsid sh /bin/family child &
    sh -c 'setsid sh /bin/family daemon &'
    say main"#;

/// A node that runs a family.
fn family(change: impl FnOnce(&mut MachineConfig<'_>)) -> Node {
    let config = NodeConfig {
        workloads: vec![workload("shell", "busybox", &["sh", "/bin/family"])],
        ..NodeConfig::default()
    };
    let busybox = std::fs::read(super::super::packages::busybox()).unwrap();
    let programs = [("busybox", &busybox[..]), ("family", FAMILY.as_bytes())];
    let mut node = Node::with(&archive(&programs, &config), change);
    node.await_told("the start", |told| {
        matches!(
            told.message,
            Message::Init(InitReport::ProcessStarted { .. })
        )
        .then_some(())
    });
    node.run(2 * SECOND);
    node
}

/// Who said something in the next so many seconds: names, with the numbers of their processes.
fn heard(node: &mut Node, seconds: u64) -> std::collections::BTreeSet<(String, String)> {
    node.console.clear();
    node.run(seconds * SECOND);
    let words = |line: &str| {
        let mut words = line.trim().strip_prefix("say ")?.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    node.console.lines().filter_map(words).collect()
}

fn names(heard: &std::collections::BTreeSet<(String, String)>) -> Vec<&str> {
    heard.iter().map(|(name, _)| name.as_str()).collect()
}

const ALL: [&str; 3] = ["child", "daemon", "main"];

/// What is asked of a program is asked of all that it started.
fn faults_reach_a_whole_family(mut node: Node) {
    let before = heard(&mut node, 1);
    assert_eq!(names(&before), ALL, "{}", node.console);
    // Two pause it, and it goes on when neither does.
    node.command(Action::ProcessPause { process: None })
        .unwrap();
    let first = node.commands;
    assert_eq!(names(&heard(&mut node, 2)), [""; 0]);
    node.command(Action::ProcessPause { process: None })
        .unwrap();
    let second = node.commands;
    node.command(Action::ProcessResume { of: first }).unwrap();
    assert_eq!(names(&heard(&mut node, 2)), [""; 0]);
    node.command(Action::ProcessResume { of: second }).unwrap();
    assert_eq!(heard(&mut node, 1), before);
    // Killed while it stands still, it comes back once, and as another one.
    node.command(Action::ProcessPause { process: None })
        .unwrap();
    node.command(kill(None, Some(500 * MILLI))).unwrap();
    node.run(3 * SECOND);
    let after = heard(&mut node, 1);
    assert_eq!(names(&after), ALL);
    assert!(after.is_disjoint(&before), "{before:?} {after:?}");
    // A kill whose restart is far away is undone by a start.
    node.command(kill(None, Some(1000 * SECOND))).unwrap();
    let third = node.commands;
    assert_eq!(names(&heard(&mut node, 2)), [""; 0]);
    node.command(Action::ProcessStart { of: third }).unwrap();
    node.run(2 * SECOND);
    assert_eq!(names(&heard(&mut node, 1)), ALL);
    // What has no restart leaves nobody.
    node.command(kill(None, None)).unwrap();
    assert_eq!(names(&heard(&mut node, 2)), [""; 0]);
    let none = node.command(kill(None, None)).unwrap_err();
    assert!(none.contains("does not run"), "{none}");
    assert_eq!(node.refused, [""; 0]);
}

#[test]
fn faults_reach_sessions_and_daemons_of_a_program() {
    faults_reach_a_whole_family(family(|_| ()));
}

#[test]
fn faults_reach_sessions_and_daemons_on_two_processors() {
    faults_reach_a_whole_family(family(|machine| {
        machine.vcpus = 2;
        machine.interleaving = chaosrun_vmm::machine::Interleaving::Random { min: 1, max: 500 };
    }));
}

/// A program that becomes a daemon has ended, as init sees it, and still faults mean the daemon.
#[test]
fn a_program_that_became_a_daemon_is_paused_and_killed() {
    let script = "(setsid sh -c 'while :; do echo say daemon 1; sleep 0.1; done' &)";
    let config = NodeConfig {
        workloads: vec![workload("shell", "busybox", &["sh", "-c", script])],
        ..NodeConfig::default()
    };
    let busybox = std::fs::read(super::super::packages::busybox()).unwrap();
    let mut node = Node::with(&archive(&[("busybox", &busybox)], &config), |_| ());
    node.await_end();
    assert_eq!(names(&heard(&mut node, 1)), ["daemon"]);
    node.command(Action::ProcessPause { process: None })
        .unwrap();
    let of = node.commands;
    assert_eq!(names(&heard(&mut node, 1)), [""; 0]);
    node.command(Action::ProcessResume { of }).unwrap();
    assert_eq!(names(&heard(&mut node, 1)), ["daemon"]);
    node.command(kill(None, None)).unwrap();
    assert_eq!(names(&heard(&mut node, 1)), [""; 0]);
}

#[test]
fn bad_commands_are_answered_and_change_nothing() {
    let mut node = waiting_node(Restart::Never);
    let missing = node.command(kill(Some("postgres"), None)).unwrap_err();
    assert!(missing.contains("no workload \"postgres\""), "{missing}");
    let garbage = [&[b'x'; 9000][..], b"\n{\"id\":1}\n\xff\xff\n"].concat();
    for bytes in garbage.chunks(1000) {
        node.machine.input(Input::Control(bytes.to_vec()));
        node.run(100 * MILLI);
    }
    let failed = |report: &&InitReport| matches!(report, InitReport::CommandFailed { id: 0, .. });
    assert_eq!(node.reports().into_iter().filter(failed).count(), 3);
    node.command(Action::ClockFollow {}).unwrap();
    assert_eq!(exits(&node), []);
}

#[test]
fn workload_that_cannot_start_is_told_and_does_not_stop_the_others() {
    let workloads = vec![
        workload("missing", "missing", &[]),
        workload("demo", "demo", &["--iterations", "10"]),
    ];
    let mut node = Node::boot(&[("demo", demo())], workloads, 1);
    node.await_end();
    let not_started = node.reports().into_iter().find_map(|report| match report {
        InitReport::ProcessNotStarted { process, reason } => {
            Some((process.clone(), reason.clone()))
        }
        _ => None,
    });
    let (process, reason) = not_started.expect("it is told");
    assert_eq!(process, "missing");
    assert!(reason.contains("No such file"), "{reason}");
    assert_eq!(exits(&node), [(None, false, false)]);
}

#[test]
fn memory_is_taken_and_given_back() {
    let config = NodeConfig {
        workloads: vec![workload(
            "shell",
            "busybox",
            &[
                "sh",
                "-c",
                "while :; do grep MemAvail /proc/meminfo; sleep 1; done",
            ],
        )],
        ..NodeConfig::default()
    };
    let busybox = std::fs::read(super::super::packages::busybox()).unwrap();
    let mut node = Node::with(&archive(&[("busybox", &busybox)], &config), |_| ());
    node.run(3 * SECOND);
    let available = |node: &mut Node| -> u64 {
        node.run(3 * SECOND);
        let line = node.console.lines().rev().find(|line| line.contains("kB"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{}", node.console))
    };
    let before = available(&mut node);
    // Two take some, and each gives back what it took.
    node.command(Action::MemoryTake { bytes: 16 << 20 })
        .unwrap();
    let first = node.commands;
    let little = available(&mut node);
    node.command(Action::MemoryTake { bytes: 32 << 20 })
        .unwrap();
    let second = node.commands;
    let during = available(&mut node);
    node.command(Action::MemoryRelease { of: second }).unwrap();
    let little_again = available(&mut node);
    assert!(
        little.abs_diff(little_again) < 8 << 10,
        "{little} kB, then {little_again} kB"
    );
    node.command(Action::MemoryRelease { of: first }).unwrap();
    let after = available(&mut node);
    assert!(
        before - during > 40 << 10,
        "{before} kB, then {during} kB while it is held"
    );
    assert!(after + (8 << 10) > before, "{before} kB, then {after} kB");
    let refused = node
        .command(Action::MemoryTake { bytes: 1 << 60 })
        .unwrap_err();
    assert!(refused.contains("memory"), "{refused}");
}

#[test]
fn clock_is_stepped_for_the_time_of_day_only() {
    let script = "while :; do echo $(date +%s) $(cut -d. -f1 /proc/uptime); sleep 1; done";
    let config = NodeConfig {
        workloads: vec![workload("shell", "busybox", &["sh", "-c", script])],
        ..NodeConfig::default()
    };
    let busybox = std::fs::read(super::super::packages::busybox()).unwrap();
    let mut node = Node::with(&archive(&[("busybox", &busybox)], &config), |_| ());
    // The last line: the time of day and the time since the start, in seconds.
    let clocks = |node: &mut Node| -> (i64, i64) {
        node.run(3 * SECOND);
        let line = node.console.lines().last().unwrap_or_default().to_owned();
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    };
    let before = clocks(&mut node);
    node.machine.move_wall(-3600 * SECOND as i64);
    node.command(Action::ClockFollow {}).unwrap();
    // Nothing is left to follow.
    node.command(Action::ClockFollow {}).unwrap();
    let after = clocks(&mut node);
    let (day, uptime) = (after.0 - before.0, after.1 - before.1);
    assert!((2..=5).contains(&uptime), "{uptime} s passed");
    assert!(
        (day + 3600 - uptime).abs() <= 1,
        "{day} s by the clock in {uptime} s"
    );
}

#[test]
fn disks_hosts_and_interfaces_are_set_up() {
    let script = "readlink /dev/disk/by-id/virtio-data; readlink /dev/disk/by-id/virtio-scratch; \
                  cat /etc/hosts; hostname; ip -4 addr | grep inet; cat /sys/class/net/eth0/mtu; \
                  mount | grep -c -E ' on /(dev|dev/pts|dev/shm|proc|sys|run|tmp) '; ulimit -n; id -u";
    let config = NodeConfig {
        hostname: "n7".into(),
        hosts: vec![chaosrun_protocol::node::Host {
            name: "n8".into(),
            address: [10, 1, 0, 8].into(),
        }],
        nics: vec![chaosrun_protocol::node::Nic {
            mac: "52:54:00:AB:00:01".into(),
            address: [10, 1, 0, 7].into(),
            prefix_len: 16,
            mtu: Some(1400),
        }],
        workloads: vec![Workload {
            user: Some((1000, 1000)),
            ..workload("shell", "busybox", &["sh", "-c", script])
        }],
        ..NodeConfig::default()
    };
    let busybox = std::fs::read(super::super::packages::busybox()).unwrap();
    let mut node = Node::with(&archive(&[("busybox", &busybox)], &config), |machine| {
        let disk = |name| Disk::blank(name, 1 << 20).unwrap();
        machine.disks = vec![disk("scratch"), disk("data")];
        machine.nics = vec![[0x52, 0x54, 0, 0xab, 0, 1]];
    });
    node.await_end();
    let said: Vec<&str> = node.console.lines().map(str::trim).collect();
    let expected = [
        "/dev/vdb",
        "/dev/vda",
        "127.0.0.1 localhost",
        "10.1.0.8 n8",
        "n7",
        "inet 127.0.0.1/8 scope host lo",
        "inet 10.1.0.7/16 brd 10.1.255.255 scope global eth0",
        "1400",
        "7",
        "65536",
        "1000",
    ];
    assert_eq!(said, expected);
}
