//! Properties.

use std::collections::BTreeMap;

use super::{Lower, clip};
use crate::plan::fault::Faults;
use crate::plan::property::{Check, ConsistencyLevel, HistoryModel, Property, Since, Subject};
use crate::scenario::block::{Block, Datum};
use crate::scenario::codes;
use crate::scenario::diag::Diag;
use crate::scenario::source::{Span, Spanned};
use crate::scenario::suggest::did_you_mean;
use crate::scenario::units::duration;
use crate::scenario::vocab;

/// The time that properties after the quiet period have.
struct Time {
    duration_ns: u64,
    quiet_from_ns: u64,
}

impl Lower<'_> {
    /// Lowers the block `properties`, with those that are judged always.
    pub(super) fn properties(
        &mut self,
        body: &Block,
        duration_ns: u64,
        faults: &Faults,
    ) -> Vec<Property> {
        let empty = Block::empty(&vocab::PROPERTIES, body.span);
        let block = body.block("properties").cloned();
        let block = block.as_deref().unwrap_or(&empty);
        let time = Time {
            duration_ns,
            quiet_from_ns: faults.quiet_from_ns,
        };
        let mut out: BTreeMap<String, (Property, Option<Span>)> = BTreeMap::new();
        for field in &block.fields {
            let Datum::Block(inner) = &field.value.value else {
                continue;
            };
            let kind = field.key.name;
            let Some((label, check)) = self.property(kind, inner, &time) else {
                continue;
            };
            let name = if label.is_empty() {
                kind.to_owned()
            } else {
                format!("{kind}: {label}")
            };
            if let Some((_, first)) = out.get(&name) {
                let diag = Diag::error(
                    codes::DUPLICATE_NAME,
                    format!("there are two properties `{}`", clip(&name)),
                )
                .label(inner.span, "the second one")
                .label_opt(*first, "the first one");
                self.push(diag.help(if kind == "exit" || inner.has("console") {
                    "give one of them a name of its own"
                } else {
                    "remove one of them"
                }));
                continue;
            }
            let location = self.location(inner.span);
            self.origins.properties.insert(name.clone(), location);
            out.insert(name.clone(), (Property { name, check }, Some(inner.span)));
        }
        self.built_in(block, &mut out);
        out.into_values().map(|(p, _)| p).collect()
    }

    /// Adds `no-panic` and `no-hang` unless they are written or turned off.
    fn built_in(&mut self, block: &Block, out: &mut BTreeMap<String, (Property, Option<Span>)>) {
        for (name, check) in [
            ("no-panic", Check::NoPanic { on: "all".into() }),
            (
                "no-hang",
                Check::NoHang {
                    on: "all".into(),
                    within_ns: 10_000_000_000,
                },
            ),
        ] {
            if !block.has(name) {
                out.insert(
                    name.into(),
                    (
                        Property {
                            name: name.into(),
                            check,
                        },
                        None,
                    ),
                );
            }
        }
    }

    /// One property: what it is called, and what must hold. Nothing if it is turned off.
    fn property(&mut self, kind: &str, block: &Block, time: &Time) -> Option<(String, Check)> {
        let texts = |key: &str| {
            block
                .texts(key)
                .into_iter()
                .map(|t| t.value)
                .collect::<Vec<_>>()
        };
        let label = block.text("name").unwrap_or_default().to_owned();
        Some(match kind {
            "assertions" => {
                self.needs_guest(kind, block.span)?;
                for word in block.texts("only").iter().chain(&block.texts("except")) {
                    self.known_assertion(&word.value, word.span);
                }
                (
                    String::new(),
                    Check::Assertions {
                        only: texts("only"),
                        except: texts("except"),
                    },
                )
            }
            "always" | "never" | "sometimes" | "eventually" | "reachable" => {
                return self.about_a_subject(kind, block, time);
            }
            "exit" => return self.exit(block),
            "no-panic" | "no-hang" if !block.bool("enabled") => return None,
            "no-panic" => (
                String::new(),
                Check::NoPanic {
                    on: self.nodes_of(block, "on")?,
                },
            ),
            "no-hang" => (
                String::new(),
                Check::NoHang {
                    on: self.nodes_of(block, "on")?,
                    within_ns: block.amount("within")?,
                },
            ),
            "linearizable" | "append-list" => return self.about_a_history(kind, block, label),
            _ => return self.published(kind, block, time, label),
        })
    }

    /// Properties of an assertion, or of lines on consoles.
    fn about_a_subject(
        &mut self,
        kind: &str,
        block: &Block,
        time: &Time,
    ) -> Option<(String, Check)> {
        let (label, subject) = self.subject(kind, block)?;
        let check = match kind {
            "always" => Check::Always { subject },
            "never" => Check::Never { subject },
            "sometimes" => Check::Sometimes { subject },
            "reachable" => match subject {
                Subject::Assertion { message } => Check::Reachable { message },
                Subject::Console { .. } => return None,
            },
            _ => {
                let (within_ns, after) = self.when(block, time)?;
                Check::Eventually {
                    subject,
                    within_ns,
                    after,
                }
            }
        };
        Some((label, check))
    }

    /// Properties of a history of operations that guests record, which has the property's name.
    fn about_a_history(
        &mut self,
        kind: &str,
        block: &Block,
        label: String,
    ) -> Option<(String, Check)> {
        self.needs_guest(kind, block.span)?;
        let history = label.clone();
        let check = if kind == "linearizable" {
            let model = match block.text("model")? {
                "cas-register" => HistoryModel::CasRegister,
                "set" => HistoryModel::Set,
                "queue" => HistoryModel::Queue,
                "kv" => HistoryModel::Kv,
                _ => HistoryModel::Register,
            };
            Check::Linearizable { history, model }
        } else {
            let level = match block.text("level")? {
                "read-committed" => ConsistencyLevel::ReadCommitted,
                "snapshot-isolation" => ConsistencyLevel::SnapshotIsolation,
                "serializable" => ConsistencyLevel::Serializable,
                _ => ConsistencyLevel::StrictSerializable,
            };
            Check::AppendList { history, level }
        };
        Some((label, check))
    }

    /// Properties of values that guests publish.
    fn published(
        &mut self,
        kind: &str,
        block: &Block,
        time: &Time,
        label: String,
    ) -> Option<(String, Check)> {
        self.needs_guest(kind, block.span)?;
        let on = self.nodes_of(block, "on")?;
        let value = label.clone();
        let check = match kind {
            "progress" => {
                let (within_ns, after) = self.when(block, time)?;
                Check::Progress {
                    value,
                    on,
                    within_ns,
                    after,
                }
            }
            "converge" => {
                let (within_ns, after) = self.when(block, time)?;
                if self.members(&on).len() < 2 && !self.nodes.is_empty() {
                    self.push(
                        Diag::error(
                            codes::TOO_FEW_NODES,
                            "one node alone always agrees with itself",
                        )
                        .label(block.span_of("on"), "compares nothing")
                        .help("choose at least two nodes"),
                    );
                    return None;
                }
                Check::Converge {
                    value,
                    on,
                    within_ns,
                    after,
                }
            }
            "unique" => Check::Unique {
                value,
                on,
                per: block.text("per").map(ToOwned::to_owned),
            },
            _ => Check::Monotonic {
                value,
                on,
                strict: block.bool("strict"),
                across_restarts: block.bool("across-restarts"),
            },
        };
        Some((label, check))
    }

    fn subject(&mut self, kind: &str, block: &Block) -> Option<(String, Subject)> {
        let name = block
            .spanned_text("name")
            .map(|n| Spanned::new(n.value.to_owned(), n.span));
        if block.has("console") {
            let pattern = self.pattern(block, "console")?;
            let on = self.nodes_of(block, "on")?;
            let label = name.map_or_else(
                || format!("console {}", block.text("console").unwrap_or_default()),
                |n| n.value,
            );
            return Some((label, Subject::Console { pattern, on }));
        }
        let Some(name) = name else {
            self.push(
                Diag::error(
                    codes::MISSING_KEY,
                    format!("nothing says what `{kind}` is about"),
                )
                .label(block.span, "a name or `console` is missing")
                .help(format!(
                    "write `{kind} \"message of the assertion\"` or `{kind} console=\"text\"`"
                )),
            );
            return None;
        };
        if block.has("on") {
            self.push(
                Diag::error(
                    codes::CONFLICTING_KEYS,
                    "`on` is for consoles; an assertion counts wherever it is",
                )
                .label(block.span_of("on"), "unused")
                .help("remove it, or add `console`"),
            );
        }
        self.needs_guest(kind, block.span)?;
        self.known_assertion(&name.value, name.span);
        Some((
            name.value.clone(),
            Subject::Assertion {
                message: name.value,
            },
        ))
    }

    /// How long, and from when on.
    fn when(&mut self, block: &Block, time: &Time) -> Option<(u64, Since)> {
        let within_ns = block.amount("within")?;
        let quiet_ns = time.duration_ns - time.quiet_from_ns;
        let written = block.has("after");
        let after = match block.text("after") {
            Some("start") => Since::Start,
            Some("last-fault") => Since::LastFault,
            // Without a quiet period the default is the start.
            _ if quiet_ns == 0 && !written => Since::Start,
            _ => Since::Quiet,
        };
        if after == Since::Quiet && quiet_ns == 0 {
            self.push(
                Diag::error(
                    codes::NO_QUIET,
                    "there is no quiet period after which this could be judged",
                )
                .label(block.span_of("after"), "needs a quiet period")
                .help("add `quiet \"10s\"` to `faults`, or write `after=\"start\"`"),
            );
            return None;
        }
        let left = if after == Since::Start {
            time.duration_ns
        } else {
            quiet_ns
        };
        if within_ns > left && after != Since::LastFault {
            let span = if block.has("within") {
                block.span_of("within")
            } else {
                block.span
            };
            self.push(
                Diag::warning(
                    codes::TOO_SHORT_QUIET,
                    format!(
                        "this may take {}, but only {} are left of the run",
                        duration(within_ns),
                        duration(left)
                    ),
                )
                .label(span, "could not be decided")
                .help("make `within` shorter, or the quiet period or the run longer"),
            );
        }
        Some((within_ns, after))
    }

    fn exit(&mut self, block: &Block) -> Option<(String, Check)> {
        let on = self.nodes_of(block, "on")?;
        let process = match block.spanned_text("process") {
            Some(name) => Some(self.process(name.value, name.span, &on)?),
            None => None,
        };
        let mut codes: Vec<u32> = block
            .ints("code")
            .into_iter()
            .filter_map(|n| u32::try_from(n).ok())
            .collect();
        codes.sort_unstable();
        codes.dedup();
        let label = match &process {
            Some(process) => format!("{process} on {on}"),
            None => on.clone(),
        };
        Some((
            label,
            Check::Exit {
                on,
                process,
                codes,
                required: block.bool("required"),
            },
        ))
    }

    fn needs_guest(&mut self, kind: &str, span: Span) -> Option<()> {
        if self.nodes.iter().any(|n| !n.guests.is_empty()) {
            return Some(());
        }
        if !self.nodes.is_empty() {
            self.push(
                Diag::error(
                    codes::NO_PUBLISHER,
                    format!("`{kind}` needs a guest that reports to it, but no node runs one"),
                )
                .label(span, "nothing reports")
                .label(self.nodes[0].span, "this node runs no guest")
                .help(
                    "add a guest to a node, or look at the console instead: `never \
                     console=\"...\"`",
                ),
            );
        }
        None
    }

    /// Warns of an assertion that no guest has, as far as that is known.
    fn known_assertion(&mut self, message: &str, span: Span) {
        let mut known: Vec<String> = Vec::new();
        for (name, folder) in &self.guest_folders {
            let used = self
                .nodes
                .iter()
                .any(|n| n.guests.iter().any(|g| g == name));
            match self.files.assertions(folder) {
                Some(messages) => known.extend(messages),
                None if used => return,
                None => {}
            }
        }
        // Guests that are no crates may have assertions that are not known.
        let all_are_crates = self
            .nodes
            .iter()
            .flat_map(|n| &n.guests)
            .all(|g| self.guest_folders.contains_key(g));
        if !all_are_crates || known.iter().any(|k| k == message) {
            return;
        }
        let help = did_you_mean(message, known.iter().map(String::as_str))
            .unwrap_or_else(|| "check the message in the guest's source".into());
        self.push(
            Diag::warning(
                codes::UNKNOWN_ASSERTION,
                format!("no guest has an assertion `{}`", clip(message)),
            )
            .label(span, "never judged")
            .help(help),
        );
    }
}
