//! What a program under test tells chaosrun, and asks of it.
//!
//! ```
//! use chaosrun_sdk::{assert_always, assert_sometimes, lifecycle, random};
//! use serde_json::json;
//!
//! lifecycle::setup_complete(&json!({ "role": "demo" }));
//! let balance = 100 - (random::u64() % 100) as i64;
//! assert_always!(balance >= 0, "no account is overdrawn", &json!({ "balance": balance }));
//! assert_sometimes!(balance == 100, "an account is full");
//! ```
//!
//! In a machine of chaosrun this reaches the host by one I/O instruction. Elsewhere, with the environment
//! variable `CHAOSRUN_SDK_LOCAL_OUTPUT`, it becomes lines of JSON in the file of that name; without, it
//! does nothing, and random numbers come from the operating system. With the feature `disabled`,
//! assertions, events, values, histories and fault points are not even compiled; what is given to a
//! macro is then not evaluated, but what is given to a function is.
//!
//! - **Assertions** ([`assert_always!`] and its relatives) are catalogued when the program is linked, so
//!   that chaosrun knows of those that no run reaches. A site sends the first time that its condition
//!   holds, the first 8 times that it does not, and then each failure whose number is a power of two;
//!   so an assertion in a hot loop costs one relaxed load. The details are evaluated only when they are
//!   sent.
//! - [`lifecycle`]: the program is ready; something happened.
//! - [`random`]: numbers that chaosrun chooses, and can choose differently in another run.
//! - [`publish`] and [`history`]: what the host's checkers follow.
//! - [`buggify!`]: rare behaviour that is legal, made frequent.
//!
//! Everything may be called from any thread, from any number of processes, and after `fork`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod buggify;
mod catalogue;
pub mod history;
pub mod lifecycle;
#[cfg(feature = "std")]
mod lines;
mod macros;
mod numeric;
pub mod random;
mod site;
mod transport;

use alloc::string::String;

pub use chaosrun_protocol::{Kind, Value};
pub use serde_json;
pub use transport::Connection;
#[cfg(not(feature = "std"))]
pub use transport::attach;

/// The parts that the macros expand to, and that init and the library for C use; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::buggify::Point;
    pub use crate::catalogue::SITES;
    pub use crate::numeric::{all, any, compared, details, named};
    pub use crate::site::{AssertSite, Counts};
    #[cfg(feature = "std")]
    pub use crate::transport::node;
    pub use crate::transport::{date, date_moved, send};
    pub use crate::{ENABLED, Kind};
    pub use core::{column, file, line, module_path};
    pub use linkme;
}

/// Whether the SDK is compiled in.
#[doc(hidden)]
pub const ENABLED: bool = cfg!(not(feature = "disabled"));

/// Finds out where the program runs and reports the catalogue of its assertions. The first call of
/// anything else does the same; call this early in programs that may not come that far.
pub fn init() -> Connection {
    if ENABLED {
        transport::started().connection()
    } else {
        Connection::None
    }
}

/// Publishes a value that the host's checkers follow, as in `monotonic "term"`.
///
/// ```
/// chaosrun_sdk::publish("term", 4u64);
/// chaosrun_sdk::publish("leader", "n2");
/// ```
#[inline]
pub fn publish(key: &str, value: impl Into<Value>) {
    if ENABLED {
        transport::send(chaosrun_protocol::Message::Publish {
            key: key.into(),
            value: value.into(),
        });
    }
}

/// The JSON text of a value; what has none (a map with keys that are no texts) becomes a text that
/// says so.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        alloc::format!("{}", serde_json::json!(alloc::format!("not JSON: {error}")))
    })
}
