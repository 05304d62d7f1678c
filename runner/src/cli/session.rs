//! Runs one machine to its end, in steps of virtual time between which the world outside is looked
//! at: the console, the user's Ctrl-C, and the time limit.

use std::sync::atomic::{AtomicBool, Ordering};

use chaosrun_vmm::engine::EngineError;
use chaosrun_vmm::machine::{Machine, StateHash, Stop};
use chaosrun_vmm::time::VirtTime;

use crate::property::no_panic::KERNEL_PANIC;

/// The length of a step in nanoseconds of virtual time. It decides at which moment a run that waits
/// for a pattern ends, so it is a constant.
const STEP: u64 = 10_000_000;

/// When a run is over, and how often its state is hashed.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// The text that ends the run when the console shows it.
    pub until: Option<String>,
    /// The end in nanoseconds of virtual time.
    pub end: Option<u64>,
    /// The distance of state hashes in nanoseconds of virtual time.
    pub hash_every: Option<u64>,
}

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The console showed the text that was waited for.
    Found,
    /// The time is up.
    TimeUp,
    /// The user pressed Ctrl-C, or the listener does not want more.
    Interrupted,
    /// The machine stopped by itself.
    Stopped(Stop),
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// Why it is over.
    pub end: End,
    /// Whether the guest's kernel panicked.
    pub panicked: bool,
}

/// What a run tells while it is under way.
pub(super) trait Listener {
    /// The console printed something.
    fn console(&mut self, bytes: &[u8]);
    /// A state hash was taken. False ends the run.
    fn hash(&mut self, hash: StateHash) -> bool;
}

/// Runs `machine` until it is over. If states are hashed, the last state is, too.
pub(super) fn run(
    machine: &mut Machine,
    limits: &Limits,
    interrupt: &AtomicBool,
    listener: &mut dyn Listener,
) -> Result<Summary, EngineError> {
    let mut until = limits
        .until
        .as_deref()
        .map(|text| Finder::new(text.as_bytes()));
    let mut panic = Finder::new(KERNEL_PANIC.as_bytes());
    let mut hashed = machine.now();
    let end = loop {
        let now = machine.now();
        let next_hash = limits
            .hash_every
            .map_or(VirtTime(u64::MAX), |every| hashed.after(every));
        let limit = VirtTime(limits.end.unwrap_or(u64::MAX));
        // Steps end at multiples of their length, wherever the last one ended.
        let step = VirtTime((now.0 / STEP).saturating_add(1).saturating_mul(STEP));
        let stop = machine.run_until(step.min(next_hash).min(limit))?;
        let output = machine.take_console();
        if !output.is_empty() {
            listener.console(&output);
        }
        panic.look(&output);
        if let Some(finder) = &mut until {
            finder.look(&output);
        }
        if machine.now() >= next_hash {
            hashed = next_hash;
            if !listener.hash(machine.state_hash()?) {
                break End::Interrupted;
            }
        }
        if until.as_ref().is_some_and(|finder| finder.found) {
            break End::Found;
        } else if stop != Stop::Reached {
            break End::Stopped(stop);
        } else if machine.now() >= limit {
            break End::TimeUp;
        } else if interrupt.load(Ordering::Relaxed) {
            break End::Interrupted;
        }
    };
    if limits.hash_every.is_some() && machine.now() != hashed {
        listener.hash(machine.state_hash()?);
    }
    Ok(Summary {
        end,
        panicked: panic.found,
    })
}

/// Looks for a text in a stream that arrives in pieces.
struct Finder {
    text: Vec<u8>,
    /// The end of what came so far, too short to hold the text.
    tail: Vec<u8>,
    found: bool,
}

impl Finder {
    fn new(text: &[u8]) -> Self {
        Self {
            text: text.to_owned(),
            tail: Vec::new(),
            found: text.is_empty(),
        }
    }

    fn look(&mut self, piece: &[u8]) {
        if self.found || piece.is_empty() {
            return;
        }
        self.tail.extend(piece);
        self.found = self
            .tail
            .windows(self.text.len())
            .any(|window| window == self.text);
        let keep = self.tail.len().min(self.text.len() - 1);
        self.tail.drain(..self.tail.len() - keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(text: &str, pieces: &[&str]) -> bool {
        let mut finder = Finder::new(text.as_bytes());
        for piece in pieces {
            finder.look(piece.as_bytes());
        }
        finder.found
    }

    #[test]
    fn a_text_is_found_across_pieces() {
        assert!(finds("ready", &["not re", "ad", "y yet"]));
        assert!(finds("aab", &["a", "a", "a", "b"]));
        assert!(finds("x", &["", "x"]));
    }

    #[test]
    fn a_text_that_is_not_there_is_not_found() {
        assert!(!finds("ready", &["read", " y", "read"]));
        assert!(!finds("ready", &[]));
    }

    #[test]
    fn the_finder_keeps_less_than_the_text() {
        let mut finder = Finder::new(b"ready");
        finder.look(&[b'r'; 10_000]);
        assert_eq!(finder.tail.len(), 4);
    }
}
