//! Words for messages: what a kind of value is called, an example of it, and what people call keys
//! elsewhere.

use super::source::Language;
use super::vocab::{KINDS, Kind, Section};

/// What a kind of value is called in messages.
#[must_use]
pub fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int(..) => "a whole number",
        Kind::Ints(..) => "whole numbers",
        Kind::Text => "a text",
        Kind::Texts => "texts",
        Kind::Pattern => "a pattern",
        Kind::Path => "a path",
        Kind::Name(_) => "a name",
        Kind::Names(_) => "names",
        Kind::Choice(_) => "a word",
        Kind::Choices(_) => "words",
        Kind::Duration => "a duration with a unit",
        Kind::SignedDuration => "a duration with a unit, perhaps negative",
        Kind::DurationRange => "a duration or a range of durations",
        Kind::Size => "a size with a unit",
        Kind::Bandwidth => "a bandwidth with a unit",
        Kind::Ratio => "a probability",
        Kind::Rate => "a rate",
        Kind::Drift => "a drift with a unit",
        Kind::SeedRange => "a range of seeds",
        Kind::Count => "a number of nodes or `minority`",
        Kind::Map => "keys with texts",
        Kind::Any => "values",
        Kind::Block(_) | Kind::Named(_) => "a block of keys",
    }
}

/// The beginning of a text that may be long: so many characters, and a sign that there are more.
#[must_use]
pub fn clipped(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value of a kind, as it is written in both languages.
#[must_use]
pub fn example_value(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Int(..) | Kind::Ints(..) | Kind::Count => "3",
        Kind::Text | Kind::Texts | Kind::Pattern => "\"text\"",
        Kind::Path => "\"path/to/it\"",
        Kind::Name(_) | Kind::Names(_) => "\"name\"",
        Kind::Choice(words) | Kind::Choices(words) => return words.first().copied(),
        Kind::Duration => "\"5s\"",
        Kind::SignedDuration => "\"-200ms\"",
        Kind::DurationRange => "\"100ms..2s\"",
        Kind::Size => "\"64MiB\"",
        Kind::Bandwidth => "\"100Mbit\"",
        Kind::Ratio => "\"1%\"",
        Kind::Rate => "\"1/s\"",
        Kind::Drift => "\"50ppm\"",
        Kind::SeedRange => "\"1..20\"",
        Kind::Bool | Kind::Map | Kind::Any | Kind::Block(_) | Kind::Named(_) => return None,
    })
}

/// Words that people bring from elsewhere, or that belong into another block.
pub(super) fn moved(section: &Section, key: &str, language: Language) -> Option<String> {
    let known = match (section.name, key) {
        (_, "image") if section.name == "node" => {
            "a node boots a `kernel` and runs a `guest`; disk images belong to `disk`"
        }
        (_, "ram" | "mem" | "mem_limit" | "memorySize") => "it is called `memory`",
        (_, "cpus" | "cores" | "cpu") => "it is called `vcpus`",
        (_, "time-limit" | "timeout" | "length") if section.name == "run" => {
            "it is called `duration`"
        }
        ("scenario", "duration" | "seeds" | "seed") => "it belongs into `run`",
        ("scenario", "quiet" | "budget" | "at" | "every" | "random") => "it belongs into `faults`",
        ("scenario", "invariants") => "it is called `properties`",
        ("scenario", "services" | "machines") => "it is called `node`",
        ("scenario", "scenario") => {
            "a TOML file is the scenario itself: write its keys at the top, and its name as `name = \"...\"`"
        }
        ("properties", "invariant") => {
            "say what kind: `always`, `never`, `eventually`, `unique`, ..."
        }
        ("faults", fault) if KINDS.iter().any(|k| k.name == fault) => {
            return Some(match language {
                Language::Kdl => format!(
                    "a fault needs a moment: `at \"2s\" {{ {fault} ... }}`, `every`, `between` or `after`"
                ),
                Language::Toml => format!(
                    "a fault needs a moment: `[[faults.at]]` with `time = \"2s\"` and `{fault} = {{ ... }}`"
                ),
            });
        }
        (_, "kind") => "the kind of fault is itself a key: `kill`, `partition`, ...",
        (_, "delay") => "it is called `by`",
        (_, "probability" | "percent" | "toxicity") => "it is called `chance`",
        (_, "duration") => "it is called `for`",
        _ => return None,
    };
    Some(known.to_owned())
}
