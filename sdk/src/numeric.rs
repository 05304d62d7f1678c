//! Details of assertions that compare or combine.

use alloc::string::String;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::json as to_json;

/// Details as the user gave them.
pub fn details(details: &impl Serialize) -> String {
    to_json(details)
}

/// The two sides of a comparison in front of the user's details.
pub fn compared(left: &impl Serialize, right: &impl Serialize, details: &impl Serialize) -> String {
    let sides = [("left", value(left)), ("right", value(right))];
    merge(sides.into_iter(), value(details))
}

/// Whether one of the named conditions holds.
#[must_use]
pub fn any(conditions: &[(&str, bool)]) -> bool {
    conditions.iter().any(|(_, holds)| *holds)
}

/// Whether all of the named conditions hold.
#[must_use]
pub fn all(conditions: &[(&str, bool)]) -> bool {
    conditions.iter().all(|(_, holds)| *holds)
}

/// The named conditions in front of the user's details.
pub fn named(conditions: &[(&str, bool)], details: &impl Serialize) -> String {
    let conditions = conditions.iter().map(|(name, holds)| (*name, json!(holds)));
    merge(conditions, value(details))
}

fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| json!(alloc::format!("not JSON: {error}")))
}

/// One object of both. Details that are no object become the member `details`; a member of the user's
/// object that has the name of ours gives way.
fn merge<'a>(ours: impl Iterator<Item = (&'a str, Value)>, details: Value) -> String {
    let mut object = match details {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        other => Map::from_iter([("details".into(), other)]),
    };
    object.extend(ours.map(|(name, value)| (name.into(), value)));
    to_json(&object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_join_the_details() {
        assert_eq!(compared(&3, &4, &()), r#"{"left":3,"right":4}"#);
        assert_eq!(
            compared(&3, &4, &json!({"a": 1, "left": 9})),
            r#"{"a":1,"left":3,"right":4}"#
        );
        assert_eq!(
            compared(&1.5, &2.5, &"text"),
            r#"{"details":"text","left":1.5,"right":2.5}"#
        );
    }
}
