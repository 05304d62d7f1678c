//! How a long step is shown: a bar on a terminal, one plain line elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes. It is always stderr, so that stdout stays machine-clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bars that are redrawn in place.
    Bars,
    /// One line at the start of each step.
    Lines,
    /// Nothing, for tests and for callers that have their own display.
    Silent,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars
        } else {
            Self::Lines
        }
    }

    /// Starts a step whose length is known, in bytes.
    pub(super) fn bytes(self, what: &str, total: u64) -> Step {
        let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
        self.start(what, Some(total), style)
    }

    /// Starts a step whose length is not known.
    pub(super) fn spinner(self, what: &str) -> Step {
        self.start(what, None, "{spinner} {msg} {elapsed}")
    }

    fn start(self, what: &str, total: Option<u64>, style: &str) -> Step {
        if self == Self::Lines {
            eprintln!("chaosrun: {what}");
        }
        let target = match self {
            Self::Bars => ProgressDrawTarget::stderr(),
            Self::Lines | Self::Silent => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Step { bar }
    }
}

/// One step under way; it disappears from the terminal when dropped.
#[derive(Debug)]
pub(super) struct Step {
    bar: ProgressBar,
}

impl Step {
    /// Says how many bytes are done.
    pub(super) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
