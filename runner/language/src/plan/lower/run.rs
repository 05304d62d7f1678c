//! Readiness, the run, exploration, shards.

use super::{Lower, sorted};
use crate::plan::model::{Explore, ExploreMode, Ready, ReadySignal, Run, Shard, ShardBy};
use crate::scenario::block::{Block, Datum};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::vocab;

impl Lower<'_> {
    /// When a node counts as started.
    pub(super) fn ready(&mut self, body: &Block) -> Ready {
        let empty = Block::empty(&vocab::READY, body.span);
        let block = body.block("ready").cloned();
        let block = block.as_deref().unwrap_or(&empty);
        let signals: Vec<&str> = ["console", "event", "after"]
            .into_iter()
            .filter(|k| block.has(k))
            .collect();
        if let [first, second, ..] = signals.as_slice() {
            self.push(
                Diag::error(
                    codes::CONFLICTING_KEYS,
                    format!("`ready` has `{first}` and `{second}`"),
                )
                .label(block.span_of(second), "this")
                .label(block.span_of(first), "and this")
                .help("a node is ready by one sign"),
            );
        }
        let within_ns = block.amount("within").unwrap_or(0);
        let signal = if let Some(pattern) = self.pattern(block, "console") {
            ReadySignal::Console { pattern }
        } else if let Some(name) = block.text("event") {
            ReadySignal::Event {
                name: name.to_owned(),
            }
        } else if let Some(after_ns) = block.amount("after") {
            if after_ns > within_ns {
                self.push(
                    Diag::error(codes::OUT_OF_RANGE, "`after` is longer than `within`")
                        .label(block.span_of("after"), "too long")
                        .label(block.span_of("within"), "starting may take so long")
                        .help("make `within` longer"),
                );
            }
            ReadySignal::After { after_ns }
        } else {
            ReadySignal::SetupComplete
        };
        Ready { within_ns, signal }
    }

    /// How long, and with which seeds.
    pub(super) fn run(&mut self, body: &Block) -> Run {
        let empty = Block::empty(&vocab::RUN, body.span);
        let block = body.block("run").cloned();
        let block = block.as_deref().unwrap_or(&empty);
        if block.has("seed") && block.has("seeds") {
            self.push(
                Diag::error(codes::CONFLICTING_KEYS, "`run` has `seed` and `seeds`")
                    .label(block.span_of("seeds"), "several")
                    .label(block.span_of("seed"), "one")
                    .help("keep one of them"),
            );
        }
        for key in ["duration", "hash-every", "wall-limit"] {
            if block.amount(key) == Some(0) {
                self.push(
                    Diag::error(codes::OUT_OF_RANGE, format!("`{key}` is zero"))
                        .label(block.span_of(key), "too short")
                        .help("give it some time"),
                );
            }
        }
        let (seed_first, seed_last) = match block.field("seeds").map(|f| &f.value.value) {
            Some(Datum::Range(first, last)) => (*first, *last),
            _ => {
                let seed = block.unsigned("seed").unwrap_or(1);
                (seed, seed)
            }
        };
        Run {
            // A duration that can't be read has been told; the default keeps it from causing others.
            duration_ns: block.amount("duration").unwrap_or(30_000_000_000),
            seed_first,
            seed_last,
            hash_every_ns: block.amount("hash-every").unwrap_or(0),
            stop_on_failure: block.bool("stop-on-failure"),
            wall_limit_ns: block.amount("wall-limit").unwrap_or(0),
        }
    }
}

/// The search for other timelines.
pub(super) fn explore(body: &Block) -> Option<Explore> {
    let block = body.block("explore")?;
    Some(Explore {
        mode: match block.text("mode") {
            Some("faults") => ExploreMode::Faults,
            Some("inputs") => ExploreMode::Inputs,
            Some("schedule") => ExploreMode::Schedule,
            Some("random") => ExploreMode::Random,
            _ => ExploreMode::Hybrid,
        },
        rounds: block.unsigned("rounds").unwrap_or(0),
        branches: block.unsigned("branches").unwrap_or(0),
        depth: block.unsigned("depth").unwrap_or(0),
        coverage: sorted(block.texts("coverage")),
        seed: block.unsigned("seed").unwrap_or(1),
        checkpoint_every_ns: block.amount("checkpoint-every").unwrap_or(0),
        stop_after: block.unsigned("stop-after").unwrap_or(0),
        minimize: block.bool("minimize"),
        wall_limit_ns: block.amount("wall-limit").unwrap_or(0),
    })
}

/// How the work is parted.
pub(super) fn shard(body: &Block) -> Shard {
    let block = body.block("shard");
    Shard {
        count: block.and_then(|b| b.unsigned("count")).unwrap_or(1),
        by: match block.and_then(|b| b.text("by")) {
            Some("variant") => ShardBy::Variant,
            _ => ShardBy::Seed,
        },
    }
}
