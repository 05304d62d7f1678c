//! Each kind of property, from the scenario's text to the verdict: one input that passes, one that
//! fails, and one that decides nothing.

use serde_json::{Value, json};

use super::observation::{
    AssertionHit, AssertionKind, AssertionSite, ExitStatus, HistoryStep, InitReport, NodeChange,
    Observation, ObservationKind, Phase, Published, Step, Stuck,
};
use super::{End, EndKind, Judge, Judgement};
use crate::plan::{NamesOnly, Plan, compile_all};
use crate::report::{FindingKind, Verdict};
use crate::scenario::load_text;
use crate::scenario::source::Language;

const MS: u64 = 1_000_000;
/// When the runs of these tests end, in milliseconds.
const END: u64 = 20_000;

/// A plan of three nodes `n1` to `n3` with a program, and these properties.
fn plan(properties: &str) -> Plan {
    let text = format!(
        "scenario \"t\" schema=1 {{\n guest \"app\" binary=\"app\"\n \
         node \"n\" replicas=3 {{ guest \"app\" }}\n faults {{ quiet \"10s\" }}\n \
         properties {{\n {properties}\n }}\n run duration=\"20s\"\n}}\n"
    );
    let mut loaded = load_text(&text, Language::Kdl, "t.kdl", std::path::Path::new("."));
    let mut plans = compile_all(&mut loaded, &NamesOnly);
    assert_eq!(plans.len(), 1, "{:?}", loaded.diags);
    plans.remove(0).plan
}

/// A run: what happens, by milliseconds and node. It is ready at 0 and quiet from 10 s on.
struct Run {
    judge: Judge,
    seq: u64,
}

impl Run {
    fn of(properties: &str) -> Self {
        let judge = Judge::new(&plan(properties));
        let mut run = Self { judge, seq: 0 };
        run.phase(0, Phase::Ready);
        run
    }

    fn see(&mut self, ms: u64, node: Option<&str>, kind: ObservationKind) -> bool {
        self.seq += 1;
        let seen = Observation {
            seq: self.seq,
            time_ns: ms * MS,
            node,
            pid: Some(7),
            kind,
        };
        self.judge.observe(&seen)
    }

    fn on(&mut self, ms: u64, node: &str, kind: ObservationKind) -> &mut Self {
        self.see(ms, Some(node), kind);
        self
    }

    fn phase(&mut self, ms: u64, phase: Phase) -> &mut Self {
        self.see(ms, None, ObservationKind::Phase(phase));
        self
    }

    fn quiet(&mut self) -> &mut Self {
        self.phase(10_000, Phase::Quiet)
    }

    fn say(&mut self, ms: u64, node: &str, text: &str) -> &mut Self {
        self.on(ms, node, ObservationKind::Console(text.into()))
    }

    fn publish(&mut self, ms: u64, node: &str, key: &str, value: i128) -> &mut Self {
        let value = Published::Number(value);
        let key = key.to_owned();
        self.on(ms, node, ObservationKind::Publish { key, value })
    }

    fn node(&mut self, ms: u64, node: &str, change: NodeChange) -> &mut Self {
        self.on(ms, node, ObservationKind::Node(change))
    }

    fn catalog(&mut self, message: &str, kind: AssertionKind) -> &mut Self {
        self.on(0, "n1", ObservationKind::Catalog(site(message, kind)))
    }

    fn hit(&mut self, ms: u64, message: &str, kind: AssertionKind, condition: bool) -> &mut Self {
        let hit = AssertionHit {
            site: site(message, kind),
            condition,
            details: json!({"term": 3}),
        };
        self.on(ms, "n1", ObservationKind::Assert(hit))
    }

    fn ended(&mut self, ms: u64, node: &str, status: ExitStatus, by_fault: bool) -> &mut Self {
        let report = InitReport::Ended {
            process: "app".into(),
            pid: 7,
            status,
            by_fault,
        };
        self.on(ms, node, ObservationKind::Init(report))
    }

