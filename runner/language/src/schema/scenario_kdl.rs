//! The schema of scenarios in KDL, in the KDL Schema Language, made from the vocabulary.
//!
//! Every block of the language is a definition; a key of a block can be written as a property or as
//! a child node, so that it is in the schema as both.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::scenario::describe;
use crate::scenario::vocab::{Key, Kind, ROOT, Section};

/// Generates the schema document.
pub(super) fn generate() -> String {
    let mut writer = Writer::default();
    writer.line(0, "document {");
    writer.line(1, "info {");
    writer.line(2, "title \"chaosrun scenario\" lang=\"en\"");
    writer.line(2, &format!("description {} lang=\"en\"", quoted(ROOT.doc)));
    writer.line(1, "}");
    writer.line(1, &format!("node \"scenario\" ref={}", reference(&ROOT)));
    writer.line(1, "node-names {");
    // Keys that begin with `x-` belong to the user.
    writer.line(2, "pattern \"^(scenario|x-.*)$\"");
    writer.line(1, "}");
    writer.line(1, "other-nodes-allowed #true");
    writer.line(1, "definitions {");
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let mut open: Vec<&'static Section> = vec![&ROOT];
    while let Some(section) = open.pop() {
        if !seen.insert(std::ptr::from_ref(section).addr()) {
            continue;
        }
        writer.section(section);
        let blocks: Vec<&'static Section> = section
            .keys()
            .filter_map(|key| block_of(key.kind))
            .collect();
        // The last one pushed is the next one written, so that the order is that of the language.
        open.extend(blocks.into_iter().rev());
    }
    writer.line(1, "}");
    writer.line(0, "}");
    writer.text
}

fn block_of(kind: Kind) -> Option<&'static Section> {
    match kind {
        Kind::Block(section) | Kind::Named(section) => Some(section),
        _ => None,
    }
}

/// The query for a section's definition.
fn reference(section: &'static Section) -> String {
    quoted(&format!("[id=\"{}\"]", id(section)))
}

/// A section's id. Two sections of one name differ in their number of keys or in their doc, so that
/// a short hash of both tells them apart.
fn id(section: &'static Section) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(section.doc.as_bytes());
    for key in section.keys() {
        hasher.update(key.name.as_bytes());
        hasher.update(b"\0");
    }
    let hash = hasher.finalize().to_hex();
    format!("{}-{}", section.name.replace(['.', ' '], "-"), &hash[..6])
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, depth: usize, line: &str) {
        let indent = "    ".repeat(depth);
        writeln!(self.text, "{indent}{line}").expect("a string can be written to");
    }

    fn section(&mut self, section: &'static Section) {
        self.line(2, &format!("node id={} {{", quoted(&id(section))));
        self.line(
            3,
            &format!("description {} lang=\"en\"", quoted(section.doc)),
        );
        if !section.args.is_empty() {
            self.line(3, "value {");
            if !section.variadic {
                self.line(4, &format!("max {}", section.args.len()));
            }
            self.line(3, "}");
        }
        for key in section.keys().filter(|key| fits_a_property(key.kind)) {
            self.line(3, &format!("prop {} {{", quoted(key.name)));
            self.description(4, key);
            self.constraints(4, key);
            self.line(3, "}");
        }
        self.line(3, "other-props-allowed #false");
        self.children(section);
        self.line(2, "}");
    }

    fn children(&mut self, section: &'static Section) {
        self.line(3, "children {");
        for key in section.keys() {
            let max = if key.many { "" } else { "max 1" };
            match block_of(key.kind) {
                Some(block) => {
                    let rest = if max.is_empty() {
                        String::new()
                    } else {
                        format!(" {{ {max}; }}")
                    };
                    self.line(
                        4,
                        &format!("node {} ref={}{rest}", quoted(key.name), reference(block)),
                    );
                }
                None => {
                    self.line(4, &format!("node {} {{", quoted(key.name)));
                    if !max.is_empty() {
                        self.line(5, max);
                    }
                    self.value(5, key);
                    self.line(4, "}");
                }
            }
        }
        self.line(4, "other-nodes-allowed #true");
        self.line(3, "}");
    }

    fn value(&mut self, depth: usize, key: &Key) {
        match key.kind {
            Kind::Map => {
                self.line(
                    depth,
                    &format!("description {} lang=\"en\"", quoted(key.doc)),
                );
                self.line(depth, "children { other-nodes-allowed #true; }");
            }
            _ => {
                self.line(depth, "value {");
                // A property of the same name has the description already.
                if !fits_a_property(key.kind) {
                    self.description(depth + 1, key);
                }
                self.constraints(depth + 1, key);
                self.line(depth, "}");
            }
        }
    }

    fn description(&mut self, depth: usize, key: &Key) {
        let mut doc = format!("{} ({})", key.doc, describe(key.kind));
        if !key.default.is_empty() {
            write!(doc, " Default: {}.", key.default).expect("a string can be written to");
        }
        self.line(depth, &format!("description {} lang=\"en\"", quoted(&doc)));
    }

    fn constraints(&mut self, depth: usize, key: &Key) {
        match key.kind {
            Kind::Bool => self.line(depth, "type \"boolean\""),
            Kind::Int(low, high) | Kind::Ints(low, high) => {
                self.line(depth, "type \"number\"");
                self.line(depth, &format!("\">=\" {low}"));
                if high != i64::MAX {
                    self.line(depth, &format!("\"<=\" {high}"));
                }
            }
            // A comma-separated list of words has no enumeration.
            Kind::Choice(words) => {
                let list: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                self.line(depth, &format!("enum {}", list.join(" ")));
            }
            Kind::Any | Kind::Count | Kind::SeedRange => {}
            _ => self.line(depth, "type \"string\""),
        }
    }
}

/// Whether a property can hold a value of a kind: a block or a map needs children.
const fn fits_a_property(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Block(_) | Kind::Named(_) | Kind::Map | Kind::Any
    )
}

/// A KDL string (KDL 2.0 §3.11).
fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
