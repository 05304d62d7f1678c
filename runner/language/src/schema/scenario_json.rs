//! The JSON Schema of scenarios in TOML, made from the vocabulary of the language.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::scenario::example_value;
use crate::scenario::vocab::{Key, Kind, ROOT, Section};

/// Generates the schema (draft 2020-12).
pub(super) fn generate() -> String {
    let mut sections = Sections::default();
    let mut root = sections.object(&ROOT);
    let fields = root.as_object_mut().expect("an object schema is an object");
    fields.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    fields.insert("title".to_owned(), json!("chaosrun scenario"));
    // An included file may leave out what the main file says.
    fields.remove("required");
    fields.insert("$defs".to_owned(), Value::Object(sections.definitions));
    super::pretty(&root)
}

/// The definitions made so far. A section is known by its address: several have the same name.
#[derive(Default)]
struct Sections {
    names: BTreeMap<usize, String>,
    definitions: Map<String, Value>,
}

impl Sections {
    /// A reference to a section's definition, which is made when it is first needed.
    fn reference(&mut self, section: &'static Section) -> Value {
        let address = std::ptr::from_ref(section).addr();
        if let Some(name) = self.names.get(&address) {
            return json!({ "$ref": format!("#/$defs/{name}") });
        }
        let mut name = section.name.replace(['.', ' '], "-");
        while self.definitions.contains_key(&name) {
            name.push('_');
        }
        self.names.insert(address, name.clone());
        // The place is taken before the section's own blocks ask for places.
        self.definitions.insert(name.clone(), Value::Null);
        let object = self.object(section);
        self.definitions.insert(name.clone(), object);
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn object(&mut self, section: &'static Section) -> Value {
        let mut properties: Map<String, Value> = Map::new();
        for key in section.keys() {
            let schema = self.key(key);
            // Some names have two meanings, a plain one and a block.
            let schema = match properties.remove(key.name) {
                Some(other) => json!({ "anyOf": [other, schema] }),
                None => schema,
            };
            properties.insert(key.name.to_owned(), schema);
        }
        let mut object = json!({
            "type": "object",
            "description": section.doc,
            "properties": properties,
            "patternProperties": { "^x-": {} },
            "additionalProperties": false,
        });
        let required: Vec<&str> = section
            .keys()
            .filter(|key| key.required && key.name != "name")
            .map(|key| key.name)
            .collect();
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        object
    }

    fn key(&mut self, key: &'static Key) -> Value {
        let mut schema = match key.kind {
            Kind::Block(section) => self.block(key, section),
            Kind::Named(section) => {
                // `[node.n1]`, `[[node]]` with a `name`, or just names.
                let one = self.reference(section);
                let name = json!({ "type": "string" });
                json!({ "anyOf": [
                    {
                        "type": "object",
                        "patternProperties": { "^x-": {} },
                        "additionalProperties": one.clone(),
                    },
                    { "type": "array", "items": { "anyOf": [one, name.clone()] } },
                    name,
                ] })
            }
            // A list of tables is a key that is written several times.
            kind if key.many && matches!(kind, Kind::Map) => one_or_several(&scalar(kind)),
            kind => scalar(kind),
        };
        schema["description"] = json!(key.doc);
        if let Some(default) = default(key) {
            schema["default"] = default;
        }
        schema
    }

    /// A block, or the short form that gives only the values a KDL node's arguments stand for.
    fn block(&mut self, key: &'static Key, section: &'static Section) -> Value {
        let one = self.forms(section);
        if !key.many {
            return one;
        }
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }

    /// A reference to what may be written for a section, which many keys share.
    fn forms(&mut self, section: &'static Section) -> Value {
        let block = self.reference(section);
        let address = std::ptr::from_ref(section).addr();
        let name = format!("{}:value", self.names[&address]);
        if !self.definitions.contains_key(&name) {
            let mut forms = vec![block];
            match section.args {
                [] => forms.push(json!({ "type": "boolean" })),
                [first, ..] => {
                    let argument = section
                        .key(first, false)
                        .map_or(json!({}), |key| scalar(key.kind));
                    if section.variadic {
                        forms.push(json!({ "type": "array", "items": argument }));
                    }
                    forms.push(argument);
                }
            }
            self.definitions
                .insert(name.clone(), json!({ "anyOf": forms }));
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }
}

fn one_or_several(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

fn scalar(kind: Kind) -> Value {
    let text = || {
        let example =
            example_value(kind).and_then(|example| serde_json::from_str::<Value>(example).ok());
        match example {
            Some(example) if example.is_string() => {
                json!({ "type": "string", "examples": [example] })
            }
            _ => json!({ "type": "string" }),
        }
    };
    match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int(low, high) => integer(low, high),
        Kind::Ints(low, high) => one_or_several(&integer(low, high)),
        Kind::Count => json!({ "anyOf": [integer(0, 4096), { "const": "minority" }] }),
        Kind::SeedRange => json!({ "anyOf": [text(), integer(0, i64::MAX)] }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Choices(words) => {
            let word = words.join("|");
            let list = format!("^\\s*({word})(\\s*,\\s*({word}))*\\s*$");
            let one =
                json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": list }] });
            one_or_several(&one)
        }
        Kind::Texts | Kind::Names(_) => one_or_several(&text()),
        Kind::Map => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "integer", "boolean"] },
        }),
        Kind::Any | Kind::Block(_) | Kind::Named(_) => json!({}),
        _ => text(),
    }
}

fn integer(low: i64, high: i64) -> Value {
    match high {
        i64::MAX => json!({ "type": "integer", "minimum": low }),
        _ => json!({ "type": "integer", "minimum": low, "maximum": high }),
    }
}

fn default(key: &Key) -> Option<Value> {
    let text = key.default;
    match key.kind {
        _ if text.is_empty() => None,
        Kind::Bool => text.parse::<bool>().ok().map(Value::from),
        Kind::Int(..) | Kind::Ints(..) | Kind::Count => Some(
            text.parse::<i64>()
                .map_or_else(|_| Value::from(text), Value::from),
        ),
        _ => Some(Value::from(text)),
    }
}
