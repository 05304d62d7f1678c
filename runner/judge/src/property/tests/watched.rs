//! What assertions and consoles say.

use super::*;

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
        failed.reason.contains("it held on n1 at"),
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
fn what_eventually_asks_for_and_came_too_early_is_told_and_so_is_sometimes() {
    let name = "eventually: leader";
    let mut run = Run::of("eventually \"leader\" console=\"I lead\" on=\"n1\" within=\"5s\"");
    run.say(3_000, "n1", "I lead\n").quiet();
    // The run ends within the window, so that nothing is certain.
    let unsure = run.one(name, &End::completed(12_000 * MS));
    let failed = run.one(name, &End::completed(END * MS));
    assert_eq!((unsure.verdict, failed.verdict), (Inconclusive, Fail));
    for judgement in [unsure, failed] {
        let reason = &judgement.reason;
        assert!(reason.contains("it was shown on n1 at 3 s"), "{reason}");
        assert!(reason.contains("before the quiet period began"), "{reason}");
        assert!(reason.contains("`sometimes`"), "{reason}");
        let shown = |e: &crate::outcome::Evidence| e.text == "I lead";
        assert!(judgement.evidence.iter().any(shown), "{judgement:?}");
    }
    let mut run = Run::of("eventually \"leader\" console=\"I lead\" on=\"n1\" within=\"5s\"");
    let reason = run.quiet().one(name, &End::completed(12_000 * MS)).reason;
    assert!(
        reason.starts_with("not seen;") && !reason.contains("sometimes"),
        "{reason}"
    );
}