    fn started(&mut self, ms: u64) -> &mut Self {
        for node in ["n1", "n2", "n3"] {
            let process = "app".to_owned();
            self.on(
                ms,
                node,
                ObservationKind::Init(InitReport::Started { process, pid: 7 }),
            );
        }
        self
    }

    fn step(&mut self, ms: u64, client: u64, step: Step, f: &str, value: Value) -> &mut Self {
        let kind = ObservationKind::History(HistoryStep {
            history: "h".into(),
            process: client,
            step,
            f: f.into(),
            key: None,
            value,
        });
        self.on(ms, "n1", kind)
    }

    fn all(&mut self, how: &End) -> Vec<Judgement> {
        self.judge.clone().finish(how)
    }

    fn one(&mut self, name: &str, how: &End) -> Judgement {
        let all = self.all(how);
        let found = all.iter().find(|judgement| judgement.name == name);
        found
            .unwrap_or_else(|| panic!("no `{name}` in {all:#?}"))
            .clone()
    }

    fn verdict(&mut self, name: &str) -> Verdict {
        self.one(name, &End::completed(END * MS)).verdict
    }

    fn cut_verdict(&mut self, name: &str) -> Verdict {
        self.one(name, &End::cut(5_000 * MS, "stopped")).verdict
    }
}

fn site(message: &str, kind: AssertionKind) -> AssertionSite {
    AssertionSite {
        message: message.into(),
        kind,
        location: None,
    }
}

use AssertionKind::{Always, AlwaysOrUnreachable, Reachable, Sometimes, Unreachable};
use Verdict::{Fail, Inconclusive, Pass};

#[test]
fn always_of_an_assertion() {
    let name = "always: safe";
    let mut run = Run::of("always \"safe\"");
    run.catalog("safe", Always);
    assert_eq!(run.cut_verdict(name), Inconclusive);
    assert_eq!(run.verdict(name), Fail, "never reached");
    assert_eq!(run.hit(5, "safe", Always, true).verdict(name), Pass);
    assert!(!run.judge.has_failed());
    let failed = run
        .hit(6, "safe", Always, false)
        .one(name, &End::completed(END));
    assert!(run.judge.has_failed());
    assert_eq!(
        (failed.verdict, failed.failure),
        (Fail, Some(FindingKind::Invariant))
    );
    assert_eq!(failed.moment.unwrap().vtime_ns, 6 * MS);
    assert!(failed.evidence[0].text.contains("\"term\": 3"));
}

#[test]
fn always_of_a_console() {
    let name = "always: prompt";
    let mut run = Run::of("always \"prompt\" console=\"/^> /\" on=\"n1\"");
    assert_eq!(run.verdict(name), Inconclusive);
    run.say(1, "n1", "> a\n> b\n").say(2, "n2", "else\n");
    assert_eq!(run.verdict(name), Pass);
    run.say(3, "n1", &format!("> {}\n", "long".repeat(20_000)));
    assert_eq!(
        run.verdict(name),
        Pass,
        "a long line shows it in its first piece"
    );
    assert_eq!(run.say(4, "n1", "c\n").verdict(name), Fail);
}

#[test]
fn never_of_an_assertion_and_of_a_console() {
    let mut run = Run::of("never \"double\"\n never \"oops\" console=\"panicked at\"");
    assert_eq!(run.verdict("never: double"), Inconclusive, "nobody has it");
    assert_eq!(run.verdict("never: oops"), Inconclusive, "no line");
    run.catalog("double", Unreachable).say(1, "n1", "fine\n");
    assert_eq!(run.verdict("never: double"), Pass);
    assert_eq!(run.verdict("never: oops"), Pass);
    run.say(2, "n2", "thread panic").say(3, "n2", "ked at x");
    assert!(run.judge.has_failed(), "seen before the line ends");
    assert_eq!(run.verdict("never: oops"), Fail);
    assert_eq!(
        run.hit(4, "double", Unreachable, false)
            .verdict("never: double"),
        Fail
    );
}

