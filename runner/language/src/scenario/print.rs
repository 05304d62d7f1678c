//! Prints a checked document in either language. What is printed, read again, means the same: the
//! tests rely on it, and the reference shows each example in both languages by it.

use std::fmt::Write as _;

use super::block::{Block, Datum, Field};
use super::source::Language;
use super::tree::Raw;
use super::units::{bandwidth, duration, signed, size};
use super::vocab::Kind;

/// Prints a scenario.
#[must_use]
pub fn print(root: &Block, language: Language) -> String {
    match language {
        Language::Kdl => {
            let mut out = String::new();
            kdl(&mut out, "scenario", root, 0);
            out
        }
        Language::Toml => toml(root),
    }
}

/// A text in quotes; JSON's escapes are understood by KDL and TOML alike.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

fn range(a: u64, b: u64, text: impl Fn(u64) -> String) -> String {
    if a == b {
        text(a)
    } else {
        format!("{}..{}", text(a), text(b))
    }
}

/// The plain values of a field, each as it is written.
fn values(field: &Field, language: Language) -> Vec<String> {
    let truth = |b: bool| {
        if language == Language::Kdl {
            format!("#{b}")
        } else {
            b.to_string()
        }
    };
    let one = match &field.value.value {
        Datum::Bool(b) => truth(*b),
        Datum::Int(n) => match field.key.kind {
            Kind::SignedDuration => quote(&signed(*n)),
            Kind::Drift => quote(&format!("{n}ppb")),
            _ => n.to_string(),
        },
        Datum::Ints(list) => return list.iter().map(|n| n.value.to_string()).collect(),
        Datum::Text(text) => quote(text),
        Datum::Texts(list) => return list.iter().map(|t| quote(&t.value)).collect(),
        Datum::Amount(n) => quote(&match field.key.kind {
            Kind::Size => size(*n),
            Kind::Bandwidth => bandwidth(*n),
            _ => duration(*n),
        }),
        Datum::Range(a, b) => quote(&match field.key.kind {
            Kind::SeedRange => range(*a, *b, |n| n.to_string()),
            _ => range(*a, *b, duration),
        }),
        Datum::Ratio(r) => quote(&format!("{}/{}", r.num(), r.den())),
        Datum::Rate(r) => quote(&format!("{}/{}", r.count, duration(r.per_ns))),
        Datum::Count(Some(n)) => n.to_string(),
        Datum::Count(None) => quote("minority"),
        Datum::Any(list) => {
            let value = |raw: &Raw| match raw {
                Raw::Int(n) => n.to_string(),
                Raw::Bool(b) => truth(*b),
                Raw::Str(s) => quote(s),
                _ => quote(""),
            };
            return list.iter().map(|v| value(&v.raw)).collect();
        }
        Datum::Map(_) | Datum::Block(_) | Datum::Bad => return Vec::new(),
    };
    vec![one]
}

fn is_list(field: &Field) -> bool {
    matches!(
        field.value.value,
        Datum::Ints(_) | Datum::Texts(_) | Datum::Any(_)
    )
}

/// The fields that stand as arguments behind a KDL node's key.
fn argument_fields(block: &Block) -> Vec<&Field> {
    let mut out = Vec::new();
    for arg in block.section.args {
        if block.name.is_some() && *arg == "name" {
            continue;
        }
        match block
            .fields
            .iter()
            .find(|f| f.key.name == *arg && !matches!(f.value.value, Datum::Block(_)))
        {
            Some(field) => out.push(field),
            None => break,
        }
    }
    out
}

fn kdl(out: &mut String, key: &str, block: &Block, depth: usize) {
    let indent = "    ".repeat(depth);
    let _ = write!(out, "{indent}{key}");
    if let Some(name) = &block.name {
        let _ = write!(out, " {}", quote(&name.value));
    }
    let arguments = argument_fields(block);
    for field in &arguments {
        for value in values(field, Language::Kdl) {
            let _ = write!(out, " {value}");
        }
    }
    let rest: Vec<&Field> = block
        .fields
        .iter()
        .filter(|f| !arguments.iter().any(|a| std::ptr::eq(*a, *f)))
        .collect();
    // Plain values of small blocks are properties on the same line.
    let is_property = |f: &Field| {
        !is_list(f) && !f.key.many && !matches!(f.value.value, Datum::Block(_) | Datum::Map(_))
    };
    let inline = !matches!(key, "node" | "template" | "run" | "explore" | "network") || depth > 1;
    let (properties, children): (Vec<&Field>, Vec<&Field>) = rest
        .into_iter()
        .partition(|f| (inline && depth > 0 || f.key.name == "schema") && is_property(f));
    for field in properties {
        let _ = write!(
            out,
            " {}={}",
            field.key.name,
            values(field, Language::Kdl).concat()
        );
    }
    if children.is_empty() {
        out.push('\n');
        return;
    }
    out.push_str(" {\n");
    for field in children {
        match &field.value.value {
            Datum::Block(inner) => kdl(out, field.key.name, inner, depth + 1),
            Datum::Map(entries) => {
                let pairs: Vec<String> = entries
                    .iter()
                    .map(|(k, v)| format!("{}={}", quote(&k.value), quote(v)))
                    .collect();
                let _ = writeln!(out, "{indent}    {} {}", field.key.name, pairs.join(" "));
            }
            _ => {
                let _ = writeln!(
                    out,
                    "{indent}    {} {}",
                    field.key.name,
                    values(field, Language::Kdl).join(" ")
                );
            }
        }
    }
    let _ = writeln!(out, "{indent}}}");
}

fn bare(name: &str) -> String {
    let good = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if good { name.to_owned() } else { quote(name) }
}

