//! Faults that are drawn, and the budget of all.

use super::{Lower, clip};
use crate::plan::fault::{Budget, Fault, Generator, Pick};
use crate::plan::model::Rate;
use crate::scenario::block::Block;
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::{did_you_mean, one_of};
use crate::scenario::vocab::{Family, FaultKind};

use super::fault::{Horizon, Names};

impl Lower<'_> {
    pub(super) fn budget(&mut self, block: Option<&Block>) -> Budget {
        let Some(block) = block else {
            return Budget {
                nodes: None,
                disks: None,
                faults: None,
                gap_ns: 0,
            };
        };
        Budget {
            nodes: self.count(block, "nodes"),
            disks: self.count(block, "disks"),
            faults: block.unsigned("faults"),
            gap_ns: block.amount("gap").unwrap_or(0),
        }
    }

    /// Tells a fault that the budget can never allow.
    pub(super) fn within_budget(
        &mut self,
        fault: &Fault,
        budget: &Budget,
        span: Span,
        faults: &Block,
    ) {
        let Some(target) = fault.action.takes_away() else {
            return;
        };
        let size = self.members(&target.from).len() as u64;
        let least = match target.pick {
            Pick::All => size,
            Pick::Any { count } => count,
            Pick::Minority => 1,
            Pick::Majority => size / 2 + 1,
        };
        if let Some(most) = budget.nodes.filter(|most| least > *most) {
            let budget_span = faults.block("budget").map(|b| b.span_of("nodes"));
            self.push(
                Diag::error(
                    codes::OVER_BUDGET,
                    format!("this fault needs {least} nodes at once, the budget allows {most}"),
                )
                .label(span, "never happens")
                .label_opt(budget_span, "the budget")
                .help("let it hit fewer nodes, or raise `budget nodes=`"),
            );
        }
    }

    pub(super) fn generators(&mut self, block: &Block, horizon: &Horizon) -> Vec<Generator> {
        let blocks: Vec<_> = block.blocks("random").cloned().collect();
        let mut names = Names::default();
        let mut out: Vec<Generator> = Vec::new();
        for random in &blocks {
            let (Some(rate), Some(kinds)) = (random.rate("rate"), self.kinds(random)) else {
                continue;
            };
            let start_ns = random.amount("start").unwrap_or(0);
            if self
                .inside("`start`", start_ns, random.span_of("start"), horizon)
                .is_none()
            {
                continue;
            }
            let until_ns = self.until(random, horizon);
            if until_ns <= start_ns {
                self.push(
                    Diag::error(codes::OUTSIDE_RUN, "`until` is not after `start`")
                        .label(random.span_of("until"), "never happens")
                        .label(random.span_of("start"), "the start")
                        .help("exchange them"),
                );
                continue;
            }
            let Some(target) = self.target_of(random, "target") else {
                continue;
            };
            let name = random.text("name").map_or_else(
                || {
                    format!(
                        "random {}",
                        random
                            .texts("from")
                            .iter()
                            .map(|w| w.value.as_str())
                            .collect::<Vec<_>>()
                            .join(",")
                    )
                },
                ToOwned::to_owned,
            );
            let name = names.unique(name);
            let location = self.location(random.span);
            self.origins.faults.insert(name.clone(), location);
            out.push(Generator {
                name,
                rate: Rate {
                    count: rate.count,
                    per_ns: rate.per_ns,
                },
                kinds,
                target,
                start_ns,
                until_ns,
                duration: random.range("for").unwrap_or((0, 0)).into(),
            });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    /// The kinds that a generator draws from, in the order of the language.
    fn kinds(&mut self, block: &Block) -> Option<Vec<FaultKind>> {
        let mut wanted = self.kind_words(&block.texts("from"))?;
        for out in self.kind_words(&if block.has("except") {
            block.texts("except")
        } else {
            Vec::new()
        })? {
            wanted.retain(|k| *k != out);
        }
        if wanted.is_empty() {
            self.push(
                Diag::error(codes::EMPTY_SELECTOR, "`except` leaves no fault")
                    .label(block.span_of("except"), "leaves nothing")
                    .help("remove some of it"),
            );
            return None;
        }
        let order = FaultKind::ALL.iter().copied();
        Some(order.filter(|kind| wanted.contains(kind)).collect())
    }

    fn kind_words(&mut self, words: &[Spanned<String>]) -> Option<Vec<FaultKind>> {
        let mut out = Vec::new();
        for word in words {
            let family = Family::from_name(&word.value);
            let kind = FaultKind::from_name(&word.value).filter(|kind| kind.is_drawn());
            match (family, kind) {
                (Some(family), _) => out.extend(family.drawn()),
                (None, Some(kind)) => out.push(kind),
                (None, None) => {
                    let families = || Family::ALL.iter().map(|family| family.name());
                    let kinds = Family::ALL.iter().flat_map(|family| family.drawn());
                    let all = families().chain(kinds.map(FaultKind::name));
                    let help = did_you_mean(&word.value, all)
                        .unwrap_or_else(|| format!("the families are {}", one_of(families())));
                    self.push(
                        Diag::error(
                            codes::NOT_ONE_OF,
                            format!(
                                "`{}` is neither a fault that can be drawn nor a family of them",
                                clip(&word.value)
                            ),
                        )
                        .label(word.span, "unknown")
                        .help(help),
                    );
                    return None;
                }
            }
        }
        Some(out)
    }
}
