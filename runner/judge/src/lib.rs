//! What is found in a run: the words of a verdict, the properties that come to it, and the reports about it.
//!
//! The order of the folders, each of which knows only those before it: `outcome`, then `property` and
//! `report` side by side. Nothing in here knows machines: a run hands over what it has observed.

pub mod outcome;
pub mod property;
pub mod report;
pub mod schema;
