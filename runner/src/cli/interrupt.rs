//! Ctrl-C, and the signals that ask a process to end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use super::progress::say;
use crate::artifact::end_programs;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether something is under way that ends by itself when the flag is set.
static WATCHED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// From now on, Ctrl-C ends the process with a word about it: what chaosrun prepares, such as kernels and
/// programs, is made anew next time.
pub(super) fn prepare() {
    INSTALLED.get_or_init(|| {
        // Without a handler Ctrl-C still ends the process, if less politely.
        let _ = ctrlc::set_handler(interrupted);
    });
}

/// From now on, Ctrl-C sets the flag that is returned, so that a run can end in good order; a second
/// Ctrl-C ends the process at once.
pub(super) fn watch() -> &'static AtomicBool {
    WATCHED.store(true, Ordering::Relaxed);
    prepare();
    &INTERRUPTED
}

/// Whether Ctrl-C was pressed while something was under way.
pub(super) fn is_set() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn interrupted() {
    if !WATCHED.load(Ordering::Relaxed) {
        say("chaosrun: interrupted before anything was run");
    } else if INTERRUPTED.swap(true, Ordering::Relaxed) {
        say("chaosrun: interrupted again, nothing more is written");
    } else {
        say("chaosrun: interrupted; what ran so far is written (again ends it at once)");
        return;
    }
    end_programs();
    std::process::exit(Exit::Inconclusive as i32);
}
