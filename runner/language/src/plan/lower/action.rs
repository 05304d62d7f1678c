//! What faults hit: networks and their frames, disks, processes. The families in `plan::fault` ask for it.

use chaosrun_chance::Chance;
use std::collections::BTreeMap;

use super::{Lower, clip};
use crate::plan::fault::{DiskOps, Frames, Split};
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::{did_you_mean, one_of};

impl Lower<'_> {
    /// Checks that a process runs on some of the nodes.
    pub(in crate::plan) fn process(&mut self, name: &str, span: Span, set: &str) -> Option<String> {
        let runs = self
            .members(set)
            .iter()
            .any(|i| self.nodes[*i].guests.iter().any(|g| g == name));
        if runs {
            return Some(name.to_owned());
        }
        let known: Vec<String> = self.guests.keys().cloned().collect();
        if let Some((_, defined)) = self.guests.get(name) {
            let defined = *defined;
            self.push(
                Diag::error(
                    codes::EMPTY_SELECTOR,
                    format!("none of these nodes runs the guest `{}`", clip(name)),
                )
                .label(span, "hits nothing")
                .label(defined, "the guest")
                .help("choose nodes that run it"),
            );
        } else {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let defined = self.guests.values().map(|(_, s)| *s).min();
            self.undefined("guest", name, span, &known, defined);
        }
        None
    }

    /// The networks under the key `network`; all without it.
    pub(in crate::plan) fn networks_hit(&mut self, block: &Block) -> Option<Vec<String>> {
        let Some(name) = block.spanned_text("network") else {
            if self.networks.is_empty() {
                self.push(
                    Diag::error(codes::EMPTY_SELECTOR, "the scenario has no networks")
                        .label(block.span, "hits nothing")
                        .help("define one: `network \"lan\"`, and add it to the nodes"),
                );
                return None;
            }
            return Some(self.networks.keys().cloned().collect());
        };
        if self.networks.contains_key(name.value) {
            return Some(vec![name.value.to_owned()]);
        }
        // `partition "n1"` is a natural slip.
        if self.node_index.contains_key(name.value) {
            self.push(
                Diag::error(
                    codes::UNDEFINED_NAME,
                    format!("`{}` is a node, not a network", clip(name.value)),
                )
                .label(name.span, "not a network")
                .help(format!(
                    "the network comes first; nodes are given by keys, e.g. `partition \
                     isolate=\"{0}\"` or `latency from=\"{0}\"`",
                    clip(name.value)
                )),
            );
            return None;
        }
        self.undefined_network(name.value, name.span);
        None
    }

    pub(in crate::plan) fn frames(&mut self, block: &Block) -> Option<Frames> {
        let networks = self.networks_hit(block)?;
        let (from, to) = (self.target_of(block, "from")?, self.target_of(block, "to")?);
        if let [network] = networks.as_slice() {
            for (key, set) in [("from", &from.from), ("to", &to.from)] {
                self.connected(set, network, block.span_of(key))?;
            }
        }
        Some(Frames { networks, from, to })
    }

    /// How a partition cuts.
    pub(in crate::plan) fn split(&mut self, block: &Block) -> Option<Split> {
        let written: Vec<&str> = ["side", "groups", "isolate"]
            .into_iter()
            .filter(|k| block.has(k))
            .collect();
        match written.as_slice() {
            ["side"] => self.sides(block),
            ["groups"] => {
                let count = block.unsigned("groups")?;
                if count > self.nodes.len() as u64 {
                    self.push(
                        Diag::error(
                            codes::TOO_FEW_NODES,
                            format!(
                                "{} nodes can't be parted into {count} groups",
                                self.nodes.len()
                            ),
                        )
                        .label(block.span_of("groups"), "too many groups")
                        .help("each group has at least one node"),
                    );
                    return None;
                }
                Some(Split::Groups { count })
            }
            ["isolate"] => Some(Split::Isolate {
                target: self.target_of(block, "isolate")?,
            }),
            [one, other, ..] => {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        format!("the partition has `{one}` and `{other}`"),
                    )
                    .label(block.span_of(other), "this")
                    .label(block.span_of(one), "and this")
                    .help("keep one of them"),
                );
                None
            }
            _ => {
                self.push(
                    Diag::error(codes::MISSING_KEY, "nothing says how the network is cut")
                        .label(block.span, "`side`, `groups` or `isolate` is missing")
                        .help(
                            "e.g. `partition \"lan\" { side \"n1\"; side \"n2\" \"n3\" }` or \
                             `partition isolate=\"any\"`",
                        ),
                );
                None
            }
        }
    }

    fn sides(&mut self, block: &Block) -> Option<Split> {
        let blocks: Vec<_> = block.blocks("side").cloned().collect();
        let mut seen: BTreeMap<usize, Span> = BTreeMap::new();
        let mut sides = Vec::new();
        for side in &blocks {
            let span = side.span_of("node");
            let words: Vec<Spanned<String>> = side.texts("node");
            let set = self.fixed(&words, span)?;
            let members = self.members(&set).to_vec();
            for member in members {
                if let Some(first) = seen.insert(member, span) {
                    let name = self.nodes[member].name.clone();
                    self.push(
                        Diag::error(
                            codes::OVERLAPPING_SIDES,
                            format!("`{name}` is on two sides"),
                        )
                        .label(span, "on this side")
                        .label(first, "and on this one")
                        .help("leave it on one side"),
                    );
                    return None;
                }
            }
            sides.push(set);
        }
        if sides.len() < 2 {
            self.push(
                Diag::error(codes::MISSING_KEY, "a partition has at least two sides")
                    .label(block.span, "only one side")
                    .help("add the other: `side \"n2\" \"n3\"`"),
            );
            return None;
        }
        Some(Split::Sides { sides })
    }

    pub(in crate::plan) fn disk_ops(&mut self, block: &Block) -> Option<DiskOps> {
        let target = self.target(block)?;
        let disk = block.spanned_text("disk");
        let has = |i: &usize| match disk {
            Some(name) => self.nodes[*i].disks.iter().any(|d| d == name.value),
            None => !self.nodes[*i].disks.is_empty(),
        };
        if !self.members(&target.from).iter().any(has) {
            let known: Vec<String> = self
                .nodes
                .iter()
                .flat_map(|n| n.disks.iter().cloned())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
            let known = || known.iter().map(String::as_str);
            let (what, span) = match disk {
                Some(name) => (
                    format!("none of these nodes has a disk `{}`", clip(name.value)),
                    name.span,
                ),
                None => ("none of these nodes has a disk".to_owned(), block.span),
            };
            let node = self
                .members(&target.from)
                .first()
                .map(|i| self.nodes[*i].span);
            let help = match disk.and_then(|d| did_you_mean(d.value, known())) {
                Some(help) => help,
                None if known().next().is_some() => format!("there is {}", one_of(known())),
                None => "add one to the node: `disk \"data\" size=\"16MiB\"`".into(),
            };
            self.push(
                Diag::error(codes::NO_SUCH_DISK, what)
                    .label(span, "hits nothing")
                    .label_opt(node, "the nodes")
                    .help(help),
            );
            return None;
        }
        Some(DiskOps {
            target,
            disk: disk.map(|d| d.value.to_owned()),
            chance: block.ratio("chance").unwrap_or(Chance::ALWAYS),
            times: block.unsigned("times"),
            offset_bytes: block.amount("offset").unwrap_or(0),
            length_bytes: block.amount("length"),
        })
    }
}
