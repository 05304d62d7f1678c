//! Canonical JSON: keys sorted, no blanks, integers only.

use serde::Serialize;

use super::model::Plan;

/// Writes a value as canonical JSON: objects with their keys in the order of their bytes, no blanks,
/// and strings escaped as little as JSON allows.
///
/// # Errors
/// The value has a floating-point number or can't be written as JSON at all.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    let mut sorter = Sorter {
        text: &text,
        at: 0,
        out: String::with_capacity(text.len()),
        float: false,
    };
    sorter.value();
    if sorter.float {
        return Err(serde::ser::Error::custom(
            "a plan has no floating-point numbers",
        ));
    }
    Ok(sorter.out)
}

/// Sorts the keys of compact JSON as serde_json writes it, which is known to be well-formed. Going
/// through a tree of values would cost ten times as much.
struct Sorter<'a> {
    text: &'a str,
    at: usize,
    out: String,
    float: bool,
}

impl Sorter<'_> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(b'}')
    }

    /// Copies one value, with the objects in it sorted.
    fn value(&mut self) {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => {
                let end = self.string_end();
                self.copy(end);
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest
                    .find([',', ']', '}'])
                    .map_or(self.text.len(), |n| self.at + n);
                let token = &self.text[self.at..end];
                self.float |= token.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                    && token.contains(['.', 'e', 'E']);
                self.copy(end);
            }
        }
    }

    fn copy(&mut self, end: usize) {
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    /// The end of the string that begins here.
    fn string_end(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' => at += 2,
                b'"' => return at + 1,
                _ => at += 1,
            }
        }
        bytes.len()
    }

    fn array(&mut self) {
        self.copy(self.at + 1);
        while self.peek() != b']' {
            if self.peek() == b',' {
                self.copy(self.at + 1);
            }
            self.value();
        }
        self.copy(self.at + 1);
    }

    fn object(&mut self) {
        let start = self.out.len();
        // Each entry: its key in the text, and its place in what has been written.
        let mut entries: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
        let text = self.text;
        self.at += 1;
        while self.peek() != b'}' {
            if self.peek() == b',' {
                self.at += 1;
            }
            let from = self.out.len();
            let end = self.string_end();
            let key = &text[self.at + 1..end - 1];
            self.copy(end + 1);
            self.value();
            entries.push((key, from..self.out.len()));
        }
        self.at += 1;
        entries.sort_by_key(|(key, _)| *key);
        let mut sorted = String::with_capacity(self.out.len() - start + entries.len() + 2);
        sorted.push('{');
        for (index, (_, range)) in entries.into_iter().enumerate() {
            if index > 0 {
                sorted.push(',');
            }
            sorted.push_str(&self.out[range]);
        }
        sorted.push('}');
        self.out.truncate(start);
        self.out.push_str(&sorted);
    }
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