/// A field's plain value in TOML.
fn toml_value(field: &Field) -> String {
    match &field.value.value {
        Datum::Map(entries) => {
            let pairs: Vec<String> = entries
                .iter()
                .map(|(k, v)| format!("{} = {}", bare(&k.value), quote(v)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        _ if is_list(field) => format!("[{}]", values(field, Language::Toml).join(", ")),
        _ => values(field, Language::Toml).concat(),
    }
}

/// A block in braces; one that only has its first argument is written as that.
fn toml_inline(block: &Block) -> String {
    if let ([only], [first, ..]) = (block.fields.as_slice(), block.section.args)
        && only.key.name == *first
        && !is_list(only)
        && block.name.is_none()
        && !matches!(only.value.value, Datum::Block(_))
    {
        return toml_value(only);
    }
    let pairs: Vec<String> = toml_pairs(&block.fields.iter().collect::<Vec<_>>());
    if pairs.is_empty() {
        "{}".into()
    } else {
        format!("{{ {} }}", pairs.join(", "))
    }
}

/// `key = value` for each key, with what is written several times joined.
fn toml_pairs(fields: &[&Field]) -> Vec<String> {
    let mut out: Vec<(&'static str, String)> = Vec::new();
    let mut done: Vec<(&str, bool)> = Vec::new();
    for field in fields {
        let is_block = matches!(field.value.value, Datum::Block(_));
        if done.contains(&(field.key.name, is_block)) {
            continue;
        }
        done.push((field.key.name, is_block));
        let same: Vec<&&Field> = fields
            .iter()
            .filter(|f| {
                f.key.name == field.key.name && matches!(f.value.value, Datum::Block(_)) == is_block
            })
            .collect();
        let blocks: Vec<&Block> = same
            .iter()
            .filter_map(|f| match &f.value.value {
                Datum::Block(b) => Some(&**b),
                _ => None,
            })
            .collect();
        let value = if matches!(field.key.kind, Kind::Named(_)) {
            let pairs: Vec<String> = blocks
                .iter()
                .map(|b| {
                    format!(
                        "{} = {}",
                        bare(b.name.as_ref().map_or("", |n| &n.value)),
                        toml_inline(b)
                    )
                })
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        } else if is_block && field.key.many {
            format!(
                "[{}]",
                blocks
                    .iter()
                    .map(|b| toml_inline(b))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        } else if is_block {
            toml_inline(blocks[0])
        } else if same.len() > 1 {
            toml_joined(&same)
        } else {
            toml_value(field)
        };
        out.push((field.key.name, value));
    }
    join_meanings(out)
        .into_iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect()
}

/// A key with two meanings (`jitter` of a trigger, `jitter` the fault) becomes one list of both.
fn join_meanings(pairs: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let mut out: Vec<(&'static str, String)> = Vec::new();
    for (key, value) in pairs {
        match out.iter_mut().find(|(k, _)| *k == key) {
            Some((_, earlier)) => {
                let items = |v: &str| {
                    v.strip_prefix('[')
                        .and_then(|v| v.strip_suffix(']'))
                        .unwrap_or(v)
                        .to_owned()
                };
                *earlier = format!("[{}, {}]", items(earlier), items(&value));
            }
            None => out.push((key, value)),
        }
    }
    out
}

/// Values of a key that is written several times: one list, or one table.
fn toml_joined(same: &[&&Field]) -> String {
    let maps: Vec<String> = same
        .iter()
        .filter(|f| matches!(f.value.value, Datum::Map(_)))
        .map(|f| toml_value(f))
        .collect();
    if maps.is_empty() {
        return format!(
            "[{}]",
            same.iter()
                .flat_map(|f| values(f, Language::Toml))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    format!("[{}]", maps.join(", "))
}

fn toml(root: &Block) -> String {
    let mut out = String::new();
    let is_header = |f: &&Field| match &f.value.value {
        // `kernel = "debian"` is shorter than a table.
        Datum::Block(b) => matches!(f.key.kind, Kind::Named(_)) || b.section.args.is_empty(),
        _ => false,
    };
    let (tables, plain): (Vec<&Field>, Vec<&Field>) = root.fields.iter().partition(is_header);
    for pair in toml_pairs(&plain) {
        let _ = writeln!(out, "{pair}");
    }
    for field in tables {
        let Datum::Block(block) = &field.value.value else {
            continue;
        };
        match &block.name {
            Some(name) => toml_table(
                &mut out,
                &format!("{}.{}", field.key.name, bare(&name.value)),
                block,
            ),
            None => toml_table(&mut out, field.key.name, block),
        }
    }
    out
}

/// A table with a header; the triggers, properties and the like in it get headers of their own.
fn toml_table(out: &mut String, header: &str, block: &Block) {
    let own = matches!(block.section.name, "faults" | "properties" | "matrix");
    let (items, plain): (Vec<&Field>, Vec<&Field>) = block
        .fields
        .iter()
        .partition(|f| own && f.key.many && matches!(f.value.value, Datum::Block(_)));
    let _ = writeln!(out, "\n[{header}]");
    for pair in toml_pairs(&plain) {
        let _ = writeln!(out, "{pair}");
    }
    for field in items {
        let Datum::Block(inner) = &field.value.value else {
            continue;
        };
        match &inner.name {
            Some(name) => {
                let _ = writeln!(out, "\n[{header}.{}.{}]", field.key.name, bare(&name.value));
            }
            None => {
                let _ = writeln!(out, "\n[[{header}.{}]]", field.key.name);
            }
        }
        for pair in toml_pairs(&inner.fields.iter().collect::<Vec<_>>()) {
            let _ = writeln!(out, "{pair}");
        }
    }
}
