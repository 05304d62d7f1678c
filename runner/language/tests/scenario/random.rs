//! Random scenarios, printed in both languages and read again, mean the same.

use std::path::Path;
use std::sync::Arc;

use chaosrun_language::scenario::block::{Block, Datum, Field};
use chaosrun_language::scenario::load_text;
use chaosrun_language::scenario::print::print;
use chaosrun_language::scenario::scalar::{self, Rate};
use chaosrun_language::scenario::source::{Language, Span, Spanned};
use chaosrun_language::scenario::vocab::{Family, Key, Kind, ROOT, Ref, Section};
use proptest::prelude::*;

use super::json;

/// A source of choices.
struct Choices(u64);

impl Choices {
    fn next(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n.max(1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.next(list.len() as u64)).unwrap()]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next(100) < percent
    }
}

/// Keys that exclude each other, by section: at most one is written, or exactly one.
const EXCLUSIVE: &[(&str, &[&str], bool)] = &[
    ("kernel", &["name", "path"], true),
    ("file", &["from", "content"], true),
    // A node can have one guest that is a whole file system, so most are not.
    (
        "guest",
        &[
            "crate",
            "binary",
            "crate",
            "binary",
            "crate",
            "binary",
            "initrd",
            "directory",
        ],
        true,
    ),
    ("disk", &["size", "image", "base"], true),
    ("ready", &["console", "event", "after"], false),
    ("run", &["seed", "seeds"], false),
    ("partition", &["groups", "isolate"], true),
    ("after", &["event", "console"], true),
    ("link", &["from"], true),
];

/// Keys that are left out: texts with a form of their own, and what is tested elsewhere.
const LEFT_OUT: &[&str] = &[
    "package",
    "version",
    "suite",
    "include",
    "matrix",
    "subnet",
    "address",
    "mac",
    "topology",
    "hub",
    "between",
    "side",
    "bin",
    "packages",
    "command",
    "mount",
    "filesystem",
    "features",
    "mode",
    "interleave",
    "tag",
    "role",
    "template",
    "after",
    "until",
    "start",
    "end",
    "minority",
    "majority",
];

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

fn field(key: &'static Key, datum: Datum) -> Field {
    Field {
        key,
        key_span: Span::default(),
        value: spanned(datum),
    }
}

fn block(c: &mut Choices, section: &'static Section, depth: usize) -> Block {
    let mut out = Block::empty(section, Span::default());
    let groups: Vec<_> = EXCLUSIVE
        .iter()
        .filter(|(s, _, _)| *s == section.name)
        .collect();
    let mut kept: Vec<&str> = Vec::new();
    for (_, keys, must) in &groups {
        if *must || c.chance(50) {
            kept.push(c.pick(keys));
        }
    }
    let forbidden = |name: &str| {
        groups.iter().any(|(_, keys, _)| keys.contains(&name)) && !kept.contains(&name)
    };
    for key in section.keys() {
        let trigger_after =
            key.name == "after" && matches!(key.kind, Kind::Block(_)) && section.name == "faults";
        let needed = key.required
            || kept.contains(&key.name)
            || (section.name == "between" && matches!(key.name, "start" | "end"));
        if forbidden(key.name)
            || (LEFT_OUT.contains(&key.name) && !trigger_after && !needed)
            || (key.name == "name"
                && matches!(
                    section.name,
                    "network"
                        | "disk"
                        | "guest"
                        | "node"
                        | "template"
                        | "node.network"
                        | "scenario"
                ))
        {
            continue;
        }
        let is_block = matches!(key.kind, Kind::Block(_) | Kind::Named(_));
        let percent = if depth > 3 {
            10
        } else if is_block && section.name != "scenario" && section.keys().count() > 30 {
            6
        } else {
            30
        };
        if !needed && !c.chance(percent) {
            continue;
        }
        match key.kind {
            Kind::Block(inner) => {
                let times = if key.many { 1 + c.next(2) } else { 1 };
                for _ in 0..times {
                    out.fields.push(field(
                        key,
                        Datum::Block(Arc::new(block(c, inner, depth + 1))),
                    ));
                }
            }
            Kind::Named(_) => {}
            _ => out.fields.push(field(key, datum(c, section, key))),
        }
    }
    out
}

fn named(
    c: &mut Choices,
    section: &'static Section,
    key: &'static Key,
    name: &str,
    mut fields: Vec<Field>,
) -> Field {
    let mut inner = block(c, section, 1);
    inner.name = Some(spanned(name.to_owned()));
    inner
        .fields
        .retain(|f| !fields.iter().any(|g| g.key.name == f.key.name));
    inner.fields.append(&mut fields);
    field(key, Datum::Block(Arc::new(inner)))
}

