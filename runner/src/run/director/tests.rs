//! The director against plans made of real scenarios.

mod full;

use chaosrun_chance::Chance;

use super::*;
use crate::plan::fault::Action;
use crate::plan::{NamesOnly, compile};
use crate::scenario::source::Language;
use crate::scenario::vocab::{FaultKind, NetworkKind, NodeKind};
use crate::scenario::{example_value, load_text};

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;

/// The plan of five nodes with these faults.
fn plan(faults: &str) -> Plan {
    plan_with("size=\"1MiB\"", faults)
}

/// The plan of five nodes with such a disk and these faults.
fn plan_with(disk: &str, faults: &str) -> Plan {
    let text = format!(
        "scenario \"d\" schema=1 {{\n guest \"app\" binary=\"app\"\n network \"lan\"\n \
         node \"n\" replicas=5 {{ guest \"app\"; network \"lan\"; disk \"data\" {disk} }}\n \
         faults {{ {faults} }}\n run duration=\"30s\"\n}}\n"
    );
    let mut loaded = load_text(&text, Language::Kdl, "d.kdl", std::path::Path::new(""));
    let scenario = loaded.scenarios.first().expect("it has a scenario").clone();
    let plan = compile(&scenario, &loaded.sources, &NamesOnly, &mut loaded.diags).plan;
    assert!(!loaded.diags.has_errors(), "{:?}", loaded.diags);
    plan
}

/// Lets a director run to the end and returns its deeds with their moments. Nodes boot in no time.
fn play(plan: &Plan, seed: u64) -> Vec<(u64, Deed)> {
    let mut director = Director::new(plan, &Tape::new(seed));
    (0..plan.nodes.len()).for_each(|node| director.mounted(node));
    let mut deeds = Vec::new();
    for node in 0..5 {
        director.listens(0, node);
    }
    while let Some(at) = director.next().filter(|at| *at <= 30 * S) {
        let mut new = director.advance(at);
        for deed in new.clone() {
            if let Deed::World(Command::Start { node }) = deed {
                director.mounted(node);
                new.extend(director.advance(at));
            }
        }
        deeds.extend(new.into_iter().map(|deed| (at, deed)));
    }
    deeds
}

fn commands(deeds: &[(u64, Deed)]) -> Vec<(u64, Command)> {
    let command = |(at, deed): &(u64, Deed)| match deed {
        Deed::World(command) => Some((*at, command.clone())),
        _ => None,
    };
    deeds.iter().filter_map(command).collect()
}

/// How many nodes are down, over time.
fn most_down(deeds: &[(u64, Deed)]) -> usize {
    let mut down = std::collections::BTreeSet::new();
    let mut most = 0;
    for (_, command) in commands(deeds) {
        match command {
            Command::PowerLoss { node, .. } => drop(down.insert(node)),
            Command::Start { node } => drop(down.remove(&node)),
            _ => {}
        }
        most = most.max(down.len());
    }
    most
}

#[test]
fn a_kill_happens_at_its_moment_and_ends_after_its_time() {
    let deeds = play(
        &plan("at \"2s\" { kill \"n2\" restart-after=\"500ms\" }"),
        1,
    );
    assert_eq!(
        commands(&deeds),
        [
            (
                2 * S,
                Command::PowerLoss {
                    node: 1,
                    torn: Chance::NEVER
                }
            ),
            (2 * S + 500 * MS, Command::Start { node: 1 }),
        ]
    );
}

#[test]
fn a_partition_cuts_both_ways_or_one_way_and_heals() {
    let split = |one_way| {
        let text = format!(
            "at \"1s\" {{ partition \"lan\" one-way=#{one_way} for=\"1s\" {{
                side \"n1\"; side \"n2\" \"n3\"
             }} }}"
        );
        commands(&play(&plan(&text), 1))
    };
    let (both, one) = (split(false), split(true));
    let cuts = |list: &[(u64, Command)]| {
        list.iter()
            .filter(|(_, command)| matches!(command, Command::ArmLink { .. }))
            .count()
    };
    assert_eq!((cuts(&both), cuts(&one)), (2, 1));
    let Command::ArmLink { fault, .. } = &one[0].1 else {
        panic!("{one:?}");
    };
    assert_eq!(
        (fault.from.as_slice(), fault.to.as_slice()),
        (&[0][..], &[1, 2][..])
    );
    assert!(matches!(one.last(), Some((at, Command::DisarmLink { .. })) if *at == 2 * S));
}

