//! `no-panic`: no kernel panics, and no program panics or dies by a signal that no fault sent.
//!
//! What counts:
//! - what the machine itself sees: a triple fault, a kernel that says that it panicked;
//! - messages of the kernel on the console that tell of a defect in it: `Kernel panic - not
//!   syncing`, `BUG:`, `kernel BUG at`, `Oops:`, `general protection fault`, `Unable to handle
//!   kernel`, `invalid opcode:`, and its `segfault at` and `traps:` about programs;
//! - a Rust program's `thread '...' panicked at`;
//! - init's report that a workload died by a signal.
//!
//! What does not count: a node that a fault killed, a program that a fault killed, a program that
//! the kernel kills (SIGKILL) while a fault takes memory away, warnings of the kernel, and its
//! complaints about lockups and stalls, which a paused node makes without being at fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::checker::{Checker, End, Line};
use super::judgement::{Judgement, Seen};
use super::observation::{ExitStatus, InitReport, NodeChange, Observation, ObservationKind};
use crate::outcome::time::counted;
use crate::outcome::{FindingKind, PropertyKind};

const KIND: PropertyKind = PropertyKind::NoPanic;
/// How many lines after a panic are kept as evidence.
const MAX_CONTEXT_LINES: usize = 24;
const SIGKILL: i32 = 9;

/// What a Linux kernel says when it stops for good, whatever its version.
pub const KERNEL_PANIC: &str = "Kernel panic - not syncing";

/// The kernel's messages stand at the beginning of a line or behind its time stamp, which may follow
/// the unfinished line of a program.
static KERNEL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let place = r"(?:^(?:<\d+>)?|\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? )";
    let others = concat!(
        r"BUG: |kernel BUG at |Oops: |general protection fault",
        r"|Unable to handle kernel |invalid opcode: |divide error: |Internal error: Oops",
        r"|traps: \S+\[\d+\] |\S+\[\d+\]: segfault at ",
    );
    Regex::new(&format!("{place}(?:{KERNEL_PANIC}|{others})")).ok()
});

/// A thread's name may be anything, even a quote.
static RUST: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"thread '.*'(?: \(\d+\))? panicked at ").ok());

/// Whether a line of a console tells of a panic, and of which.
#[must_use]
pub fn panic_in(line: &str) -> Option<&'static str> {
    let shows = |regex: &LazyLock<Option<Regex>>| regex.as_ref().is_some_and(|r| r.is_match(line));
    // Looking for short words first is much cheaper, and nearly every line has none of them.
    if line.contains("panicked at") && shows(&RUST) {
        return Some("a program panicked");
    }
    if !shows(&KERNEL) {
        return None;
    }
    let of_program = line.contains("segfault at") || line.contains("traps: ");
    Some(if of_program {
        "a program crashed"
    } else {
        "the kernel crashed"
    })
}

/// The checker.
#[derive(Debug, Clone)]
pub struct NoPanic {
    name: String,
    nodes: BTreeSet<String>,
    looked_at: u64,
    seen: BTreeSet<String>,
    panics: u64,
    first: Option<(Seen, String, Vec<String>)>,
    /// The nodes whose memory active faults take, by fault.
    memory_faults: BTreeMap<u64, Vec<String>>,
    unimplemented: Option<(Seen, String)>,
}

impl NoPanic {
    /// Judges nodes.
    #[must_use]
    pub fn new(name: &str, nodes: BTreeSet<String>) -> Self {
        Self {
            name: name.to_owned(),
            nodes,
            looked_at: 0,
            seen: BTreeSet::new(),
            panics: 0,
            first: None,
            memory_faults: BTreeMap::new(),
            unimplemented: None,
        }
    }

    fn panic(&mut self, seen: impl FnOnce() -> Seen, reason: impl FnOnce() -> String) {
        self.panics += 1;
        if self.first.is_none() {
            self.first = Some((seen(), reason(), Vec::new()));
        }
    }

    fn ended(&mut self, seen: &Observation<'_>, node: &str, process: &str, signal: i32) {
        let starved = self
            .memory_faults
            .values()
            .any(|nodes| nodes.is_empty() || nodes.iter().any(|n| n == node));
        if signal == SIGKILL && starved {
            return;
        }
        let reason = || format!("{process} on {node} died by signal {signal}");
        self.panic(|| Seen::of(seen), reason);
    }

