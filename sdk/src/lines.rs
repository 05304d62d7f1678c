//! JSON lines, for programs that run outside a machine. Their form is in `schemas/sdk-protocol.md`.

use std::fs::File;
use std::io::Write;

use chaosrun_protocol::{Assertion, Kind, Message, OpKind, Operation, Site, Value};
use serde_json::{Value as Json, json};

/// The version of the format of Antithesis's lines that these follow.
const FORMAT_VERSION: &str = "1.1.0";

/// Writes who writes.
pub(crate) fn write_header(file: &File) {
    append(
        file,
        &json!({"antithesis_sdk": {
            "language": {"name": "Rust", "version": env!("CARGO_PKG_RUST_VERSION")},
            "sdk_version": env!("CARGO_PKG_VERSION"),
            "protocol_version": FORMAT_VERSION,
        }}),
    );
}

/// Writes a message; a catalogue is one line per site.
pub(crate) fn write(file: &File, message: &Message) {
    match message {
        Message::Catalog { sites } => sites
            .iter()
            .for_each(|site| append(file, &assertion(site, false, false, Json::Null))),
        other => append(file, &line(other)),
    }
}

fn line(message: &Message) -> Json {
    match message {
        Message::Assert(Assertion {
            site,
            condition,
            details,
        }) => assertion(site, true, *condition, parsed(details)),
        Message::SetupComplete { details } => {
            json!({"antithesis_setup": {"status": "complete", "details": parsed(details)}})
        }
        Message::Event { name, details } => json!({ name: parsed(details) }),
        Message::Publish { key, value } => {
            json!({"chaosrun_publish": {"key": key, "value": number_or_text(value)}})
        }
        Message::History(operation) => json!({"chaosrun_history": history(operation)}),
        Message::FaultPoint { name, taken } => {
            json!({"chaosrun_fault_point": {"name": name, "taken": taken}})
        }
        // The former has lines of its own, and the latter is not a program's to send.
        Message::Catalog { .. } | Message::Init(_) => Json::Null,
    }
}

fn assertion(site: &Site, hit: bool, condition: bool, details: Json) -> Json {
    json!({"antithesis_assert": {
        "hit": hit,
        "must_hit": site.kind.must_hit(),
        "assert_type": assert_type(site.kind),
        "display_type": display_type(site.kind),
        "message": site.message,
        "condition": condition,
        "id": site.message,
        "location": {
            "class": site.module,
            "function": "",
            "file": site.file,
            "begin_line": site.line,
            "begin_column": site.column,
        },
        "details": details,
    }})
}

fn assert_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Always | Kind::AlwaysOrUnreachable => "always",
        Kind::Sometimes => "sometimes",
        Kind::Reachable | Kind::Unreachable => "reachability",
    }
}

fn display_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Always => "Always",
        Kind::AlwaysOrUnreachable => "AlwaysOrUnreachable",
        Kind::Sometimes => "Sometimes",
        Kind::Reachable => "Reachable",
        Kind::Unreachable => "Unreachable",
    }
}

fn history(operation: &Operation) -> Json {
    json!({
        "history": operation.history,
        "process": operation.process,
        "op": match operation.op {
            OpKind::Invoke => "invoke",
            OpKind::Ok => "ok",
            OpKind::Fail => "fail",
            OpKind::Info => "info",
        },
        "f": operation.f,
        "key": operation.key,
        "value": parsed(&operation.value),
    })
}

fn number_or_text(value: &Value) -> Json {
    match value {
        Value::Int(number) => json!(number),
        Value::Uint(number) => json!(number),
        Value::Text(text) => json!(text),
    }
}

/// The SDK made the text, so that it is JSON.
fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or(Json::Null)
}

/// One write to a file that is open for appending, so that lines of several threads and processes do
/// not mix. A full disk loses the line.
fn append(mut file: &File, line: &Json) {
    let _ = file.write_all(format!("{line}\n").as_bytes());
}