#[test]
fn sometimes_and_reachable() {
    let properties = "sometimes \"elected\"\n reachable \"compacted\"\n \
                      sometimes \"seen\" console=\"snapshot\" on=\"n2\"";
    let names = [
        "sometimes: elected",
        "reachable: compacted",
        "sometimes: seen",
    ];
    let mut run = Run::of(properties);
    run.hit(1, "elected", Sometimes, false)
        .say(1, "n1", "snapshot\n");
    for name in names {
        let judgement = run.one(name, &End::completed(END));
        assert_eq!(judgement.verdict, Fail, "{name}");
        assert_eq!(judgement.failure, Some(FindingKind::Unreached), "{name}");
        assert!(judgement.unreached, "{name}");
        assert_eq!(run.cut_verdict(name), Inconclusive, "{name}");
    }
    assert!(!run.judge.has_failed(), "it may still happen");
    run.hit(2, "elected", Sometimes, true)
        .hit(2, "compacted", Reachable, true);
    run.say(3, "n2", "snapshot");
    for name in names {
        assert_eq!(run.verdict(name), Pass, "{name}");
    }
}

#[test]
fn eventually_counts_only_in_its_window() {
    let name = "eventually: leader";
    let mut run = Run::of("eventually \"leader\" within=\"5s\" after=\"quiet\"");
    run.hit(9_000, "leader", Sometimes, true);
    assert_eq!(run.verdict(name), Inconclusive, "no quiet period came");
    run.quiet();
    assert_eq!(
        run.one(name, &End::completed(14_000 * MS)).verdict,
        Inconclusive
    );
    assert!(!run.judge.advance(15_000 * MS));
    let mut late = Run {
        judge: run.judge.clone(),
        seq: 100,
    };
    assert!(late.judge.advance(15_001 * MS));
    late.hit(15_002, "leader", Sometimes, true);
    let failed = late.one(name, &End::completed(END * MS));
    assert_eq!(
        (failed.verdict, failed.failure),
        (Fail, Some(FindingKind::Liveness))
    );
    assert!(
        failed.reason.contains("the last time was before"),
        "{}",
        failed.reason
    );
    assert_eq!(
        run.hit(15_000, "leader", Sometimes, true).verdict(name),
        Pass
    );
}

#[test]
fn eventually_of_consoles_needs_every_one() {
    let name = "eventually: up";
    let mut run =
        Run::of("eventually \"up\" console=\"ready\" on=\"n1,n2\" within=\"5s\" after=\"start\"");
    run.say(1_000, "n1", "ready\n");
    assert_eq!(run.verdict(name), Fail);
    assert!(
        run.one(name, &End::completed(END * MS))
            .reason
            .contains("of n2")
    );
    let mut run =
        Run::of("eventually \"up\" console=\"ready\" on=\"n1,n2\" within=\"5s\" after=\"start\"");
    assert_eq!(
        run.say(1, "n1", "ready\n")
            .say(2, "n2", "ready")
            .verdict(name),
        Pass
    );
}

#[test]
fn eventually_after_the_last_fault_begins_anew_with_each_fault() {
    let name = "eventually: leader";
    let mut run = Run::of("eventually \"leader\" within=\"2s\" after=\"last-fault\"");
    run.hit(100, "leader", Sometimes, true);
    let fault = ObservationKind::FaultBegan {
        id: 1,
        class: "network".into(),
        nodes: Vec::new(),
    };
    run.see(1_000, None, fault);
    run.see(3_000, None, ObservationKind::FaultEnded { id: 1 });
    assert_eq!(run.quiet().verdict(name), Fail);
    let mut run = Run::of("eventually \"leader\" within=\"2s\" after=\"last-fault\"");
    let fault = ObservationKind::FaultBegan {
        id: 1,
        class: "network".into(),
        nodes: Vec::new(),
    };
    run.see(1_000, None, fault);
    run.see(3_000, None, ObservationKind::FaultEnded { id: 1 });
    run.hit(4_000, "leader", Sometimes, true);
    assert_eq!(
        run.cut_verdict(name),
        Inconclusive,
        "another fault may follow"
    );
    assert_eq!(run.quiet().verdict(name), Pass);
}

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

