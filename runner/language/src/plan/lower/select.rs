//! Selectors: from words to sets of nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lower, clip};
use crate::plan::fault::{Pick, Target};
use crate::scenario::block::{Block, Datum};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};

/// The longest name of a node set before it is replaced by its hash.
const MAX_SET_NAME: usize = 120;

impl Lower<'_> {
    /// All sets that were made, with their members' names.
    pub(super) fn named_sets(&self) -> BTreeMap<String, Vec<String>> {
        self.sets
            .iter()
            .map(|(name, members)| {
                (
                    name.clone(),
                    members
                        .iter()
                        .map(|i| self.nodes[*i].name.clone())
                        .collect(),
                )
            })
            .collect()
    }

    /// The members of a set.
    pub(super) fn members(&self, set: &str) -> &[usize] {
        self.sets.get(set).map_or(&[], Vec::as_slice)
    }

    /// Files a set and returns its name.
    fn set(&mut self, label: String, members: impl FnOnce() -> Vec<usize>) -> String {
        let name = if label.len() > MAX_SET_NAME {
            format!("set:{}", &blake3::hash(label.as_bytes()).to_hex()[..16])
        } else {
            label
        };
        if !self.sets.contains_key(&name) {
            let members = members();
            self.sets.insert(name.clone(), members);
        }
        name
    }

    /// The node set under a key that selects nodes and draws none.
    pub(super) fn nodes_of(&mut self, block: &Block, key: &str) -> Option<String> {
        let words = block.texts(key);
        let (set, pick) = self.words(&words, block.span_of(key))?;
        if pick.is_some() {
            self.push(
                Diag::error(codes::NOT_ONE_OF, format!("`{key}` can't draw nodes"))
                    .label(block.span_of(key), "needs fixed nodes")
                    .help("write names, `tag:NAME`, `role:NAME` or `all`"),
            );
            return None;
        }
        Some(set)
    }

    /// The target under a key alone, as of `from`, `to`, `isolate`.
    pub(super) fn target_of(&mut self, block: &Block, key: &str) -> Option<Target> {
        let words = block.texts(key);
        let span = block.span_of(key);
        let (from, pick) = self.words(&words, span)?;
        let pick = pick.unwrap_or(Pick::All);
        self.enough(&from, pick, span)?;
        Some(Target { from, pick })
    }

    /// The target of a node fault: `target`, `tag`, `role`, and how many.
    pub(in crate::plan) fn target(&mut self, block: &Block) -> Option<Target> {
        let span = if block.has("target") {
            block.span_of("target")
        } else {
            block.span
        };
        let (mut from, mut pick) = self.words(&block.texts("target"), span)?;
        for (key, prefix) in [("tag", "tag:"), ("role", "role:")] {
            if !block.has(key) {
                continue;
            }
            let words: Vec<Spanned<String>> = block
                .texts(key)
                .into_iter()
                .map(|w| Spanned::new(format!("{prefix}{}", w.value), w.span))
                .collect();
            let (narrowed, _) = self.words(&words, block.span_of(key))?;
            from = self.both(&from, &narrowed);
        }
        for (key, found) in [
            (
                "any",
                block.unsigned("any").map(|count| Pick::Any { count }),
            ),
            ("minority", block.bool("minority").then_some(Pick::Minority)),
            ("majority", block.bool("majority").then_some(Pick::Majority)),
        ] {
            let Some(found) = found else { continue };
            if pick.replace(found).is_some_and(|p| p != found) {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        "the fault says twice how many nodes it hits",
                    )
                    .label(block.span_of(key), "this is one too many")
                    .help("keep one of `any`, `minority` and `majority`"),
                );
                return None;
            }
        }
        if self.members(&from).is_empty() {
            self.empty(span, &from);
            return None;
        }
        let pick = pick.unwrap_or(Pick::All);
        let span = ["any", "minority", "majority"]
            .into_iter()
            .find(|k| block.has(k))
            .map_or(span, |k| block.span_of(k));
        self.enough(&from, pick, span)?;
        Some(Target { from, pick })
    }

    fn both(&mut self, a: &str, b: &str) -> String {
        if a == "all" {
            return b.to_owned();
        }
        let wanted: BTreeSet<usize> = self.members(b).iter().copied().collect();
        let members: Vec<usize> = self
            .members(a)
            .iter()
            .copied()
            .filter(|i| wanted.contains(i))
            .collect();
        self.set(format!("{a}&{b}"), || members)
    }

    fn empty(&mut self, span: Span, set: &str) {
        // Without nodes at all there is another message already.
        if !self.nodes.is_empty() {
            self.push(
                Diag::error(
                    codes::EMPTY_SELECTOR,
                    format!("no node is selected by `{}`", clip(set)),
                )
                .label(span, "selects nothing")
                .help("if several selectors are given, all of them must fit"),
            );
        }
    }

    /// Whether a set has as many members as are to be drawn.
    fn enough(&mut self, set: &str, pick: Pick, span: Span) -> Option<()> {
        let have = self.members(set).len() as u64;
        let (need, what) = match pick {
            Pick::All => return Some(()),
            Pick::Any { count } => (count, format!("{count} nodes")),
            Pick::Minority => (3, "a minority".to_owned()),
            Pick::Majority => (1, "a majority".to_owned()),
        };
        if have >= need {
            return Some(());
        }
        if !self.nodes.is_empty() {
            let help = match pick {
                Pick::Minority => {
                    "a minority is fewer than half; that is at least one node of three or more"
                        .to_owned()
                }
                _ => format!("draw at most {have}"),
            };
            self.push(
                Diag::error(
                    codes::TOO_FEW_NODES,
                    format!("{what} can't be drawn from {have} (`{}`)", clip(set)),
                )
                .label(span, "too many for this cluster")
                .help(help),
            );
        }
        None
    }

    /// Resolves words: the set that they name, and whether they draw from it.
    fn words(&mut self, words: &[Spanned<String>], span: Span) -> Option<(String, Option<Pick>)> {
        // One name of a node is by far the most common.
        if let [one] = words
            && let Some(&index) = self.node_index.get(&one.value)
        {
            return Some((self.set(one.value.clone(), || vec![index]), None));
        }
        let mut pick = None;
        let mut members: BTreeSet<usize> = BTreeSet::new();
        let mut labels: Vec<String> = Vec::new();
        let mut good = true;
        for word in words {
            match word.value.as_str() {
                "all" => {}
                "any" => pick = Some(Pick::Any { count: 1 }),
                "minority" => pick = Some(Pick::Minority),
                "majority" => pick = Some(Pick::Majority),
                _ => {
                    match self.word(word) {
                        Some(found) => members.extend(found),
                        None => good = false,
                    }
                    labels.push(word.value.clone());
                }
            }
        }
        if !good {
            return None;
        }
        if labels.is_empty() {
            return Some(("all".into(), pick));
        }
        labels.sort();
        labels.dedup();
        if members.is_empty() {
            self.empty(span, &labels.join("+"));
            return None;
        }
        Some((
            self.set(labels.join("+"), || members.into_iter().collect()),
            pick,
        ))
    }

    /// The nodes of one word, or nothing if it is not defined.
    fn word(&mut self, word: &Spanned<String>) -> Option<Vec<usize>> {
        let text = word.value.as_str();
        if let Some(&index) = self.node_index.get(text) {
            return Some(vec![index]);
        }
        for (prefix, what) in [("tag:", "tag"), ("role:", "role")] {
            let Some(name) = text.strip_prefix(prefix) else {
                continue;
            };
            let map = if what == "tag" {
                &self.tags
            } else {
                &self.roles
            };
            if let Some(nodes) = map.get(name) {
                return Some(nodes.clone());
            }
            let known: Vec<String> = map.keys().cloned().collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let defined = self
                .nodes
                .iter()
                .find(|n| !(if what == "tag" { &n.tags } else { &n.roles }).is_empty())
                .map(|n| n.span);
            self.undefined(what, name, word.span, &known, defined);
            return None;
        }
        let tagged = self
            .tags
            .contains_key(text)
            .then(|| format!("`{text}` is a tag: write `tag:{text}`"));
        let role = self
            .roles
            .contains_key(text)
            .then(|| format!("`{text}` is a role: write `role:{text}`"));
        if let Some(help) = tagged.or(role) {
            self.push(
                Diag::error(
                    codes::UNDEFINED_NAME,
                    format!("there is no node `{}`", clip(text)),
                )
                .label(word.span, "not a node")
                .help(help),
            );
            return None;
        }
        if self.nodes.is_empty() {
            return None;
        }
        let known: Vec<String> = self
            .nodes
            .iter()
            .take(200)
            .map(|n| n.name.clone())
            .collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let defined = self.nodes.first().map(|n| n.span);
        self.undefined("node", text, word.span, &known, defined);
        None
    }

    /// A count of nodes, `minority` being fewer than half of all.
    pub(super) fn count(&self, block: &Block, key: &str) -> Option<u64> {
        match block.field(key).map(|f| &f.value.value) {
            Some(Datum::Count(Some(n))) => Some(*n),
            Some(Datum::Count(None)) => Some((self.nodes.len() as u64).saturating_sub(1) / 2),
            _ => None,
        }
    }
}

impl Lower<'_> {
    /// The set of some words that may not draw nodes.
    pub(super) fn fixed(&mut self, words: &[Spanned<String>], span: Span) -> Option<String> {
        let (set, pick) = self.words(words, span)?;
        if pick.is_some() {
            self.push(
                Diag::error(codes::NOT_ONE_OF, "nodes can't be drawn here")
                    .label(span, "needs fixed nodes")
                    .help("write names, `tag:NAME`, `role:NAME` or `all`"),
            );
            return None;
        }
        Some(set)
    }
}
