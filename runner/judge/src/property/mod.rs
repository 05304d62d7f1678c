//! Properties: what a run is judged by.
//!
//! An [`observation::Observation`] is one thing that happened. The run makes them of the world's
//! events, feeds them to the [`Judge`] in the order of virtual time, and gets a [`Judgement`] for
//! each property at the end: pass, fail, or inconclusive. What could not be decided is never a
//! pass; nor is what was never looked at.
//!
//! There is one file for each kind of property; its first lines say what exactly passes and fails.

pub mod always;
pub mod append_list;
pub mod assertions;
pub mod checker;
pub mod converge;
pub mod decode;
pub mod eventually;
pub mod exit;
pub mod history;
pub mod json;
pub mod judge;
pub mod judgement;
pub mod linearizable;
pub mod lines;
pub mod monotonic;
pub mod never;
pub mod no_hang;
pub mod no_panic;
pub mod observation;
pub mod pattern;
pub mod progress;
pub mod reachable;
pub mod sample;
pub mod sometimes;
pub mod subject;
pub mod tally;
pub mod unique;
pub mod window;

#[cfg(test)]
mod tests;

pub use checker::{End, EndKind, NeverReady};
pub use judge::Judge;
pub use judgement::Judgement;
pub use observation::{Observation, ObservationKind};
pub use tally::Tally;