#[test]
fn progress_is_that_of_the_whole_system() {
    let name = "progress: commit";
    let text = "progress \"commit\" within=\"5s\" after=\"quiet\"";
    let mut run = Run::of(text);
    assert_eq!(run.quiet().verdict(name), Inconclusive, "nobody published");
    let mut run = Run::of(text);
    run.publish(1, "n1", "commit", 10)
        .publish(1, "n2", "commit", 3)
        .quiet();
    run.publish(11_000, "n2", "commit", 10);
    assert_eq!(run.verdict(name), Fail, "n2 only caught up");
    assert_eq!(run.publish(12_000, "n3", "commit", 11).verdict(name), Pass);
    let mut run = Run::of(text);
    run.publish(1, "n1", "commit", 10)
        .quiet()
        .publish(15_001, "n1", "commit", 11);
    assert!(run.judge.has_failed());
    assert_eq!(run.verdict(name), Fail, "too late");
}

#[test]
fn convergence_needs_one_moment_of_agreement() {
    let name = "converge: commit";
    let text = "converge \"commit\" within=\"5s\" after=\"quiet\"";
    let mut run = Run::of(text);
    assert_eq!(run.quiet().verdict(name), Inconclusive, "nobody published");
    let mut run = Run::of(text);
    run.publish(1, "n1", "commit", 4)
        .publish(1, "n2", "commit", 4)
        .publish(1, "n3", "commit", 4);
    run.node(9_000, "n3", NodeChange::Crashed).quiet();
    let failed = run.one(name, &End::completed(END * MS));
    assert_eq!(failed.verdict, Fail);
    assert!(
        failed.evidence[0].text.contains("n3: not published"),
        "{failed:?}"
    );
    run.publish(11_000, "n1", "commit", 5)
        .publish(12_000, "n3", "commit", 5);
    run.publish(13_000, "n2", "commit", 5)
        .publish(13_001, "n1", "commit", 6);
    assert_eq!(run.verdict(name), Pass);
}

#[test]
fn unique_per_case_and_at_a_time() {
    let name = "unique: leader";
    let mut run = Run::of("unique \"leader\" per=\"term\"");
    assert_eq!(run.verdict(name), Inconclusive);
    run.publish(1, "n1", "term", 1)
        .publish(2, "n1", "leader", 1);
    run.publish(3, "n2", "term", 2)
        .publish(4, "n2", "leader", 1)
        .publish(5, "n1", "leader", 1);
    assert_eq!(run.verdict(name), Pass);
    run.publish(6, "n3", "term", 1)
        .publish(7, "n3", "leader", 1);
    let failed = run.one(name, &End::completed(END));
    assert_eq!(failed.verdict, Fail);
    assert!(failed.reason.contains("n1 and n3"), "{}", failed.reason);
    assert_eq!(failed.seqs.len(), 2);

    let mut run = Run::of("unique \"leader\"");
    run.publish(1, "n1", "leader", 1)
        .publish(2, "n1", "leader", 0)
        .publish(3, "n2", "leader", 1);
    run.node(4, "n2", NodeChange::Crashed)
        .publish(5, "n3", "leader", 1);
    assert_eq!(run.verdict(name), Pass);
    assert_eq!(run.publish(6, "n1", "leader", 1).verdict(name), Fail);
    let mut run = Run::of("unique \"leader\" per=\"term\"");
    assert_eq!(
        run.publish(1, "n1", "leader", 1).verdict(name),
        Inconclusive,
        "of no term"
    );
}

