//! Checks JUnit files against the rules of Jenkins' `junit-10.xsd`, and reads them back.
//!
//! The rules are written down here as facts: which elements may contain which, which attributes each
//! has, which of them are required, and the form of `time`.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::outcome::model::Document;
use crate::outcome::sample;
use crate::report::junit::{Flavour, Options, Undecided, to_string};

/// What the schema says about one element.
struct Rule {
    name: &'static str,
    children: &'static [&'static str],
    required: &'static [&'static str],
    optional: &'static [&'static str],
    text: bool,
}

const SUITE_OPTIONAL: &[&str] = &[
    "group",
    "time",
    "skipped",
    "timestamp",
    "hostname",
    "id",
    "package",
    "file",
    "log",
    "url",
];
const OUTCOMES: &[&str] = &["skipped", "error", "failure", "system-out", "system-err"];

const RULES: &[Rule] = &[
    Rule {
        name: "testsuites",
        children: &["testsuite"],
        required: &[],
        optional: &["name", "time", "tests", "failures", "errors"],
        text: false,
    },
    Rule {
        name: "testsuite",
        children: &[
            "testsuite",
            "properties",
            "testcase",
            "system-out",
            "system-err",
        ],
        required: &["name", "tests", "failures", "errors"],
        optional: SUITE_OPTIONAL,
        text: false,
    },
    Rule {
        name: "testcase",
        children: OUTCOMES,
        required: &["name"],
        optional: &["time", "classname", "group"],
        text: false,
    },
    Rule {
        name: "properties",
        children: &["property"],
        required: &[],
        optional: &[],
        text: false,
    },
    Rule {
        name: "property",
        children: &[],
        required: &["name", "value"],
        optional: &[],
        text: false,
    },
    Rule {
        name: "failure",
        children: &[],
        required: &[],
        optional: &["type", "message"],
        text: true,
    },
    Rule {
        name: "error",
        children: &[],
        required: &[],
        optional: &["type", "message"],
        text: true,
    },
    Rule {
        name: "skipped",
        children: &[],
        required: &[],
        optional: &["type", "message"],
        text: true,
    },
    Rule {
        name: "system-out",
        children: &[],
        required: &[],
        optional: &[],
        text: true,
    },
    Rule {
        name: "system-err",
        children: &[],
        required: &[],
        optional: &[],
        text: true,
    },
];

/// Everything in `xml` that the schema forbids.
fn violations(xml: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<&'static Rule> = Vec::new();
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event() {
            Err(error) => {
                found.push(format!("not well-formed: {error}"));
                return found;
            }
            Ok(Event::Eof) => return found,
            Ok(Event::Start(tag)) => {
                let Some(rule) = enter(&tag, open.last(), &mut found) else {
                    return found;
                };
                open.push(rule);
            }
            Ok(Event::Empty(tag)) => {
                enter(&tag, open.last(), &mut found);
            }
            Ok(Event::End(_)) => {
                open.pop();
            }
            Ok(Event::Text(text)) if open.last().is_some_and(|rule| !rule.text) => {
                if !text.iter().all(u8::is_ascii_whitespace) {
                    found.push(format!("text in <{}>", open[open.len() - 1].name));
                }
            }
            Ok(_) => {}
        }
    }
}

fn enter(
    tag: &BytesStart<'_>,
    parent: Option<&&'static Rule>,
    found: &mut Vec<String>,
) -> Option<&'static Rule> {
    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
        found.push(format!("unknown element <{name}>"));
        return None;
    };
    if !parent.map_or(rule.name == "testsuites", |parent| {
        parent.children.contains(&rule.name)
    }) {
        found.push(format!("<{name}> in the wrong place"));
    }
    let mut present = Vec::new();
    for attribute in tag.attributes() {
        let Ok(attribute) = attribute else {
            found.push(format!("<{name}> has a broken attribute"));
            continue;
        };
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        if !rule.required.contains(&key.as_str()) && !rule.optional.contains(&key.as_str()) {
            found.push(format!("<{name}> has an attribute {key}"));
        }
        if key == "time" && name != "testcase" && !is_surefire_time(&attribute.value) {
            found.push(format!("<{name}> has a time of the wrong form"));
        }
        present.push(key);
    }
    for required in rule.required {
        if !present.iter().any(|key| key == required) {
            found.push(format!("<{name}> lacks {required}"));
        }
    }
    Some(rule)
}