    fn node_changed(&mut self, seen: &Observation<'_>, node: &str, change: &NodeChange) {
        match change {
            NodeChange::Panicked { detail } => self.panic(
                || Seen::of(seen),
                || format!("the kernel of {node} panicked: {detail}"),
            ),
            NodeChange::TripleFault => self.panic(
                || Seen::of(seen),
                || format!("the processor of {node} stopped by a triple fault"),
            ),
            NodeChange::Unimplemented { what } if self.unimplemented.is_none() => {
                self.unimplemented = Some((Seen::of(seen), what.clone()));
            }
            _ => {}
        }
    }
}

impl Checker for NoPanic {
    fn observe(&mut self, seen: &Observation<'_>) {
        match &seen.kind {
            ObservationKind::FaultBegan { id, class, nodes } if class == "memory" => {
                self.memory_faults.insert(*id, nodes.clone());
            }
            ObservationKind::FaultEnded { id } => {
                self.memory_faults.remove(id);
            }
            _ => {}
        }
        let Some(node) = seen.node.filter(|node| self.nodes.contains(*node)) else {
            return;
        };
        if !self.seen.contains(node) {
            self.seen.insert(node.to_owned());
        }
        match &seen.kind {
            ObservationKind::Node(change) => self.node_changed(seen, node, change),
            ObservationKind::Init(InitReport::Ended {
                process,
                status: ExitStatus::Signal(signal),
                by_fault: false,
                ..
            }) => self.ended(seen, node, process, *signal),
            _ => {}
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        if !line.ended || !self.nodes.contains(line.node) {
            return;
        }
        self.looked_at += 1;
        if let Some((first, _, context)) = &mut self.first
            && first.node.as_deref() == Some(line.node)
            && context.len() < MAX_CONTEXT_LINES
        {
            context.push(line.text.to_owned());
        }
        if let Some(what) = panic_in(line.text) {
            let seen = || Seen {
                seq: line.seq,
                time_ns: line.time_ns,
                node: Some(line.node.to_owned()),
            };
            let is_first = self.first.is_none();
            self.panic(seen, || {
                format!("{what} on {}: {}", line.node, line.text.trim())
            });
            if is_first && let Some((_, _, context)) = &mut self.first {
                context.push(line.text.to_owned());
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.first.is_some()
    }

    fn finish(&mut self, end: &End) -> Vec<Judgement> {
        let unseen: Vec<&str> = self
            .nodes
            .difference(&self.seen)
            .map(String::as_str)
            .collect();
        let judgement = if let Some((seen, reason, context)) = &self.first {
            Judgement::fail(&self.name, KIND, FindingKind::Panic, reason)
                .seen(seen)
                .evidence("console", context.join("\n"))
        } else if let Some((seen, what)) = &self.unimplemented {
            let reason = format!(
                "{} did what chaosrun does not implement: {what}",
                seen.place()
            );
            Judgement::inconclusive(&self.name, KIND, reason).seen(seen)
        } else if !unseen.is_empty() || self.nodes.is_empty() {
            let why = end.cut_short().unwrap_or_default();
            let reason = format!("nothing was seen of {}; {why}", unseen.join(", "));
            Judgement::inconclusive(&self.name, KIND, reason.trim_end_matches("; "))
        } else {
            let lines = counted(self.looked_at, "line", "lines");
            Judgement::pass(
                &self.name,
                KIND,
                format!("no panic in {lines} of the consoles"),
            )
        };
        vec![judgement.counted(self.looked_at.saturating_sub(self.panics), self.panics)]
    }
}

#[cfg(test)]
mod tests {
    use super::panic_in;

    #[test]
    fn panics_are_told_from_talk_about_panics() {
        for line in [
            "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs",
            "Kernel panic - not syncing: Attempted to kill init!",
            "half a line of a program[   12.000001] BUG: kernel NULL pointer dereference, address: 0",
            "[    3.000000][    T1] Oops: 0002 [#1] PREEMPT SMP",
            "[    3.000000] general protection fault, probably for non-canonical address",
            "[    5.100000] raft[99]: segfault at 0 ip 00007f sp 00007f error 4",
            "[    5.100000] traps: raft[99] trap invalid opcode ip:40 sp:7f error:0",
            "thread 'main' panicked at src/main.rs:3:5:",
            "thread 'it's' (17) panicked at src/main.rs:3:5:",
        ] {
            assert!(panic_in(line).is_some(), "{line}");
        }
        for line in [
            "Debugging: BUG: is a word, Oops: too",
            "[    0.100000] Command line: panic=-1 oops=panic",
            "[   22.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
            "[    1.000000] WARNING: CPU: 0 PID: 1 at kernel/x.c:1",
            "the test has not panicked at all",
            "",
        ] {
            assert!(panic_in(line).is_none(), "{line}");
        }
    }
}