#[test]
fn monotonic_values() {
    let name = "monotonic: term";
    let mut run = Run::of("monotonic \"term\"");
    assert_eq!(run.verdict(name), Inconclusive);
    run.publish(1, "n1", "term", 2)
        .publish(2, "n1", "term", 2)
        .publish(3, "n2", "term", 1);
    assert_eq!(run.verdict(name), Pass);
    run.node(4, "n1", NodeChange::Crashed)
        .publish(5, "n1", "term", 1);
    let failed = run.one(name, &End::completed(END));
    assert_eq!(
        (failed.verdict, failed.reason.as_str()),
        (Fail, "fell to 1 after 2 on n1")
    );

    let mut run = Run::of("monotonic \"term\" strict=#true across-restarts=#false");
    run.publish(1, "n1", "term", 5)
        .node(2, "n1", NodeChange::Crashed)
        .publish(3, "n1", "term", 1);
    run.ended(4, "n1", ExitStatus::Code(1), false)
        .publish(5, "n1", "term", 1);
    assert_eq!(run.verdict(name), Pass);
    assert_eq!(
        run.publish(6, "n1", "term", 1).verdict(name),
        Fail,
        "it stayed"
    );

    let mut run = Run::of("monotonic \"term\"");
    let value = Published::Text("x".into());
    run.on(
        1,
        "n1",
        ObservationKind::Publish {
            key: "term".into(),
            value,
        },
    );
    assert_eq!(run.verdict(name), Inconclusive);
}

#[test]
fn every_assertion_of_the_guests_is_a_property() {
    let mut run = Run::of("assertions except=\"flaky\"");
    assert_eq!(run.verdict("assertions"), Inconclusive, "no guest has any");
    for (message, kind) in [
        ("a", Always),
        ("b", AlwaysOrUnreachable),
        ("c", Sometimes),
        ("d", Reachable),
        ("e", Unreachable),
        ("flaky", Always),
        ("no-panic", Sometimes),
    ] {
        run.catalog(message, kind);
    }
    let all = run.all(&End::completed(END));
    assert!(
        all.iter()
            .all(|judgement| judgement.name != "flaky" && judgement.name != "assertions")
    );
    assert!(
        all.iter()
            .any(|judgement| judgement.name == "no-panic (sometimes)")
    );
    let verdicts = |run: &mut Run| ["a", "b", "c", "d", "e"].map(|name| run.verdict(name));
    assert_eq!(
        verdicts(&mut run),
        [Fail, Pass, Fail, Fail, Pass],
        "none was reached"
    );
    let cut = ["a", "b", "c", "d", "e"].map(|name| run.cut_verdict(name));
    assert_eq!(cut, [Inconclusive, Pass, Inconclusive, Inconclusive, Pass]);
    for (message, kind) in [("a", Always), ("b", AlwaysOrUnreachable), ("c", Sometimes)] {
        run.hit(1, message, kind, true);
    }
    run.hit(1, "d", Reachable, true)
        .hit(2, "c", Sometimes, false);
    assert_eq!(verdicts(&mut run), [Pass; 5]);
    assert!(!run.judge.has_failed());
    run.hit(3, "b", AlwaysOrUnreachable, false)
        .hit(3, "e", Unreachable, false);
    assert_eq!(verdicts(&mut run), [Pass, Fail, Pass, Pass, Fail]);
    assert!(run.judge.has_failed());
}

#[test]
fn only_some_assertions_count() {
    let mut run = Run::of("assertions only=\"a\"");
    run.catalog("b", Always).hit(1, "b", Always, false);
    assert!(!run.judge.has_failed());
    assert_eq!(run.verdict("assertions: a"), Inconclusive);
    assert_eq!(run.hit(2, "a", Always, true).verdict("a"), Pass);
}

