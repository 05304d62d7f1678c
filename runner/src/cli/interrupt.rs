//! Ctrl-C.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// From now on, Ctrl-C sets the flag that is returned, so that a run can end in good order; a second
/// Ctrl-C ends the process at once.
pub(super) fn watch() -> &'static AtomicBool {
    INSTALLED.get_or_init(|| {
        let handler = || {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Inconclusive as i32);
            }
        };
        // Without a handler Ctrl-C still ends the process, if less politely.
        let _ = ctrlc::set_handler(handler);
    });
    &INTERRUPTED
}