fn ns(c: &mut Choices) -> u64 {
    let unit = c.pick(&[1, 1_000, 1_000_000, 1_000_000_000]);
    1 + c.next(5) * unit + if c.chance(50) { 0 } else { c.next(999) }
}

fn names(c: &mut Choices, of: Ref) -> Vec<&'static str> {
    match of {
        Ref::Selector => c
            .pick(&[
                &["n1"][..],
                &["n1", "n2"],
                &["all"],
                &["tag:db"],
                &["n3", "tag:db"],
                &["any"],
            ])
            .to_vec(),
        Ref::Network => vec![c.pick(&["lan", "wan"])],
        Ref::Guest | Ref::Process => vec![c.pick(&["app", "aux"])],
        Ref::Disk => vec!["data"],
        Ref::Tag => vec!["db"],
        Ref::Role => vec!["client"],
        Ref::FaultKind => vec![c.pick(Family::ALL).name()],
        Ref::Template => vec!["base"],
        Ref::Definition | Ref::Free => vec!["x"],
    }
}

fn datum(c: &mut Choices, section: &Section, key: &Key) -> Datum {
    let texts =
        |words: Vec<&str>| Datum::Texts(words.into_iter().map(|w| spanned(w.to_owned())).collect());
    match key.kind {
        Kind::Bool => Datum::Bool(c.chance(50)),
        Kind::Int(low, high) => {
            let room = u64::try_from(high.saturating_sub(low)).unwrap_or(0).min(2);
            Datum::Int(low + i64::try_from(c.next(room + 1)).unwrap())
        }
        Kind::Ints(low, _) => Datum::Ints(vec![spanned(low + 1), spanned(low)]),
        Kind::Text if section.name == "kernel" => {
            Datum::Text(c.pick(&["tiny", "debian"]).to_owned())
        }
        Kind::Text if section.name == "file" && key.name == "path" => {
            Datum::Text(c.pick(&["/etc/a", "/b"]).to_owned())
        }
        Kind::Text => Datum::Text(
            c.pick(&[
                "simple",
                "with \"quotes\" and \\",
                "zeile\nzwei",
                "é ü 日本",
                "#true",
                "1",
                "a, b",
            ])
            .to_owned()
                + &c.next(1000).to_string(),
        ),
        Kind::Texts => texts(vec![c.pick(&["--flag", "a b", "\"q\""]), "last"]),
        Kind::Pattern => Datum::Text(
            c.pick(&["panicked at", "/[0-9]+ errors?/", "\"", "\\"])
                .to_owned(),
        ),
        Kind::Path => Datum::Text(c.pick(&["a", "b/c.img"]).to_owned()),
        Kind::Name(of) => Datum::Text(names(c, of)[0].to_owned()),
        Kind::Names(of) => texts(names(c, of)),
        Kind::Choice(words) => Datum::Text(c.pick(words).to_owned()),
        Kind::Choices(words) => texts(vec![c.pick(words)]),
        Kind::Duration => {
            // A span has to end behind its beginning.
            let late = if key.name == "end" || key.name == "within" {
                6_000_000_000
            } else {
                0
            };
            Datum::Amount(late + ns(c))
        }
        Kind::SignedDuration => {
            Datum::Int(i64::try_from(ns(c)).unwrap() * if c.chance(50) { -1 } else { 1 })
        }
        Kind::DurationRange => {
            let (a, b) = (ns(c), ns(c));
            Datum::Range(a.min(b), a.max(b))
        }
        Kind::Size => Datum::Amount((16 << 20) + 4096 * c.next(5000)),
        Kind::Bandwidth => Datum::Amount(1 + c.next(10) * c.pick(&[1, 1000, 1_000_000])),
        Kind::Ratio => {
            let text = format!("{}/{}", 1 + c.next(9), 10 + c.next(100));
            Datum::Ratio(scalar::ratio(&text).unwrap())
        }
        Kind::Rate => Datum::Rate(Rate {
            count: 1,
            per_ns: 1 + ns(c),
        }),
        Kind::Drift => Datum::Int(i64::try_from(c.next(100_000)).unwrap() - 50_000),
        Kind::SeedRange => Datum::Range(c.next(10), 10 + c.next(10)),
        Kind::Count => Datum::Count(c.chance(50).then_some(3)),
        Kind::Map => Datum::Map(vec![
            (spanned("A".into()), "1".into()),
            (spanned("B_2".into()), "x \"y\"".into()),
        ]),
        Kind::Any | Kind::Block(_) | Kind::Named(_) => Datum::Any(Vec::new()),
    }
}