#[test]
fn at_quiet_everything_heals_and_nothing_begins() {
    let text = "at \"1s\" { kill \"n1\"; loss \"lan\" chance=\"5%\"; pause \"n2\" }\n \
                every \"1s\" { kill \"n3\" restart-after=\"100ms\" }\n quiet \"10s\"";
    let deeds = play(&plan(text), 3);
    let quiet = deeds
        .iter()
        .position(|(_, deed)| *deed == Deed::Quiet)
        .expect("it comes");
    assert_eq!(deeds[quiet].0, 20 * S);
    assert_eq!(
        quiet,
        deeds.len() - 1,
        "something happens in the quiet period"
    );
    let all = commands(&deeds);
    let count = |test: fn(&Command) -> bool| all.iter().filter(|(_, c)| test(c)).count();
    let began = count(|c| matches!(c, Command::PowerLoss { .. }));
    assert_eq!(began, count(|c| matches!(c, Command::Start { .. })));
    assert_eq!(count(|c| matches!(c, Command::ArmLink { .. })), 1);
    assert_eq!(count(|c| matches!(c, Command::DisarmLink { .. })), 1);
    assert_eq!(count(|c| matches!(c, Command::Pause { .. })), 1);
    assert_eq!(count(|c| matches!(c, Command::Resume { .. })), 1);
}

#[test]
fn the_budget_is_kept_and_without_it_more_goes_wrong() {
    let storm = "every \"300ms\" { kill any=1 restart-after=\"2s\" }\n quiet \"5s\"";
    let kept = format!("{storm}\n budget nodes=2");
    assert!(most_down(&play(&plan(storm), 5)) > 2);
    assert_eq!(most_down(&play(&plan(&kept), 5)), 2);
    let left_out = |deed: &Deed| {
        matches!(
            deed,
            Deed::Record {
                stage: Stage::LeftOut,
                ..
            }
        )
    };
    assert!(play(&plan(&kept), 5).iter().any(|(_, deed)| left_out(deed)));
}

#[test]
fn a_fault_with_a_moment_waits_for_the_budget() {
    let text = "at \"1s\" { kill \"n1\" restart-after=\"3s\" }\n \
                at \"2s\" { kill \"n2\" restart-after=\"1s\" }\n budget nodes=1";
    let all = commands(&play(&plan(text), 1));
    let second = all
        .iter()
        .find(|(_, c)| matches!(c, Command::PowerLoss { node: 1, .. }));
    assert_eq!(second.map(|(at, _)| *at), Some(4 * S));
}

#[test]
fn the_gap_keeps_faults_apart() {
    let text = "at \"1s\" { pause \"n1\" for=\"100ms\"; pause \"n2\" for=\"100ms\" }\n budget gap=\"700ms\"";
    let all = commands(&play(&plan(text), 1));
    let pauses: Vec<u64> = all
        .iter()
        .filter(|(_, c)| matches!(c, Command::Pause { .. }))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(pauses, [S, S + 700 * MS]);
}

#[test]
fn overlapping_throttles_end_one_by_one() {
    let text = "at \"1s\" { throttle \"n1\" to=\"10%\" for=\"4s\" }\n \
                at \"2s\" { throttle \"n1\" to=\"50%\" for=\"1s\" }";
    let speeds: Vec<(u64, u64, u64)> = commands(&play(&plan(text), 1))
        .into_iter()
        .filter_map(|(at, command)| match command {
            Command::Throttle { num, den, .. } => Some((at / S, num, den)),
            _ => None,
        })
        .collect();
    assert_eq!(speeds, [(1, 1, 10), (2, 1, 10), (3, 1, 10), (5, 1, 1)]);
}

#[test]
fn an_event_of_a_guest_pulls_the_trigger_as_often_as_allowed() {
    let plan =
        plan("after \"ready-to-break\" on=\"n3\" delay=\"50ms\" times=2 { irq \"n1\" line=4 }");
    let mut director = Director::new(&plan, &Tape::new(1));
    let mut hits = 0;
    for round in 0..5 {
        let now = S + round * 100 * MS;
        director.observe(now, 2, Happening::Event("ready-to-break"));
        director.observe(now, 0, Happening::Event("ready-to-break"));
        director.observe(now, 2, Happening::Event("something else"));
        let deeds = director.advance(now + 50 * MS);
        hits += deeds
            .iter()
            .filter(|deed| matches!(deed, Deed::World(_)))
            .count();
    }
    assert_eq!(hits, 2);
}