/// Digits with an optional fraction, and no exponent. (The schema also allows commas.)
fn is_surefire_time(value: &[u8]) -> bool {
    let dots = value.iter().filter(|byte| **byte == b'.').count();
    dots <= 1
        && value
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn strict(document: &Document) -> String {
    let options = Options {
        flavour: Flavour::Strict,
        ..Options::default()
    };
    to_string(document, options).expect("a sample can be written")
}

#[test]
fn the_strict_flavour_keeps_the_schema() {
    for document in [
        sample::every_verdict(),
        sample::of(sample::hostile()),
        Document::new("0.1.0", Vec::new()),
    ] {
        assert_eq!(violations(&strict(&document)), Vec::<String>::new());
    }
}

#[test]
fn the_validator_finds_what_the_lenient_flavour_adds() {
    let xml = to_string(&sample::every_verdict(), Options::default()).expect("it can be written");
    let found = violations(&xml);
    assert!(
        found.contains(&"<testcase> has an attribute file".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"<testsuites> has an attribute skipped".to_owned()),
        "{found:?}"
    );
}

#[test]
fn the_validator_refuses_broken_files() {
    let cases = [
        (
            "<testsuites><testcase name='a'/></testsuites>",
            "<testcase> in the wrong place",
        ),
        (
            "<testsuites><testsuite name='a' tests='1' failures='0'/></testsuites>",
            "<testsuite> lacks errors",
        ),
        (
            "<testsuites time='1e9'/>",
            "<testsuites> has a time of the wrong form",
        ),
        (
            "<testsuites><flaky/></testsuites>",
            "unknown element <flaky>",
        ),
    ];
    for (xml, expected) in cases {
        assert!(
            violations(xml).contains(&expected.to_owned()),
            "{xml}: {:?}",
            violations(xml)
        );
    }
}

#[test]
fn counts_and_statuses_survive_reading_back() {
    let document = sample::every_verdict();
    let xml = to_string(&document, Options::default()).expect("a sample can be written");
    let read = quick_junit::Report::deserialize_from_str(&xml).expect("it was just written");
    let totals = document.totals;
    assert_eq!(read.failures as u64, totals.failed);
    assert_eq!(read.errors as u64, totals.errors);
    assert_eq!(read.skipped as u64, totals.skipped + totals.inconclusive);
    assert_eq!(
        read.tests as u64,
        totals.judged() + totals.skipped + totals.errors
    );
}

#[test]
fn undecided_properties_become_errors_on_request() {
    let document = sample::every_verdict();
    let options = Options {
        undecided: Undecided::Error,
        ..Options::default()
    };
    let xml = to_string(&document, options).expect("a sample can be written");
    let read = quick_junit::Report::deserialize_from_str(&xml).expect("it was just written");
    assert_eq!(
        read.errors as u64,
        document.totals.errors + document.totals.inconclusive
    );
}

#[test]
fn hostile_text_gives_a_file_that_reads_back_with_the_same_number_of_cases() {
    let document = sample::of(sample::hostile());
    let xml = to_string(&document, Options::default()).expect("hostile text can be written");
    let read = quick_junit::Report::deserialize_from_str(&xml).expect("it is well-formed");
    let totals = document.totals;
    assert_eq!(
        read.tests as u64,
        totals.judged() + totals.skipped + totals.errors
    );
    assert!(xml.len() < 1 << 20, "{} bytes", xml.len());
}

#[test]
fn nothing_is_ever_called_flaky() {
    let xml = to_string(&sample::every_verdict(), Options::default()).expect("it can be written");
    assert!(!xml.contains("flaky") && !xml.contains("rerun"));
}
