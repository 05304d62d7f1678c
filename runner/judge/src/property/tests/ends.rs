//! Programs and machines that end, panic or hang.

use super::*;

#[test]
fn exit_codes() {
    let name = "exit: app on n1";
    let text = "exit \"n1\" process=\"app\" code=0 required=#true";
    let mut run = Run::of(text);
    assert_eq!(run.verdict(name), Inconclusive, "not seen to start");
    assert_eq!(run.started(0).verdict(name), Fail, "still runs");
    assert_eq!(run.cut_verdict(name), Inconclusive);
    assert_eq!(
        run.ended(5, "n1", ExitStatus::Code(0), false).verdict(name),
        Pass
    );
    assert_eq!(
        run.ended(6, "n1", ExitStatus::Code(3), false).verdict(name),
        Fail
    );
    let mut run = Run::of(text);
    run.started(0).ended(5, "n1", ExitStatus::Signal(9), true);
    assert_eq!(run.verdict(name), Inconclusive, "a fault ended it");
    let mut run = Run::of("exit \"n1\" code=0");
    assert_eq!(run.started(0).verdict("exit: n1"), Pass, "it need not end");
}

#[test]
fn panics_and_crashes() {
    let name = "no-panic";
    let mut run = Run::of("no-panic on=\"n1,n2\"");
    assert_eq!(run.verdict(name), Inconclusive, "nothing was seen");
    run.say(1, "n1", "hello\n").say(1, "n2", "hello\n");
    run.node(2, "n1", NodeChange::Crashed);
    run.ended(3, "n2", ExitStatus::Signal(9), true);
    run.ended(3, "n2", ExitStatus::Code(101), false);
    run.say(4, "n3", "[    1.000000] Kernel panic - not syncing: x\n");
    assert_eq!(run.verdict(name), Pass);
    let panic = "[    1.000000] Kernel panic - not syncing: x\nmore\n";
    let failed = run.say(5, "n1", panic).one(name, &End::completed(END));
    assert_eq!(
        (failed.verdict, failed.failure),
        (Fail, Some(FindingKind::Panic))
    );
    assert!(failed.evidence[0].text.ends_with("more"));

    let mut run = Run::of("");
    run.say(1, "n1", "")
        .ended(3, "n1", ExitStatus::Signal(11), false);
    assert_eq!(run.verdict(name), Fail);
    let mut run = Run::of("");
    assert_eq!(
        run.node(1, "n1", NodeChange::TripleFault).verdict(name),
        Fail
    );
    let mut run = Run::of("");
    let what = "an instruction".to_owned();
    assert_eq!(
        run.node(1, "n1", NodeChange::Unimplemented { what })
            .verdict(name),
        Inconclusive
    );
}

#[test]
fn the_kernel_may_kill_programs_while_a_fault_takes_memory() {
    let mut run = Run::of("");
    run.started(0);
    let nodes = vec!["n1".to_owned()];
    run.see(
        1,
        None,
        ObservationKind::FaultBegan {
            id: 1,
            class: "memory".into(),
            nodes,
        },
    );
    assert_eq!(
        run.ended(2, "n1", ExitStatus::Signal(9), false)
            .verdict("no-panic"),
        Pass
    );
    assert_eq!(
        run.ended(2, "n2", ExitStatus::Signal(9), false)
            .verdict("no-panic"),
        Fail
    );
}

#[test]
fn hangs() {
    let name = "no-hang";
    let how = Stuck::InterruptsOff { vcpu: 0, rip: 1 };
    let mut run = Run::of("no-hang within=\"5s\" on=\"n1\"");
    assert_eq!(run.verdict(name), Inconclusive, "nothing was seen");
    run.node(1_000, "n1", NodeChange::Stuck { how })
        .node(3_000, "n1", NodeChange::Unstuck);
    assert_eq!(run.verdict(name), Pass);
    run.node(4_000, "n1", NodeChange::Stuck { how });
    run.node(5_000, "n1", NodeChange::Paused);
    assert!(!run.judge.advance(11_000 * MS), "it is paused");
    run.node(11_000, "n1", NodeChange::Resumed);
    assert_eq!(
        run.one(name, &End::completed(12_000 * MS)).verdict,
        Inconclusive
    );
    assert!(run.judge.advance(16_000 * MS));
    assert_eq!(
        run.one(name, &End::completed(END * MS)).failure,
        Some(FindingKind::Hang)
    );
    let mut run = Run::of("");
    run.started(0)
        .node(1_000, "n1", NodeChange::Stuck { how })
        .node(2_000, "n1", NodeChange::Crashed);
    assert_eq!(run.verdict(name), Pass, "it was killed");
}

#[test]
fn a_node_that_halted_for_ever_hangs_however_soon_the_run_ends() {
    let how = Stuck::HaltedForEver;
    let mut run = Run::of("");
    run.started(0).node(1_000, "n1", NodeChange::Stuck { how });
    assert_eq!(
        run.one("no-hang", &End::completed(1_500 * MS)).verdict,
        Fail
    );
    run.node(1_600, "n1", NodeChange::Restarted);
    assert_eq!(
        run.one("no-hang", &End::completed(1_700 * MS)).verdict,
        Pass
    );
}

#[test]
fn a_node_that_does_not_become_ready_hangs() {
    let mut run = Run::of("always \"safe\"");
    run.started(0);
    let how = EndKind::NotReady {
        nodes: vec!["n2".into()],
    };
    let end = End {
        time_ns: 60_000 * MS,
        how,
    };
    let hang = run.one("no-hang", &end);
    assert_eq!(
        (hang.verdict, hang.failure),
        (Fail, Some(FindingKind::Hang))
    );
    assert!(hang.reason.contains("n2"), "{}", hang.reason);
    assert_eq!(run.one("always: safe", &end).verdict, Inconclusive);
}
