//! One assertion in the source, and how often it was evaluated.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

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
    held: AtomicBool,
    failures: AtomicU32,
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
            held: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        }
    }

    /// The assertion is evaluated; `details` is called if it is news.
    #[inline]
    pub fn check(&'static self, condition: bool, details: impl FnOnce() -> String) {
        if condition {
            if !self.held.load(Relaxed) && !self.held.swap(true, Relaxed) {
                self.send(true, details());
            }
        } else if self.is_news_of_failure() {
            self.send(false, details());
        }
    }

    /// Counts a failure. That a `Sometimes` does not hold is no failure, and news only once.
    fn is_news_of_failure(&self) -> bool {
        if self.kind == Kind::Sometimes {
            return self.failures.load(Relaxed) == 0 && self.failures.swap(1, Relaxed) == 0;
        }
        // The count stays at its end instead of starting again.
        let add = |count: u32| count.checked_add(1);
        match self.failures.fetch_update(Relaxed, Relaxed, add) {
            Ok(before) => before < FAILURES_SENT || (before + 1).is_power_of_two(),
            Err(_) => false,
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
        let site = AssertSite::new(kind, "", "", "", 1, 1);
        (1..=count).filter(|_| site.is_news_of_failure()).collect()
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
    fn count_of_failures_does_not_start_again() {
        let site = AssertSite::new(Kind::Always, "", "", "", 1, 1);
        site.failures.store(u32::MAX - 1, Relaxed);
        assert!(!site.is_news_of_failure());
        assert!(!site.is_news_of_failure());
        assert_eq!(site.failures.load(Relaxed), u32::MAX);
    }
}
