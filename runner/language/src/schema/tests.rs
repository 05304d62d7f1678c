//! What is read keeps its schemas.

use std::path::Path;

use serde_json::Value;

use super::{ALL, SchemaFile};

fn find(name: &str) -> Option<&'static SchemaFile> {
    ALL.iter().find(|schema| schema.name == name)
}

fn validator(name: &str) -> jsonschema::Validator {
    let text = find(name).expect(name).text();
    let schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    jsonschema::validator_for(&schema).expect("it is a schema")
}

#[test]
fn the_kdl_schema_is_kdl_and_each_reference_has_its_definition() {
    let text = find("scenario-kdl").expect("it is there").text();
    // The error's own text has the whole document in it, many times.
    let parsed: Result<kdl::KdlDocument, kdl::KdlError> = text.parse();
    let document = parsed
        .map_err(|e| e.diagnostics[0].to_string())
        .expect("it is KDL");
    let mut defined = Vec::new();
    let mut used = Vec::new();
    let mut open: Vec<&kdl::KdlDocument> = vec![&document];
    while let Some(nodes) = open.pop() {
        for node in nodes.nodes() {
            let property = |name: &str| {
                node.get(name)
                    .and_then(|value| value.as_string())
                    .map(str::to_owned)
            };
            defined.extend(property("id"));
            used.extend(property("ref"));
            open.extend(node.children());
        }
    }
    let unique: std::collections::BTreeSet<&String> = defined.iter().collect();
    assert_eq!(unique.len(), defined.len(), "an id is defined twice");
    for query in &used {
        let id = query
            .trim_start_matches("[id=\"")
            .trim_end_matches("\"]")
            .to_owned();
        assert!(defined.contains(&id), "{query} is not defined");
    }
    assert!(used.len() > 40, "only {} references", used.len());
}

#[test]
fn a_scenario_with_a_wrong_word_breaks_the_schema() {
    let validator = validator("scenario");
    let good = r#"{"name": "a", "schema": 1, "engine": "exact", "x-note": 1}"#;
    let bad = r#"{"name": "a", "schema": 1, "engine": "fast"}"#;
    let unknown = r#"{"name": "a", "schema": 1, "nodes": {}}"#;
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
    assert!(validator.is_valid(&parse(good)));
    assert!(!validator.is_valid(&parse(bad)));
    assert!(!validator.is_valid(&parse(unknown)));
}

/// Every TOML scenario of the repository keeps the schema that editors use for it.
#[test]
fn toml_scenarios_of_the_repository_keep_the_schema() {
    let validator = validator("scenario");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let value: Value = toml::from_str(&text).expect("it is TOML");
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
    }
}