#[test]
fn drawn_faults_differ_by_seed_and_repeat_with_it() {
    let plan = plan(
        "random rate=\"3/s\" from=\"network,disk,node,clock,process,memory,interrupt\"\n quiet \"10s\"",
    );
    let runs: Vec<Vec<(u64, Deed)>> = [1, 1, 2].map(|seed| play(&plan, seed)).into();
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..20 {
        for (_, deed) in play(&plan, seed) {
            if let Deed::Record {
                stage: Stage::Begin | Stage::Moment,
                fault,
                ..
            } = deed
            {
                kinds.insert(fault.name);
            }
        }
    }
    for kind in FaultKind::ALL {
        let name = kind.name();
        assert_eq!(kinds.contains(name), kind.is_drawn(), "{name}");
    }
}

/// A fault of this kind with everything that has to be written.
fn written(kind: FaultKind) -> String {
    let required = kind.section().keys().filter(|key| key.required);
    let keys = required.map(|key| {
        let value = example_value(key.kind).expect("a plain value");
        format!(" {}={value}", key.name)
    });
    // One of several keys is required here.
    let one_of = match kind {
        FaultKind::Network(NetworkKind::Partition) => " groups=2",
        _ => "",
    };
    format!("{}{one_of}{}", kind.name(), keys.collect::<String>())
}

#[test]
fn every_kind_goes_by_its_name_from_the_language_to_the_record() {
    for kind in FaultKind::ALL {
        let (name, family) = (kind.name(), kind.family().name());
        let before = match kind {
            // Something has to be paused to go on again.
            FaultKind::Node(NodeKind::Resume) => "pause; ",
            _ => "",
        };
        let plan = plan(&format!("at \"3s\" {{ {before}{} }}", written(*kind)));
        let of_kind = |fault: &&Fault| fault.action.kind() == *kind;
        let scheduled = plan.faults.schedule.last().expect("a trigger");
        let fault = scheduled.faults.iter().find(of_kind);
        let fault = fault.unwrap_or_else(|| panic!("{name} is lowered to something else"));
        let json = serde_json::to_value(&fault.action).unwrap();
        assert_eq!(json["kind"], name);
        let read: Action = serde_json::from_value(json).unwrap();
        assert_eq!(read, fault.action);
        let records = play(&plan, 1)
            .into_iter()
            .filter_map(|(at, deed)| match deed {
                Deed::Record {
                    fault,
                    stage: Stage::Begin | Stage::Moment,
                    ..
                } if at == 3 * S => Some(fault),
                _ => None,
            });
        let told: Vec<(String, String)> = records.map(|fault| (fault.name, fault.class)).collect();
        assert!(
            told.contains(&(name.to_owned(), family.to_owned())),
            "{told:?}"
        );
    }
    let unknown = serde_json::json!({ "kind": "meteorite", "target": { "from": "all" } });
    let error = serde_json::from_value::<Action>(unknown).unwrap_err();
    assert_eq!(error.to_string(), "`meteorite` is no kind of fault");
}

#[test]
fn a_fault_waits_for_a_node_that_is_about_to_start_again() {
    let plan = plan("at \"1s\" { kill \"n2\" }");
    let kills = |deeds: Vec<Deed>| {
        let kill = |deed: &Deed| matches!(deed, Deed::World(Command::PowerLoss { node: 1, .. }));
        deeds.iter().filter(|deed| kill(deed)).count()
    };
    let mut director = Director::new(&plan, &Tape::new(1));
    director.ended(1);
    assert_eq!(kills(director.advance(S + 50 * MS)), 0);
    assert!(director.rebooted(S + 100 * MS, 1));
    assert!(!director.rebooted(S + 100 * MS, 1), "it runs");
    assert_eq!(kills(director.advance(S + 100 * MS)), 1);
}

#[test]
fn what_waits_when_the_quiet_begins_is_left_out_and_does_not_begin_then() {
    let text = "at \"1s\" { partition \"lan\" { side \"n1\"; side \"n2\" \"n3\" \"n4\" \"n5\" } }\n \
                at \"2s\" { partition \"lan\" { side \"n2\"; side \"n1\" \"n3\" \"n4\" \"n5\" } }\n \
                budget nodes=1\n quiet \"10s\"";
    let deeds = play(&plan(text), 1);
    let all = commands(&deeds);
    let count = |test: fn(&Command) -> bool| all.iter().filter(|(_, c)| test(c)).count();
    assert_eq!(count(|c| matches!(c, Command::ArmLink { .. })), 2);
    assert_eq!(count(|c| matches!(c, Command::DisarmLink { .. })), 2);
    let left_out = |(at, deed): &&(u64, Deed)| {
        let stage = matches!(
            deed,
            Deed::Record {
                stage: Stage::LeftOut,
                ..
            }
        );
        *at == 20 * S && stage
    };
    assert_eq!(deeds.iter().filter(left_out).count(), 1);
}

