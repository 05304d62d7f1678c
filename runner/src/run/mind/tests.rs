//! A copy of a mind goes on as the mind does.

use chaosrun_protocol::{
    Assertion, Envelope, InitReport as Report, Kind, Message, OpKind, Operation, Site, Value,
};
use chaosrun_vmm::tape::Stream;
use chaosrun_vmm::time::VirtTime;

use super::*;
use crate::outcome::model::{Document, Verdict, WallClock};
use crate::plan::{NamesOnly, Origins, compile_all};
use crate::run::report::{Context, report};
use crate::scenario::load_text;
use crate::scenario::source::Language;

const MS: u64 = 1_000_000;
/// The most virtual time between two looks at the toy world.
const STEP: u64 = 100 * MS;
/// The number of the program of each node.
const PROGRAM: u32 = 70;

/// A property of each kind, and faults with each kind of trigger.
const SCENARIO: &str = r#"scenario "m" schema=1 {
    guest "app" binary="app"
    network "lan"
    node "n" replicas=3 { guest "app"; network "lan"; disk "data" size="1MiB" }
    faults {
        at "1s" { process-pause "n1" process="app" for="700ms" }
        every "3s" jitter="1s" { kill any=1 restart-after="500ms" }
        after console="/became leader$/" times=3 delay="50ms..300ms" { pause any=1 for="400ms" }
        random rate="2/s" from="network,disk,clock" until="8s"
        budget nodes="minority" gap="100ms"
        quiet "5s"
    }
    properties {
        assertions
        always "safety"
        never console="panicked at"
        never "seen at most rarely" console="tick 13"
        sometimes "snapshots happen" console="snapshot written"
        eventually "elected" within="5s" after="quiet"
        reachable "compaction finished"
        exit "n1" process="app" code=0
        no-panic
        no-hang within="4s"
        progress "commit" within="4s" after="quiet"
        converge "commit" within="3s" after="last-fault"
        unique "leader" per="term"
        monotonic "term"
        linearizable "kv" model="kv"
        append-list "txn"
    }
    run duration="15s" stop-on-failure=#false
}
"#;

fn plan() -> Plan {
    let mut loaded = load_text(SCENARIO, Language::Kdl, "m.kdl", std::path::Path::new(""));
    let mut plans = compile_all(&mut loaded, &NamesOnly);
    assert_eq!(plans.len(), 1, "{:?}", loaded.diags);
    plans.remove(0).plan
}

/// What a world did up to a moment.
type Shown = (u64, Vec<WorldEvent>);

/// Three nodes without machines: what they say is drawn.
struct Toy {
    stream: Stream,
    now: u64,
    up: [bool; 3],
    /// What the clients of each node have begun and not ended.
    open: [Option<Operation>; 3],
    count: u64,
    events: Vec<WorldEvent>,
}

impl Toy {
    fn new() -> Self {
        let mut toy = Self {
            stream: Tape::new(7).stream("toy"),
            now: 0,
            up: [false; 3],
            open: [const { None }; 3],
            count: 0,
            events: Vec::new(),
        };
        (0..3).for_each(|node| toy.start(node));
        toy
    }

    fn add(&mut self, node: usize, kind: WorldEventKind) {
        self.events.push(WorldEvent {
            time: VirtTime(self.now),
            node: Some(node),
            kind,
        });
    }

    fn send(&mut self, node: usize, pid: u32, message: Message) {
        let bytes = Envelope { pid, message }.encode();
        self.add(node, WorldEventKind::Machine(MachineEvent::Sdk(bytes)));
    }

    fn say(&mut self, node: usize, text: &str) {
        self.add(
            node,
            WorldEventKind::Machine(MachineEvent::Console(text.into())),
        );
    }

    fn start(&mut self, node: usize) {
        (self.up[node], self.open[node]) = (true, None);
        self.add(node, WorldEventKind::Started);
        self.say(node, "booting\n");
        for name in ["mounted", "workloads"] {
            let name = name.to_owned();
            self.send(node, INIT, Message::Init(Report::Stage { name }));
        }
        let started = Report::ProcessStarted {
            process: "app".to_owned(),
            pid: PROGRAM,
            attempt: 1,
        };
        self.send(node, INIT, Message::Init(started));
        let details = String::new();
        self.send(node, PROGRAM, Message::SetupComplete { details });
    }

