//! Published values.

use super::*;

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
