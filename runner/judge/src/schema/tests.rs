//! What is written keeps its schemas.

use serde_json::Value;

use super::ALL;
use crate::outcome::sample;

fn validator(name: &str) -> jsonschema::Validator {
    let schema = ALL.iter().find(|schema| schema.name == name);
    let text = schema.expect(name).text();
    let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    jsonschema::validator_for(&schema).expect("it is a schema")
}

#[test]
fn sample_reports_keep_the_schema() {
    let validator = validator("report");
    for document in [sample::every_verdict(), sample::of(sample::hostile())] {
        let value = serde_json::to_value(&document).expect("it is JSON");
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[test]
fn a_report_of_another_shape_breaks_the_schema() {
    let validator = validator("report");
    let mut value = serde_json::to_value(sample::every_verdict()).expect("it is JSON");
    value["reports"][0]["verdict"] = Value::from("flaky");
    assert!(!validator.is_valid(&value));
}

#[test]
fn sample_events_keep_the_schema() {
    let validator = validator("event");
    for event in sample::events() {
        let value = serde_json::to_value(&event).expect("it is JSON");
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{value}");
    }
}
