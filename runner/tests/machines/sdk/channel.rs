//! The way from programs to the host.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use chaosrun_protocol::{Kind, OpKind};

/// The demo's messages, by the seed of the run.
fn demo_run(seed: u64) -> Node {
    let mut node = Node::boot(
        &[("demo", demo())],
        vec![workload("demo", "demo", &[])],
        seed,
    );
    node.await_end();
    node
}

#[test]
fn demo_tells_all_that_the_sdk_can_tell() {
    let node = demo_run(1);
    let mut catalogue = BTreeMap::new();
    let mut evaluated = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for (_, told) in &node.told {
        match &told.message {
            Message::Catalog { sites } => {
                catalogue.extend(sites.iter().map(|site| (site.message.clone(), site.kind)));
            }
            Message::Assert(assert) => {
                evaluated.insert((assert.site.message.clone(), assert.condition));
            }
            Message::SetupComplete { details } => {
                assert_eq!(details, r#"{"iterations":100,"threads":2}"#)
            }
            Message::Event { name, .. } => assert_eq!(name, "audit"),
            Message::Publish { key, .. } => _ = kinds.insert(key.clone()),
            Message::History(op) if op.op == OpKind::Ok => _ = kinds.insert(op.f.clone()),
            _ => {}
        }
    }
    // Whatever must be reached is, and nothing fails.
    assert!(catalogue.len() >= 20, "{catalogue:?}");
    for (message, kind) in &catalogue {
        let held = evaluated.contains(&(message.clone(), true));
        assert!(held || !kind.must_hit(), "{message:?} is not reached");
    }
    let failed = |(message, condition): &&(String, bool)| {
        !condition && catalogue[message] != Kind::Sometimes
    };
    assert_eq!(evaluated.iter().find(failed), None);
    let expected = [
        "iterations",
        "numbers through the queue",
        "read",
        "transfers",
        "write",
    ];
    assert_eq!(
        kinds.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(node.refused, [""; 0]);
    let exit = node.reports().into_iter().find_map(|report| match report {
        InitReport::ProcessExited {
            code,
            signal,
            restarts,
            ..
        } => Some((*code, *signal, *restarts)),
        _ => None,
    });
    assert_eq!(
        exit,
        Some((Some(0), None, false)),
        "console:\n{}",
        node.console
    );
    assert_eq!(
        node.console.lines().next().map(str::trim_end),
        Some("demo: messages go to Machine")
    );
}

#[test]
fn random_numbers_follow_the_seed_and_nothing_else() {
    let (first, again, other) = (demo_run(1), demo_run(1), demo_run(2));
    assert_eq!(first.told, again.told);
    assert_ne!(first.told, other.told);
    let catalogue = |node: &Node| {
        let mut told = node.told.iter().map(|(_, told)| &told.message);
        told.find(|message| matches!(message, Message::Catalog { .. }))
            .cloned()
    };
    assert!(catalogue(&first).is_some());
    assert_eq!(catalogue(&first), catalogue(&other));
}

#[test]
fn unprivileged_processes_talk_at_the_same_time() {
    let user = |name, id| Workload {
        user: Some((id, id)),
        ..workload(name, "demo", &["--iterations", "300"])
    };
    let mut node = Node::boot(
        &[("demo", demo())],
        vec![
            user("one", 1000),
            user("two", 1001),
            workload("root", "demo", &[]),
        ],
        3,
    );
    node.await_end();
    let pids: BTreeSet<u32> = node
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            InitReport::ProcessExited { pid, code, .. } => {
                assert_eq!(*code, Some(0), "console:\n{}", node.console);
                Some(*pid)
            }
            _ => None,
        })
        .collect();
    assert_eq!(pids.len(), 3);
    let senders: Vec<u32> = node
        .told
        .iter()
        .map(|(_, told)| told.pid)
        .filter(|pid| *pid != 1)
        .collect();
    assert_eq!(senders.iter().copied().collect::<BTreeSet<_>>(), pids);
    // They take turns, rather than one after the other.
    let turns = senders.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns > 3, "{turns} turns");
}

#[test]
fn several_processors_talk_at_the_same_time() {
    let config = NodeConfig {
        workloads: vec![workload("demo", "demo", &["--threads", "4"])],
        ..NodeConfig::default()
    };
    let mut node = Node::with(&archive(&[("demo", demo())], &config), |machine| {
        machine.vcpus = 4;
        machine.interleaving = chaosrun_vmm::machine::Interleaving::Random { min: 1, max: 500 };
    });
    node.await_end();
    let wrong = node.told.iter().find(|(_, told)| match &told.message {
        Message::Assert(assert) => !assert.condition && assert.site.kind != Kind::Sometimes,
        _ => false,
    });
    assert_eq!(wrong, None);
    assert_eq!(node.refused, [""; 0]);
}

#[test]
fn messages_survive_debians_kernel() {
    let config = NodeConfig {
        workloads: vec![Workload {
            user: Some((1000, 1000)),
            ..workload("demo", "demo", &[])
        }],
        ..NodeConfig::default()
    };
    let initrd = archive(&[("demo", demo())], &config);
    let mut node = Node::with(&initrd, |machine| {
        machine.kernel = super::super::guest::debian();
        machine.memory = 256 << 20;
    });
    node.await_end();
    let is_end = |told: &Envelope| match &told.message {
        Message::Assert(assert) => assert.site.message == "the demo comes to its end",
        _ => false,
    };
    assert!(
        node.told.iter().any(|(_, told)| is_end(told)),
        "{:?}",
        node.reports()
    );
}
