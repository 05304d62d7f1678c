//! Canonical JSON: keys sorted, no blanks, integers only.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::model::Plan;

/// Writes a value as canonical JSON: objects with their keys in the order of their bytes, no blanks,
/// and strings escaped as little as JSON allows.
///
/// # Errors
/// The value has a floating-point number or can't be written as JSON at all.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let value = serde_json::to_value(value)?;
    let mut out = String::new();
    write_value(&value, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, out: &mut String) -> Result<(), serde_json::Error> {
    match value {
        Value::Number(n) if n.is_f64() => {
            return Err(serde::ser::Error::custom(
                "a plan has no floating-point numbers",
            ));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
        Value::String(text) => out.push_str(&serde_json::to_string(text)?),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Whether serde_json keeps keys sorted depends on its features; this does not.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write_value(&map[key], out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

impl Plan {
    /// The plan as canonical JSON.
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        // No type of the plan has floats or maps with other keys than strings, so that this can't
        // fail; the tests go through all of them.
        to_string(self).unwrap_or_default()
    }

    /// The BLAKE3 hash of the canonical JSON, in hexadecimal: the plan's name.
    #[must_use]
    pub fn hash(&self) -> String {
        blake3::hash(self.to_canonical_json().as_bytes())
            .to_hex()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_floats_are_refused() {
        let value = serde_json::json!({ "b": [1, "é\n"], "a": { "z": null, "y": true } });
        assert_eq!(
            to_string(&value).unwrap(),
            r#"{"a":{"y":true,"z":null},"b":[1,"é\n"]}"#
        );
        assert!(to_string(&serde_json::json!({ "a": 1.5 })).is_err());
    }
}
