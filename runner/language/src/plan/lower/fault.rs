//! Faults: triggers, actions, generators, the budget.

use std::collections::BTreeMap;

use super::{Lower, clip};
use crate::plan::fault::{Action, Fault, Faults, Scheduled, Signal, Trigger};
use crate::plan::model::Range;
use crate::scenario::block::{Block, Field};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::Span;
use crate::scenario::units::duration;
use crate::scenario::vocab::{FaultKind, KINDS};

/// The moment from which on nothing goes wrong, and where that is written.
pub(super) struct Horizon {
    pub quiet_from_ns: u64,
    /// `quiet`, if it is written.
    pub quiet: Option<Span>,
    /// The run's duration, if it is written.
    pub duration: Option<Span>,
}

/// Names given so far, with how often each was wanted.
#[derive(Default)]
pub(super) struct Names {
    counts: BTreeMap<String, u32>,
}

impl Names {
    /// Makes a name unique by a number behind it.
    pub(super) fn unique(&mut self, wanted: String) -> String {
        let count = self.counts.entry(wanted.clone()).or_default();
        *count += 1;
        if *count == 1 {
            wanted
        } else {
            format!("{wanted} #{count}")
        }
    }
}

/// A fault that happens once at a known moment, kept for finding faults that cancel each other.
pub(super) struct Moment {
    pub at_ns: u64,
    pub span: Span,
    pub fault: usize,
    pub scheduled: usize,
}

