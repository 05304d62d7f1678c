//! The macros. Names and meaning are those of Antithesis's SDKs, so that a program can change over by
//! changing its imports.

/// The static of a site; with the SDK disabled, it is nowhere listed.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "disabled"))]
macro_rules! __site {
    ($kind:ident, $message:expr) => {{
        #[$crate::__private::linkme::distributed_slice($crate::__private::SITES)]
        #[linkme(crate = $crate::__private::linkme)]
        static SITE: $crate::__private::AssertSite = $crate::__private::AssertSite::new(
            $crate::__private::Kind::$kind,
            $message,
            $crate::__private::file!(),
            $crate::__private::module_path!(),
            $crate::__private::line!(),
            $crate::__private::column!(),
        );
        &SITE
    }};
}

/// The static of a site; with the SDK disabled, it is nowhere listed.
#[doc(hidden)]
#[macro_export]
#[cfg(feature = "disabled")]
macro_rules! __site {
    ($kind:ident, $message:expr) => {{
        static SITE: $crate::__private::AssertSite = $crate::__private::AssertSite::new(
            $crate::__private::Kind::$kind,
            $message,
            "",
            "",
            0,
            0,
        );
        &SITE
    }};
}

/// An assertion with details or without.
#[doc(hidden)]
#[macro_export]
macro_rules! __check {
    ($kind:ident, $condition:expr, $message:expr $(,)?) => {
        $crate::__check!($kind, $condition, $message, &())
    };
    ($kind:ident, $condition:expr, $message:expr, $details:expr $(,)?) => {
        if $crate::__private::ENABLED {
            let condition: bool = $condition;
            $crate::__site!($kind, $message)
                .check(condition, || $crate::__private::details($details));
        }
    };
}

/// A comparison with details or without.
#[doc(hidden)]
#[macro_export]
macro_rules! __compare {
    ($kind:ident, $op:tt, $left:expr, $right:expr, $message:expr $(,)?) => {
        $crate::__compare!($kind, $op, $left, $right, $message, &())
    };
    ($kind:ident, $op:tt, $left:expr, $right:expr, $message:expr, $details:expr $(,)?) => {
        if $crate::__private::ENABLED {
            match (&$left, &$right) {
                (left, right) => $crate::__site!($kind, $message).check(*left $op *right, || {
                    $crate::__private::compared(left, right, $details)
                }),
            }
        }
    };
}

/// Named conditions with details or without.
#[doc(hidden)]
#[macro_export]
macro_rules! __combine {
    ($kind:ident, $how:ident, { $($name:ident : $condition:expr),+ $(,)? }, $message:expr $(,)?) => {
        $crate::__combine!($kind, $how, { $($name: $condition),+ }, $message, &())
    };
    (
        $kind:ident, $how:ident, { $($name:ident : $condition:expr),+ $(,)? }, $message:expr,
        $details:expr $(,)?
    ) => {
        if $crate::__private::ENABLED {
            let conditions = [$((stringify!($name), $condition)),+];
            $crate::__site!($kind, $message).check($crate::__private::$how(&conditions), || {
                $crate::__private::named(&conditions, $details)
            });
        }
    };
}

/// The condition holds each time that this is reached, and it is reached at least once.
///
/// `assert_always!(condition, "message")` or `assert_always!(condition, "message", &details)`, where the
/// details are anything that serde can serialise. The message is a constant and names the property.
#[macro_export]
macro_rules! assert_always {
    ($($arguments:tt)+) => { $crate::__check!(Always, $($arguments)+) };
}

/// The condition holds each time that this is reached; it need not be reached.
#[macro_export]
macro_rules! assert_always_or_unreachable {
    ($($arguments:tt)+) => { $crate::__check!(AlwaysOrUnreachable, $($arguments)+) };
}

/// The condition holds at least once.
#[macro_export]
macro_rules! assert_sometimes {
    ($($arguments:tt)+) => { $crate::__check!(Sometimes, $($arguments)+) };
}

