//! `report.json`: the whole model as one JSON document.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::outcome::model::Document;
use crate::outcome::text;

/// The longest string of a report, in bytes; a longer one is cut with a note.
const MAX_STRING_BYTES: usize = text::MAX_BLOCK_BYTES;

/// Writes a document as indented JSON with a line end.
///
/// # Errors
/// What the writer says.
pub fn write(document: &Document, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &bounded(document)?)?;
    out.write_all(b"\n")
}

/// Turns a value into JSON whose strings are all of bounded length.
///
/// # Errors
/// The value has a part that JSON can't express.
pub(super) fn bounded(value: &impl Serialize) -> io::Result<Value> {
    let mut json = serde_json::to_value(value)?;
    clip_strings(&mut json);
    Ok(json)
}

fn clip_strings(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_STRING_BYTES => {
            *text = text::clip(text, MAX_STRING_BYTES);
        }
        Value::Array(items) => items.iter_mut().for_each(clip_strings),
        Value::Object(fields) => fields.values_mut().for_each(clip_strings),
        _ => {}
    }
}