    fn obey(&mut self, command: &Command) {
        match command {
            Command::PowerLoss { node, .. } | Command::Kill { node } => self.up[*node] = false,
            Command::Start { node } => self.start(*node),
            _ => {}
        }
    }

    /// Lets time come to `now`.
    fn pass(&mut self, now: u64) -> Shown {
        let begin = self.now;
        for node in (0..3).filter(|node| self.up[*node]).collect::<Vec<usize>>() {
            self.now = self.stream.range(self.now, now).max(self.now);
            for _ in 0..self.stream.below(4) {
                self.something(node);
            }
        }
        assert!(begin <= self.now && self.now <= now);
        self.now = now;
        (now, std::mem::take(&mut self.events))
    }

    fn something(&mut self, node: usize) {
        self.count += 1;
        let count = self.count;
        match self.stream.below(14) {
            0 => self.say(node, &format!("tick {}\n", count % 40)),
            1 => self.say(node, "n: became lea"),
            2 => self.say(node, "der"),
            3 => self.say(node, "\r\nsnapshot written\n$ "),
            4 | 5 => self.publish(node, "commit", count / 10),
            6 => self.publish(node, "term", count / 20),
            7 => self.publish(node, "leader", count / 50),
            8 => self.assert("safety", Kind::Always, !count.is_multiple_of(97), node),
            9 => self.assert("elected", Kind::Sometimes, count.is_multiple_of(5), node),
            10 => self.send(
                node,
                PROGRAM,
                Message::Event {
                    name: "step".to_owned(),
                    details: format!("{{\"n\":{count}}}"),
                },
            ),
            11 if count.is_multiple_of(40) => {
                self.up[node] = false;
                let stop = if count.is_multiple_of(80) {
                    Stop::Reset
                } else {
                    Stop::PowerOff
                };
                self.add(node, WorldEventKind::Stopped(stop));
            }
            _ => self.operate(node),
        }
    }

    fn publish(&mut self, node: usize, key: &str, value: u64) {
        let (key, value) = (key.to_owned(), Value::Uint(value));
        self.send(node, PROGRAM, Message::Publish { key, value });
    }

    fn assert(&mut self, message: &str, kind: Kind, condition: bool, node: usize) {
        let site = Site {
            kind,
            message: message.to_owned(),
            file: "app.rs".to_owned(),
            module: "app".to_owned(),
            line: 3,
            column: 5,
        };
        let assertion = Assertion {
            site,
            condition,
            details: "{}".to_owned(),
        };
        self.send(node, PROGRAM, Message::Assert(assertion));
    }

    /// Begins an operation, or ends the one that was begun.
    fn operate(&mut self, node: usize) {
        let count = self.count;
        let operation = match self.open[node].take() {
            Some(open) => Operation {
                op: OpKind::Ok,
                ..open
            },
            None => {
                let (history, f, key, value) = match self.stream.below(2) {
                    0 => ("kv", "write", Some("a".to_owned()), count.to_string()),
                    _ => ("txn", "txn", None, format!("[[\"append\",\"x\",{count}]]")),
                };
                let begun = Operation {
                    history: history.to_owned(),
                    process: 0,
                    op: OpKind::Invoke,
                    f: f.to_owned(),
                    key,
                    value,
                };
                self.open[node] = Some(begun.clone());
                begun
            }
        };
        self.send(node, PROGRAM, Message::History(operation));
    }
}

/// What a mind says at a moment: what is to be done, when it wants to look next, and whether the run is over.
type Said = (Vec<Command>, Option<u64>, Option<End>);

fn show(mind: &mut Mind<'_>, (now, events): &Shown) -> Said {
    mind.pass(*now, events.clone());
    mind.check_ready();
    let commands = mind.act();
    (commands, mind.next_moment(), mind.over())
}

/// All that the toy world shows of a run.
fn recorded_run(plan: &Plan) -> Vec<Shown> {
    let mut mind = Mind::new(plan, &Tape::new(3));
    let mut toy = Toy::new();
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        all.push(toy.pass(next));
        let (commands, moment, over) = show(&mut mind, &all[all.len() - 1]);
        commands.iter().for_each(|command| toy.obey(command));
        if over.is_some() {
            return all;
        }
        next = moment.unwrap_or(u64::MAX).min(next + STEP);
    }
}

