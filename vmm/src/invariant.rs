//! What may never be.
//!
//! Two words say so. `assert!` is for what is cheap and guards a guest's data or the order of time: it
//! holds in release builds too, for a run that goes on with a torn disk or a clock that ran backwards would
//! be believed. [`invariant!`] is for the rest: it is checked in debug builds and in all tests of this
//! crate, also those of release builds.
//!
//! Neither is about what comes from outside. A guest may be hostile, a plan absurd and a host broken;
//! those are errors, counters or verdicts, and that a guest can trip an assertion is a defect.

/// Panics if a condition does not hold, in tests and debug builds; otherwise the condition is not looked at.
macro_rules! invariant {
    ($($condition:tt)*) => {
        if cfg!(any(test, debug_assertions)) {
            assert!($($condition)*);
        }
    };
}

pub(crate) use invariant;

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "one is not two")]
    fn it_is_checked_in_tests_of_release_builds() {
        super::invariant!(1 == 2, "one is not {}", "two");
    }
}
