//! One assertion in the source, and how often it was evaluated.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use alloc::string::String;
use chaosrun_protocol::{Assertion, Kind, Message, Site};

use crate::transport;

/// How many failures are sent, before only those are whose number is a power of two.
const FAILURES_SENT: u32 = 8;

/// An assertion of the program. The macros make one for each place where they are used.
#[derive(Debug)]
pub struct AssertSite {
    kind: Kind,
    message: &'static str,
    file: &'static str,
    module: &'static str,
    line: u32,
    column: u32,
    counts: Counts,
}

/// How often an assertion held (once is enough to know) and did not. C programs have it in their sites.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counts {
    held: AtomicU32,
    failures: AtomicU32,
}

impl Counts {
    /// An assertion that was not evaluated.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            held: AtomicU32::new(0),
            failures: AtomicU32::new(0),
        }
    }

    /// Counts an evaluation, and says whether the host is to hear of it.
    #[inline]
    pub fn is_news(&self, kind: Kind, condition: bool) -> bool {
        if condition {
            is_first(&self.held)
        } else {
            self.is_news_of_failure(kind)
        }
    }

    /// Counts a failure. That a `Sometimes` does not hold is no failure, and news only once.
    fn is_news_of_failure(&self, kind: Kind) -> bool {
        if kind == Kind::Sometimes {
            return is_first(&self.failures);
        }
        // The count stays at its end instead of starting again.
        let add = |count: u32| count.checked_add(1);
        match self.failures.fetch_update(Relaxed, Relaxed, add) {
            Ok(before) => before < FAILURES_SENT || (before + 1).is_power_of_two(),
            Err(_) => false,
        }
    }
}

/// Whether nobody asked before.
#[inline]
fn is_first(asked: &AtomicU32) -> bool {
    asked.load(Relaxed) == 0 && asked.swap(1, Relaxed) == 0
}

impl AssertSite {
    /// A site that was not reached yet.
    #[must_use]
    pub const fn new(
        kind: Kind,
        message: &'static str,
        file: &'static str,
        module: &'static str,
        line: u32,
        column: u32,
    ) -> Self {
        Self {
            kind,
            message,
            file,
            module,
            line,
            column,
            counts: Counts::new(),
        }
    }

    /// The assertion is evaluated; `details` is called if it is news.
    #[inline]
    pub fn check(&'static self, condition: bool, details: impl FnOnce() -> String) {
        if self.counts.is_news(self.kind, condition) {
            self.send(condition, details());
        }
    }

    #[cold]
    fn send(&'static self, condition: bool, details: String) {
        transport::send(Message::Assert(Assertion {
            site: self.describe(),
            condition,
            details,
        }));
    }

    /// The site as it is told to the host.
    pub(crate) fn describe(&self) -> Site {
        Site {
            kind: self.kind,
            message: self.message.into(),
            file: self.file.into(),
            module: self.module.into(),
            line: self.line,
            column: self.column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(kind: Kind, count: u32) -> alloc::vec::Vec<u32> {
        let counts = Counts::new();
        (1..=count)
            .filter(|_| counts.is_news(kind, false))
            .collect()
    }

    #[test]
    fn failures_are_sent_less_and_less_often() {
        assert_eq!(news(Kind::Always, 70), [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64]);
    }

    #[test]
    fn what_does_not_hold_yet_is_sent_once() {
        assert_eq!(news(Kind::Sometimes, 70), [1]);
    }

    #[test]
    fn first_success_is_news_before_and_after_failures() {
        let counts = Counts::new();
        assert!(counts.is_news(Kind::Always, false));
        assert!(counts.is_news(Kind::Always, true));
        assert!(!counts.is_news(Kind::Always, true));
    }

    #[test]
    fn count_of_failures_does_not_start_again() {
        let counts = Counts::new();
        counts.failures.store(u32::MAX - 1, Relaxed);
        assert!(!counts.is_news(Kind::Always, false));
        assert!(!counts.is_news(Kind::Always, false));
        assert_eq!(counts.failures.load(Relaxed), u32::MAX);
    }
}