/// Shows a mind the rest of a run. Returns what it said, the bytes of the report, the events and the
/// consoles.
fn rest_of(mut mind: Mind<'_>, rest: &[Shown]) -> (Vec<Said>, String, Outcome) {
    let plan = mind.plan;
    let said: Vec<Said> = rest.iter().map(|shown| show(&mut mind, shown)).collect();
    mind.close();
    let outcome = mind.finish(End::Complete, Ran::default());
    let context = Context {
        scenario_file: "m.kdl".to_owned(),
        scenario_hash: String::new(),
        seed: 3,
        command: String::new(),
        wall: WallClock::default(),
        replay: Err("not asked".to_owned()),
    };
    let report = report(plan, &Origins::default(), &outcome, &context);
    let document = Document::new("0", vec![report]);
    let json = serde_json::to_string(&document).expect("a report can be written");
    (said, json, outcome)
}

#[test]
fn a_copy_in_the_middle_of_a_run_comes_to_the_same_verdicts_and_report() {
    let plan = plan();
    let run = recorded_run(&plan);
    let begin = Mind::new(&plan, &Tape::new(3));
    let (whole, report, outcome) = rest_of(begin.clone(), &run);
    // The run must have something to lose.
    for verdict in [Verdict::Pass, Verdict::Fail] {
        let judgements = outcome.judgements.iter();
        let count = judgements.filter(|j| j.verdict == verdict).count();
        assert!(count > 3, "{count} {verdict:?}: {report}");
    }
    assert!(outcome.faults.len() > 3, "{:?}", outcome.faults);
    assert!(outcome.boots.iter().sum::<u64>() > 4, "{:?}", outcome.boots);
    let mut mind = begin;
    for (cut, shown) in run.iter().enumerate() {
        if cut % 9 == 5 {
            // The first goes on before the second is shown anything, so that nothing may be shared.
            let (first, second) = (mind.clone(), mind.clone());
            for copy in [first, second] {
                let (said, bytes, other) = rest_of(copy, &run[cut..]);
                assert_eq!(said, whole[cut..], "cut at {cut}");
                assert_eq!(bytes, report, "cut at {cut}");
                assert_eq!(other.events, outcome.events, "cut at {cut}");
                assert_eq!(other.consoles, outcome.consoles, "cut at {cut}");
            }
        }
        show(&mut mind, shown);
    }
}

/// A mind to which five milliseconds have passed.
fn at_five(plan: &Plan) -> Mind<'_> {
    let mut mind = Mind::new(plan, &Tape::new(3));
    mind.pass(5 * MS, Vec::new());
    mind
}

/// Something that happened at these moments, in milliseconds.
fn events(at: &[u64]) -> Vec<WorldEvent> {
    let event = |ms: &u64| WorldEvent {
        time: VirtTime(ms * MS),
        node: Some(0),
        kind: WorldEventKind::Machine(MachineEvent::Console(b"x".to_vec())),
    };
    at.iter().map(event).collect()
}

#[test]
fn what_happens_is_told_in_its_order() {
    let plan = plan();
    let mut mind = at_five(&plan);
    mind.pass(9 * MS, events(&[5, 6, 6, 9]));
    mind.pass(9 * MS, events(&[9]));
}

#[test]
#[should_panic(expected = "time went back")]
fn time_does_not_go_back() {
    let plan = plan();
    at_five(&plan).pass(4 * MS, Vec::new());
}

#[test]
#[should_panic(expected = "events that did not happen between")]
fn what_happened_before_is_not_told_behind() {
    let plan = plan();
    at_five(&plan).pass(9 * MS, events(&[4]));
}

#[test]
#[should_panic(expected = "events that did not happen between")]
fn what_has_not_happened_is_not_told() {
    let plan = plan();
    at_five(&plan).pass(9 * MS, events(&[10]));
}

#[test]
#[should_panic(expected = "not in this order")]
fn events_are_told_in_their_order() {
    let plan = plan();
    at_five(&plan).pass(9 * MS, events(&[7, 6]));
}

#[test]
#[should_panic(expected = "a fault in the quiet period")]
fn no_fault_begins_in_the_quiet_period() {
    let plan = plan();
    let mut mind = at_five(&plan);
    let begins = Deed::Record {
        id: 1,
        source: "at 1".to_owned(),
        stage: Stage::Begin,
        fault: crate::outcome::event::Fault::new("pause", "node", &["n1"]),
    };
    mind.carry_out(vec![begins.clone()]);
    mind.carry_out(vec![Deed::Quiet, begins]);
}
