//! The KDL reader against the `kdl` crate: what one accepts the other accepts, with the same values.

use chaosrun::scenario::diag::Diags;
use chaosrun::scenario::kdl::parse;
use chaosrun::scenario::tree::{Entry, Raw, Value};
use proptest::prelude::*;

/// A document in a form that both can be brought to.
fn ours(entries: &[Entry]) -> String {
    entries
        .iter()
        .map(|e| match &e.value.raw {
            Raw::Node(args, inner) => {
                let args: Vec<String> = args.iter().map(our_value).collect();
                let props: Vec<String> = inner
                    .iter()
                    .filter(|i| !matches!(i.value.raw, Raw::Node(..)))
                    .map(|p| format!("{:?}={}", p.key, our_value(&p.value)))
                    .collect();
                let nodes: Vec<Entry> = inner
                    .iter()
                    .filter(|i| matches!(i.value.raw, Raw::Node(..)))
                    .cloned()
                    .collect();
                format!(
                    "{:?}({})[{}]{{{}}}",
                    e.key,
                    args.join(","),
                    props.join(","),
                    ours(&nodes)
                )
            }
            _ => unreachable!("a KDL document has nodes only"),
        })
        .collect()
}

fn our_value(value: &Value) -> String {
    match &value.raw {
        Raw::Null => "null".into(),
        Raw::Bool(b) => b.to_string(),
        Raw::Int(n) => n.to_string(),
        Raw::Str(s) => format!("{s:?}"),
        _ => "number".into(),
    }
}

fn theirs(document: &kdl::KdlDocument) -> String {
    let value = |v: &kdl::KdlValue| match v {
        kdl::KdlValue::Null => "null".into(),
        kdl::KdlValue::Bool(b) => b.to_string(),
        kdl::KdlValue::Integer(n) => i64::try_from(*n).map_or("number".into(), |n| n.to_string()),
        kdl::KdlValue::String(s) => format!("{s:?}"),
        kdl::KdlValue::Float(_) => "number".into(),
    };
    let node = |n: &kdl::KdlNode| {
        let args: Vec<String> = n
            .entries()
            .iter()
            .filter(|e| e.name().is_none())
            .map(|e| value(e.value()))
            .collect();
        let props: Vec<String> = n
            .entries()
            .iter()
            .filter_map(|e| Some(format!("{:?}={}", e.name()?.value(), value(e.value()))))
            .collect();
        let children = n.children().map(theirs).unwrap_or_default();
        format!(
            "{:?}({})[{}]{{{children}}}",
            n.name().value(),
            args.join(","),
            props.join(",")
        )
    };
    document.nodes().iter().map(node).collect()
}

/// Reads with both and compares.
fn compare(text: &str) {
    let mut diags = Diags::default();
    let mine = parse(text, 0, &mut diags);
    match kdl::KdlDocument::parse_v2(text) {
        Ok(document) => {
            assert!(
                diags.is_empty(),
                "we refuse {text:?}: {:?}",
                diags.into_sorted()
            );
            assert_eq!(ours(&mine), theirs(&document), "{text:?}");
        }
        Err(_) => assert!(!diags.is_empty(), "only we accept {text:?}"),
    }
}

#[test]
fn texts_of_the_specification_are_read_alike() {
    for text in [
        "a 1 2 b=\"c\" { d; e 1; }",
        "a;b;c",
        "a {}",
        "/-a {b 1}\nc",
        "a /-1 2",
        "a /-b=1 c=2",
        "a /-{x} {y}",
        "a \\\n  1",
        "a \\ // c\n 1",
        "a #true #false #null",
        "a 0x1F 0o17 0b101 1_000 -5 +5",
        "a 1.5 1e3 #inf",
        "a #\"raw \\n\"#",
        "a \"\"\"\n  x\n    y\n  \"\"\"",
        "a \"\\u{e9}\\s\\t\"",
        "\"quoted name\" 1",
        "a b = 1",
        "// only a comment",
        "",
        "/* nested /* comment */ */ a",
        "a \"x\\   \n   y\"",
        "\u{feff}a 1",
        "a.b-c_d 1",
        "-a",
        "a -",
        "a .b",
        "a true",
        "a 5s",
        "a {",
        "}",
        "a \"x",
        "a = 1",
        "a [1]",
        "a 1 {b} c=2",
        "a #yes",
        "a \"\\q\"",
        "a\"b\"",
        "a 1\"b\"",
        "a {b}{c}",
        "a ##\"x\"##",
    ] {
        compare(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_texts_of_kdl_pieces_are_read_alike(pieces in proptest::collection::vec(proptest::sample::select(vec![
        "a", "node", " ", "  ", "\n", ";", "{", "}", "\"s\"", "\"\\n\"", "1", "-2", "0x1f", "b=1", "c=\"x\"", "#true", "#null", "// c\n", "/* c */", "\\\n", "#\"r\"#", " x y ", "{ k 1 }\n",
    ]), 0..24)) {
        compare(&pieces.concat());
    }
}
