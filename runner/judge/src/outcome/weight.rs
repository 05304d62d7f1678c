//! How much memory what guests send takes, so that it can be bounded: a short text can become a hundred
//! times as large once it is parsed.

use serde_json::Value;

/// What an element of a map costs besides its key and value, in bytes.
const ENTRY: usize = 48;

/// About how many bytes of memory a JSON value takes, itself included.
#[must_use]
pub fn of_json(value: &Value) -> usize {
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(of_json).sum(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| ENTRY + key.len() + of_json(value);
            map.iter().map(entry).sum()
        }
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_short_as_text_is_heavy_in_memory() {
        let text = format!("[{}0]", "0,".repeat(999));
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        assert!(of_json(&value) >= 1000 * size_of::<Value>());
        assert!(of_json(&value) > 5 * text.len());
    }

    #[test]
    fn texts_and_keys_count() {
        let small = of_json(&json!({ "k": "v" }));
        assert!(of_json(&json!({ "k": "v".repeat(1000) })) > small + 990);
        assert!(of_json(&json!({ "k".repeat(1000): "v" })) > small + 990);
    }
}