/// The nanoseconds by which the world is told that the date of node n1 is moved, with the moments.
fn moved(deeds: &[(u64, Deed)]) -> Vec<(u64, i64)> {
    let moved = |(at, command): (u64, Command)| match command {
        Command::MoveWall { node: 0, moved_ns } => Some((at, moved_ns)),
        _ => None,
    };
    commands(deeds).into_iter().filter_map(moved).collect()
}

/// The actions that inits are told, with the moments.
fn told(deeds: &[(u64, Deed)]) -> Vec<(u64, chaosrun_protocol::control::Command)> {
    use chaosrun_protocol::control::Command as Told;
    let told = |(at, command): (u64, Command)| match command {
        Command::Control { bytes, .. } => {
            let line = String::from_utf8(bytes).expect("it is a line");
            Some((at, Told::from_line(&line).expect("it is a command")))
        }
        _ => None,
    };
    commands(deeds).into_iter().filter_map(told).collect()
}

#[test]
fn skews_of_a_node_that_is_down_add_up_and_end_one_by_one() {
    let text = "at \"1s\" { kill \"n1\" restart-after=\"3s\" }\n \
                at \"2s\" { clock-skew \"n1\" by=\"50s\" for=\"4s\" }\n \
                at \"3s\" { clock-skew \"n1\" by=\"-20ms\" for=\"2s\"; clock-jump \"n1\" by=\"1h\" }";
    let deeds = play(&plan(text), 1);
    let (s, hour) = (S as i64, 3_600 * S as i64);
    let expected = [
        (2 * S, 50 * s),
        (3 * S, 50 * s - 20_000_000),
        (3 * S, 50 * s - 20_000_000 + hour),
        (5 * S, 50 * s + hour),
        (6 * S, hour),
    ];
    assert_eq!(moved(&deeds), expected);
    // No init takes commands any more, for nobody says that it started.
    assert_eq!(told(&deeds), []);
}

#[test]
fn an_init_is_told_of_a_date_that_was_moved_while_it_started() {
    let plan = plan("at \"1s\" { clock-skew \"n1\" by=\"1s\" for=\"4s\" }");
    for moved_before in [false, true] {
        let mut director = Director::new(&plan, &Tape::new(1));
        let at = if moved_before { 2 * S } else { S / 2 };
        let mut deeds: Vec<Deed> = director.advance(at);
        director.listens(at, 0);
        deeds.extend(director.advance(at));
        let told = told(&deeds.into_iter().map(|deed| (at, deed)).collect::<Vec<_>>());
        assert_eq!(told.len(), usize::from(moved_before));
    }
}

#[test]
fn what_an_init_could_not_do_is_told_and_not_undone() {
    let text = "at \"1s\" { memory-pressure \"n1\" take=\"1MiB\" for=\"3s\"
                         clock-skew \"n1\" by=\"1s\" for=\"3s\" }";
    let plan = plan(text);
    let mut director = Director::new(&plan, &Tape::new(1));
    director.listens(0, 0);
    let mut deeds: Vec<(u64, Deed)> = Vec::new();
    let mut advance = |director: &mut Director<'_>, at: u64| {
        let new: Vec<(u64, Deed)> = director
            .advance(at)
            .into_iter()
            .map(|deed| (at, deed))
            .collect();
        deeds.extend(new.iter().cloned());
        new
    };
    let orders = told(&advance(&mut director, S));
    assert_eq!(orders.len(), 2);
    for (_, order) in &orders {
        // Another node's word does not count.
        director.answered(S, 1, order.id, Some("no"));
        director.answered(S, 0, order.id, Some("it is full"));
    }
    let after = advance(&mut director, 2 * S);
    assert!(!director.is_disturbed());
    let without = |(_, deed): &&(u64, Deed)| {
        matches!(
            deed,
            Deed::Record {
                stage: Stage::WithoutEffect { entirely: true },
                ..
            }
        )
    };
    assert_eq!(after.iter().filter(without).count(), 2);
    assert_eq!(moved(&after), [(2 * S, 0)]);
    assert_eq!(told(&advance(&mut director, 10 * S)), []);
    assert_eq!(director.close(20 * S), (Vec::new(), Vec::new()));
}

