//! The determinism log: what happened in a machine and when, as a compact binary file.
//!
//! Two runs that should be equal are compared by their logs: the first record that differs tells
//! where they parted, long before a state hash could.

mod diff;
mod event;
mod format;
mod stats;
#[cfg(test)]
mod tests;

pub use diff::{Divergence, Ignore, diff};
pub use event::{Event, Record, Transfer};
pub use format::{DlogError, MAGIC, MAJOR, MINOR, RECORD_MAX, Reader, TITLE_MAX, Writer};
pub use stats::Stats;
