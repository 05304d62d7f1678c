//! The director against plans made of real scenarios.

use super::*;
use crate::plan::{NamesOnly, compile};
use crate::scenario::load_text;
use crate::scenario::source::Language;

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;

/// The plan of five nodes with these faults.
fn plan(faults: &str) -> Plan {
    let text = format!(
        "scenario \"d\" schema=1 {{\n guest \"app\" binary=\"app\"\n network \"lan\"\n \
         node \"n\" replicas=5 {{ guest \"app\"; network \"lan\"; disk \"data\" size=\"1MiB\" }}\n \
         faults {{ {faults} }}\n run duration=\"30s\"\n}}\n"
    );
    let mut loaded = load_text(&text, Language::Kdl, "d.kdl", std::path::Path::new(""));
    let scenario = loaded.scenarios.first().expect("it has a scenario").clone();
    let plan = compile(&scenario, &loaded.sources, &NamesOnly, &mut loaded.diags).plan;
    assert!(!loaded.diags.has_errors(), "{:?}", loaded.diags);
    plan
}

/// Lets a director run to the end and returns its deeds with their moments.
fn play(plan: &Plan, seed: u64) -> Vec<(u64, Deed)> {
    let mut director = Director::new(plan, &Tape::new(seed));
    let mut deeds = Vec::new();
    while let Some(at) = director.next().filter(|at| *at <= 30 * S) {
        deeds.extend(director.advance(at).into_iter().map(|deed| (at, deed)));
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
                    torn: (0, 1)
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
            "at \"1s\" {{ partition \"lan\" one-way=#{one_way} for=\"1s\" {{ side \"n1\"; side \"n2\" \"n3\" }} }}"
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
    let all = crate::scenario::vocab::FAMILIES
        .iter()
        .flat_map(|(_, kinds)| kinds.iter());
    for kind in all {
        assert!(kinds.contains(*kind), "{kind} is never drawn");
    }
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