#[test]
fn what_could_not_be_undone_or_is_not_answered_for_is_told() {
    let plan = plan("at \"1s\" { clock-skew \"n1\" \"n2\" by=\"1s\" for=\"1s\" }");
    let unhealed = |closed: u64| {
        let mut director = Director::new(&plan, &Tape::new(1));
        for node in 0..2 {
            director.listens(0, node);
        }
        let told_at = |director: &mut Director<'_>, at: u64| {
            let deeds = director.advance(at).into_iter();
            told(&deeds.map(|deed| (at, deed)).collect::<Vec<_>>())
        };
        for (node, (_, order)) in told_at(&mut director, S).iter().enumerate() {
            director.answered(S, node, order.id, None);
        }
        let ends = told_at(&mut director, 2 * S);
        director.answered(2 * S, 0, ends[0].1.id, Some("no such date"));
        director.close(closed).1
    };
    let refused = "clock-skew of n1 was not undone: no such date";
    // The other one has not had the time to answer.
    assert_eq!(unhealed(2 * S + S / 2), [refused]);
    let silent = "clock-skew of n2 was not undone: its init does not answer";
    assert_eq!(unhealed(4 * S), [refused, silent]);
}

#[test]
fn a_node_that_takes_no_commands_is_told_to_have_been_missed_or_is_waited_for() {
    let plan = plan(
        "at \"1s\" { process-kill \"n1\" \"n2\"; pause \"n3\" for=\"2s\" }\n \
         at \"2s\" { process-kill \"n3\"; process-kill \"n4\" }",
    );
    let mut director = Director::new(&plan, &Tape::new(1));
    for node in [0, 2] {
        director.listens(0, node);
    }
    let mut deeds = Vec::new();
    for at in [S, 2 * S, 3 * S] {
        let new = director.advance(at).into_iter();
        deeds.extend(new.map(|deed| (at, deed)));
    }
    let missed = |(_, deed): &(u64, Deed)| match deed {
        Deed::Record {
            stage: Stage::WithoutEffect { entirely: false },
            fault,
            ..
        } => Some(fault.affected_nodes.clone()),
        _ => None,
    };
    let missed: Vec<Vec<String>> = deeds.iter().filter_map(missed).collect();
    assert_eq!(missed, [["n2"]]);
    let sent: Vec<(u64, usize)> = commands(&deeds)
        .into_iter()
        .filter_map(|(at, command)| match command {
            Command::Control { node, .. } => Some((at, node)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(S, 0), (3 * S, 2)]);
    // One never comes to take commands.
    director.listens(4 * S, 3);
    assert!(
        director
            .advance(4 * S)
            .iter()
            .any(|deed| { matches!(deed, Deed::World(Command::Control { node: 3, .. })) })
    );
}

#[test]
fn no_end_of_a_fault_reads_like_a_beginning() {
    let plan = plan(
        "random rate=\"3/s\" from=\"network,disk,node,clock,process,memory,interrupt\"\n quiet \"10s\"",
    );
    let mut ended = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut log = crate::run::faults::FaultLog::default();
        for (at, deed) in play(&plan, seed) {
            let Deed::Record {
                id,
                source,
                stage,
                fault,
            } = deed
            else {
                continue;
            };
            let (name, class) = (fault.name.clone(), fault.class.clone());
            let told = log.record(at, id, stage, source, fault).summary();
            assert_eq!(told.contains(" ends after "), stage == Stage::End, "{told}");
            assert!(told.starts_with(&name), "{told}");
            if stage == Stage::End {
                ended.insert(class);
            }
        }
    }
    let lasting = [
        "clock",
        "disk",
        "interrupt",
        "memory",
        "network",
        "node",
        "process",
    ];
    assert!(ended.iter().eq(lasting), "{ended:?}");
}

#[test]
fn a_budget_that_is_exceeded_is_noticed() {
    let budget = crate::plan::fault::Budget {
        nodes: Some(1),
        ..plan("").faults.budget
    };
    let mut ledger = Ledger::new(budget);
    let cost = budget::Cost {
        nodes: [0].into(),
        lasts: true,
        ..budget::Cost::default()
    };
    ledger.begin(0, 1, cost);
    assert!(ledger.is_kept(&[0].into(), |_| true));
    assert!(!ledger.is_kept(&[1].into(), |_| true), "two are impaired");
    assert!(!ledger.is_kept(&[0].into(), |_| false), "by nothing");
}
