//! Links: what is different between certain nodes of a network.

use super::Lower;
use super::network::shape;
use crate::plan::model::{LinkRule, LinkShape};
use crate::scenario::block::{Block, Datum};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::Spanned;

impl Lower<'_> {
    /// The rules of a network's `link` blocks, one per direction.
    pub(super) fn links(
        &mut self,
        block: &Block,
        network: &str,
        base: &LinkShape,
    ) -> Vec<LinkRule> {
        let blocks: Vec<_> = block.blocks("link").cloned().collect();
        let mut out = Vec::new();
        for link in &blocks {
            let Some((from, to, both)) = self.ends(link, network) else {
                continue;
            };
            let rule = |from: &str, to: &str| LinkRule {
                from: from.to_owned(),
                to: to.to_owned(),
                down: link.bool("down"),
                shape: shape(link, Some(base)),
            };
            out.push(rule(&from, &to));
            if both && from != to {
                out.push(rule(&to, &from));
            }
        }
        out
    }

    /// The two ends of a link as node sets, and whether it is meant in both directions.
    fn ends(&mut self, link: &Block, network: &str) -> Option<(String, String, bool)> {
        let directed = link.has("from") || link.has("to");
        let between = match link
            .field("between")
            .map(|f| (&f.value.value, f.value.span))
        {
            Some((Datum::Texts(words), span)) => Some((words.clone(), span)),
            Some(_) => return None,
            None => None,
        };
        match between {
            Some((_, span)) if directed => {
                let key = if link.has("from") { "from" } else { "to" };
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        "the link has two ends, and a direction",
                    )
                    .label(link.span_of(key), "the direction")
                    .label(span, "the ends")
                    .help(
                        "write `link \"n1\" \"n2\"` for both directions, or `link \
                         from=\"n1\" to=\"n2\"` for one",
                    ),
                );
                None
            }
            Some((words, span)) => {
                let [a, b] = words.as_slice() else {
                    self.push(
                        Diag::error(
                            codes::BAD_VALUE,
                            format!("a link has two ends, not {}", words.len()),
                        )
                        .label(span, "not two")
                        .help(
                            "write `link \"n1\" \"n2\"`; for several links use a tag: `link \
                             \"tag:eu\" \"tag:us\"`",
                        ),
                    );
                    return None;
                };
                Some((self.end(a, network)?, self.end(b, network)?, true))
            }
            None if directed => {
                let all = |key: &str| {
                    if link.has(key) {
                        link.texts(key)
                    } else {
                        vec![Spanned::new("all".to_owned(), link.span)]
                    }
                };
                let (from, to) = (all("from"), all("to"));
                let from = self.end_of(&from, network)?;
                Some((from, self.end_of(&to, network)?, false))
            }
            None => {
                self.push(
                    Diag::error(codes::MISSING_KEY, "the link has no ends")
                        .label(link.span, "between which nodes?")
                        .help(
                            "write `link \"n1\" \"n2\" latency=\"10ms\"`, or `from` and `to` for \
                             one direction",
                        ),
                );
                None
            }
        }
    }

    fn end(&mut self, word: &Spanned<String>, network: &str) -> Option<String> {
        self.end_of(std::slice::from_ref(word), network)
    }

    fn end_of(&mut self, words: &[Spanned<String>], network: &str) -> Option<String> {
        let span = words.first()?.span;
        let set = self.fixed(words, span)?;
        self.connected(&set, network, span)?;
        Some(set)
    }

    /// Tells a set none of whose nodes is on the network.
    pub(super) fn connected(
        &mut self,
        set: &str,
        network: &str,
        span: crate::scenario::source::Span,
    ) -> Option<()> {
        let members = self.members(set);
        if members.is_empty()
            || members
                .iter()
                .any(|i| self.nodes[*i].networks.iter().any(|n| n == network))
        {
            return Some(());
        }
        let node = &self.nodes[members[0]];
        let diag = Diag::error(
            codes::NOT_CONNECTED,
            format!("`{}` is not on the network `{network}`", node.name),
        )
        .label(span, "refers to it")
        .label(node.span, "the node")
        .help(format!("add `network \"{network}\"` to the node"));
        self.push(diag);
        None
    }
}
