//! What a run found, written for people and for CI systems.
//!
//! There is one model, [`crate::outcome`], and one writer per file format. A writer is a pure function of the
//! model: the same [`Document`](crate::outcome::Document) gives the same bytes, so that each writer is
//! tested by snapshots and two reports of one run can be compared by `diff`.

pub mod ctrf;
pub mod events;
pub mod github;
pub mod json;
pub mod junit;
pub mod terminal;
pub mod write;

#[cfg(test)]
mod tests;
