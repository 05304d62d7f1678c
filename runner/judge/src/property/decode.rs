//! Turns what guests send into observations.
//!
//! Guests are not trusted: bytes that are no message, or JSON that is none, become an observation
//! that says so. The protocol bounds every text; JSON here is bounded in depth by its parser.

use chaosrun_protocol::{
    Assertion, Envelope, InitReport as Report, Kind, Message, OpKind, Operation, Site,
    Value as Sent,
};
use serde_json::Value;

use super::json::Json;
use super::observation::{
    AssertionHit, AssertionKind, AssertionSite, ExitStatus, HistoryStep, InitReport,
    ObservationKind, Published, SourceLocation, Step,
};

/// What the payload of one call of a guest says: who said it, and one or, of a catalogue, several
/// observations.
#[must_use]
pub fn decode(payload: &[u8]) -> (Option<u32>, Vec<ObservationKind>) {
    match Envelope::decode(payload) {
        Ok(envelope) => (Some(envelope.pid), of_message(envelope.message)),
        Err(error) => (None, vec![bad(&error.to_string())]),
    }
}

/// The observation of something that is no message.
#[must_use]
pub fn bad(why: &str) -> ObservationKind {
    ObservationKind::BadMessage {
        why: why.to_owned(),
    }
}

fn of_message(message: Message) -> Vec<ObservationKind> {
    let one = match message {
        Message::Catalog { sites } => {
            let entry = |site| ObservationKind::Catalog(of_site(site));
            return sites.into_iter().map(entry).collect();
        }
        Message::Assert(assertion) => of_assertion(assertion),
        Message::SetupComplete { details } => match json(&details) {
            Ok(details) => ObservationKind::Setup { details },
            Err(why) => {
                return vec![
                    ObservationKind::Setup {
                        details: Value::Null,
                    },
                    bad(&why),
                ];
            }
        },
        Message::Event { name, details } => match json(&details) {
            Ok(details) => ObservationKind::Event { name, details },
            Err(why) => {
                let details = Value::Null;
                return vec![ObservationKind::Event { name, details }, bad(&why)];
            }
        },
        Message::Publish { key, value } => ObservationKind::Publish {
            key,
            value: match value {
                Sent::Int(number) => Published::Number(number.into()),
                Sent::Uint(number) => Published::Number(number.into()),
                Sent::Text(text) => Published::Text(text),
            },
        },
        Message::History(operation) => of_operation(operation),
        Message::FaultPoint { name, taken } => ObservationKind::FaultPoint { name, taken },
        Message::Init(report) => ObservationKind::Init(of_report(report)),
    };
    vec![one]
}

/// JSON of a guest, or why it is none; an empty text is as good as `null`.
fn json(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| format!("its details are no JSON: {error}"))
}

/// JSON of a guest that will be compared, so that its numbers have to be exact.
fn exact(text: &str) -> Result<Json, String> {
    if text.trim().is_empty() {
        return Ok(Json::Null);
    }
    Json::parse(text).map_err(|error| format!("its value is no JSON: {error}"))
}

fn of_site(site: Site) -> AssertionSite {
    AssertionSite {
        message: site.message,
        kind: match site.kind {
            Kind::Always => AssertionKind::Always,
            Kind::AlwaysOrUnreachable => AssertionKind::AlwaysOrUnreachable,
            Kind::Sometimes => AssertionKind::Sometimes,
            Kind::Reachable => AssertionKind::Reachable,
            Kind::Unreachable => AssertionKind::Unreachable,
        },
        location: (!site.file.is_empty()).then_some(SourceLocation {
            file: site.file,
            line: site.line,
            column: site.column,
            function: site.module,
        }),
    }
}

/// An assertion whose details are no JSON still counts; its details are the text itself.
fn of_assertion(assertion: Assertion) -> ObservationKind {
    let details = json(&assertion.details).unwrap_or(Value::String(assertion.details));
    ObservationKind::Assert(AssertionHit {
        site: of_site(assertion.site),
        condition: assertion.condition,
        details,
    })
}

/// A step of an operation whose value is no JSON cannot be judged.
fn of_operation(operation: Operation) -> ObservationKind {
    match exact(&operation.value) {
        Ok(value) => ObservationKind::History(HistoryStep {
            history: operation.history,
            process: operation.process,
            step: match operation.op {
                OpKind::Invoke => Step::Invoke,
                OpKind::Ok => Step::Ok,
                OpKind::Fail => Step::Fail,
                OpKind::Info => Step::Info,
            },
            f: operation.f,
            key: operation.key,
            value,
        }),
        Err(why) => bad(&why),
    }
}

fn of_report(report: Report) -> InitReport {
    match report {
        Report::Stage { name } => InitReport::Stage(name),
        Report::Trouble { text } => InitReport::Trouble(text),
        Report::ProcessStarted { process, pid, .. } => InitReport::Started { process, pid },
        Report::ProcessNotStarted { process, reason } => InitReport::NotStarted { process, reason },
        Report::ProcessExited {
            process,
            pid,
            code,
            signal,
            asked,
            ..
        } => InitReport::Ended {
            process,
            pid,
            status: match (code, signal) {
                (_, Some(signal)) => ExitStatus::Signal(signal),
                (code, None) => ExitStatus::Code(code.unwrap_or(0)),
            },
            by_fault: asked,
        },
        Report::AllEnded => InitReport::AllEnded,
        Report::NothingLeft => InitReport::NothingLeft,
        Report::CommandDone { id } => InitReport::Command { id, failure: None },
        Report::CommandFailed { id, reason } => InitReport::Command {
            id,
            failure: Some(reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(message: Message) -> Vec<ObservationKind> {
        let (pid, kinds) = decode(&Envelope { pid: 7, message }.encode());
        assert_eq!(pid, Some(7));
        kinds
    }

    #[test]
    fn values_and_histories_arrive() {
        let kinds = sent(Message::Publish {
            key: "term".into(),
            value: Sent::Uint(u64::MAX),
        });
        let value = Published::Number(u64::MAX.into());
        assert_eq!(
            kinds,
            [ObservationKind::Publish {
                key: "term".into(),
                value
            }]
        );
        let kinds = sent(Message::History(Operation {
            history: "kv".into(),
            process: 3,
            op: OpKind::Ok,
            f: "read".into(),
            key: None,
            value: "[1,2]".into(),
        }));
        let ObservationKind::History(step) = &kinds[0] else {
            panic!("{kinds:?}");
        };
        assert_eq!(
            (step.step, &step.value),
            (Step::Ok, &serde_json::json!([1, 2]).into())
        );
    }

    #[test]
    fn json_that_is_none_is_told_and_hides_nothing() {
        let kinds = sent(Message::Event {
            name: "e".into(),
            details: "{".into(),
        });
        assert!(matches!(&kinds[0], ObservationKind::Event { name, .. } if name == "e"));
        assert!(matches!(&kinds[1], ObservationKind::BadMessage { .. }));
        let deep = "[".repeat(30_000);
        let kinds = sent(Message::SetupComplete { details: deep });
        assert!(matches!(&kinds[1], ObservationKind::BadMessage { .. }));
    }

    proptest! {
        #[test]
        fn garbage_is_a_bad_message_and_nothing_worse(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let (_, kinds) = decode(&bytes);
            prop_assert!(kinds.len() <= bytes.len().max(1));
        }
    }
}
