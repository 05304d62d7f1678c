//! Which nodes are given up, and which are waited for.

use super::*;
use crate::plan::{NamesOnly, compile};
use crate::property::observation::ExitStatus;
use crate::scenario::load_text;
use crate::scenario::source::Language;

const SECOND: u64 = 1_000_000_000;

/// Two nodes with two programs each and one with none.
fn prospects(ready: &str) -> Prospects {
    let text = format!(
        "scenario \"p\" schema=1 {{\n guest \"a\" binary=\"a\"\n guest \"b\" binary=\"b\"\n \
         node \"n1\" \"n2\" {{ guest \"a\"; guest \"b\" }}\n node \"bare\"\n \
         {ready}\n run duration=\"1s\"\n}}\n"
    );
    let mut loaded = load_text(&text, Language::Kdl, "p.kdl", std::path::Path::new(""));
    let scenario = loaded.scenarios.first().expect("it has a scenario").clone();
    let plan = compile(&scenario, &loaded.sources, &NamesOnly, &mut loaded.diags).plan;
    assert!(!loaded.diags.has_errors(), "{:?}", loaded.diags);
    Prospects::new(&plan)
}

fn ended(process: &str, status: ExitStatus) -> InitReport {
    InitReport::Ended {
        process: process.to_owned(),
        pid: 70,
        status,
        by_fault: false,
    }
}

#[test]
fn a_node_is_lost_when_no_process_is_left() {
    let mut all = prospects("");
    all.init(0, SECOND, &ended("a", ExitStatus::Code(1)));
    all.init(0, 2 * SECOND, &ended("b", ExitStatus::Signal(9)));
    all.init(0, 2 * SECOND, &InitReport::AllEnded);
    assert_eq!(all.lost(&[0, 1]), [], "a child of theirs may go on");
    all.init(0, 3 * SECOND, &InitReport::NothingLeft);
    let lost = all.lost(&[0, 1]);
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].node, lost[0].at_ns), (0, 3 * SECOND));
    assert_eq!(
        lost[0].why,
        "a on n1 ended with exit code 1 at 1 s; b on n1 ended with signal 9 at 2 s; \
         nothing starts again, and no other process is left"
    );
    assert_eq!(all.lost(&[1]), [], "it is ready");
}

#[test]
fn a_node_whose_programs_did_not_start_says_why() {
    let mut all = prospects("ready console=\"up\"");
    let reason = "No such file or directory".to_owned();
    let process = "a".to_owned();
    all.init(0, 1, &InitReport::NotStarted { process, reason });
    all.init(0, 1, &InitReport::NothingLeft);
    let why = all.lost(&[0]).remove(0).why;
    assert!(
        why.contains("a on n1 could not be started: No such file"),
        "{why}"
    );
    all.init(
        1,
        1,
        &InitReport::Trouble("no program is started without its disk".to_owned()),
    );
    all.init(1, 1, &InitReport::NothingLeft);
    let why = all.lost(&[1]).remove(0).why;
    assert!(
        why.contains("init of n2: no program is started without its disk"),
        "{why}"
    );
}

#[test]
fn a_machine_that_is_down_is_lost_until_it_starts() {
    let mut all = prospects("ready console=\"up\"");
    all.down(2, SECOND, "the guest switched the machine off");
    all.down(2, 2 * SECOND, "again");
    let why = all.lost(&[2]).remove(0).why;
    assert_eq!(
        why,
        "the machine of bare ended at 1 s (the guest switched the machine off), and nothing starts it again"
    );
    all.started(2);
    assert_eq!(all.lost(&[2]), []);
}

#[test]
fn what_may_still_become_ready_is_waited_for() {
    let mut all = prospects("ready event=\"up\"");
    all.init(0, 1, &InitReport::NothingLeft);
    let process = "a".to_owned();
    all.init(0, 2, &InitReport::Started { process, pid: 71 });
    assert_eq!(all.lost(&[0]), [], "it was started again");
    all.init(2, 1, &InitReport::NothingLeft);
    assert_eq!(all.lost(&[2]), [], "its kernel goes on");
    let mut timed = prospects("ready after=\"3s\"");
    timed.down(0, 1, "triple fault");
    timed.init(1, 1, &InitReport::NothingLeft);
    assert_eq!(timed.lost(&[0, 1]), [], "time passes all the same");
}