#[test]
fn linearizable_histories() {
    let name = "linearizable: h";
    let mut run = Run::of("linearizable \"h\" model=\"register\"");
    assert_eq!(run.verdict(name), Inconclusive, "nobody recorded anything");
    run.step(1, 1, Step::Invoke, "write", json!(1))
        .step(2, 1, Step::Ok, "write", Value::Null);
    run.step(3, 2, Step::Invoke, "read", Value::Null)
        .step(4, 2, Step::Ok, "read", json!(1));
    assert_eq!(run.verdict(name), Pass);
    run.step(5, 2, Step::Invoke, "read", Value::Null)
        .step(6, 2, Step::Ok, "read", Value::Null);
    let failed = run.one(name, &End::completed(END));
    assert_eq!(failed.verdict, Fail);
    let labels: Vec<&str> = failed.evidence.iter().map(|e| e.label.as_str()).collect();
    assert_eq!(labels, ["operation", "before"]);
    assert_eq!(failed.moment.unwrap().vtime_ns, 6 * MS);
    let mut run = Run::of("linearizable \"h\" model=\"register\"");
    run.step(1, 1, Step::Ok, "write", json!(1));
    assert_eq!(
        run.verdict(name),
        Inconclusive,
        "an end without a beginning"
    );
}

#[test]
fn a_violation_of_a_history_is_noticed_while_the_run_goes() {
    let mut run = Run::of("linearizable \"h\" model=\"register\"");
    for at in 0..2_000 {
        let value = if at == 200 {
            json!("lost")
        } else {
            Value::Null
        };
        run.step(2 * at, 1, Step::Invoke, "read", Value::Null);
        run.step(2 * at + 1, 1, Step::Ok, "read", value);
    }
    assert!(run.judge.has_failed());
}

#[test]
fn consistent_transactions() {
    let name = "append-list: h";
    let mut run = Run::of("append-list \"h\" level=\"serializable\"");
    assert_eq!(run.verdict(name), Inconclusive, "nobody recorded anything");
    let append = json!([["append", "x", 1]]);
    run.step(1, 1, Step::Invoke, "txn", append.clone())
        .step(2, 1, Step::Ok, "txn", append);
    let read = json!([["r", "x", null]]);
    run.step(3, 2, Step::Invoke, "txn", read)
        .step(4, 2, Step::Ok, "txn", json!([["r", "x", [1]]]));
    assert_eq!(run.verdict(name), Pass);
    run.step(5, 2, Step::Invoke, "txn", json!([["r", "x", null]]));
    run.step(6, 2, Step::Ok, "txn", json!([["r", "x", [2]]]));
    assert_eq!(run.verdict(name), Fail);
}

#[test]
fn every_property_of_the_documentation_gets_a_judgement() {
    let text = include_str!("../../../docs/SCENARIOS.md");
    let mut judged = 0;
    for block in text.split("```kdl\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let folder = std::path::Path::new(".");
        let mut loaded = load_text(block, Language::Kdl, "doc.kdl", folder);
        for compiled in compile_all(&mut loaded, &NamesOnly) {
            let plan = compiled.plan;
            let all = Judge::new(&plan).finish(&End::completed(1));
            assert_eq!(
                all.len(),
                plan.properties
                    .iter()
                    .map(|p| only(&p.check))
                    .sum::<usize>()
            );
            // What was never looked at passes nowhere.
            assert!(
                all.iter().all(|judgement| judgement.verdict != Pass),
                "{all:#?}"
            );
            judged += all.len();
        }
    }
    assert!(judged > 20, "{judged}");
}

/// How many judgements there are of a property of which nothing was seen.
fn only(check: &crate::plan::property::Check) -> usize {
    match check {
        crate::plan::property::Check::Assertions { only, .. } => only.len().max(1),
        _ => 1,
    }
}
