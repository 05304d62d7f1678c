//! Tells where two determinism logs part, down to the register or the page.

use chaosrun_vmm::dlog::{Divergence, Event};
use serde_json::Value;

/// At most so many registers or pages are named.
const NAMED: usize = 8;

/// The records before the divergence, the two that differ, and what differs between them.
pub(super) fn describe(divergence: &Divergence) -> String {
    let mut text = format!("record {}: {}\n", divergence.index, divergence.what);
    for record in &divergence.context {
        text += &format!("  {record}\n");
    }
    for (sign, record) in [('-', &divergence.left), ('+', &divergence.right)] {
        if let Some(record) = record {
            text += &format!("{sign} {record}\n");
        }
    }
    let (Some(left), Some(right)) = (&divergence.left, &divergence.right) else {
        return text;
    };
    for line in fields(&left.event, &right.event).into_iter().take(NAMED) {
        text += &format!("  {line}\n");
    }
    text
}

/// The registers or pages in which two events of the same kind differ.
fn fields(left: &Event, right: &Event) -> Vec<String> {
    match (left, right) {
        (Event::Registers { state: left, .. }, Event::Registers { state: right, .. }) => {
            let value = |state| serde_json::to_value(state).unwrap_or_default();
            let mut found = Vec::new();
            differences("", &value(left), &value(right), &mut found);
            found
        }
        (Event::Pages(left), Event::Pages(right)) => pages(left, right),
        _ => Vec::new(),
    }
}

/// Walks two values of the same shape and names the leaves that differ.
fn differences(name: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                differences(&name, value, right.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{name}[{index}]"), left, right, found);
            }
        }
        _ if left != right => found.push(format!("{name}: {} or {}", shown(left), shown(right))),
        _ => {}
    }
}

fn shown(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| value.to_string(), |number| format!("{number:#x}"))
}

fn pages(left: &[(u64, u128)], right: &[(u64, u128)]) -> Vec<String> {
    let all = left.iter().chain(right).map(|(page, _)| *page);
    let all: std::collections::BTreeSet<u64> = all.collect();
    let hash = |pages: &[(u64, u128)], page| {
        pages
            .iter()
            .find(|(index, _)| *index == page)
            .map(|(_, hash)| *hash)
    };
    let differing = all
        .into_iter()
        .filter(|&page| hash(left, page) != hash(right, page));
    differing
        .map(|page| format!("page {page:#x}, address {:#x}", page << 12))
        .collect()
}

#[cfg(test)]
mod tests {
    use chaosrun_vmm::dlog::Record;
    use chaosrun_vmm::time::VirtTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn registers_are_named_by_their_path() {
        let left = json!({"rip": 4096, "gpr": [0, 1], "msrs": {"star": 1}});
        let right = json!({"rip": 4097, "gpr": [0, 2], "msrs": {"star": 1}});
        let mut found = Vec::new();
        differences("", &left, &right, &mut found);
        found.sort();
        assert_eq!(found, ["gpr[1]: 0x1 or 0x2", "rip: 0x1000 or 0x1001"]);
    }

    #[test]
    fn pages_are_named_by_their_address() {
        let found = pages(&[(1, 5), (2, 6)], &[(1, 5), (2, 7), (3, 8)]);
        assert_eq!(
            found,
            ["page 0x2, address 0x2000", "page 0x3, address 0x3000"]
        );
    }

    #[test]
    fn both_records_are_shown() {
        let record = |vector| Record {
            time: VirtTime(5),
            retired: 5,
            event: Event::Interrupt { vcpu: 0, vector },
        };
        let divergence = Divergence {
            index: 3,
            what: "the payloads differ",
            context: vec![record(1)],
            left: Some(record(2)),
            right: Some(record(3)),
        };
        let text = describe(&divergence);
        assert!(
            text.starts_with("record 3: the payloads differ\n"),
            "{text}"
        );
        assert!(text.contains("\n- ") && text.contains("\n+ "), "{text}");
    }
}