/// This is reached at least once: `assert_reachable!("message"[, &details])`.
#[macro_export]
macro_rules! assert_reachable {
    ($($arguments:tt)+) => { $crate::__check!(Reachable, true, $($arguments)+) };
}

/// This is never reached: `assert_unreachable!("message"[, &details])`.
#[macro_export]
macro_rules! assert_unreachable {
    ($($arguments:tt)+) => { $crate::__check!(Unreachable, false, $($arguments)+) };
}

/// `left > right`, always: `assert_always_greater_than!(left, right, "message"[, &details])`. The
/// details show both sides.
#[macro_export]
macro_rules! assert_always_greater_than {
    ($($arguments:tt)+) => { $crate::__compare!(Always, >, $($arguments)+) };
}

/// `left >= right`, always. The details show both sides.
#[macro_export]
macro_rules! assert_always_greater_than_or_equal_to {
    ($($arguments:tt)+) => { $crate::__compare!(Always, >=, $($arguments)+) };
}

/// `left < right`, always. The details show both sides.
#[macro_export]
macro_rules! assert_always_less_than {
    ($($arguments:tt)+) => { $crate::__compare!(Always, <, $($arguments)+) };
}

/// `left <= right`, always. The details show both sides.
#[macro_export]
macro_rules! assert_always_less_than_or_equal_to {
    ($($arguments:tt)+) => { $crate::__compare!(Always, <=, $($arguments)+) };
}

/// `left > right`, at least once. The details show both sides.
#[macro_export]
macro_rules! assert_sometimes_greater_than {
    ($($arguments:tt)+) => { $crate::__compare!(Sometimes, >, $($arguments)+) };
}

/// `left >= right`, at least once. The details show both sides.
#[macro_export]
macro_rules! assert_sometimes_greater_than_or_equal_to {
    ($($arguments:tt)+) => { $crate::__compare!(Sometimes, >=, $($arguments)+) };
}

/// `left < right`, at least once. The details show both sides.
#[macro_export]
macro_rules! assert_sometimes_less_than {
    ($($arguments:tt)+) => { $crate::__compare!(Sometimes, <, $($arguments)+) };
}

/// `left <= right`, at least once. The details show both sides.
#[macro_export]
macro_rules! assert_sometimes_less_than_or_equal_to {
    ($($arguments:tt)+) => { $crate::__compare!(Sometimes, <=, $($arguments)+) };
}

/// At least one of the named conditions holds, always:
/// `assert_always_some!({ leader: a, follower: b }, "message"[, &details])`. The details show each.
#[macro_export]
macro_rules! assert_always_some {
    ($($arguments:tt)+) => { $crate::__combine!(Always, any, $($arguments)+) };
}

/// All of the named conditions hold at the same time, at least once:
/// `assert_sometimes_all!({ left_full: a, right_full: b }, "message"[, &details])`. The details show each.
#[macro_export]
macro_rules! assert_sometimes_all {
    ($($arguments:tt)+) => { $crate::__combine!(Sometimes, all, $($arguments)+) };
}

/// Whether the program should now do something that is rare but legal: an early timeout, a short read, a
/// small buffer.
///
/// `buggify!("name")` or `buggify!("name", 1, 100)`. In a machine of chaosrun, a point is switched on for
/// one process in four, drawn when it is first reached, and is then taken with the given chance (else 1
/// in 4) each time. Elsewhere, and with the SDK disabled, it is never taken.
///
/// ```
/// let limit = if chaosrun_sdk::buggify!("tiny batches", 1, 10) { 1 } else { 64 };
/// # assert_eq!(limit, 64);
/// ```
#[macro_export]
macro_rules! buggify {
    ($name:expr $(,)?) => {
        $crate::buggify!($name, 1, 4)
    };
    ($name:expr, $numerator:expr, $denominator:expr $(,)?) => {{
        if $crate::__private::ENABLED {
            static POINT: $crate::__private::Point = $crate::__private::Point::new($name);
            POINT.taken($numerator, $denominator)
        } else {
            false
        }
    }};
}