fn key(section: &'static Section, name: &str, block: bool) -> &'static Key {
    section.key(name, block).unwrap()
}

fn inner(section: &'static Section, name: &str) -> &'static Section {
    match key(section, name, true).kind {
        Kind::Named(s) | Kind::Block(s) => s,
        _ => unreachable!(),
    }
}

/// A block of a fixed name in `section`, with these fields and others that are drawn.
fn framed(
    c: &mut Choices,
    section: &'static Section,
    kind: &str,
    name: &str,
    fields: Vec<Field>,
) -> Field {
    named(
        c,
        inner(section, kind),
        key(section, kind, true),
        name,
        fields,
    )
}

/// A scenario with a fixed frame of names and everything else drawn.
fn scenario(seed: u64) -> Block {
    let mut c = Choices(seed);
    for _ in 0..4 {
        c.next(2);
    }
    let mut root = block(&mut c, &ROOT, 0);
    root.fields.retain(|f| !matches!(f.key.name, "schema"));
    let mut frame = vec![
        field(key(&ROOT, "name", false), Datum::Text("random".into())),
        field(key(&ROOT, "schema", false), Datum::Int(1)),
    ];
    for name in ["app", "aux"] {
        frame.push(framed(&mut c, &ROOT, "guest", name, vec![]));
    }
    for name in ["lan", "wan"] {
        frame.push(framed(&mut c, &ROOT, "network", name, vec![]));
    }
    for name in ["n1", "n2", "n3", "n4", "n5"] {
        frame.push(node(&mut c, name));
    }
    root.fields.retain(|f| f.key.name != "name");
    frame.append(&mut root.fields);
    root.fields = frame;
    root
}

/// A node that everything in a random scenario can refer to.
fn node(c: &mut Choices, name: &str) -> Field {
    let section = inner(&ROOT, "node");
    let texts = |text: &str| Datum::Texts(vec![spanned(text.into())]);
    let mut fields = vec![
        field(key(section, "tag", false), texts("db")),
        field(key(section, "role", false), texts("client")),
        framed(c, section, "disk", "data", vec![]),
    ];
    for network in ["lan", "wan"] {
        fields.push(framed(c, section, "network", network, vec![]));
    }
    for guest in ["app", "aux"] {
        let mut block = Block::empty(inner(section, "guest"), Span::default());
        let name = key(block.section, "name", false);
        block.fields.push(field(name, Datum::Text(guest.into())));
        let datum = Datum::Block(Arc::new(block));
        fields.push(field(key(section, "guest", true), datum));
    }
    let mut node = framed(c, &ROOT, "node", name, fields);
    if let Datum::Block(block) = &mut node.value.value {
        Arc::make_mut(block)
            .fields
            .retain(|f| f.key.name != "replicas");
    }
    node
}

/// The plans' JSON, and the codes of what is wrong.
fn meaning(text: &str, language: Language) -> (String, Vec<&'static str>) {
    let name = if language == Language::Kdl {
        "x.kdl"
    } else {
        "x.toml"
    };
    let mut loaded = load_text(text, language, name, Path::new("/folder"));
    let plans: Vec<_> = loaded
        .scenarios
        .iter()
        .map(|s| {
            chaosrun_language::plan::compile(
                s,
                &loaded.sources,
                &chaosrun_language::plan::NamesOnly,
                &mut loaded.diags,
            )
        })
        .collect();
    let good = !loaded.diags.has_errors();
    let mut codes: Vec<_> = std::mem::take(&mut loaded.diags)
        .into_sorted()
        .into_iter()
        .map(|d| d.code.id)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    (if good { json(&plans) } else { String::new() }, codes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_languages_mean_the_same(seed in any::<u64>()) {
        let document = scenario(seed);
        let (kdl, toml) = (print(&document, Language::Kdl), print(&document, Language::Toml));
        let (of_kdl, of_toml) = (meaning(&kdl, Language::Kdl), meaning(&toml, Language::Toml));
        prop_assert_eq!(&of_kdl.1, &of_toml.1, "{}\n{}", kdl, toml);
        prop_assert_eq!(&of_kdl.0, &of_toml.0, "{}\n{}", kdl, toml);
        let mistakes = ["syntax", "unknown_key", "wrong_type"];
        let syntax = of_kdl.1.iter().any(|c| mistakes.iter().any(|mistake| c.contains(mistake)));
        prop_assert!(!syntax, "{:?}\n{}", of_kdl.1, kdl);
        // Printing what was read changes nothing.
        let again = load_text(&kdl, Language::Kdl, "x.kdl", Path::new("/folder")).root.unwrap();
        prop_assert_eq!(print(&again, Language::Kdl), kdl);
    }
}

#[test]
fn enough_of_the_random_scenarios_are_right() {
    let good = (0..200)
        .filter(|seed| {
            !meaning(&print(&scenario(*seed), Language::Kdl), Language::Kdl)
                .0
                .is_empty()
        })
        .count();
    assert!(good >= 40, "only {good} of 200 have a plan");
}