impl Lower<'_> {
    /// Lowers the block `faults`.
    pub(super) fn faults(&mut self, body: &Block, duration_ns: u64) -> Faults {
        let empty = Block::empty(&crate::scenario::vocab::FAULTS, body.span);
        let block = body.block("faults").cloned();
        let block = block.as_deref().unwrap_or(&empty);
        let horizon = self.horizon(body, block, duration_ns);
        let budget = self.budget(block.block("budget").map(|b| &**b));
        let (mut names, mut schedule, mut moments) = (Names::default(), Vec::new(), Vec::new());
        let mut explicit: BTreeMap<String, Span> = BTreeMap::new();
        for field in &block.fields {
            let crate::scenario::block::Datum::Block(trigger_block) = &field.value.value else {
                continue;
            };
            if !matches!(field.key.name, "at" | "every" | "between" | "after") {
                continue;
            }
            let Some((trigger, label)) = self.trigger(field.key.name, trigger_block, &horizon)
            else {
                continue;
            };
            let faults = self.actions(trigger_block, &label, &mut names, &mut explicit);
            if faults.is_empty() {
                self.expect_a_fault(field.key.name, trigger_block);
                continue;
            }
            if let Trigger::At { at_ns } = trigger {
                moments.extend(faults.iter().enumerate().map(|(fault, (_, span))| Moment {
                    at_ns,
                    span: *span,
                    fault,
                    scheduled: schedule.len(),
                }));
            }
            let faults: Vec<Fault> = faults
                .into_iter()
                .map(|(fault, span)| {
                    self.within_budget(&fault, &budget, span, block);
                    fault
                })
                .collect();
            let joined: Vec<&str> = faults.iter().map(|f| f.name.as_str()).collect();
            let name = joined.join(", ");
            let name = if name.len() > 160 {
                format!("{} +{}", faults[0].name, faults.len() - 1)
            } else {
                name
            };
            let name = names.unique(format!("trigger {name}"));
            let location = self.location(trigger_block.span);
            self.origins.faults.insert(name.clone(), location);
            schedule.push(Scheduled {
                name,
                trigger,
                faults,
            });
        }
        let random = self.generators(block, &horizon);
        self.cancelled(&schedule, &random, moments, horizon.quiet_from_ns);
        schedule.sort_by(|a, b| {
            (first_moment(&a.trigger), &a.name).cmp(&(first_moment(&b.trigger), &b.name))
        });
        Faults {
            schedule,
            random,
            budget,
            quiet_from_ns: horizon.quiet_from_ns,
        }
    }

    /// Where the time for faults ends.
    fn horizon(&mut self, body: &Block, faults: &Block, duration_ns: u64) -> Horizon {
        let quiet_ns = faults.amount("quiet").unwrap_or(0);
        let run = body.block("run").filter(|run| run.has("duration"));
        let horizon = Horizon {
            quiet_from_ns: duration_ns.saturating_sub(quiet_ns),
            quiet: faults.has("quiet").then(|| faults.span_of("quiet")),
            duration: run.map(|run| run.span_of("duration")),
        };
        if quiet_ns > 0 && quiet_ns >= duration_ns {
            let diag = Diag::error(codes::OUTSIDE_RUN, "the quiet period is as long as the run")
                .label_opt(horizon.quiet, "so long")
                .label_opt(horizon.duration, "the run's duration");
            self.push(diag.help("make the run longer, so that there is time for faults"));
        }
        horizon
    }

    /// Complains about a trigger in which no fault is written, not even a wrong one.
    fn expect_a_fault(&mut self, kind: &str, trigger: &Block) {
        let mut keys = trigger.fields.iter().map(|field| field.key.name);
        if keys.any(|key| KINDS.iter().any(|kind| kind.name == key)) {
            return;
        }
        self.push(
            Diag::error(
                codes::MISSING_KEY,
                format!("nothing happens in this `{kind}`"),
            )
            .label(trigger.span, "no fault")
            .help(format!(
                "put a fault into it, e.g. `{kind} ... {{ kill any=1 }}`"
            )),
        );
    }

    fn trigger(
        &mut self,
        kind: &str,
        block: &Block,
        horizon: &Horizon,
    ) -> Option<(Trigger, String)> {
        match kind {
            "at" => {
                let at_ns = block.amount("time")?;
                self.inside("this moment", at_ns, block.span_of("time"), horizon)?;
                Some((Trigger::At { at_ns }, format!("@{}", duration(at_ns))))
            }
            "every" => {
                let period_ns = block.amount("period")?;
                if period_ns == 0 {
                    self.push(
                        Diag::error(codes::OUT_OF_RANGE, "`every` has a period of zero")
                            .label(block.span_of("period"), "would never end")
                            .help("give it some time, e.g. `every \"4s\"`"),
                    );
                    return None;
                }
                let start_ns = block.amount("start").unwrap_or(period_ns);
                self.inside(
                    "the first time",
                    start_ns,
                    block.span_of(if block.has("start") {
                        "start"
                    } else {
                        "period"
                    }),
                    horizon,
                )?;
                let until_ns = self.until(block, horizon);
                if until_ns <= start_ns {
                    self.push(
                        Diag::error(codes::OUTSIDE_RUN, "`until` is not after the first time")
                            .label(block.span_of("until"), "never happens")
                            .help(format!("the first time is at {}", duration(start_ns))),
                    );
                    return None;
                }
                let trigger = Trigger::Every {
                    period_ns,
                    jitter_ns: block.amount("jitter").unwrap_or(0),
                    start_ns,
                    until_ns,
                    times: block.unsigned("times"),
                };
                Some((trigger, format!("@every {}", duration(period_ns))))
            }
            "between" => {
                let (start_ns, end_ns) = (block.amount("start")?, block.amount("end")?);
                self.inside("the span", start_ns, block.span_of("start"), horizon)?;
                if end_ns <= start_ns {
                    self.push(
                        Diag::error(codes::OUT_OF_RANGE, "the span ends before it begins")
                            .label(block.span_of("end"), "the end")
                            .label(block.span_of("start"), "the beginning")
                            .help("exchange them"),
                    );
                    return None;
                }
                if end_ns > horizon.quiet_from_ns {
                    self.late("the end of the span", end_ns, block.span_of("end"), horizon);
                    return None;
                }
                Some((
                    Trigger::Between {
                        start_ns,
                        end_ns,
                        times: block.unsigned("times").unwrap_or(1),
                    },
                    format!("@{}..{}", duration(start_ns), duration(end_ns)),
                ))
            }
            _ => self.after(block),
        }
    }

    fn after(&mut self, block: &Block) -> Option<(Trigger, String)> {
        let (signal, label) = match (block.spanned_text("event"), block.has("console")) {
            (Some(event), true) => {
                self.push(
                    Diag::error(
                        codes::CONFLICTING_KEYS,
                        "`after` waits for an event and for the console",
                    )
                    .label(block.span_of("console"), "the console")
                    .label(event.span, "the event")
                    .help("write two `after` blocks"),
                );
                return None;
            }
            (Some(event), false) => (
                Signal::Event {
                    name: event.value.to_owned(),
                },
                format!("@after {}", clip(event.value)),
            ),
            (None, true) => {
                let pattern = self.pattern(block, "console")?;
                let label = format!("@after {}", clip(block.text("console").unwrap_or_default()));
                (Signal::Console { pattern }, label)
            }
            (None, false) => {
                self.push(
                    Diag::error(codes::MISSING_KEY, "`after` waits for nothing")
                        .label(block.span, "after what?")
                        .help(
                            "write `after \"event-name\" { ... }` or `after console=\"text\" { \
                             ... }`",
                        ),
                );
                return None;
            }
        };
        let on = self.nodes_of(block, "on")?;
        let delay = block.range("delay").unwrap_or((0, 0)).into();
        Some((
            Trigger::After {
                signal,
                on,
                delay,
                times: block.unsigned("times").unwrap_or(1),
            },
            label,
        ))
    }

    /// Tells a moment that lies in the quiet period or behind the run.
    pub(super) fn inside(
        &mut self,
        what: &str,
        at_ns: u64,
        span: Span,
        horizon: &Horizon,
    ) -> Option<()> {
        if at_ns < horizon.quiet_from_ns {
            return Some(());
        }
        // A run or a quiet period that leaves no time has its own message.
        if horizon.quiet_from_ns > 0 {
            self.late(what, at_ns, span, horizon);
        }
        None
    }

    fn late(&mut self, what: &str, at_ns: u64, span: Span, horizon: &Horizon) {
        let end = duration(horizon.quiet_from_ns);
        let diag = match horizon.quiet {
            Some(quiet) => Diag::error(
                codes::OUTSIDE_RUN,
                format!(
                    "{what} ({}) lies in the quiet period, which begins at {end}",
                    duration(at_ns)
                ),
            )
            .label(span, "too late")
            .label(quiet, "the quiet period at the end of the run"),
            None => Diag::error(
                codes::OUTSIDE_RUN,
                format!(
                    "{what} ({}) lies behind the end of the run at {end}",
                    duration(at_ns)
                ),
            )
            .label(span, "too late"),
        };
        self.push(
            diag.label_opt(horizon.duration, "the run's duration")
                .help(format!(
                    "choose an earlier moment, before {end}, or make the run longer"
                )),
        );
    }

    /// The end of a generator's time: as written, but not later than the quiet period.
    pub(super) fn until(&mut self, block: &Block, horizon: &Horizon) -> u64 {
        match block.amount("until") {
            Some(until) if until > horizon.quiet_from_ns => {
                self.late("`until`", until, block.span_of("until"), horizon);
                horizon.quiet_from_ns
            }
            Some(until) => until,
            None => horizon.quiet_from_ns,
        }
    }

    /// The faults of a trigger, by kind in the order of the language and then in the order of the file:
    /// the keys of a TOML table have no order of their own.
    fn actions(
        &mut self,
        block: &Block,
        label: &str,
        names: &mut Names,
        explicit: &mut BTreeMap<String, Span>,
    ) -> Vec<(Fault, Span)> {
        let mut out = Vec::new();
        for kind in FaultKind::ALL {
            let fields: Vec<&Field> = block.all(kind.name()).collect();
            for field in fields {
                let crate::scenario::block::Datum::Block(fault) = &field.value.value else {
                    continue;
                };
                let Some(action) = Action::lower(*kind, self, fault) else {
                    continue;
                };
                let name = match fault.spanned_text("name") {
                    Some(name) => {
                        if let Some(first) = explicit.insert(name.value.to_owned(), name.span) {
                            self.push(
                                Diag::error(
                                    codes::DUPLICATE_NAME,
                                    format!("two faults are called `{}`", clip(name.value)),
                                )
                                .label(name.span, "the second one")
                                .label(first, "the first one")
                                .help("give one of them another name, or none"),
                            );
                        }
                        name.value.to_owned()
                    }
                    None => names.unique(format!("{} {label}", action.describe())),
                };
                out.push((
                    Fault {
                        name,
                        action,
                        duration: fault.range("for").map(Range::from),
                    },
                    fault.span,
                ));
            }
        }
        out
    }
}

/// When a trigger can happen first.
fn first_moment(trigger: &Trigger) -> u64 {
    match trigger {
        Trigger::At { at_ns } => *at_ns,
        Trigger::Every { start_ns, .. } | Trigger::Between { start_ns, .. } => *start_ns,
        Trigger::After { delay, .. } => delay.min_ns,
    }
}
