//! Each kind of property, from the scenario's text to the verdict: one input that passes, one that
//! fails, and one that decides nothing.

mod ends;
mod histories;
mod values;
mod watched;

use serde_json::{Value, json};

use super::observation::{
    AssertionHit, AssertionKind, AssertionSite, ExitStatus, HistoryStep, InitReport, NodeChange,
    Observation, ObservationKind, Phase, Published, Step, Stuck,
};
use super::{End, EndKind, Judge, Judgement};
use crate::outcome::{FindingKind, Verdict};
use chaosrun_language::plan::{NamesOnly, Plan, compile_all};
use chaosrun_language::scenario::load_text;
use chaosrun_language::scenario::source::Language;

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
            value: value.into(),
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
fn every_property_of_the_documentation_gets_a_judgement() {
    let text = include_str!("../../../../docs/SCENARIOS.md");
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
fn only(check: &chaosrun_language::plan::property::Check) -> usize {
    match check {
        chaosrun_language::plan::property::Check::Assertions { only, .. } => only.len().max(1),
        _ => 1,
    }
}
