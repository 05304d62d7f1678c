//! Histories of operations.

use super::*;
use crate::property::decode::decode;
use chaosrun_protocol::{Envelope, Message, OpKind, Operation as Sent};

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
    assert_eq!(
        labels,
        ["operation", "smallest part that no order explains"]
    );
    let part = &failed.evidence[1].text;
    assert!(
        part.contains("write 1") && part.lines().count() == 2,
        "{part}"
    );
    let part = failed.evidence[1]
        .part
        .as_ref()
        .expect("it is there as fields, too");
    let told: Vec<(&str, &str, Option<&str>)> = part
        .operations
        .iter()
        .map(|op| (op.f.as_str(), op.argument.as_str(), op.result.as_deref()))
        .collect();
    assert_eq!(
        told,
        [("write", "1", Some("null")), ("read", "null", Some("null"))]
    );
    assert_eq!(part.operations[1].returned_ns, Some(6 * MS));
    assert!(part.whatever_before && part.minimal);
    assert_eq!(failed.moment.unwrap().vtime_ns, 6 * MS);
    let mut run = Run::of("linearizable \"h\" model=\"register\"");
    run.step(1, 1, Step::Ok, "write", json!(1));
    assert_eq!(
        run.verdict(name),
        Inconclusive,
        "an end without a beginning"
    );
}

/// A history of one write and one read, as guests send them.
fn written_and_read(written: &str, read: &str) -> Verdict {
    let mut run = Run::of("linearizable \"h\" model=\"register\"");
    for (at, (op, f, value)) in [
        (OpKind::Invoke, "write", written),
        (OpKind::Ok, "write", ""),
        (OpKind::Invoke, "read", ""),
        (OpKind::Ok, "read", read),
    ]
    .into_iter()
    .enumerate()
    {
        let message = Message::History(Sent {
            history: "h".into(),
            process: 1,
            op,
            f: f.into(),
            key: None,
            value: value.into(),
        });
        let (_, kinds) = decode(&Envelope { pid: 7, message }.encode());
        for kind in kinds {
            run.on(at as u64, "n1", kind);
        }
    }
    run.verdict("linearizable: h")
}

#[test]
fn numbers_of_histories_are_compared_by_value_and_exactly() {
    for (written, read) in [
        ("1", "1.0"),
        ("100", "1e2"),
        ("0", "-0"),
        ("[1.50, {\"a\": 1E3}]", "[1.5, {\"a\": 1000}]"),
    ] {
        assert_eq!(
            written_and_read(written, read),
            Pass,
            "{written} and {read}"
        );
    }
    for (written, read) in [
        ("100000000000000000000001", "100000000000000000000002"),
        ("18446744073709551616", "18446744073709551617"),
        ("0.1", "0.10000000000000000001"),
        ("1e400", "1e401"),
        ("1", "\"1\""),
    ] {
        assert_eq!(
            written_and_read(written, read),
            Fail,
            "{written} and {read}"
        );
    }
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
