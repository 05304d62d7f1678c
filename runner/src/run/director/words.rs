//! Faults in the words of the scenario language, with everything that was drawn.

use chaosrun_chance::Chance;

use crate::outcome::event::Fault;
use crate::plan::model::Range;
use crate::scenario::units::duration;
use crate::scenario::vocab::Family;

/// Something that is told of a fault: a key of the language and its value.
pub(super) type Detail = (&'static str, serde_json::Value);

pub(super) fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", duration(ns.unsigned_abs()))
}

pub(super) fn range(range: &Range) -> String {
    if range.min_ns == range.max_ns {
        return duration(range.min_ns);
    }
    format!("{}..{}", duration(range.min_ns), duration(range.max_ns))
}

pub(super) fn ratio(chance: Chance) -> String {
    // In millionths of a percent, which is finer than the language reads.
    let scaled = u128::from(chance.num()) * 100_000_000 / u128::from(chance.den());
    let text = format!("{}.{:06}", scaled / 1_000_000, scaled % 1_000_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A fault of a record as one line of a scenario.
#[must_use]
pub fn kdl(fault: &Fault) -> String {
    let mut line = fault.name.clone();
    let sides = fault
        .details
        .named
        .get("sides")
        .and_then(|sides| sides.as_array());
    if sides.is_none() {
        let key = if fault.class == Family::Network.name() {
            "from="
        } else {
            ""
        };
        for node in &fault.affected_nodes {
            line.push_str(&format!(" {key}{node:?}"));
        }
    }
    for (key, value) in &fault.details.named {
        if matches!(key.as_str(), "sides" | "source" | "lasted_ns" | "why") {
            continue;
        }
        match value.as_bool() {
            Some(false) => {}
            Some(true) => line.push_str(&format!(" {}=#true", key.replace('_', "-"))),
            None => line.push_str(&format!(" {key}={value}")),
        }
    }
    if let Some(ns) = fault.max_duration_ns {
        line.push_str(&format!(" for=\"{}\"", duration(ns)));
    }
    if let Some(sides) = sides {
        let names = |side: &serde_json::Value| {
            let nodes = side.as_array().map(Vec::as_slice).unwrap_or_default();
            nodes
                .iter()
                .map(|node| format!(" {node}"))
                .collect::<String>()
        };
        let sides: Vec<String> = sides
            .iter()
            .map(|side| format!("side{}", names(side)))
            .collect();
        line.push_str(&format!(" {{ {} }}", sides.join("; ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_ratios_are_exact() {
        assert_eq!(signed(-2_000), "-2us");
        assert_eq!(ratio(Chance::new(1, 3)), "33.333333%");
        assert_eq!(ratio(Chance::new(1, 1)), "100%");
    }

    #[test]
    fn a_fault_reads_like_a_line_of_a_scenario() {
        let kill = Fault::new("kill", "node", &["n1"]).with("restart-after", "500ms");
        assert_eq!(kdl(&kill), r#"kill "n1" restart-after="500ms""#);
        let sides = serde_json::json!([["n1"], ["n2", "n3"]]);
        let cut = Fault::new("partition", "network", &["n1", "n2", "n3"])
            .lasting(3_000_000_000)
            .with("sides", sides)
            .with("one_way", true);
        assert_eq!(
            kdl(&cut),
            r#"partition one-way=#true for="3s" { side "n1"; side "n2" "n3" }"#
        );
    }
}
