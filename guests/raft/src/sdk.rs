//! The assertions' thin layer: each goes to chaosrun, and in this crate's own tests the broken ones
//! are also collected, so that a test can tell whether any broke.

#[cfg(test)]
use std::cell::RefCell;

#[cfg(test)]
thread_local! {
    static BROKEN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    static REACHED: RefCell<std::collections::BTreeSet<&'static str>> =
        const { RefCell::new(std::collections::BTreeSet::new()) };
}

/// Remembers, in tests, that an assertion was reached and whether it held.
#[cfg(test)]
pub(crate) fn observe(holds: bool, message: &'static str) {
    REACHED.with_borrow_mut(|reached| {
        reached.insert(message);
    });
    if !holds {
        BROKEN.with_borrow_mut(|broken| broken.push(message));
    }
}

/// Remembers nothing outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn observe(_holds: bool, _message: &'static str) {}

/// The messages of the assertions that broke on this thread since the last call.
#[cfg(test)]
pub(crate) fn take_broken() -> Vec<&'static str> {
    BROKEN.with_borrow_mut(std::mem::take)
}

/// The messages of the assertions that were reached on this thread since the last call.
#[cfg(test)]
pub(crate) fn take_reached() -> std::collections::BTreeSet<&'static str> {
    REACHED.with_borrow_mut(std::mem::take)
}

/// It must hold whenever it is reached, and be reached.
macro_rules! always {
    ($holds:expr, $message:literal, $details:tt) => {{
        let holds: bool = $holds;
        $crate::sdk::observe(holds, $message);
        chaosrun_sdk::assert_always!(holds, $message, &chaosrun_sdk::serde_json::json!($details));
    }};
}

/// It must hold whenever it is reached, which may be never.
macro_rules! always_if_reached {
    ($holds:expr, $message:literal, $details:tt) => {{
        let holds: bool = $holds;
        $crate::sdk::observe(holds, $message);
        chaosrun_sdk::assert_always_or_unreachable!(
            holds,
            $message,
            &chaosrun_sdk::serde_json::json!($details)
        );
    }};
}

/// It must hold at least once.
macro_rules! sometimes {
    ($holds:expr, $message:literal, $details:tt) => {{
        let holds: bool = $holds;
        if holds {
            $crate::sdk::observe(true, $message);
        }
        chaosrun_sdk::assert_sometimes!(
            holds,
            $message,
            &chaosrun_sdk::serde_json::json!($details)
        );
    }};
}

/// It must be reached at least once.
macro_rules! reached {
    ($message:literal, $details:tt) => {{
        $crate::sdk::observe(true, $message);
        chaosrun_sdk::assert_reachable!($message, &chaosrun_sdk::serde_json::json!($details));
    }};
}

pub(crate) use {always, always_if_reached, reached, sometimes};

/// Tells once more that something holds. A place in the source tells it only the first time in the life
/// of a process, so each call makes a place of its own; call it about once a second at most.
pub(crate) fn holds_again(message: &'static str, details: &chaosrun_sdk::serde_json::Value) {
    use chaosrun_sdk::__private::{AssertSite, Kind};
    let site = AssertSite::new(
        Kind::Sometimes,
        message,
        file!(),
        module_path!(),
        line!(),
        1,
    );
    let site: &'static AssertSite = Box::leak(Box::new(site));
    site.check(true, || details.to_string());
}
