//! Messages survive the wire, and nothing else is taken for one.

use chaosrun_protocol::message::{MAX_JSON, MAX_NAME};
use chaosrun_protocol::{
    Assertion, DecodeError, Envelope, InitReport, Kind, Message, OpKind, Operation, Site, Value,
};
use proptest::prelude::*;

fn site() -> Site {
    Site {
        kind: Kind::Sometimes,
        message: "a leader is elected".into(),
        file: "src/node.rs".into(),
        module: "raft::node".into(),
        line: 12,
        column: 5,
    }
}

fn examples() -> Vec<Message> {
    let operation = Operation {
        history: "kv".into(),
        process: 3,
        op: OpKind::Info,
        f: "cas".into(),
        key: Some("k1".into()),
        value: "[1,2]".into(),
    };
    vec![
        Message::Catalog {
            sites: vec![site(), site()],
        },
        Message::Assert(Assertion {
            site: site(),
            condition: true,
            details: r#"{"term":4}"#.into(),
        }),
        Message::SetupComplete {
            details: "null".into(),
        },
        Message::Event {
            name: "snapshot-started".into(),
            details: "{}".into(),
        },
        Message::Publish {
            key: "term".into(),
            value: Value::Uint(u64::MAX),
        },
        Message::Publish {
            key: "offset".into(),
            value: Value::Int(i64::MIN),
        },
        Message::Publish {
            key: "leader".into(),
            value: Value::Text("n1".into()),
        },
        Message::History(operation),
        Message::FaultPoint {
            name: "slow fsync".into(),
            taken: false,
        },
        Message::Init(InitReport::ProcessExited {
            process: "raft".into(),
            pid: 70,
            code: None,
            signal: Some(9),
            asked: true,
            restarts: true,
        }),
        Message::Init(InitReport::CommandFailed {
            id: 8,
            reason: "no such process".into(),
        }),
    ]
}

#[test]
fn messages_survive_the_wire() {
    for message in examples() {
        let envelope = Envelope { pid: 42, message };
        let bytes = envelope.clone().encode();
        assert_eq!(Envelope::decode(&bytes), Ok(envelope));
    }
}

/// A change of these bytes is a change of the protocol's version.
#[test]
fn bytes_are_those_that_the_document_gives() {
    let envelope = Envelope {
        pid: 300,
        message: Message::Publish {
            key: "term".into(),
            value: Value::Uint(200),
        },
    };
    let bytes = [0xac, 0x02, 4, 4, b't', b'e', b'r', b'm', 1, 0xc8, 0x01];
    assert_eq!(envelope.encode(), bytes);
}

#[test]
fn truncated_and_trailing_bytes_are_refused() {
    for message in examples() {
        let bytes = Envelope { pid: 1, message }.encode();
        for length in 0..bytes.len() {
            assert_eq!(
                Envelope::decode(&bytes[..length]),
                Err(DecodeError::Malformed)
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Envelope::decode(&longer), Err(DecodeError::TrailingBytes));
    }
}

#[test]
fn long_texts_are_cut_by_the_sender_and_refused_by_the_receiver() {
    let event = |name: String, details: String| Envelope {
        pid: 1,
        message: Message::Event { name, details },
    };
    let long = "é".repeat(MAX_JSON);
    let Message::Event { name, details } =
        Envelope::decode(&event(format!("x{long}"), long).encode())
            .unwrap()
            .message
    else {
        panic!("another message");
    };
    assert_eq!(name.len(), MAX_NAME - 1);
    assert_eq!(details, r#"{"chaosrun":"65536 bytes were too long"}"#);

    // What a careless sender would send.
    let raw = |name: usize, details: usize| {
        postcard::to_stdvec(&event("n".repeat(name), "1".repeat(details))).unwrap()
    };
    assert!(Envelope::decode(&raw(MAX_NAME, MAX_JSON)).is_ok());
    assert_eq!(
        Envelope::decode(&raw(MAX_NAME + 1, 1)),
        Err(DecodeError::NameTooLong)
    );
    assert_eq!(
        Envelope::decode(&raw(1, MAX_JSON + 1)),
        Err(DecodeError::JsonTooLong)
    );
    assert_eq!(Envelope::decode(&[0; 65_537]), Err(DecodeError::TooLong));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Envelope::decode(&bytes);
    }

    #[test]
    fn damaged_messages_are_refused_or_are_messages(
        example in 0..examples().len(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = Envelope { pid: 9, message: examples().remove(example) }.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert!(Envelope::decode(&envelope.encode()).is_ok());
        }
    }
}
